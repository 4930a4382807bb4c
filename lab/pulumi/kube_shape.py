"""Live objects in the words of their inputs, so that a refresh tells what somebody changed and nothing else.

An API server adds defaults; of Kubernetes' own kinds it also drops empty values and writes quantities its own way, which the
provider knows. None of that is drift. In a custom resource it is. As Pulumi's own
provider does, only places that the last inputs had are looked at: of a mapping their keys, of a list as many items as they
were. So what grew is not seen by a refresh, and a program that wants it is told of an update, which writes what is there.
"""

from __future__ import annotations

import re
from base64 import b64encode
from decimal import Decimal
from typing import Any

Object = dict[str, Any]

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
    if "." in group and not group.endswith(".k8s.io"):
        pruned: Object = _pruned(live, wanted)
        return pruned
    shaped: Object = {}
    for name, value in wanted.items():
        if name == "stringData":  # written into data, never given back
            shaped |= _string_data(live, value)
        elif name in live:
            shaped[name] = _like(live[name], value)
        elif _empty(value):
            shaped[name] = value
    return shaped


def _pruned(live: Any, wanted: Any) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict):
        return {key: _pruned(live[key], value) for key, value in wanted.items() if key in live}
    if isinstance(live, list) and isinstance(wanted, list):
        return [_pruned(one, item) for one, item in zip(live, wanted, strict=False)]
    return live


def _string_data(live: Object, wanted: dict[str, Any]) -> Object:
    data = live.get("data") or {}
    kept = {key: text for key, text in wanted.items() if data.get(key) == b64encode(str(text).encode()).decode()}
    return {"stringData": kept} if kept else {}


def _like(live: Any, wanted: Any) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict):
        shaped = {}
        for key, value in wanted.items():
            if key in live:
                shaped[key] = _like(live[key], value)
            elif _empty(value):
                shaped[key] = value
        return shaped
    if isinstance(live, list) and isinstance(wanted, list):
        return [_like(one, item) for one, item in zip(live, wanted, strict=False)]
    return wanted if _same(live, wanted) else live


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
