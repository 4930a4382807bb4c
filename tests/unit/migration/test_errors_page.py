"""docs/reference/errors.md names every kind that there is, with its exit code, and none else."""

from __future__ import annotations

from pathlib import Path

import migration.cli.main
from migration import errors
from migration.errors import BluegreenError

PAGE = Path(__file__).parents[3] / "docs/reference/errors.md"


def told() -> dict[str, tuple[int, str, str]]:
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in PAGE.read_text().splitlines() if line[:3] == "| `"
    ]
    return {kind.strip("`"): (int(code), meaning, act) for kind, code, meaning, act in rows}


def test_the_page_has_every_kind_with_its_exit_code() -> None:
    kinds = {
        each.kind: each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, BluegreenError)
    }
    assert {kind: code for kind, (code, _, _) in told().items()} == kinds
    assert all(meaning and act for _, meaning, act in told().values())


def test_every_kind_has_a_name_and_a_meaning_of_its_own() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BluegreenError)]
    assert len({each.kind for each in classes}) == len(classes)
    assert all({"kind", "means", "then"} <= vars(each).keys() for each in classes), "none is taken for its parent"


def test_the_commands_that_the_page_names_are_there() -> None:
    text = PAGE.read_text()
    for command in ("shift", "rollback", "status"):
        assert f"bluegreen {command}" in text
        assert command in migration.cli.main.cli.commands
    assert "--retry" in text
    assert {"--retry", "--reassert"} <= {
        option for each in migration.cli.main.cli.commands["shift"].params for option in each.opts
    }
