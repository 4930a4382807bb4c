"""Compares one object that green should have with what it has: created, changed, somebody else's, or as it should be.

Each object we write carries the annotation `bluegreen.io/applied`: a hash of what was wanted. It tells "blue changed"
from "green does not keep this field" (an admission webhook altered it, the newer API dropped it), which would otherwise
be written again forever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

import orjson

from migration.objects import kinds
from migration.objects.access import WorkloadKey, scale_target, workload_key
from migration.objects.annotations import ORIGINAL_REPLICAS
from migration.objects.classes import PLAIN, Action, Verdict
from migration.objects.difference import Path, differences, dropped, fields_of, gone_within, owners, readable, surplus
from migration.objects.kinds import Object, Resource
from migration.ownership import work
from migration.ownership.baseline import apart
from migration.ownership.judge import Item
from migration.ownership.owners import written_by_edge

APPLIED = f"{kinds.DOMAIN}applied"
Todo = Literal["create", "update", "unchanged", "conflict", "held"]
REPLICAS: Path = ("f:spec", "f:replicas")
# Put in by the API server while it creates the object, and owned by who created it: never wanted, never to be taken away.
NOT_OURS: frozenset[Path] = frozenset({("f:metadata", "f:labels", "f:kubernetes.io/metadata.name")})
# Managers of ours whose fields replicate leaves alone: floors, the edge, the lock, hand-overs.
YIELDED_PREFIX = "bluegreen-"
# Managers that scale by measurements: what a person wants stopped is stopped, whatever they have set. Of other managers
# replicas that were set by the scale subresource stay: a person handed over by hand.
AUTOSCALERS = ("kube-controller-manager", "keda")
SCALERS = frozenset({"HorizontalPodAutoscaler", "ScaledObject"})
UNKEPT = "green does not keep all of it"


class Wait(StrEnum):
    """Why an object is held."""

    ANSWER = "answer"  # a person has to say what becomes of it
    UNSERVED = "unserved"  # green does not serve its kind
    UNREAD = "unread"  # green's objects of its kind could not be listed
    EDGE = "edge"  # the edge writes it on green
    GOING = "going"  # it, its namespace or its definition is being deleted on green
    REFUSED = "refused"  # no API server of today would let anybody make it
    DEFINITION = "definition"  # its definition is not written, or green does not accept the names in it
    NAMESPACE = "namespace"  # its namespace is not written, and green has none by that name
    DROPPED = "dropped"  # it is there, without fields that it has on blue


@dataclass(frozen=True, slots=True)
class Change:
    """One object of the plan. `obj` is what to apply, with the annotation; `live` what green had, if anything; `wait`: why
    it is held; `at`: where the two differ; `lost`: what green did not keep of what was written; `defined`: its kind has a
    definition of its own.
    """

    action: Todo
    resource: Resource
    obj: Object = field(repr=False)  # may be a Secret
    reason: str = ""
    at: tuple[Path, ...] = ()
    live: Object | None = field(default=None, repr=False)
    verdict: Verdict = PLAIN
    wait: Wait | None = None
    lost: tuple[str, ...] = ()
    defined: bool = False
    force: bool = False  # an autoscaler's replicas are taken over, since it is to stop

    @property
    def name(self) -> str:
        return kinds.name_of(self.obj)

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the two differ, for people: `spec.template.spec.containers[name=web].image`."""
        return tuple(map(readable, self.at))


def key_of(obj: Mapping[str, Any]) -> tuple[str, str]:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def scaled_workloads(items: Collection[Item]) -> frozenset[WorkloadKey]:
    """(kind, namespace, name) of what an autoscaler scales: their replicas are not ours after the first write, but for what
    is to stay at 0.
    """
    stopped = {workload_key(item.obj) for item in items if item.verdict.action is Action.STOP}
    return frozenset(scale_target(item.obj) for item in items if item.resource.kind in SCALERS) - stopped


def stamped(obj: Object, scaled: frozenset[WorkloadKey]) -> Object:
    """With the annotation that tells what was wanted; replicas that an autoscaler moves do not count."""
    digest = digest_of(obj, scaled)
    meta = obj["metadata"]
    return {**obj, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), APPLIED: digest}}}


def digest_of(obj: Object, scaled: frozenset[WorkloadKey]) -> str:
    if workload_key(obj) in scaled and "replicas" in (obj.get("spec") or {}):
        obj = {**obj, "spec": {k: v for k, v in obj["spec"].items() if k != "replicas"}}
    return hashlib.sha256(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)).hexdigest()[:20]


def compare(
    resource: Resource,
    wanted: Object,
    live: Object | None,
    scaled: frozenset[WorkloadKey],
    *,
    defined: bool = False,
    strictly: bool = False,
    status_writers: frozenset[str] = frozenset(),
) -> Change:
    """One object: what is to be done about it. `defined`: its kind has a definition of its own; `status_writers`: who wrote
    its status on blue, where status is data: the same on green goes on from there. `strictly`: one that somebody else made
    is never completed by what it lacks, nor taken for the same where it has more: in a namespace of the baseline, and of
    what configures the mesh, it is another object by the same name.
    """
    obj = stamped(wanted, scaled)
    if live is None:
        return Change("create", resource, obj, defined=defined)
    entries = fields_of(live)
    if written_by_edge(live):
        return Change("held", resource, obj, "written by the edge", live=live, wait=Wait.EDGE)
    if live["metadata"].get("deletionTimestamp"):
        waits = ", ".join(live["metadata"].get("finalizers") or ())
        reason = "being deleted on green" + (f", which its finalizers hold: {waits}" if waits else "")
        return Change("held", resource, obj, reason, live=live, wait=Wait.GOING)
    ours = [fields for manager, sub, fields in entries if manager == kinds.REPLICATE and not sub]
    digest = obj["metadata"]["annotations"][APPLIED]
    same_wish = (live["metadata"].get("annotations") or {}).get(APPLIED) == digest

    stops = _stops(obj)
    # what we hold at 0 no autoscaler raises: it begins with blue's number, then the autoscaler's counts
    autoscaled = workload_key(obj) in scaled and not _stops(live)
    found: list[Path] = []
    for path in differences(wanted, live, tuple(fields for _, _, fields in entries)):
        if path in (("f:apiVersion",), ("f:kind",)) or (autoscaled and path == REPLICAS):
            continue
        if _yielded(path, entries, stops) or (path[0] == "f:status" and _of_its_writer(path, entries, status_writers)):
            continue
        found.append(path)
    contested: dict[str, list[Path]] = {}
    for path in found:
        for manager in owners(path, entries) - {kinds.REPLICATE}:
            if stops and path == REPLICAS and manager.startswith(AUTOSCALERS):
                continue
            contested.setdefault(manager, []).append(path)

    if not ours:
        if strictly:
            if other := apart(resource, wanted, live, found):
                made_by = ", ".join(sorted({manager for manager, _, _ in entries if manager})) or "somebody"
                return Change("conflict", resource, obj, f"green has another, made by {made_by}", _in_order(other), live)
            return Change("unchanged", resource, obj, "already there", live=live)
        if not found:
            return Change("unchanged", resource, obj, "already there", live=live)
        if contested:
            names = ", ".join(sorted(contested))
            return Change("conflict", resource, obj, f"already on green, made by {names}", _in_order(found), live)
        ready = _ready(obj, live, entries, autoscaled, status_writers)
        return Change("update", resource, ready, "", _in_order(found), live, defined=defined)
    if contested:
        names = ", ".join(sorted(contested))
        return Change("conflict", resource, obj, f"changed on green by {names}", _in_order(found), live)
    if stops and REPLICAS in found:
        ready = _ready(obj, live, entries, autoscaled, status_writers, stops)
        return Change("update", resource, ready, "to be stopped", _in_order(found), live, defined=defined, force=True)
    if same_wish:
        if found and (who := _later_writer(live)):
            return Change("conflict", resource, obj, f"changed on green by {who}", _in_order(found), live)
        # written once and not kept (the API or a webhook of green took it off): again would end the same
        return not_kept(Change("unchanged", resource, obj, "", _in_order(found), live, defined=defined))
    gone = [p for fields in ours for p in surplus(fields, obj) if p not in NOT_OURS and not (autoscaled and p == REPLICAS)]
    if not found and not gone:
        gone = [path for fields in ours for path in gone_within(fields, wanted, live)]
    if not found and not gone:
        return Change("unchanged", resource, obj, live=live)
    ready = _ready(obj, live, entries, autoscaled, status_writers)
    return Change("update", resource, ready, "", _in_order([*found, *gone]), live, defined=defined)


def not_kept(change: Change) -> Change:
    """What green did not keep of an object that was written as it should be.

    A value that green's API or a webhook made another one is told. A field that is not there at all, of a kind with a
    definition of its own, is data lost: green's definition does not know it.
    """
    if not change.paths or change.live is None:
        return change
    lost = tuple(map(readable, _in_order(dropped(change.obj, change.live))))
    wait = Wait.DROPPED if lost and change.defined else None
    reason = f"green dropped {', '.join(lost)}: its definition there does not keep it" if wait else UNKEPT
    return replace(change, reason=reason, lost=lost, wait=wait)


def after_writing(change: Change, answer: Object) -> Change:
    """The change as the API server answered it: what it did not keep is known at once."""
    entries = fields_of(answer)
    fields = tuple(fields for _, _, fields in entries)
    found = [
        path
        for path in differences(change.obj, answer, fields)
        if path not in (("f:apiVersion",), ("f:kind",)) and not _yielded(path, entries)
    ]
    return not_kept(replace(change, action="unchanged", at=_in_order(found), live=answer))


def _of_its_writer(path: Path, entries: list[tuple[str, str, Mapping[str, Any]]], writers: frozenset[str]) -> bool:
    """Whether who wrote this status on blue writes it on green too. A person's kubectl is no such writer."""
    return any(manager in writers and not manager.startswith("kubectl") for manager in owners(path, entries))


def _in_order(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(sorted(set(paths), key=readable))


def _stops(obj: Mapping[str, Any]) -> bool:
    """Whether replicate has put, or puts, this at 0."""
    annotations = obj["metadata"].get("annotations") or {}
    return ORIGINAL_REPLICAS in annotations and (obj.get("spec") or {}).get("replicas") == 0


def _yielded(path: Path, entries: list[tuple[str, str, Mapping[str, Any]]], stops: bool = False) -> bool:
    """Held by another part of this toolkit (floors, the lock, a hand-over), or scaled by somebody: not replicate's
    business. What the edge owns is not yielded: of its objects only routes that it let go are compared at all.
    """
    holders = {manager for manager in owners(path, entries) if manager.startswith(YIELDED_PREFIX)}
    if holders - {kinds.REPLICATE, kinds.EDGE}:
        return True
    if path != REPLICAS:
        return False
    by = [manager for manager, sub, fields in entries if sub == "scale" and "f:replicas" in fields.get("f:spec", {})]
    return bool(by) and not (stops and all(manager.startswith(AUTOSCALERS) for manager in by))


def _ready(
    obj: Object,
    live: Object,
    entries: list[tuple[str, str, Mapping[str, Any]]],
    autoscaled: bool,
    status_writers: frozenset[str] = frozenset(),
    stops: bool = False,
) -> Object:
    """What to apply over a live object: fields of others are left out, and replicas that only we own go as they are; so
    does a status that its own writer goes on with.

    Leaving out a field that nobody else owns would reset it: an autoscaled workload would fall to one replica.
    """
    if "status" in obj and "status" in live and _of_its_writer(("f:status",), entries, status_writers):
        obj = {**obj, "status": live["status"]}
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return obj
    changed = dict(spec)
    for name in ("replicas", "minReplicas", *work.SPEC_FIELDS):
        path = ("f:spec", f"f:{name}")
        if name in changed and _yielded(path, entries, stops):
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
