"""What a live route says: the split that it holds, its fence, and who wrote it last. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import routing
from migration.model import FENCE, MANAGER, RouteLive, Side
from migration.objects.kinds import Object


def live_route(item: Object, original: Object, side: Side, split: int | None = None) -> RouteLive:
    """A service's route as `item` has it. `split`: what we know it to hold; read from it otherwise."""
    meta = item.get("metadata") or {}
    manager, at = last_writer(meta.get("managedFields") or ())
    try:
        fence = int((meta.get("annotations") or {}).get(FENCE, "0"))
    except (AttributeError, TypeError, ValueError):
        fence = 0
    return RouteLive(
        split_bp=_split(item, original, side) if split is None else split,
        resource_version=meta.get("resourceVersion", ""),
        fence=fence,
        digest=_digest(item),
        manager=manager,
        changed_at=at,
    )


def _split(item: Object, original: Object, side: Side) -> int | None:
    try:
        return routing.live_split(item, original, side)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        return None  # one damaged original, or live route, keeps nobody from reading the others


def _digest(item: Object) -> str:
    """By what a changed spec is known; of one that is nested too deep, by its version."""
    try:
        text = json.dumps(item.get("spec"), sort_keys=True)
    except RecursionError:
        text = str(item["metadata"].get("resourceVersion"))
    return hashlib.sha256(text.encode()).hexdigest()


def last_writer(managed: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Who wrote `spec` last besides ourselves, else we: (manager, time)."""
    known = [entry for entry in managed if isinstance(entry, Mapping)] if isinstance(managed, Sequence) else []
    entries = [entry for entry in known if "f:spec" in (entry.get("fieldsV1") or {})]
    if not entries:
        return "", ""
    newest = max(entries, key=lambda entry: (str(entry.get("time", "")), entry.get("manager") != MANAGER))
    return str(newest.get("manager", "")), str(newest.get("time", ""))
