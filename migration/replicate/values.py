"""What a change of the plan changes, field by field: green's value and the one that it is to have, without secrets.

Of a Secret each key of its data is only said to be changed or not. Elsewhere a value goes unsaid where its name says that
it is a password, a token or the like (an environment variable DB_PASSWORD, a key `api-token` of a ConfigMap), and so does
what a URL or an argument carries of that kind: a plan ends up in the logs of pipelines. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from migration.objects.difference import MISSING, Path, readable
from migration.replicate.compare import Change

What = Literal["added", "changed", "removed", "unchanged"]
HIDDEN = "(hidden)"
# What `kubectl apply` writes has the whole object in it; the marks of this toolkit say nothing to a person.
NEVER_SHOWN = ("kubectl.kubernetes.io/last-applied-configuration",)
_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|(api|access|private|signing|encryption)[-_.]?key"
    r"|connection[-_.]?string|authorization|cookie|kubeconfig|dockerconfig|(^|[^a-z])(pwd|dsn)([^a-z]|$)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"(name|ref|path|file|dir|seconds|mount|audience|issuer|url|uri|kind|type|class|enabled)s?$", re.IGNORECASE
)
_IN_URL = re.compile(r"(://[^/@\s:]*:)[^/@\s]+(?=@)")
_NAMED = r"(?:password|passwd|passphrase|secret|token|api[-_]?key)"
# `--password=x`, `?token=x`, `DB_PASSWORD=x`; `password: x` and `"password": "x"` of a file within a ConfigMap
_IN_TEXT = re.compile(
    rf"""({_NAMED}(?:=|["']?:\s++))("[^"]*"|'[^']*'|[^\s,;&}}]+)""",
    re.IGNORECASE,
)
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """`old` and `new` as JSON has them; None: not there, or `hidden`."""

    field: str
    what: What
    old: Any = None
    new: Any = None
    hidden: bool = False


def field_changes(change: Change) -> list[FieldChange]:
    """What differs between green's object and the one that is to be there; nothing for one that green lacks."""
    if change.live is None:
        return []
    if change.resource.kind == "Secret" and not change.resource.group:
        return _of_secret(change)
    changes = [each for path in change.at for each in _at(path, change.obj, change.live)]
    return list({each.field: each for each in changes}.values())


def _of_secret(change: Change) -> list[FieldChange]:
    wanted, live = change.obj, change.live or {}
    changes: dict[str, What] = {}
    for path in change.at:
        mine, theirs = _lookup(wanted, path), _lookup(live, path)
        for name, one, other in _keys(readable(path), mine, theirs):
            changes[name] = "added" if other is MISSING else "removed" if one is MISSING else "changed"
    for name in wanted.get("data") or {}:
        changes.setdefault(readable(("f:data", f"f:{name}")), "unchanged")
    return [FieldChange(name, what, hidden=True) for name, what in sorted(changes.items()) if not name.endswith(_NEVER)]


_NEVER = tuple(f"[{name}]" for name in NEVER_SHOWN)


def _keys(path: str, mine: Any, theirs: Any) -> Iterator[tuple[str, Any, Any]]:
    """A whole `data` that one side lacks is told by its keys."""
    present = [each for each in (mine, theirs) if each is not MISSING]
    if present and all(isinstance(each, Mapping) for each in present):
        for key in dict.fromkeys(key for each in present for key in each):
            one, other = (MISSING if each is MISSING else each.get(key, MISSING) for each in (mine, theirs))
            if one != other:
                yield f"{path}{_step(key)}", one, other
    else:
        yield path, mine, theirs


def _at(path: Path, wanted: Any, live: Any) -> Iterator[FieldChange]:
    # an item of a list is told by its name where it has one
    path = path[: next((n for n, step in enumerate(path) if step.startswith("i:")), len(path))]
    name = _name(path, wanted, live)
    mine, theirs = _lookup(wanted, path), _lookup(live, path)
    # where blue's has nothing that green's lacks, what green's has more is what goes
    leaves = list(_leaves(readable(path), mine, theirs, name)) or list(_leaves(readable(path), mine, theirs, name, more=True))
    for field, old, new, called in leaves:
        if field.endswith(_NEVER) or (old is MISSING and new is MISSING):
            continue
        what: What = "added" if old is MISSING else "removed" if new is MISSING else "changed"
        if any(isinstance(each, str) and _is_secret(called) for each in (old, new)):
            yield FieldChange(field, what, hidden=True)
        else:
            before, after = (None if each is MISSING else without_secrets(each) for each in (old, new))
            if before == after:  # nothing but what is hidden differs
                yield FieldChange(field, what, hidden=True)
            else:
                yield FieldChange(field, what, before, after)


def _lookup(value: Any, path: Path) -> Any:
    """What a path of fieldsV1 means in an object; MISSING where it has none."""
    for step in path:
        kind, rest = step[:2], step[2:]
        if kind == "f:" and isinstance(value, Mapping):
            value = value.get(rest, MISSING)
        elif kind == "i:" and isinstance(value, list):
            value = value[int(rest)] if int(rest) < len(value) else MISSING
        elif kind == "v:" and isinstance(value, list):
            item = orjson.loads(rest)
            value = item if item in value else MISSING
        elif kind == "k:" and isinstance(value, list):
            keys = orjson.loads(rest)
            items = [each for each in value if isinstance(each, Mapping)]
            value = next((each for each in items if all(each.get(k, v) == v for k, v in keys.items())), MISSING)
        else:
            return MISSING
    return value


def _name(path: Path, wanted: Any, live: Any) -> str:
    """By what name a value goes: its key, or that of the environment variable whose value it is."""
    last = path[-1][2:] if path else ""
    if last == "value" and len(path) > 1:
        item = _lookup(wanted, path[:-1])
        item = _lookup(live, path[:-1]) if item is MISSING else item
        return str(item.get("name", last)) if isinstance(item, Mapping) else last
    return last


def _leaves(path: str, wanted: Any, live: Any, called: str, *, more: bool = False) -> Iterator[tuple[str, Any, Any, str]]:
    """(path, green's value, the wanted one, by what name it goes), as deep as both have something. What only green has
    within a mapping is a default or another's, but for `more`.
    """
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for key in dict.fromkeys((*wanted, *live)) if more else wanted:
            value, current = wanted.get(key, MISSING), live.get(key, MISSING)
            if current != value and not (current is MISSING and value in (None, {}, [])):
                name = str(wanted.get("name", key)) if key == "value" else str(key)
                yield from _leaves(f"{path}{_step(key)}", value, current, name, more=more)
        return
    if isinstance(wanted, list) and isinstance(live, list):
        mine, theirs_by_name = _by_name(wanted), _by_name(live)
        if mine is not None and theirs_by_name is not None:
            for name in dict.fromkeys((*mine, *theirs_by_name)):
                ours, current = mine.get(name, MISSING), theirs_by_name.get(name, MISSING)
                if ours != current:
                    yield from _leaves(f"{path}[name={name}]", ours, current, called, more=more)
            return
        if len(wanted) == len(live):
            for index, (ours, theirs) in enumerate(zip(wanted, live, strict=True)):
                if ours != theirs:
                    yield from _leaves(f"{path}[{index}]", ours, theirs, called, more=more)
            return
    yield path, live, wanted, called


def _by_name(items: list[Any]) -> dict[str, Any] | None:
    named = {str(each["name"]): each for each in items if isinstance(each, Mapping) and "name" in each}
    return named if items and len(named) == len(items) else None


def _step(key: Any) -> str:
    return f"[{key}]" if "/" in str(key) or "." in str(key) else f".{key}"


# -- what is not said --------------------------------------------------------------------------------------------------


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _REFERENCE.search(name)


def without_secrets(value: Any) -> Any:
    """A value as it may be shown: what its names say to be secret is replaced, at any depth."""
    if isinstance(value, Mapping):
        called = str(value.get("name", "")) if "value" in value else ""
        return {
            key: HIDDEN
            if isinstance(inner, str) and (_is_secret(str(key)) or (key == "value" and _is_secret(called)))
            else without_secrets(inner)
            for key, inner in value.items()
            if key not in NEVER_SHOWN
        }
    if isinstance(value, list):
        return [without_secrets(each) for each in value]
    if isinstance(value, str):
        for each in (_IN_URL, _IN_TEXT, _PRIVATE_KEY):
            value = each.sub(rf"\g<1>{HIDDEN}", value)
        return value
    return value


# -- for people --------------------------------------------------------------------------------------------------------

MOST_CHARACTERS = 60
_BEFORE = 16  # characters that two long values share and that are still shown before they differ


def line(change: FieldChange, *, full: bool = False) -> str:
    """`spec.replicas: 2 -> 3`; values that are long are cut around the place where they begin to differ."""
    if change.hidden:
        return f"{change.field}: {change.what}"
    old, new = ("(none)" if each is None else text(each) for each in (change.old, change.new))
    if not full:
        old, new = _cut(old, new)
    return f"{change.field}: {old} -> {new}"


def text(value: Any) -> str:
    """As YAML would have it on one line: a string without quotes unless it would be taken for something else."""
    if isinstance(value, str):
        plain = value.strip() == value and value and value.isprintable() and not value.startswith(("(", '"', "[", "{"))
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            return value if plain else orjson.dumps(value).decode()
        return orjson.dumps(value).decode()
    return orjson.dumps(value, default=str).decode()


def _cut(old: str, new: str) -> tuple[str, str]:
    same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = same - _BEFORE if same > _BEFORE and max(len(old), len(new)) > MOST_CHARACTERS else 0

    def one(value: str) -> str:
        shown = f"…{value[start:]}" if start else value
        return shown if len(shown) <= MOST_CHARACTERS else f"{shown[: MOST_CHARACTERS - 1]}…"

    return one(old), one(new)
