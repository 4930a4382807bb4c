"""Tells whether a live object already holds what we would write, and who owns what differs.

A live object has more fields than were ever written: defaults, allotted addresses, what other managers added. So the
comparison is of our fields only. Which lists are keyed and which are one value is not known without the API's schema;
managedFields tells it for every list that anybody has applied, and two lists of the same length are compared in order
first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

Path = tuple[str, ...]
MISSING = object()


def differences(wanted: Any, live: Any, fields: tuple[Mapping[str, Any], ...] = (), path: Path = ()) -> Iterator[Path]:
    """Paths at which `live` does not hold what is wanted. `fields`: the fieldsV1 nodes of all managers at this path."""
    if wanted == live:
        return
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key, value in wanted.items():
            there = live.get(key, MISSING)
            if there is MISSING:
                # an empty value and none are the same to an API server
                if value not in (None, {}, []):
                    yield (*path, f"f:{key}")
            elif there != value:
                step = f"f:{key}"
                yield from differences(value, there, tuple(f[step] for f in fields if step in f), (*path, step))
        return
    if isinstance(wanted, list) and isinstance(live, list):
        yield from _list_differences(wanted, live, fields, path)
        return
    yield path


def _list_differences(wanted: list[Any], live: list[Any], fields: tuple[Mapping[str, Any], ...], path: Path) -> Iterator[Path]:
    keys = sorted({key for f in fields for key in f if key[:2] in ("k:", "v:")})
    if not keys:
        if len(wanted) != len(live):
            yield path
            return
        for index, (ours, theirs) in enumerate(zip(wanted, live, strict=True)):
            if next(differences(ours, theirs), None) is not None:
                yield path if not isinstance(ours, dict) else (*path, f"i:{index}")
                return
        return
    names: tuple[str, ...] = ()
    for key in keys:
        if key.startswith("k:"):
            names = tuple(orjson.loads(key[2:]))
            break
    for ours in wanted:
        if not names or not isinstance(ours, dict):
            if ours not in live:
                yield (*path, "v:" + orjson.dumps(ours).decode())
            continue
        selector = {name: ours[name] for name in names if name in ours}
        theirs = next((t for t in live if isinstance(t, dict) and all(t.get(n) == v for n, v in selector.items())), None)
        step = next(
            (key for key in keys if key.startswith("k:") and _selects(key, ours)),
            "k:" + orjson.dumps(selector).decode(),
        )
        if theirs is None:
            yield (*path, step)
        elif theirs != ours:
            yield from differences(ours, theirs, tuple(f[step] for f in fields if step in f), (*path, step))


def _selects(key: str, item: Mapping[str, Any]) -> bool:
    """Whether a fieldsV1 key (`k:{"containerPort":80,"protocol":"TCP"}`) means this item; a key that was defaulted is
    not held against it.
    """
    return all(item.get(name, value) == value for name, value in orjson.loads(key[2:]).items())


def surplus(owned: Mapping[str, Any], wanted: Any, path: Path = ()) -> Iterator[Path]:
    """Paths that a manager owns and no longer wants: server-side apply would take them away."""
    for key, inner in owned.items():
        if key == ".":
            continue
        kind, rest = key[:2], key[2:]
        found: Any = MISSING
        if kind == "f:":
            if isinstance(wanted, dict):
                found = wanted.get(rest, MISSING)
        elif kind == "k:":
            if isinstance(wanted, list):
                found = next((w for w in wanted if isinstance(w, dict) and _selects(key, w)), MISSING)
                if found is MISSING and not inner:
                    continue
        elif kind == "v:":
            if isinstance(wanted, list) and orjson.loads(rest) in wanted:
                continue
        else:
            continue
        if found is MISSING:
            yield (*path, key)
        elif inner:
            yield from surplus(inner, found, (*path, key))


def fields_of(live: Mapping[str, Any], *, but_status: bool = True) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(manager, subresource, fieldsV1) of each entry of managedFields."""
    found = []
    for entry in live["metadata"].get("managedFields") or ():
        if but_status and entry.get("subresource") == "status":
            continue
        found.append((str(entry.get("manager", "")), str(entry.get("subresource", "")), entry.get("fieldsV1") or {}))
    return found


def owners(path: Path, entries: list[tuple[str, str, Mapping[str, Any]]]) -> set[str]:
    """Managers that own the field at a path or, where it is a leaf for them, one around it."""
    found = set()
    for manager, _, fields in entries:
        node: Mapping[str, Any] = fields
        for depth, step in enumerate(path):
            if step not in node:
                if depth and not node.keys() - {"."}:
                    found.add(manager)  # the whole of what is around it is one value
                break
            node = node[step]
        else:
            found.add(manager)
    return found


def readable(path: Path) -> str:
    """`spec.template.spec.containers[name=web].image`"""
    text = ""
    for step in path:
        kind, rest = step[:2], step[2:]
        if kind == "f:":
            text += f".{rest}" if "/" not in rest and "." not in rest else f"[{rest}]"
        elif kind == "k:":
            text += "[" + ",".join(f"{k}={v}" for k, v in orjson.loads(rest).items()) + "]"
        else:
            text += f"[{rest}]"
    return text.lstrip(".")
