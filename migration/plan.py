"""Compares what green should have with what it has, without writing: what would be created, what changed, what belongs
to somebody else.

One LIST for each kind on green and a comparison here; no request per object. Objects that are as they should be are not
written again, so a second run of `replicate` sends no PATCH at all.

Each object we write carries the annotation `bluegreen.io/applied`: a hash of what was wanted. It tells "blue changed"
from "green does not keep this field" (an admission webhook altered it, the newer API dropped it), which would otherwise
be written again forever.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from migration import kinds
from migration.difference import Path, differences, fields_of, owners, readable, surplus
from migration.errors import BluegreenError, NotFound
from migration.export import KIND_LEFT_OUT, Bundle, Item, Skipped, written_by_edge
from migration.kinds import Object, Resource
from migration.ports import Discovery, Kubernetes

APPLIED = f"{kinds.DOMAIN}applied"
Action = Literal["create", "update", "unchanged", "conflict", "held"]
COUNTED: tuple[tuple[Action, str], ...] = (
    ("create", "to create"),
    ("update", "to update"),
    ("unchanged", "unchanged"),
    ("conflict", "in conflict"),
    ("held", "held"),
)
SCALED_KINDS = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})
REPLICAS: Path = ("f:spec", "f:replicas")
# Put in by the API server while it creates the object, and owned by who created it: never wanted, never to be taken away.
NOT_OURS: frozenset[Path] = frozenset({("f:metadata", "f:labels", "f:kubernetes.io/metadata.name")})
# Managers of ours whose fields replicate leaves alone: floors, the edge, the lock, hand-overs.
YIELDED_PREFIX = "bluegreen-"


@dataclass(frozen=True, slots=True)
class Change:
    """One object of the plan. `obj` is what to apply, with the annotation; `live` what green had, if anything."""

    action: Action
    resource: Resource
    obj: Object
    reason: str = ""
    paths: tuple[str, ...] = ()
    live: Object | None = None

    @property
    def name(self) -> str:
        return kinds.name_of(self.obj)


@dataclass(frozen=True)
class Plan:
    """Sorted by the order of writing. `unknown`: kinds that could not be read on one side; nothing is known of their
    objects.
    """

    cluster: str
    changes: tuple[Change, ...]
    skipped: tuple[Skipped, ...] = ()
    unknown: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        found = Counter(change.action for change in self.changes)
        return {action: found.get(action, 0) for action in ("create", "update", "unchanged", "conflict", "held")}

    def of(self, *actions: Action) -> list[Change]:
        return [change for change in self.changes if change.action in actions]

    def skipped_by_reason(self) -> dict[str, int]:
        return dict(sorted(Counter(s.reason for s in self.skipped).items()))

    def lines(self, *, most: int = 40) -> list[str]:
        """For people: what is remarkable by name, the rest counted."""
        counts = self.counts()
        numbers = ", ".join(f"{counts[action]} {word}" for action, word in COUNTED)
        told = [f"{self.cluster}: {numbers}"]
        created = Counter(change.resource.kind for change in self.of("create"))
        if created:
            told.append("  create: " + ", ".join(f"{n} {kind}" for kind, n in sorted(created.items())))
        shown = self.of("update", "conflict", "held")
        marks = {"update": "~", "conflict": "!", "held": "-"}
        for change in shown[:most]:
            fields = ", ".join(change.paths[:4]) + (" ..." if len(change.paths) > 4 else "")
            what = f" ({fields})" if fields else ""
            told.append(f"  {marks[change.action]} {change.name}: {change.reason or change.action}{what}")
        if len(shown) > most:
            told.append(f"  ... and {len(shown) - most} more")
        reasons = self.skipped_by_reason()
        of_kinds = [reason for reason in reasons if reason.startswith(KIND_LEFT_OUT)]
        told += [f"  left out: {count} ({reason})" for reason, count in reasons.items() if reason not in of_kinds]
        if of_kinds:
            told.append(f"  left out: {sum(reasons[r] for r in of_kinds)} kinds that describe one cluster")
        told += [f"  UNKNOWN {text}" for text in self.unknown]
        return told

    def as_json(self) -> dict[str, Any]:
        return {
            "cluster": self.cluster,
            "counts": self.counts(),
            "changes": [
                {
                    "action": c.action,
                    "object": c.name,
                    "apiVersion": c.resource.api_version,
                    "reason": c.reason,
                    "fields": list(c.paths),
                }
                for c in self.changes
                if c.action != "unchanged"
            ],
            "skipped": self.skipped_by_reason(),
            "unknown": list(self.unknown),
        }


async def plan(bundle: Bundle, green: Kubernetes) -> Plan:
    """What `apply` would do to green."""
    discovery = await green.discover(fresh=True)
    coming = _coming(bundle.items)
    scaled = scaled_workloads(bundle.items)
    unknown = list(bundle.unknown)
    changes: list[Change] = []
    by_resource: dict[Resource, list[Item]] = {}
    for item in bundle.items:
        there = discovery.find(item.resource.api_version, item.resource.kind)
        if there is not None:
            by_resource.setdefault(there, []).append(item)
        elif (item.resource.group, item.resource.kind) in coming:
            changes.append(Change("create", item.resource, stamped(item.obj, scaled)))
        else:
            changes.append(Change("held", item.resource, item.obj, _not_served(item.resource, discovery)))

    async def live_of(resource: Resource) -> dict[tuple[str, str], Object] | None:
        try:
            found = await green.list(resource)
        except NotFound:
            return {}
        except BluegreenError as problem:
            unknown.append(f"{resource.name} on {green.name}: {problem}")
            return None
        return {_key(obj): obj for obj in found.items}

    lives = await asyncio.gather(*(live_of(resource) for resource in by_resource))
    for (resource, items), live in zip(by_resource.items(), lives, strict=True):
        if live is None:
            changes += (
                Change("held", resource, item.obj, "green's objects of this kind could not be listed") for item in items
            )
            continue
        changes += (compare(resource, item.obj, live.get(_key(item.obj)), scaled) for item in items)
    changes.sort(key=lambda c: (kinds.wave(c.resource), c.resource.group, c.resource.kind, *_key(c.obj)))
    return Plan(green.name, tuple(changes), tuple(bundle.skipped), tuple(sorted(unknown)))


def _key(obj: Mapping[str, Any]) -> tuple[str, str]:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _coming(items: Iterable[Item]) -> set[tuple[str, str]]:
    """(group, kind) of the definitions that come along."""
    return {
        (item.obj["spec"]["group"], item.obj["spec"]["names"]["kind"])
        for item in items
        if item.resource.name == "customresourcedefinitions.apiextensions.k8s.io"
    }


def _not_served(resource: Resource, discovery: Discovery) -> str:
    versions = discovery.served.get((resource.group, resource.kind))
    if versions:
        return f"green does not serve {resource.api_version} {resource.kind}, only {', '.join(versions)}"
    return f"green does not serve {resource.kind} ({resource.group or 'core'}) and its definition does not come along"


def scaled_workloads(items: Iterable[Item]) -> frozenset[tuple[str, str, str]]:
    """(kind, namespace, name) of what an autoscaler scales: their replicas are not ours after the first write."""
    found = set()
    for item in items:
        if item.resource.kind == "HorizontalPodAutoscaler":
            target = (item.obj.get("spec") or {}).get("scaleTargetRef") or {}
        elif item.resource.kind == "ScaledObject":
            target = {"kind": "Deployment", **((item.obj.get("spec") or {}).get("scaleTargetRef") or {})}
        else:
            continue
        found.add((str(target.get("kind", "")), item.obj["metadata"].get("namespace", ""), str(target.get("name", ""))))
    return frozenset(found)


def stamped(obj: Object, scaled: frozenset[tuple[str, str, str]]) -> Object:
    """With the annotation that tells what was wanted; replicas that an autoscaler moves do not count."""
    digest = digest_of(obj, scaled)
    meta = obj["metadata"]
    return {**obj, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), APPLIED: digest}}}


def digest_of(obj: Object, scaled: frozenset[tuple[str, str, str]]) -> str:
    if (obj["kind"], *_key(obj)) in scaled and "replicas" in (obj.get("spec") or {}):
        obj = {**obj, "spec": {k: v for k, v in obj["spec"].items() if k != "replicas"}}
    return hashlib.sha256(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)).hexdigest()[:20]


def compare(resource: Resource, wanted: Object, live: Object | None, scaled: frozenset[tuple[str, str, str]]) -> Change:
    """One object: what is to be done about it."""
    obj = stamped(wanted, scaled)
    if live is None:
        return Change("create", resource, obj)
    entries = fields_of(live)
    if written_by_edge(live):
        return Change("held", resource, obj, "written by the edge", live=live)
    if live["metadata"].get("deletionTimestamp"):
        return Change("held", resource, obj, "being deleted on green", live=live)
    ours = [fields for manager, sub, fields in entries if manager == kinds.REPLICATE and not sub]
    digest = obj["metadata"]["annotations"][APPLIED]
    same_wish = (live["metadata"].get("annotations") or {}).get(APPLIED) == digest

    autoscaled = (obj["kind"], *_key(obj)) in scaled
    found: list[Path] = []
    for path in differences(wanted, live, tuple(fields for _, _, fields in entries)):
        if path in (("f:apiVersion",), ("f:kind",)) or (autoscaled and path == REPLICAS):
            continue
        if _yielded(path, entries):
            continue
        found.append(path)
    contested: dict[str, list[Path]] = {}
    for path in found:
        for manager in owners(path, entries) - {kinds.REPLICATE}:
            contested.setdefault(manager, []).append(path)

    if not ours:
        if not found:
            return Change("unchanged", resource, obj, "already there", live=live)
        if contested:
            names = ", ".join(sorted(contested))
            return Change("conflict", resource, obj, f"already on green, made by {names}", _told(found), live)
        return Change("update", resource, _ready(obj, live, entries, autoscaled), "", _told(found), live)
    if contested:
        names = ", ".join(sorted(contested))
        return Change("conflict", resource, obj, f"changed on green by {names}", _told(found), live)
    if same_wish:
        if found and (who := _later_writer(live)):
            return Change("conflict", resource, obj, f"changed on green by {who}", _told(found), live)
        # written once and not kept (the API or a webhook of green took it off): again would end the same
        return Change("unchanged", resource, obj, "green does not keep all of it" if found else "", _told(found), live)
    gone = [p for fields in ours for p in surplus(fields, obj) if p not in NOT_OURS and not (autoscaled and p == REPLICAS)]
    if not found and not gone:
        return Change("unchanged", resource, obj, live=live)
    return Change("update", resource, _ready(obj, live, entries, autoscaled), "", _told([*found, *gone]), live)


def _told(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(sorted({readable(path) for path in paths}))


def _yielded(path: Path, entries: list[tuple[str, str, Mapping[str, Any]]]) -> bool:
    """Held by another part of this toolkit (floors, the lock, a hand-over), or scaled by somebody: not replicate's
    business. What the edge owns is not yielded: of its objects only routes that it let go are compared at all.
    """
    holders = {manager for manager in owners(path, entries) if manager.startswith(YIELDED_PREFIX)}
    if holders - {kinds.REPLICATE, kinds.EDGE}:
        return True
    return path == REPLICAS and any(sub == "scale" for _, sub, fields in entries if "f:replicas" in fields.get("f:spec", {}))


def _ready(obj: Object, live: Object, entries: list[tuple[str, str, Mapping[str, Any]]], autoscaled: bool) -> Object:
    """What to apply over a live object: fields of others are left out, and replicas that only we own go as they are.

    Leaving out a field that nobody else owns would reset it: an autoscaled workload would fall to one replica.
    """
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return obj
    changed = dict(spec)
    for name in ("replicas", "minReplicas", "suspend"):
        path = ("f:spec", f"f:{name}")
        if name in changed and _yielded(path, entries):
            del changed[name]
    if autoscaled and "replicas" in changed:
        if owners(REPLICAS, entries) - {kinds.REPLICATE}:
            del changed["replicas"]
        else:
            changed["replicas"] = (live.get("spec") or {}).get("replicas", changed["replicas"])
    return {**obj, "spec": changed}


def _later_writer(live: Object) -> str | None:
    """Who wrote this object's spec after we did, if anybody."""
    ours = ""
    others: list[tuple[str, str]] = []
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == kinds.REPLICATE:
            ours = max(ours, entry.get("time", ""))
        elif not entry.get("subresource") and not str(entry.get("manager", "")).startswith(
            ("kube-controller-manager", YIELDED_PREFIX)
        ):
            others.append((entry.get("time", ""), str(entry.get("manager", ""))))
    newest = max(others, default=("", ""))
    return newest[1] if ours and newest[0] > ours else None
