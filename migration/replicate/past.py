"""What an object says of its own past: who wrote which of its fields, and what `kubectl apply` last sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from migration.objects.kinds import Object

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def last_applied(obj: Mapping[str, Any]) -> Object:
    """What somebody wrote with `kubectl apply`, or nothing."""
    text = (obj["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        manifest = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        manifest = {}
    return manifest if isinstance(manifest, dict) else {}


def managers_of(obj: Mapping[str, Any], *path: str) -> set[str]:
    """Who owns a field, by managedFields; a step of `path` is a key of fieldsV1 or its start (`k:`: any list item)."""
    owners = set()
    for entry in obj["metadata"].get("managedFields") or ():
        nodes: list[Any] = [entry.get("fieldsV1") or {}]
        for step in path:
            nodes = [
                child
                for node in nodes
                for key, child in node.items()
                if (key.startswith(step) if step.endswith(":") else key == step)
            ]
        if nodes:
            owners.add(str(entry.get("manager", "")))
    return owners


def is_live(obj: Mapping[str, Any]) -> bool:
    """Read from an API server, and not yet transformed: only then do the values that it allotted have to be told from
    chosen ones.
    """
    return "uid" in obj["metadata"]
