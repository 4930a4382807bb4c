"""docs/reference/json.md says what each command prints, and is made from what prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal

import click
import pytest

from migration import errors
from migration.cli import cli
from migration.views.document import Document, described, key_of
from migration.views.reference import PAGE, _below, _table, documents, page, type_name

GOLDEN = Path(__file__).parents[2] / "golden"


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Row:
    name: str = described("its name")


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (str, "string"),
        (bool, "true or false"),
        (int, "number"),
        (float, "number"),
        (str | None, "string or null"),
        (tuple[str, ...], "list of string"),
        (Sequence[Row], "list of *row*"),
        (frozenset[str], "list of string"),
        (Mapping[str, int], "object: number by name"),
        (Literal["a", "b"], "one of `a`, `b`"),
        (Colour | None, "one of `red` or null"),
        (Any, "any"),
    ],
)
def test_a_type_is_said_as_json_has_it(hint: Any, name: str) -> None:
    assert type_name(hint) == name


def test_a_field_without_a_sentence_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class Bare(Document):
        command: ClassVar[str] = "bare"
        said: str = described("said")
        unsaid: str = ""

    with pytest.raises(TypeError, match=r"Bare\.unsaid has no sentence"):
        _table(Bare)


def test_the_page_is_as_the_dataclasses_have_it() -> None:
    assert PAGE.read_text() == page(), "run `python -m migration.views.reference`, and read the difference"


def test_every_kind_of_error_is_on_the_page() -> None:
    text = page()
    kinds = {each.kind for each in _below(errors.BluegreenError) if each.__module__ == errors.__name__}
    assert {kind for kind in kinds if f"| `{kind}` |" not in text} == set()


def test_every_document_is_of_a_command_that_there_is() -> None:
    paths: set[str] = set()

    def walk(command: click.Command, path: str) -> None:
        paths.add(path)
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}".strip())

    walk(cli, "")
    assert {each.command for each in documents()} - paths == set()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_printed_has_the_fields_that_the_page_says(path: Path) -> None:
    """A golden document without an error has every field of one of its command's forms, and no other."""
    text = path.read_text().partition("-- stdout\n")[2].partition("-- stderr\n")[0]
    document = json.loads(text)
    named = document.keys() - {"version", "command", "error"}
    of_command = [each for each in documents() if each.command == document["command"]]
    forms = [set(map(key_of, fields(each))) for each in of_command]
    assert document["version"] == 1
    assert named in forms or (named == set() and "error" in document)
