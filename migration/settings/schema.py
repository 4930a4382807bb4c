"""The JSON schema (draft 2020-12) of migration.yaml, for editors: made of the dataclasses that the reader fills.

What it refuses the reader refuses. The reader refuses more: what hangs on several keys, on the order of numbers or on other
files. `bluegreen schema` prints it; docs/reference/migration.schema.json is what it printed last.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from migration.settings.keys import Key, figure, keys_of
from migration.settings.migration_file import VERSION, Migration, Pages
from migration.settings.policy import COMMON, Policy, ServicePolicy

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
SIMPLE = {str: "string", Path: "string", bool: "boolean", int: "integer", float: "number"}


def schema() -> Schema:
    """The whole schema, as JSON has it."""
    root = _object(Migration)
    names = list(root["properties"])
    names.insert(0, names.pop(names.index("version")))
    title = f"migration.yaml of bluegreen, version {VERSION}"
    return {"$schema": DIALECT, "title": title, **root, "properties": {name: root["properties"][name] for name in names}}


def _object(cls: Any, leave_out: tuple[str, ...] = ()) -> Schema:
    hints, known = get_type_hints(cls), {name: key for name, key in keys_of(cls).items() if name not in leave_out}
    fields = {each.name: each for each in dataclasses.fields(cls)}
    properties, required = {}, []
    for name, key in known.items():
        factory = fields[name].default_factory
        default = fields[name].default if factory is dataclasses.MISSING else factory()
        own = _overrides() if (cls, name) == (ServicePolicy, "overrides") else _of(hints[name], key)
        optional = default is not dataclasses.MISSING
        if optional and own.get("type") in ("object", "array") and not {"minItems", "minProperties"} & own.keys():
            own["type"] = [own["type"], "null"]  # a key with nothing after it
        properties[key.name or name] = {"description": _described(key), **own, **_default(default)}
        if not optional and type(None) not in get_args(hints[name]):
            required.append(key.name or name)
    result: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if cls is Pages:
        one = {"description": "the page of the only gateway pod", **properties["urls"]["items"]}
        result["properties"] = {"url": one, **properties}
        result["oneOf"] = [{"required": ["url"]}, {"required": ["urls"]}]
    elif required:
        result["required"] = required
    return result


def _overrides() -> Schema:
    return _object(Policy, leave_out=COMMON)


def _of(hint: Any, key: Key) -> Schema:
    shape = dict(key.shape)
    kinds = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        (one,) = (each for each in kinds if each is not type(None))
        inner = _of(one, key)
        if "oneOf" in inner:  # null has no keys, so that it would be both
            return {"anyOf": [{"type": "null"}, inner]}
        return {**inner, "type": [inner["type"], "null"]}
    if get_origin(hint) is Literal:
        return {"type": "string", "enum": list(kinds), **shape}
    if get_origin(hint) is tuple:
        items = shape.pop("items", None) or _of(kinds[0], Key("", key.low, key.high))
        return {"type": "array", "items": items, **shape}
    if get_origin(hint) is Mapping:
        inner = _of(kinds[1], Key(""))
        if inner.get("type") == "object" and "required" not in inner and "oneOf" not in inner:
            inner["type"] = ["object", "null"]
        return {"type": "object", "additionalProperties": inner, **shape}
    if dataclasses.is_dataclass(hint):
        return {**_object(hint), **shape}
    if issubclass(hint, Enum):
        return {"type": "string", "enum": [each.value for each in hint], **shape}
    result: Schema = {"type": SIMPLE[hint]}
    if hint in (str, Path):
        result["minLength"] = 1
    for name, limit in (("minimum", key.low), ("maximum", key.high)):
        if limit is not None:
            result[name] = int(limit) if float(limit).is_integer() else limit
    return {**result, **shape}


def _described(key: Key) -> str:
    """The meaning, and what an editor shows nowhere else: the unit, with the range."""
    if not key.unit and key.low is None:
        return key.doc
    low, high = key.range
    return f"{key.doc}; {figure(low)} to {figure(high)} {key.unit}".strip()


def _default(default: Any) -> Schema:
    """Of a value that can be written in one line."""
    if default is dataclasses.MISSING or dataclasses.is_dataclass(default) or isinstance(default, Mapping) or default == "":
        return {}
    if isinstance(default, tuple):
        return {"default": [_plain(each) for each in default]}
    return {"default": _plain(default)}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value) if isinstance(value, Path) else value
