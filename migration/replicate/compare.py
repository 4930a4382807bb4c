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
from migration.ownership import switches
from migration.ownership.baseline import apart
from migration.ownership.judge import Item
from migration.ownership.owners import written_by_edge

APPLIED = f"{kinds.DOMAIN}applied"
Todo = Literal["create", "update", "unchanged", "conflict", "held"]
OF_EVERY_KIND: frozenset[Path] = frozenset({("f:apiVersion",), ("f:kind",)})
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


class Blocker(StrEnum):
    """What has to change before a held object is written."""

    OBJECT = "object"  # itself
    KIND = "kind"  # how green serves or lists all of its kind
    NAMESPACE = "namespace"
    DEFINITION = "definition"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why an object is not written, known before anybody looks where the two differ."""

    wait: Wait
    reason: str
    blocker: Blocker = Blocker.OBJECT


@dataclass(frozen=True, slots=True)
class Change:
    """One object of the plan. `obj` is what to apply, with the annotation; `live` what green had, if anything; `wait`: why
    it is held, and `blocker` by what; `at`: where the two differ; `lost`: what green did not keep of what was written;
    `defined`: its kind has a definition of its own.
    """

    action: Todo
    resource: Resource
    obj: Object = field(repr=False)  # may be a Secret
    reason: str = ""
    at: tuple[Path, ...] = ()
    live: Object | None = field(default=None, repr=False)
    verdict: Verdict = PLAIN
    wait: Wait | None = None
    blocker: Blocker = Blocker.OBJECT
    lost: tuple[str, ...] = ()
    defined: bool = False
    force: bool = False  # an autoscaler's replicas are taken over, since it is to stop

    @property
    def name(self) -> str:
        """Kind and name, as people read them: `Deployment shop/web`."""
        return kinds.name_of(self.obj)

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the two differ, for people: `spec.template.spec.containers[name=web].image`."""
        return tuple(map(readable, self.at))


def key_of(obj: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, name); the namespace is "" where the object has none."""
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
    """20 hex digits of what is written; without the replicas of what an autoscaler sets (`scaled`)."""
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
    if written_by_edge(live):
        return Change("held", resource, obj, "written by the edge", live=live, wait=Wait.EDGE)
    if live["metadata"].get("deletionTimestamp"):
        waits = ", ".join(live["metadata"].get("finalizers") or ())
        reason = "being deleted on green" + (f", which its finalizers hold: {waits}" if waits else "")
        return Change("held", resource, obj, reason, live=live, wait=Wait.GOING)
    pair = _Pair(resource, wanted, obj, live, fields_of(live), workload_key(obj) in scaled, defined, status_writers)
    differing = pair.differing()
    others = ", ".join(sorted(pair.others(differing)))
    if not pair.ours:
        return _of_somebody(pair, differing, others, strictly=strictly)
    if others:
        return pair.conflict(f"changed on green by {others}", differing)
    if pair.stops and REPLICAS in differing:
        return pair.update(differing, "to be stopped", stopping=True)
    digest = obj["metadata"]["annotations"][APPLIED]
    same_wish = (live["metadata"].get("annotations") or {}).get(APPLIED) == digest
    return _of_the_same_wish(pair, differing) if same_wish else _of_a_new_wish(pair, differing)


Entries = list[tuple[str, str, Mapping[str, Any]]]  # manager, subresource, fields


@dataclass(frozen=True, slots=True)
class _Pair:
    """One object as it is wanted and as green has it. `obj`: what is wanted with the annotation; `entries`: who owns what of
    green's; `scaled`: an autoscaler moves its replicas.
    """

    resource: Resource
    wanted: Object
    obj: Object
    live: Object
    entries: Entries
    scaled: bool
    defined: bool
    status_writers: frozenset[str]

    @property
    def ours(self) -> list[Mapping[str, Any]]:
        """The fields that replicate owns; none: somebody else made the object."""
        return [fields for manager, sub, fields in self.entries if manager == kinds.REPLICATE and not sub]

    @property
    def stops(self) -> bool:
        return _stops(self.obj)

    @property
    def autoscaled(self) -> bool:
        """What we hold at 0 no autoscaler raises: it begins with blue's number, then the autoscaler's counts."""
        return self.scaled and not _stops(self.live)

    def differing(self) -> list[Path]:
        """Where green's is not as wanted, as far as that is replicate's business."""
        autoscaled, stops = self.autoscaled, self.stops
        differ = []
        for path in differences(self.wanted, self.live, tuple(fields for _, _, fields in self.entries)):
            if path in OF_EVERY_KIND or (autoscaled and path == REPLICAS) or _yielded(path, self.entries, stopping=stops):
                continue
            if path[0] == "f:status" and _of_its_writer(path, self.entries, self.status_writers):
                continue
            differ.append(path)
        return differ

    def others(self, paths: Iterable[Path]) -> set[str]:
        """Who else owns these fields. An autoscaler's replicas are taken over of what is to stop."""
        stops = self.stops
        return {
            manager
            for path in paths
            for manager in owners(path, self.entries) - {kinds.REPLICATE}
            if not (stops and path == REPLICAS and manager.startswith(AUTOSCALERS))
        }

    def unchanged(self, reason: str = "", at: Iterable[Path] = ()) -> Change:
        return Change("unchanged", self.resource, self.obj, reason, _in_order(at), self.live, defined=self.defined)

    def conflict(self, reason: str, at: Iterable[Path]) -> Change:
        return Change("conflict", self.resource, self.obj, reason, _in_order(at), self.live)

    def update(self, at: Iterable[Path], reason: str = "", *, stopping: bool = False) -> Change:
        """`stopping`: an autoscaler's replicas are taken over."""
        obj, at = self.ready(stopping=stopping), _in_order(at)
        return Change("update", self.resource, obj, reason, at, self.live, defined=self.defined, force=stopping)

    def ready(self, *, stopping: bool) -> Object:
        """What to apply over a live object: fields of others are left out, and replicas that only we own go as they are; so
        does a status that its own writer goes on with.

        Leaving out a field that nobody else owns would reset it: an autoscaled workload would fall to one replica.
        """
        obj, live = self.obj, self.live
        if "status" in obj and "status" in live and _of_its_writer(("f:status",), self.entries, self.status_writers):
            obj = {**obj, "status": live["status"]}
        spec = obj.get("spec")
        if not isinstance(spec, dict):
            return obj
        changed = dict(spec)
        for name in ("replicas", "minReplicas", *switches.SPEC_FIELDS):
            if name in changed and _yielded(("f:spec", f"f:{name}"), self.entries, stopping=stopping):
                del changed[name]
        if self.autoscaled and "replicas" in changed:
            if owners(REPLICAS, self.entries) - {kinds.REPLICATE}:
                del changed["replicas"]
            else:
                changed["replicas"] = (live.get("spec") or {}).get("replicas", changed["replicas"])
        return {**obj, "spec": changed}


def _of_somebody(pair: _Pair, differing: list[Path], others: str, *, strictly: bool) -> Change:
    """An object that green had before, or somebody else made."""
    if strictly and (apart_at := apart(pair.resource, pair.wanted, pair.live, differing)):
        makers = ", ".join(sorted({manager for manager, _, _ in pair.entries if manager})) or "another client"
        return pair.conflict(f"green has another, made by {makers}", apart_at)
    if strictly or not differing:
        return pair.unchanged("already there")
    if others:
        return pair.conflict(f"already on green, made by {others}", differing)
    return pair.update(differing)


def _of_the_same_wish(pair: _Pair, differing: list[Path]) -> Change:
    """What was wanted last time is wanted still."""
    if differing and (who := _later_writer(pair.live)):
        return pair.conflict(f"changed on green by {who}", differing)
    # written once and not kept (the API or a webhook of green took it off): again would end the same
    return not_kept(pair.unchanged(at=differing))


def _of_a_new_wish(pair: _Pair, differing: list[Path]) -> Change:
    """Blue's object is another than the one that was written last; what it has no more goes from green."""
    autoscaled, ours = pair.autoscaled, pair.ours
    gone = [
        path
        for fields in ours
        for path in surplus(fields, pair.obj)
        if path not in NOT_OURS and not (autoscaled and path == REPLICAS)
    ]
    if not differing and not gone:
        gone = [path for fields in ours for path in gone_within(fields, pair.wanted, pair.live)]
    return pair.update([*differing, *gone]) if differing or gone else pair.unchanged()


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
    differ = [
        path
        for path in differences(change.obj, answer, fields)
        if path not in OF_EVERY_KIND and not _yielded(path, entries, stopping=False)
    ]
    return not_kept(replace(change, action="unchanged", at=_in_order(differ), live=answer))


def _of_its_writer(path: Path, entries: Entries, writers: frozenset[str]) -> bool:
    """Whether who wrote this status on blue writes it on green too. A person's kubectl is no such writer."""
    return any(manager in writers and not manager.startswith("kubectl") for manager in owners(path, entries))


def _in_order(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(sorted(set(paths), key=readable))


def _stops(obj: Mapping[str, Any]) -> bool:
    """Whether replicate has put, or puts, this at 0."""
    annotations = obj["metadata"].get("annotations") or {}
    return ORIGINAL_REPLICAS in annotations and (obj.get("spec") or {}).get("replicas") == 0


def _yielded(path: Path, entries: Entries, *, stopping: bool) -> bool:
    """Held by another part of this toolkit (floors, the lock, a hand-over), or scaled by somebody: not replicate's
    business. What the edge owns is not yielded: of its objects only routes that it let go are compared at all.
    """
    holders = {manager for manager in owners(path, entries) if manager.startswith(YIELDED_PREFIX)}
    if holders - {kinds.REPLICATE, kinds.EDGE}:
        return True
    if path != REPLICAS:
        return False
    by = [manager for manager, sub, fields in entries if sub == "scale" and "f:replicas" in fields.get("f:spec", {})]
    return bool(by) and not (stopping and all(manager.startswith(AUTOSCALERS) for manager in by))


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
