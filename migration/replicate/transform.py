"""Makes of an object read from blue the object to write to green: what belongs to one cluster is taken off, what is
ours stays.

rules.py has what is changed. The whole is idempotent: a bundle that has been through it comes out unchanged, which the
tests check on made-up objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from migration.objects.classes import PLAIN, Action, Class, Verdict
from migration.objects.kinds import Object
from migration.ownership import conversion, switches
from migration.ownership.judge import Item
from migration.replicate.export import Bundle
from migration.replicate.past import managers_of
from migration.replicate.rules import RULES, spec_or_empty


def transform(bundle: Bundle) -> Bundle:
    """Every object of the bundle as it is to be on green."""
    items = with_their_targets(bundle.items)
    return replace(bundle, items=[_transformed(item, status_is_data=item.resource in bundle.data_in_status) for item in items])


def with_their_targets(items: list[Item]) -> list[Item]:
    """An autoscaler that raises from 0 (KEDA) is suspended with the workload that is to stay at 0."""
    stopped = {
        (item.resource.kind, item.obj["metadata"].get("namespace", ""), item.obj["metadata"]["name"])
        for item in items
        if item.verdict.action is Action.STOP
    }

    def one(item: Item) -> Item:
        if item.verdict.action is not Action.COPY or (item.resource.group, item.resource.kind) not in switches.FOLLOWING:
            return item
        target = spec_or_empty(item.obj).get("scaleTargetRef") or {}
        key = (target.get("kind") or "Deployment", item.obj["metadata"].get("namespace", ""), target.get("name", ""))
        if key not in stopped:
            return item
        reason = f"suspended: {key[0]} {target.get('name')} is to stay at 0 replicas"
        return replace(item, verdict=replace(item.verdict, action=Action.SUSPEND, cls=Class.SCHEDULED, reason=reason))

    return [one(item) for item in items]


def _transformed(item: Item, *, status_is_data: bool) -> Item:
    """With what is changed in it told, and who wrote its status on blue where that is data."""
    obj, verdict = item.obj, item.verdict
    if notes := conversion.notes(obj):
        verdict = replace(verdict, notes=(*verdict.notes, *notes))
    wanted = for_green(obj, verdict)
    writers: frozenset[str] = frozenset()
    if status_is_data and obj.get("status"):
        wanted["status"] = orjson.loads(orjson.dumps(obj["status"]))
        writers = frozenset(managers_of(obj, "f:status"))
    return replace(item, obj=wanted, verdict=verdict, status_writers=writers)


def for_green(original: Mapping[str, Any], verdict: Verdict = PLAIN) -> Object:
    """One object as it is to be on green, by what was decided about it."""
    obj: Object = orjson.loads(orjson.dumps(original))
    kind = obj.get("kind", "")
    for rule in RULES:
        if rule.kinds is None or kind in rule.kinds:
            rule.change(obj, verdict)
    return obj
