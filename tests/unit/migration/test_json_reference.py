"""docs/reference/json.md and errors.md say what each command prints and how it fails, and are made from what does so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, get_type_hints

import click
import pytest

from migration import errors
from migration.cli.main import cli
from migration.views.document import Document, described, key_of
from migration.views.reference import (
    ERRORS,
    PAGE,
    _below,
    _rows,
    _section,
    _table,
    documents,
    errors_page,
    page,
    type_name,
)

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


def test_a_document_without_a_paragraph_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class Bare(Document):
        command: ClassVar[str] = "bare"

    with pytest.raises(TypeError, match="Bare has no docstring"):
        _section(Bare)


NUMBERED = ("basis points", "seconds", "how many", "number of", "objects", "requests that wrote", "HTTP status")


@pytest.mark.parametrize("cls", [*documents(), *{row for each in documents() for row in _rows(each, [])}])
def test_a_number_says_what_it_counts(cls: type[Any]) -> None:
    hints = get_type_hints(cls)
    numbers = [field for field in fields(cls) if "number" in type_name(hints[field.name])]
    assert [f.name for f in numbers if not any(word in f.metadata["meaning"] for word in NUMBERED)] == []


@pytest.mark.parametrize(("path", "made"), [(PAGE, page), (ERRORS, errors_page)], ids=lambda value: getattr(value, "name", ""))
def test_a_page_is_as_the_code_has_it(path: Path, made: Callable[[], str]) -> None:
    assert path.read_text() == made(), "run `python -m migration.views.reference`, and read the difference"


@pytest.mark.parametrize("made", [page, errors_page])
def test_every_kind_of_error_is_on_both_pages(made: Callable[[], str]) -> None:
    every: list[type[errors.BluegreenError]] = [errors.BluegreenError, *_below(errors.BluegreenError)]
    rows = [f"| `{each.kind}` | {each.exit_code} | {each.means} |" for each in every if each.__module__ == errors.__name__]
    assert [row for row in rows if row not in made()] == []


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
