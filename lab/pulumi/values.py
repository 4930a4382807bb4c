"""Property values between the engine's protobuf structs and plain Python.

Unknown values of a preview stay the engine's own marker string, so that they pass through every transformation
unharmed. Secrets arrive in a provider's configuration only, wrapped: these plugins tell the engine to send none
elsewhere, and the engine marks outputs as secret wherever their input was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import struct_pb2  # type: ignore[import-untyped]

_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

Properties = dict[str, Any]


def from_struct(struct: struct_pb2.Struct) -> Properties:
    return {key: from_value(value) for key, value in struct.fields.items()}


def from_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        plain = from_struct(value.struct_value)
        return plain.get("value") if plain.get(_SIGNATURE) == _SECRET else plain
    if kind == "list_value":
        return [from_value(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return value.bool_value
    return None


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        _set(struct.fields[key], value)
    return struct


def _set(target: struct_pb2.Value, value: Any) -> None:
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, (int, float)):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        for key, item in value.items():
            _set(target.struct_value.fields[str(key)], item)
    elif isinstance(value, (list, tuple, set)):
        target.list_value.SetInParent()
        for item in sorted(value) if isinstance(value, set) else value:
            _set(target.list_value.values.add(), item)
    else:
        target.string_value = str(value)


def has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return bool(value == UNKNOWN)


def without_nulls(value: Any) -> Any:
    """A property set to None and one not given are the same to a provider."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    return value


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (property path, add|delete|update) for each place where two values differ, lists by index."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            here = join(path, key)
            if key not in new:
                yield here, "delete"
            elif key not in old:
                yield here, "add"
            else:
                yield from differences(old[key], new[key], here)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            here = f"{path}[{index}]"
            if index >= len(new):
                yield here, "delete"
            elif index >= len(old):
                yield here, "add"
            else:
                yield from differences(old[index], new[index], here)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, "update"


def join(path: str, key: str) -> str:
    """The engine's way to write a property path: names with other characters than a word's are quoted."""
    if re.fullmatch(r"[A-Za-z_$][\w$]*", key):
        return f"{path}.{key}" if path else key
    return f'{path}["{key}"]'


def like(live: Any, shape: Any) -> Any:
    """Cut a live value down to what `shape` speaks of: maps to its keys, also in lists of equal length."""
    if isinstance(live, dict) and isinstance(shape, dict):
        return {key: like(live[key], item) for key, item in shape.items() if key in live}
    if isinstance(live, list) and isinstance(shape, list) and len(live) == len(shape):
        return [like(one, item) for one, item in zip(live, shape, strict=True)]
    return live
