"""The shape of every command's outcome: a frozen dataclass whose fields are the JSON document and whose `lines` are the
text for people.

With `--json` a command prints one document on stdout, whatever happens:

    {"version": 1, "command": "status", FIELDS..., "error": {"kind", "message", "remedy", "exit_code"}}

`error` is there where the command failed, and alone beside version and command where it failed before it had anything to
show. Within a version fields are only added. docs/reference/json.md is made from the dataclasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

from migration.words import clean

VERSION = 1


@dataclasses.dataclass(frozen=True)
class Document:
    """`command` is as typed, such as "capacity release"; `form` the arguments that give this document where a command has
    more than one.
    """

    command: ClassVar[str]
    form: ClassVar[str] = ""

    def lines(self) -> list[str]:
        """The text for people, without line ends."""
        raise NotImplementedError


def described(text: str, *, key: str = "", **options: Any) -> Any:
    """A field with the sentence that docs/reference/json.md has for it: what it is, unit, what None means. `key`: its name
    in JSON, where Python cannot have it.
    """
    return dataclasses.field(metadata={"meaning": text, "key": key}, **options)


def key_of(field: dataclasses.Field[Any]) -> str:
    """The field's name in JSON."""
    return str(field.metadata.get("key") or field.name)


def as_json(document: Document) -> dict[str, Any]:
    """The document with its version and command."""
    return {"version": VERSION, "command": document.command, **plain(document)}


def plain(value: Any) -> Any:
    """As JSON has it: dataclasses by their fields, sets in order, enums and paths as strings."""
    match value:
        case Enum():
            return plain(value.value)
        case str():
            return clean(value)  # a path may hold bytes that are no text
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(plain(key)): plain(inner) for key, inner in value.items()}
        case Set():
            return sorted(map(plain, value))
        case Sequence():
            return [plain(inner) for inner in value]
        case Path():
            return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key_of(each): plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no place in a JSON document; allowed: what `plain` names")
