"""docs/reference/json.md and errors.md, made from the dataclasses of this package and the classes of migration/errors.py:
`python -m migration.views.reference` writes them.

Every Document of every module here has a section, with a table of its fields and of the rows within it; every class of
error has a row.
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

FOLDER = Path(__file__).parents[2] / "docs/reference"
PAGE, ERRORS = FOLDER / "json.md", FOLDER / "errors.md"
INTRODUCTION = f"""\
# What `--json` prints

Every command takes `--json`, before or after its name. It then prints **one** JSON document on stdout, whatever happens;
logs, plans and questions go to stderr. `--help` and `--version` print text. Two print for other programs: stdout of
`bluegreen schema` is the schema itself, and `bluegreen completion` refuses `--json`, with a document that says so.

- `version` is {VERSION}. Within a version fields are only added: ignore those that you do not know. A field is never renamed or
  removed, and keeps its meaning, until the version changes, which CHANGELOG.md says.
- `command` is the command as typed: `capacity release`.
- `error` is there where the command failed, and only there: its `kind` and the exit code say how. The fields of the
  command are beside it as far as it came; alone with `version` and `command`, it failed before it had anything to show.
- Without `--yes` a command that would change something prints its plan and ends with `error.kind` `held`, exit code 3.
- Every field of a table is always there; null means what the table says. Units are with each field: shares of traffic are
  basis points (10000 is all of it), durations seconds. The order of lists is that of the text.

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

What the caller does about each kind is on [its own page](errors.md).

"""
ERRORS_BEFORE = """\
# Errors
Every failure ends in one sentence on stderr, `bluegreen: WHAT, WHERE, VALUE AGAINST ALLOWED`, and one line `next: COMMAND OR
EDIT`. With `--json` the [document](json.md) on stdout has it as `error`, beside what was found before:

    {"version": 1, "command": "shift", "error": {"kind": "store", "message": "...", "remedy": "...", "exit_code": 1}}

A pipeline goes by `exit_code` and, where it has to distinguish more, by `kind`. `message` and `remedy` are for people and may
change; `remedy` may be null. `--verbose` adds what led to it (`cause:`). Passwords of URLs, tokens and the values of
Secrets are in none of it.

"""
ERRORS_AFTER = """\

A store that fails never keeps users on green: `rollback` writes the routes first, then says what of file and journal is missing
(exit 1, kind `failed`), and a running `shift` moves nothing forward, keeps judging, and rolls back what turns bad.

A program that is ended because its output is closed (`bluegreen status | head -1`) ends with 141 and says nothing,
as others do by SIGPIPE.
"""


def page() -> str:
    """All of json.md."""
    parts = [INTRODUCTION, _kinds()]
    parts += [_section(each) for each in documents()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def documents() -> list[type[Document]]:
    """Every Document of this package, by its command."""
    for module in pkgutil.iter_modules(views.__path__):
        if module.name != "reference":
            importlib.import_module(f"{views.__name__}.{module.name}")
    classes = [each for each in _below(Document) if each.__module__.startswith(f"{views.__name__}.")]
    return sorted(classes, key=lambda each: (each.command, each.form, each.__name__))


def _below(cls: type[Any]) -> Iterator[type[Any]]:
    for each in cls.__subclasses__():
        yield each
        yield from _below(each)


def errors_page() -> str:
    """All of errors.md."""
    rows = [f"| `{each.kind}` | {each.exit_code} | {each.means} | {each.then} |" for each in kinds()]
    head = ["| kind | exit code | what it means | what the caller does |", "|---|---|---|---|"]
    return ERRORS_BEFORE + "\n".join([*head, *rows]) + "\n" + ERRORS_AFTER


def kinds() -> list[type[BluegreenError]]:
    """Every class of migration/errors.py, in its order."""
    return [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BluegreenError)]


def _kinds() -> str:
    rows = [f"| `{each.kind}` | {each.exit_code} | {each.means} |" for each in kinds()]
    return "\n".join(["| kind | exit code | what it means |", "|---|---|---|", *rows])


def _section(document: type[Document]) -> str:
    lines = [f"## `bluegreen {document.command}{f' {document.form}' if document.form else ''}`", ""]
    lines += [_paragraph(document), "", *_table(document)]
    for row in _rows(document, []):
        lines += ["", f"**{_row_name(row)}**", "", *_table(row)]
    return "\n".join(lines)


def _paragraph(cls: type[Any]) -> str:
    text = " ".join((cls.__doc__ or "").split())
    if not text or text.startswith(f"{cls.__name__}("):  # what dataclasses write where nobody has written any
        raise TypeError(f"{cls.__name__} has no docstring: say in it what the document is")
    return text


def _table(cls: type[Any]) -> list[str]:
    hints = typing.get_type_hints(cls)
    lines = ["| field | type | what it is |", "|---|---|---|"]
    for field in dataclasses.fields(cls):
        if "meaning" not in field.metadata:
            raise TypeError(f"{cls.__name__}.{field.name} has no sentence: make it a field with `described(...)`")
        lines.append(f"| `{key_of(field)}` | {type_name(hints[field.name])} | {_escaped(field.metadata['meaning'])} |")
    return lines


def _rows(cls: type[Any], rows: list[type[Any]]) -> list[type[Any]]:
    """Dataclasses within a document, each once, in the order in which they are met."""
    for hint in typing.get_type_hints(cls).values():
        for each in _within(hint):
            if each not in rows:
                rows.append(each)
                _rows(each, rows)
    return rows


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
    ERRORS.write_text(errors_page())
