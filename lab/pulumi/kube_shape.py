"""Live objects in the words of their inputs, so that a refresh tells what somebody changed and nothing else.

An API server adds defaults, drops empty values, writes quantities its own way and lets other managers add to keyed
lists. None of that is drift. A field of the inputs that is gone or has another value is. In a custom resource a list
without keys belongs as a whole to whoever applied it, so what came into one of its items is seen too. (The engine's own
provider would look only at the places that its last inputs had: there the next `up` tells an update, which writes what
is there already.)
"""

from __future__ import annotations

import re
from base64 import b64encode
from decimal import Decimal
from typing import Any

Object = dict[str, Any]

# Lists that the API merges by a key: what others put beside ours is theirs. All others are one value.
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ownerReferences": "uid",
}
_SERVERS_OWN = ("managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink")
_QUANTITY = re.compile(r"^([+-]?\d+(?:\.\d*)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|n|u|)$")
_SUFFIX = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("0.001"),
    "k": Decimal(1000),
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
}


def as_inputs(live: Object, wanted: Object) -> Object:
    group = str(wanted.get("apiVersion", "")).rpartition("/")[0]
    whole = "." in group and not group.endswith("k8s.io")  # Kubernetes' own kinds have defaults inside such lists
    shaped: Object = {}
    for name, value in wanted.items():
        if name == "stringData":  # written into data, never given back
            shaped |= _string_data(live, value)
        elif name in live:
            shaped[name] = _like(live[name], value, name, whole)
        elif _empty(value):
            shaped[name] = value
    return shaped


def _string_data(live: Object, wanted: dict[str, Any]) -> Object:
    data = live.get("data") or {}
    kept = {key: text for key, text in wanted.items() if data.get(key) == b64encode(str(text).encode()).decode()}
    return {"stringData": kept} if kept else {}


def _like(live: Any, wanted: Any, name: str, whole: bool, in_list: bool = False) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict):
        shaped = {}
        for key, value in wanted.items():
            if key in live:
                shaped[key] = _like(live[key], value, key, whole, in_list)
            elif _empty(value):
                shaped[key] = value
        more = {key: value for key, value in live.items() if whole and in_list and key not in wanted and not _empty(value)}
        return shaped | more
    if isinstance(live, list) and isinstance(wanted, list):
        return _like_list(live, wanted, name, whole)
    return wanted if _same(live, wanted) else live


def _like_list(live: list[Any], wanted: list[Any], name: str, whole: bool) -> list[Any]:
    key = _KEYS.get(name)
    if key and all(isinstance(item, dict) and key in item for item in (*live, *wanted)):
        present = {item[key]: item for item in live}
        return [_like(present[item[key]], item, name, whole) for item in wanted if item[key] in present]
    if len(live) != len(wanted):
        return live
    return [_like(one, item, name, whole, in_list=True) for one, item in zip(live, wanted, strict=True)]


def _empty(value: Any) -> bool:
    """What the API leaves out when it writes an object: absent and empty are the same there."""
    return value in ({}, [], "", False) or value == 0 or (isinstance(value, dict) and all(map(_empty, value.values())))


def _same(live: Any, wanted: Any) -> bool:
    if type(live) is type(wanted) and live == wanted:
        return True
    if isinstance(live, bool) or isinstance(wanted, bool):
        return False
    one, other = _quantity(live), _quantity(wanted)
    return one is not None and one == other and not (isinstance(live, int) and isinstance(wanted, int))


def _quantity(value: Any) -> Decimal | None:
    matched = _QUANTITY.match(str(value)) if isinstance(value, (str, int, float)) else None
    return Decimal(matched[1]) * _SUFFIX[matched[2]] if matched else None


def imported(live: Object) -> Object:
    """What a program would write to get this object: all but what the server itself put there."""
    inputs = {name: value for name, value in live.items() if name != "status"}
    inputs["metadata"] = {name: value for name, value in live["metadata"].items() if name not in _SERVERS_OWN}
    return inputs


def outputs(live: Object) -> Object:
    """The object as the program sees it."""
    metadata = {name: value for name, value in live.get("metadata", {}).items() if name != "managedFields"}
    return live | {"metadata": metadata}
