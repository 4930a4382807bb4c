"""docs/configuration.md tells every key and its default as the code has them, and its examples are good files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from migration.cli import cli
from migration.config import KEYS, load
from migration.policy import Policy
from migration.stackfile import KEYS as STACK_KEYS
from migration.stackfile import StackFile

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/configuration.md").read_text()
STACK, MIGRATION = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ROWS = dict(re.findall(r"^\| `(\S+)` \|[^|]*\| ([^|]*) \|", PAGE, re.MULTILINE))


def written(default: Any) -> str:
    if isinstance(default, tuple):
        return f"[{', '.join(f'{value:g}' for value in default)}]"
    return "none" if default is None else default if isinstance(default, str) else f"{default:g}"


@pytest.mark.parametrize("field", fields(Policy), ids=lambda field: field.name)
def test_every_number_of_the_policy_is_told_with_its_default(field: Any) -> None:
    assert ROWS[f"policy.{field.name}"] == written(field.default)


def test_every_accepted_key_has_a_row_and_every_row_is_accepted() -> None:
    accepted = {f"{under}.{key}".lstrip(".") for under, keys in KEYS.items() for key in keys}
    assert ROWS.keys() == accepted | {f"policy.{field.name}" for field in fields(Policy)}


def test_every_key_of_the_stack_file_is_told() -> None:
    assert [key for key in STACK_KEYS if f"bluegreen:{key}" not in PAGE] == []


def test_the_examples_are_read(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/Pulumi.edge.yaml").write_text(STACK)
    (tmp_path / "migration.yaml").write_text(MIGRATION)
    migration = load(tmp_path / "migration.yaml")
    assert StackFile(migration.edge).read().services == {"shop/catalog": 0}
    assert [len(cluster.counters.urls) for cluster in migration.clusters.values() if cluster.counters] == [1, 2]


def test_every_command_is_told_here_or_in_the_readme() -> None:
    def names(command: click.Command, path: str) -> Iterator[str]:
        inner = getattr(command, "commands", {})
        if not inner:
            yield path
        for name, each in inner.items():
            yield from names(each, f"{path} {name}")

    told = PAGE + (ROOT / "README.md").read_text()
    assert [name for name in names(cli, "bluegreen") if name not in told] == []
    for option in ("--retry", "--reassert"):
        assert f"bluegreen shift {option}" in PAGE
