"""docs/reference/json.md, made from the dataclasses of this package: `python -m migration.views.reference` writes it.

Every Document of every module here has a section, with a table of its fields and of the rows within it.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import types
import typing
from collections.abc import Iterator, Mapping, Sequence, Set
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from migration import errors, views
from migration.errors import BluegreenError
from migration.views.document import VERSION, Document, key_of

PAGE = Path(__file__).parents[2] / "docs/reference/json.md"
INTRODUCTION = f"""\
# What `--json` prints

Every command takes `--json`, before or after its name. It then prints **one** JSON document on stdout, whatever happens;
logs, plans and questions go to stderr. `--help` and `--version` print text. Two print for other programs: stdout of
`bluegreen schema` is the schema itself, and `bluegreen completion` refuses `--json`, with a document that says so.

- `version` is {VERSION}. Within a version fields are only added: ignore those that you do not know. A field is never renamed or
  removed, and keeps its meaning, until the version changes, which CHANGELOG.md tells.
- `command` is the command as typed: `capacity release`.
- `error` is there where the command failed, and only there: its `kind` and the exit code tell how. The fields of the
  command are beside it as far as it came; alone with `version` and `command`, it failed before it had anything to show.
- Without `--yes` a command that would change something prints its plan and ends with `error.kind` `held`, exit code 3.
- Every field of a table is always there; null means what the table says. Shares are basis points (10000 is all of it) where
  the name ends in `_bp`, durations seconds. The order of lists is that of the text.

```console
$ bluegreen verify shop/cart --json
{{
  "version": 1,
  "command": "verify",
  "cluster": "fern",
  "verdicts": [
    {{
      "service": "shop/cart",
      "ok": false,
      "outcome": "failed",
      "evidence": ["Service shop/cart: 2 ready endpoints"],
      "problems": ["Deployment shop/cart: 1 of 2 available"],
      "remedy": "look at its pods and route on green, then run `bluegreen verify` again",
      "request": {{"method": "GET", "host": "cart.example.com", "path": "/", "headers": {{}}}},
      "green_status": 200,
      "blue_status": 200
    }}
  ],
  "left_out": [],
  "error": {{
    "kind": "held",
    "message": "not good on green: shop/cart",
    "remedy": "look at its pods and route on green, then run `bluegreen verify` again",
    "exit_code": 3
  }}
}}
$ echo $?
3
```

## `error`
| field | type | what it is |
|---|---|---|
| `kind` | string | one of the table below; new ones may be added within a version |
| `message` | string | what went wrong, and where |
| `remedy` | string or null | the next command or edit |
| `exit_code` | number | the exit code of the command |

"""


def page() -> str:
    parts = [INTRODUCTION, _kinds()]
    parts += [_section(each) for each in documents()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def documents() -> list[type[Document]]:
    """Every Document of this package, by its command."""
    for module in pkgutil.iter_modules(views.__path__):
        if module.name != "reference":
            importlib.import_module(f"{views.__name__}.{module.name}")
    found = [each for each in _below(Document) if each.__module__.startswith(f"{views.__name__}.")]
    return sorted(found, key=lambda each: (each.command, each.form, each.__name__))


def _below(cls: type[Any]) -> Iterator[type[Any]]:
    for each in cls.__subclasses__():
        yield each
        yield from _below(each)


def _kinds() -> str:
    lines = ["| kind | exit code | when |", "|---|---|---|"]
    found: dict[str, type[BluegreenError]] = {}
    every: list[type[BluegreenError]] = [BluegreenError, *_below(BluegreenError)]
    for each in every:
        if each.__module__ == errors.__name__:
            found.setdefault(each.kind, each)
    lines += [f"| `{kind}` | {each.exit_code} | {KINDS.get(kind, _first_line(each))} |" for kind, each in sorted(found.items())]
    return "\n".join(lines)


KINDS = {
    "config": "a file or an option is wrong; nothing was changed",
    "conflict": "another owner of the fields, or an object that changed meanwhile",
    "failed": "something else failed; `message` says what",
    "forbidden": "an API refused the credentials (401) or the right (403)",
    "foreign-write": "somebody else changed a file or a weight",
    "held": "a gate or a finding holds, or a plan was not agreed to",
    "internal": "a fault of bluegreen: report it",
    "interrupted": "it was asked to stop; its state is saved",
    "locked": "somebody else holds the migration's lock",
    "lost-fence": "somebody took the lock over meanwhile",
    "not-found": "it is not there",
    "permanent": "the same again will fail again",
    "rejected": "an API understood and refused",
    "store": "what the migration keeps on disk cannot be read or written",
    "taken-back": "a service was rolled back automatically",
    "temporary": "the same again may pass",
    "unreachable": "no answer, or not in time",
    "usage": "the command line is wrong; nothing was changed",
}


def _first_line(cls: type[Any]) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _section(document: type[Document]) -> str:
    lines = [f"## `bluegreen {document.command}{f' {document.form}' if document.form else ''}`", ""]
    lines += [text, ""] if (text := _paragraph(document)) else []
    lines += _table(document)
    for row in _rows(document, []):
        lines += ["", f"**{_row_name(row)}**", "", *_table(row)]
    return "\n".join(lines)


def _paragraph(cls: type[Any]) -> str:
    text = " ".join((cls.__doc__ or "").split())
    return "" if text.startswith(f"{cls.__name__}(") else text  # what dataclasses write where nobody has written any


def _table(cls: type[Any]) -> list[str]:
    hints = typing.get_type_hints(cls)
    lines = ["| field | type | what it is |", "|---|---|---|"]
    for field in dataclasses.fields(cls):
        if "told" not in field.metadata:
            raise TypeError(f"{cls.__name__}.{field.name} has no sentence: make it a field with `described(...)`")
        lines.append(f"| `{key_of(field)}` | {type_name(hints[field.name])} | {_escaped(field.metadata['told'])} |")
    return lines


def _rows(cls: type[Any], seen: list[type[Any]]) -> list[type[Any]]:
    """Dataclasses within a document, each once, in the order in which they are met."""
    for hint in typing.get_type_hints(cls).values():
        for each in _within(hint):
            if each not in seen:
                seen.append(each)
                _rows(each, seen)
    return seen


def _within(hint: Any) -> Iterator[type[Any]]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for inner in typing.get_args(hint):
        yield from _within(inner)


def type_name(hint: Any) -> str:
    """As JSON has it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(f"`{each}`" for each in inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(type_name(each) for each in inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"object: {type_name(inner[1])} by name"
    if isinstance(origin, type) and issubclass(origin, (Sequence, Set)):
        return f"list of {type_name(inner[0])}"
    if hint is Any:
        return "any"
    if hint is type(None):
        return "null"
    if dataclasses.is_dataclass(hint):
        return f"*{_row_name(hint)}*"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(f"`{each.value}`" for each in hint)
    names = {bool: "true or false", str: "string", Path: "string"}
    return names.get(hint) or ("number" if hint in (int, float) else str(hint))


def _row_name(cls: Any) -> str:
    """`planned object` of PlannedObject."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in cls.__name__).strip()


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
