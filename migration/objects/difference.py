"""Tells whether a live object already holds what we would write, and who owns what differs.

A live object has more fields than were ever written: defaults, allotted addresses, what other managers added. So the
comparison is of our fields only. Which lists are keyed and which are one value is not known without the API's schema;
managedFields tells it for every list that anybody has applied; two lists of one length are compared in order first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
            current = live.get(key, MISSING)
            if current is MISSING:
                # an empty value and none are the same to an API server
                if value not in (None, {}, []):
                    yield (*path, f"f:{key}")
            elif current != value:
                step = f"f:{key}"
                yield from differences(value, current, tuple(f[step] for f in fields if step in f), (*path, step))
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
    means = _Keys(key for key in keys if key.startswith("k:"))
    names = means.names
    by_values: dict[Path, dict[tuple[Any, ...], Any]] = {}  # names of key fields -> their values -> the first item with them
    for ours in wanted:
        if not names or not isinstance(ours, dict):
            if ours not in live:
                yield (*path, "v:" + orjson.dumps(ours).decode())
            continue
        selector = {name: ours[name] for name in names if name in ours}
        asked = tuple(selector)
        if asked not in by_values:
            by_values[asked] = {_values(item, asked): item for item in reversed(live) if isinstance(item, dict)}
        theirs = by_values[asked].get(_values(ours, asked))
        step = min(means.of(ours), default="k:" + orjson.dumps(selector).decode())
        if theirs is None:
            yield (*path, step)
        elif theirs != ours:
            yield from differences(ours, theirs, tuple(f[step] for f in fields if step in f), (*path, step))


def dropped(wanted: Any, live: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of what was written and is not there at all: a field that green's schema does not know, or that a webhook took
    away. What is there with another value is not among them.
    """
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key, value in wanted.items():
            if key in live:
                yield from dropped(value, live[key], (*path, f"f:{key}"))
            elif value not in (None, {}, []):
                yield (*path, f"f:{key}")
    elif isinstance(wanted, list) and isinstance(live, list):
        for index, ours in enumerate(wanted):
            beside = live[index : index + 1]  # a list that others add to keeps ours somewhere else in it
            if any(next(dropped(ours, theirs), None) is None for theirs in (*beside, *live) if _alike(ours, theirs)):
                continue
            if beside and isinstance(ours, dict) and isinstance(beside[0], dict):
                yield from dropped(ours, beside[0], (*path, f"i:{index}"))
            elif len(live) < len(wanted):
                yield path
                return


def _alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict) or isinstance(theirs, dict):
        return isinstance(ours, dict) and isinstance(theirs, dict)
    return bool(ours == theirs)


class _Keys:
    """The keys of a keyed list (`k:{"containerPort":80,"protocol":"TCP"}`), found by the items that they mean.

    Lists of hundreds of items (variables, ports, rules) would otherwise cost the product of items and keys.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._by_names: dict[Path, list[tuple[str, Mapping[str, Any]]]] = {}
        for key in keys:
            fields = orjson.loads(key[2:])
            self._by_names.setdefault(tuple(fields), []).append((key, fields))
        self._index: dict[tuple[Path, Path], dict[tuple[Any, ...], list[str]]] = {}

    @property
    def names(self) -> Path:
        """The fields that the first key is made of."""
        return next(iter(self._by_names), ())

    def of(self, item: Mapping[str, Any]) -> list[str]:
        """The keys that mean this item; a key's field that the item lacks was defaulted and is not held against it."""
        matching: list[str] = []
        for names, keys in self._by_names.items():
            has = tuple(name for name in names if name in item)
            if (names, has) not in self._index:
                index = self._index[names, has] = {}
                for key, fields in keys:
                    index.setdefault(_values(fields, has), []).append(key)
            matching += self._index[names, has].get(_values(item, has), ())
        return matching


def _values(item: Mapping[str, Any], names: Path) -> tuple[Any, ...]:
    """What an item has in these fields, to be looked up by; what can be no key is taken by its text."""
    values = (item.get(name) for name in names)
    return tuple(repr(value) if isinstance(value, (dict, list)) else value for value in values)


def surplus(owned: Mapping[str, Any], wanted: Any, path: Path = ()) -> Iterator[Path]:
    """Paths that a manager owns and no longer wants: server-side apply would take them away."""
    meant: dict[str, Any] = {}
    if isinstance(wanted, list):
        means = _Keys(key for key in owned if key.startswith("k:"))
        for item in wanted:
            for key in means.of(item) if isinstance(item, dict) else ():
                meant.setdefault(key, item)
    for key, inner in owned.items():
        if key == ".":
            continue
        kind, rest = key[:2], key[2:]
        desired: Any = MISSING
        if kind == "f:":
            if isinstance(wanted, dict):
                desired = wanted.get(rest, MISSING)
        elif kind == "k:":
            if isinstance(wanted, list):
                desired = meant.get(key, MISSING)
                if desired is MISSING and not inner:
                    continue
        elif kind == "v:":
            if isinstance(wanted, list) and orjson.loads(rest) in wanted:
                continue
        else:
            continue
        if desired is MISSING:
            yield (*path, key)
        elif inner:
            yield from surplus(inner, desired, (*path, key))


def fields_of(live: Mapping[str, Any], *, but_status: bool = True) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(manager, subresource, fieldsV1) of each entry of managedFields."""
    fields = []
    for entry in live["metadata"].get("managedFields") or ():
        if but_status and entry.get("subresource") == "status":
            continue
        fields.append((str(entry.get("manager", "")), str(entry.get("subresource", "")), entry.get("fieldsV1") or {}))
    return fields


def owners(path: Path, entries: list[tuple[str, str, Mapping[str, Any]]]) -> set[str]:
    """Managers that own the field at a path or, where it is a leaf for them, one around it."""
    managers = set()
    for manager, _, fields in entries:
        node: Mapping[str, Any] = fields
        for depth, step in enumerate(path):
            if step not in node:
                if depth and not node.keys() - {"."}:
                    managers.add(manager)  # the whole of what is around it is one value
                break
            node = node[step]
        else:
            managers.add(manager)
    return managers


def gone_within(fields: Mapping[str, Any], wanted: Any, live: Any, path: Path = ()) -> Iterator[Path]:
    """Lists and maps that we own as one value and that are not what is wanted, where `differences` finds nothing: an item
    has more than it should (a rule of a route still has the time-out that blue's lost). `fields`: our fieldsV1.
    """
    if not isinstance(wanted, Mapping) or not isinstance(live, Mapping):
        return
    for step, inner in fields.items():
        key = step[2:]
        if step[:2] != "f:" or key not in wanted or key not in live:
            continue
        if inner.keys() - {"."}:
            yield from gone_within(inner, wanted[key], live[key], (*path, step))
        elif isinstance(wanted[key], (list, Mapping)) and wanted[key] != live[key]:
            yield (*path, step)


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
