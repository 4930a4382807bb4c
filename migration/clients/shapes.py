"""What an object of Kubernetes is at least, checked once where it comes in: steps behind the client may go by it.

API servers keep to it. What does not is another server, or an extension's that is broken, and a step in the middle of a
migration is no place to find that out. Asked of every object of a list, so it is cheap: types are compared in C.
"""

from __future__ import annotations

from typing import Any

from migration.objects.kinds import Resource

TEXTS: tuple[set[type], ...] = ({str}, set())  # the types of a map's values
DATA = frozenset({"ConfigMap", "Secret"})


def fault(obj: Any, resource: Resource) -> str | None:
    """`spec is a number`: why this is no object of this kind. None: nothing is wrong. Missing and null are alike."""
    if type(obj) is not dict:
        return f"it is {_word(obj)}"
    meta = obj.get("metadata")
    if type(meta) is not dict:
        return f"metadata is {_word(meta)}"
    if type(meta.get("name")) is not str or not meta["name"]:
        return "metadata.name is no name"
    if resource.namespaced and (type(meta.get("namespace")) is not str or not meta["namespace"]):
        return "metadata.namespace is missing"
    for key in ("labels", "annotations"):
        value = meta.get(key)
        if value is not None and (type(value) is not dict or set(map(type, value.values())) not in TEXTS):
            return f"metadata.{key} is no map of texts"
    for key in ("spec", "status"):
        value = obj.get(key)
        if value is not None and type(value) is not dict:
            return f"{key} is {_word(value)}"
    if not resource.group and resource.kind in DATA:
        value = obj.get("data")
        if value is not None and (type(value) is not dict or set(map(type, value.values())) not in TEXTS):
            return "data is no map of texts"
    return None


def first_bad(items: list[Any], resource: Resource) -> tuple[Any, str] | None:
    """The first of a list that is none, and its fault. Like `fault` of each, at a third of the time: to join values that
    are no texts, or take one by name out of no mapping, raises at once.
    """
    join, namespaced, with_data = "".join, resource.namespaced, not resource.group and resource.kind in DATA
    none = type(None)
    for item in items:
        try:
            meta = item["metadata"]
            get = meta.get
            good = meta["name"] and join((meta["name"], meta["namespace"] if namespaced else ""))
            if (labels := get("labels")) is not None:
                join(labels.values())
            if (annotations := get("annotations")) is not None:
                join(annotations.values())
            if (
                good
                and type(item.get("spec")) in (dict, none)
                and type(item.get("status")) in (dict, none)
                and not with_data
                and (not namespaced or meta["namespace"])
            ):
                continue
        except (AttributeError, KeyError, TypeError):
            pass
        if (problem := fault(item, resource)) is not None:
            return item, problem
    return None


def named(obj: Any, resource: Resource) -> str:
    """What to call it, as far as it says: `Deployment shop/web`. Never its contents."""
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    parts = [meta.get(key) for key in ("namespace", "name")] if isinstance(meta, dict) else []
    name = "/".join(part for part in parts if isinstance(part, str) and part)[:500]
    return f"{resource.kind} {name}" if name else f"a {resource.kind} without a name"


def _word(value: Any) -> str:
    words = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    return "missing" if value is None else words[type(value)]
