"""docs/reference/cli.md is what the commands are."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from migration.cli.main import cli
from migration.cli.reference import PAGE, reference


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(("bluegreen", *path)), command
    if isinstance(command, click.Group):
        for name, within in command.commands.items():
            yield from commands(within, *path, name)


def test_the_page_is_as_the_commands_are() -> None:
    assert PAGE.read_text() == reference(), "run `python -m migration.cli.reference`, and read the difference"


@pytest.mark.parametrize(("path", "command"), list(commands(cli)), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_has_a_section_with_each_of_its_options(path: str, command: click.Command) -> None:
    assert command.help
    section = reference().partition(f"\n## {path}\n")[2].partition("\n## ")[0]
    named = [
        each.opts[0] for each in command.params if isinstance(each, click.Option) and each.name != "json" and not each.hidden
    ]
    assert [name for name in named if f"`{name}`" not in section] == []


def test_a_paragraph_that_keeps_its_lines_keeps_them_here() -> None:
    assert 'zsh:  add  eval "$(bluegreen completion zsh)"   to ~/.zshrc, after compinit\n' in reference()
