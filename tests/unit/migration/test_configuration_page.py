"""docs/reference/configuration.md tells every key and its default as the code has them, and its examples are good files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import pytest

from migration.cli.main import cli
from migration.codes import DOCS
from migration.settings.keys import Key, figure, keys_of
from migration.settings.migration_file import CODES_PAGE, KEYS, Gateway, load
from migration.settings.migration_file import PAGE as PAGE_OF_ALL
from migration.settings.policy import Check, Policy
from migration.settings.policy_reading import PAGE as PAGE_OF_POLICY
from migration.settings.stack_file import KEYS as STACK_KEYS
from migration.settings.stack_file import StackFile

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/configuration.md").read_text()
COMMANDS = (ROOT / "docs/guides/commands.md").read_text()
STACK, MIGRATION = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ROWS = dict(re.findall(r"^\| `(\S+)` \|[^|]*\| ([^|]*) \|", PAGE, re.MULTILINE))


def row(field: Any) -> str:
    """Of the policy's table: key, range with unit (or the words), default, meaning."""
    key: Key = field.metadata["key"]
    words = get_args(get_type_hints(Policy)[field.name])
    quoted = [f"`{word}`" for word in words]
    allowed = (
        f"{', '.join(quoted[:-1])} or {quoted[-1]}"
        if words and isinstance(words[0], str)
        else f"{figure(key.range[0])} to {figure(key.range[1])} {key.unit}"
    )
    return f"| `policy.{field.name}` | {allowed} | {written(field.default)} | {key.doc} |"


def written(default: Any) -> str:
    if isinstance(default, tuple):
        return f"[{', '.join(figure(value) for value in default)}]"
    return "none" if default is None else default if isinstance(default, str) else figure(default)


@pytest.mark.parametrize("field", fields(Policy), ids=lambda field: field.name)
def test_every_number_of_the_policy_is_documented_with_range_unit_and_default(field: Any) -> None:
    assert row(field) in PAGE.split("\n")


@pytest.mark.parametrize("field", fields(Policy), ids=lambda field: field.name)
def test_every_default_is_within_its_range(field: Any) -> None:
    low, high = field.metadata["key"].range
    values = field.default if isinstance(field.default, tuple) else (field.default,)
    assert all(low <= value <= high for value in values if isinstance(value, (int, float)))


@pytest.mark.parametrize(("cls", "under"), [(Gateway, "clusters.NAME.gateway"), (Check, "services.SERVICE.check")])
def test_other_ranges_are_documented(cls: Any, under: str) -> None:
    told = {
        name: span for name, key in keys_of(cls).items() if key.low is not None and (span := "{:g} to {:g}".format(*key.range))
    }
    assert told
    for name, span in told.items():
        assert re.search(rf"^\| `{under}\.{name}` \| \w+, {span} \|", PAGE, re.MULTILINE)


def test_every_code_that_may_be_ignored_is_documented() -> None:
    assert dict(re.findall(r"^\| (BG\d+) \| (.*) \|$", PAGE, re.MULTILINE)) == DOCS


@pytest.mark.parametrize("page", [PAGE_OF_ALL, PAGE_OF_POLICY, CODES_PAGE])
def test_errors_name_places_of_this_page(page: str) -> None:
    name, _, anchor = page.partition("#")
    heads = re.findall(r"^#+ (.*)$", (ROOT / name).read_text(), re.MULTILINE)
    assert anchor in [re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads]


def test_the_rows_are_exactly_the_accepted_keys() -> None:
    accepted = {f"{under}.{key}".lstrip(".") for under, keys in KEYS.items() for key in keys}
    assert ROWS.keys() == accepted | {f"policy.{field.name}" for field in fields(Policy)}


def test_every_key_of_the_stack_file_is_documented() -> None:
    assert [key for key in STACK_KEYS if f"bluegreen:{key}" not in PAGE] == []


def test_the_examples_are_read(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/Pulumi.edge.yaml").write_text(STACK)
    (tmp_path / "migration.yaml").write_text(MIGRATION)
    migration = load(tmp_path / "migration.yaml")
    assert StackFile(migration.edge).read().services == {"shop/catalog": 0}
    assert [len(cluster.counters.urls) for cluster in migration.clusters.values() if cluster.counters] == [1, 2]


def test_every_command_is_documented_here_or_in_the_readme() -> None:
    def names(command: click.Command, path: str) -> Iterator[str]:
        inner = getattr(command, "commands", {})
        if not inner:
            yield path
        for name, each in inner.items():
            yield from names(each, f"{path} {name}")

    told = COMMANDS + (ROOT / "README.md").read_text()
    assert [name for name in names(cli, "bluegreen") if name not in told] == []
    for option in ("--retry", "--reassert"):
        assert f"bluegreen shift {option}" in COMMANDS
