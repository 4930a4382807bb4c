"""Each `bluegreen` line that the README gives to type is one that the command takes. What they do, the lab's tests and the long
tests/lab/core/test_printed_lines.py show.
"""

from __future__ import annotations

import re
import shlex

import click
import pytest

from lab.layout import CHECKOUT
from migration.cli.main import cli

README = (CHECKOUT / "README.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
LINES = [line.partition("  # ")[0].strip() for block in BLOCKS for line in block.splitlines() if line.startswith("bluegreen ")]


def parsed(words: list[str]) -> click.Context:
    """The context of the innermost command; a usage error where it would not be taken. Nothing is run."""
    context = cli.make_context("bluegreen", words)
    while isinstance(context.command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, command, left = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, left, parent=context)
    return context


@pytest.mark.parametrize("line", LINES)
def test_it_is_a_command_with_options_that_there_are(line: str) -> None:
    assert parsed(shlex.split(line)[1:]).command_path.startswith("bluegreen ")


def test_a_misspelt_one_would_be_refused() -> None:
    with pytest.raises(click.UsageError):
        parsed(["shift", "--upwards"])


def test_the_whole_upgrade_is_among_them() -> None:
    assert {line.split()[1] for line in LINES} >= {
        "preflight",
        "replicate",
        "capacity",
        "verify",
        "enroll",
        "shift",
        "entry",
        "status",
    }
