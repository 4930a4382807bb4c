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
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

import orjson

from migration import kinds
from migration.errors import BluegreenError, NotFound
from migration.kinds import Object, Resource
from migration.ports import Discovery, Kubernetes
from migration.replicate.classes import PLAIN, Action, Verdict
from migration.replicate.difference import Path, differences, fields_of, owners, readable, surplus
from migration.replicate.export import Bundle, Skipped
from migration.replicate.judge import Item
from migration.replicate.owners import written_by_edge

APPLIED = f"{kinds.DOMAIN}applied"
Todo = Literal["create", "update", "unchanged", "conflict", "held"]
COUNTED: tuple[tuple[Todo, str], ...] = (
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


class Wait(StrEnum):
    """Why an object is held."""

    ANSWER = "answer"  # a person has to say what becomes of it
    UNSERVED = "unserved"  # green does not serve its kind
    UNREAD = "unread"  # green's objects of its kind could not be listed
    EDGE = "edge"  # the edge writes it on green
    GOING = "going"  # it, or its namespace, is being deleted on green


@dataclass(frozen=True, slots=True)
class Change:
    """One object of the plan. `obj` is what to apply, with the annotation; `live` what green had, if anything; `wait`: why
    it is held.
    """

    action: Todo
    resource: Resource
    obj: Object
    reason: str = ""
    paths: tuple[str, ...] = ()
    live: Object | None = None
    verdict: Verdict = PLAIN
    wait: Wait | None = None

    @property
    def name(self) -> str:
        return kinds.name_of(self.obj)


@dataclass(frozen=True)
class Plan:
    """`changes` in the order of writing; `left`: what is not written, by its verdict; `unread`: kinds that could not be read
    on one side, and why: nothing is known of their objects; `awaited`: what another tool has to bring to green and has not
    yet, by that tool.
    """

    cluster: str
    changes: tuple[Change, ...]
    left: tuple[Item, ...] = ()
    kinds_left: tuple[Skipped, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    awaited: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        found = Counter(change.action for change in self.changes)
        return {action: found.get(action, 0) for action, _ in COUNTED}

    def of(self, *actions: Todo) -> list[Change]:
        return [change for change in self.changes if change.action in actions]

    def unanswered(self) -> list[tuple[str, Verdict]]:
        """Name and verdict of each thing about which a person has to say something: an object, or who claims several."""
        found = {c.verdict.asked or c.name: c.verdict for c in self.changes if c.verdict.unanswered}
        found |= {item.verdict.asked or item.name: item.verdict for item in self.left if item.verdict.unanswered}
        return sorted(found.items())

    def skipped_by_reason(self) -> dict[str, int]:
        reasons = Counter(item.verdict.reason for item in self.left if not item.verdict.unanswered)
        return dict(sorted((reasons + Counter(s.reason for s in self.kinds_left)).items()))

    def lines(self, *, most: int = 40) -> list[str]:
        """For people: what is remarkable by name, the rest counted."""
        counts = self.counts()
        numbers = ", ".join(f"{counts[action]} {word}" for action, word in COUNTED)
        told = [f"{self.cluster}: {numbers}"]
        created = Counter(change.resource.kind for change in self.of("create"))
        if created:
            told.append("  create: " + ", ".join(f"{n} {kind}" for kind, n in sorted(created.items())))
        shown = [change for change in self.of("update", "conflict", "held") if change.wait is not Wait.ANSWER]
        marks = {"update": "~", "conflict": "!", "held": "-"}
        for change in shown[:most]:
            fields = ", ".join(change.paths[:4]) + (" ..." if len(change.paths) > 4 else "")
            what = f" ({fields})" if fields else ""
            told.append(f"  {marks[change.action]} {change.name}: {change.reason or change.action}{what}")
        if len(shown) > most:
            told.append(f"  ... and {len(shown) - most} more")
        for change in self.changes:
            told += [f"  note {change.name}: {note}" for note in change.verdict.notes]
        told += answers_wanted(self.unanswered())
        told += [f"  left out: {count} ({reason})" for reason, count in self.skipped_by_reason().items() if reason]
        told += awaited_lines(self.awaited)
        told += [f"  UNREAD {kind}: {why}" for kind, why in sorted(self.unread.items())]
        return told

    def objects(self) -> list[dict[str, Any]]:
        """Every object of blue that was read, for programs."""
        told = [_told_of(c.name, c.resource, c.verdict, c.action, c.reason, c.paths) for c in self.changes]
        return told + [_told_of(item.name, item.resource, item.verdict, "left") for item in self.left]

    def as_json(self) -> dict[str, Any]:
        return {
            "cluster": self.cluster,
            "counts": self.counts(),
            "objects": self.objects(),
            "kinds_left_out": {s.object: s.reason for s in self.kinds_left},
            "awaited": {tool: list(names) for tool, names in self.awaited.items()},
            "unread": dict(self.unread),
        }


def _told_of(
    name: str, resource: Resource, verdict: Verdict, todo: str, reason: str = "", paths: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "object": name,
        "apiVersion": resource.api_version,
        "action": todo,
        "class": verdict.cls.value,
        "reason": "; ".join(each for each in (verdict.reason, reason) if each),
        "answer": verdict.answer.value if verdict.answer else None,
        "add": verdict.add(name),
        "notes": list(verdict.notes),
        "fields": list(paths),
    }


def answers_wanted(unanswered: Iterable[tuple[str, Verdict]]) -> list[str]:
    """For people: which lines migration.yaml lacks, with the reason of each."""
    wanted = list(unanswered)
    if not wanted:
        return []
    told = [f"  {len(wanted)} objects need an answer in migration.yaml:", "    replicate:", "      answers:"]
    for name, verdict in wanted:
        told.append(f"        {verdict.add(name)}")
        told.append(f"            # {verdict.reason}")
    return told


def awaited_lines(awaited: Mapping[str, tuple[str, ...]], *, most: int = 5) -> list[str]:
    """For people: what green lacks until another tool brings it."""
    return [
        f"  {len(names)} objects that {tool} deploys are not on green yet: {', '.join(names[:most])}"
        + (", ..." if len(names) > most else "")
        for tool, names in awaited.items()
    ]


async def plan(bundle: Bundle, green: Kubernetes) -> Plan:
    """What `apply` would do to green."""
    discovery = await green.discover(fresh=True)
    coming = _coming(bundle.items)
    scaled = scaled_workloads(bundle.items)
    unread = dict(bundle.unread)
    if bundle.green is not None:  # whose blue's objects are was judged without these
        unread |= {f"{name} on {green.name}": problem for name, problem in bundle.green.problems.items()}
    changes = [
        Change("held", item.resource, item.obj, item.verdict.reason, verdict=item.verdict, wait=Wait.ANSWER)
        for item in bundle.left
        if item.verdict.action is Action.HOLD
    ]
    by_resource: dict[Resource, list[Item]] = {}
    for item in bundle.items:
        there = discovery.find(item.resource.api_version, item.resource.kind)
        if there is not None:
            by_resource.setdefault(there, []).append(item)
        elif (item.resource.group, item.resource.kind) in coming:
            changes.append(Change("create", item.resource, stamped(item.obj, scaled), verdict=item.verdict))
        else:
            reason = _not_served(item.resource, discovery)
            changes.append(Change("held", item.resource, item.obj, reason, verdict=item.verdict, wait=Wait.UNSERVED))

    async def live_of(resource: Resource, *, heads: bool = False) -> dict[tuple[str, str], Object] | None:
        try:
            found = await green.list(resource, metadata_only=heads)
        except NotFound:
            return {}
        except BluegreenError as problem:
            unread[f"{resource.name} on {green.name}"] = str(problem)
            return None
        return {_key(obj): obj for obj in found.items}

    lives = await asyncio.gather(*(live_of(resource) for resource in by_resource))
    for (resource, items), live in zip(by_resource.items(), lives, strict=True):
        for item in items:
            if live is None:
                reason = "green's objects of this kind could not be listed"
                change = Change("held", resource, item.obj, reason, wait=Wait.UNREAD)
            else:
                change = compare(resource, item.obj, live.get(_key(item.obj)), scaled)
            changes.append(change if item.verdict is PLAIN else replace(change, verdict=item.verdict))
    lists = dict(zip(by_resource, lives, strict=True))
    theirs: dict[Resource | None, list[Item]] = {}
    for item in bundle.left:
        if item.verdict.tool:
            theirs.setdefault(discovery.find(item.resource.api_version, item.resource.kind), []).append(item)
    more = [resource for resource in theirs if resource is not None and resource not in lists]
    lists |= dict(zip(more, await asyncio.gather(*(live_of(resource, heads=True) for resource in more)), strict=True))
    changes.sort(key=lambda c: (kinds.wave(c.resource), c.resource.group, c.resource.kind, *_key(c.obj)))
    left = tuple(item for item in bundle.left if item.verdict.action is not Action.HOLD)
    return Plan(green.name, tuple(changes), left, tuple(bundle.kinds_left), unread, _awaited(theirs, lists))


def _awaited(
    items: Mapping[Resource | None, list[Item]], lists: Mapping[Resource, Mapping[tuple[str, str], Object] | None]
) -> dict[str, tuple[str, ...]]:
    """What green lacks of `items`, which are another tool's to bring, by tool; under None: kinds that green does not serve."""
    lacking: dict[str, list[str]] = {}
    for resource, each in items.items():
        there = lists[resource] if resource is not None else {}
        for item in each:
            if there is not None and _key(item.obj) not in there:
                lacking.setdefault(item.verdict.tool, []).append(item.name)
    return {tool: tuple(sorted(names)) for tool, names in sorted(lacking.items())}


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
    """(kind, namespace, name) of what an autoscaler scales: their replicas are not ours after the first write, but for what
    is to stay at 0.
    """
    found = set()
    stopped = {(item.obj["kind"], *_key(item.obj)) for item in items if item.verdict.action is Action.STOP}
    for item in items:
        if item.resource.kind == "HorizontalPodAutoscaler":
            target = (item.obj.get("spec") or {}).get("scaleTargetRef") or {}
        elif item.resource.kind == "ScaledObject":
            target = {"kind": "Deployment", **((item.obj.get("spec") or {}).get("scaleTargetRef") or {})}
        else:
            continue
        found.add((str(target.get("kind", "")), item.obj["metadata"].get("namespace", ""), str(target.get("name", ""))))
    return frozenset(found - stopped)


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
        return Change("held", resource, obj, "written by the edge", live=live, wait=Wait.EDGE)
    if live["metadata"].get("deletionTimestamp"):
        return Change("held", resource, obj, "being deleted on green", live=live, wait=Wait.GOING)
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
