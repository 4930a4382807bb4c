"""Holds green as large as blue is now, and blue as large as it is, for as long as a migration runs.

An autoscaler on green sees no load before the traffic comes and would have scaled down; on blue it scales down as
traffic leaves, which would make the way back slow. So `minReplicas` is raised to blue's replicas of this moment on
both, and workloads without an autoscaler get blue's number on green. What was there before is written beside it
(annotation `bluegreen.io/floor-before`), so that it can be put back without any store (release.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from migration.errors import BluegreenError, Conflict
from migration.model import Side
from migration.objects import kinds
from migration.objects.access import WorkloadKey, scale_target, workload_key
from migration.objects.annotations import FLOOR_BEFORE, ORIGINAL_REPLICAS
from migration.objects.classes import Action
from migration.objects.difference import fields_of, owners
from migration.objects.health import health, wanted_replicas
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery
from migration.objects.view import View
from migration.ownership import judge
from migration.ownership.known import Known
from migration.ownership.owners import made_by
from migration.ports import Kubernetes, Reader
from migration.settings.choices import NOTHING_SAID, Choices

READY_SECONDS = 300.0
POLL_SECONDS = 0.5
# of these the baseline has to carry the traffic of everything else, so it is raised first
FIRST = "istio-system"
OUR_MANAGERS = "bluegreen-"
Progress = Callable[[int, int, str], None]  # done, of how many, what is waited for


@dataclass(frozen=True)
class FloorChange:
    """One minimum on one cluster. `before` None: nothing was said (Kubernetes' own default). `problem`: cannot be done,
    and why. `kept`: of a release, stays a floor for now. Without a name: all of a cluster, which cannot be read.
    """

    side: Side
    cluster: str
    resource: Resource
    namespace: str
    name: str
    field: str  # minReplicas or replicas
    before: int | None
    after: int
    workload: str = ""  # `kind/name` of what must be ready for it
    reason: str = ""
    problem: str = ""
    kept: bool = False

    @property
    def where(self) -> str:
        """Cluster, kind and name for people; of a problem with the whole cluster its name alone."""
        return f"{self.cluster}: {self.resource.kind} {self.namespace}/{self.name}" if self.name else self.cluster

    def __str__(self) -> str:
        if not self.name:
            return f"{self.where}: {self.problem}"
        was = "none" if self.before is None else str(self.before)
        return f"{self.where} {self.field} {was} -> {self.after} ({self.problem or self.reason})"


@dataclass
class Floors:
    """What was raised and is ready (`done`), and what is not and why."""

    done: list[FloorChange] = field(default_factory=list)
    failed: list[tuple[FloorChange, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every floor was raised and reached."""
        return not self.failed


@dataclass(frozen=True)
class _Sizes:
    workloads: Mapping[WorkloadKey, Object]  # (kind, namespace, name)
    scalers: Mapping[WorkloadKey, Object]  # by what they scale


WORKLOADS = (kinds.DEPLOYMENT, kinds.STATEFUL_SET)
SIZED = (*WORKLOADS, kinds.HPA)


async def _sizes(server: Reader) -> _Sizes:
    deployments, sets, scalers = await asyncio.gather(
        server.list(kinds.DEPLOYMENT), server.list(kinds.STATEFUL_SET), server.list(kinds.HPA)
    )
    return _Sizes(
        {workload_key(w): w for listing in (deployments, sets) for w in listing.items},
        {scale_target(h): h for h in scalers.items},
    )


async def plan_floors(
    blue: Reader, green: Reader, *, choices: Choices = NOTHING_SAID, singletons: Iterable[str] = ()
) -> list[FloorChange]:
    """What has to be raised, the baseline first. Nothing is ever lowered. `choices` and `singletons`: what a person said
    is not to be on green.
    """
    mine, theirs = await asyncio.gather(_sizes(blue), _sizes(green))
    known = Known(_view(blue.name, mine), _view(green.name, theirs), choices, singletons=frozenset(singletons))
    return floors(mine, theirs, known)


def _view(name: str, sizes: _Sizes) -> View:
    objects: dict[str, list[Object]] = {resource.name: [] for resource in SIZED}
    for workload in sizes.workloads.values():
        objects[next(r.name for r in WORKLOADS if r.kind == workload["kind"])].append(workload)
    objects[kinds.HPA.name] = list(sizes.scalers.values())
    return View(name, Discovery(SIZED, {}), objects, resources={resource.name: resource for resource in SIZED})


def floors(mine: _Sizes, theirs: _Sizes, known: Known) -> list[FloorChange]:
    """Pure part of plan_floors."""
    changes: list[FloorChange] = []
    blue, green = known.blue.name, known.green.name if known.green else ""
    for key, workload in mine.workloads.items():
        kind, namespace, name = key
        baseline = namespace in kinds.BASELINE_NAMESPACES
        counterpart = theirs.workloads.get(key)
        if counterpart is None and baseline:
            continue  # another baseline may be made of other parts
        if ORIGINAL_REPLICAS in ((counterpart or {}).get("metadata", {}).get("annotations") or {}):
            continue  # stopped on green until it is handed over or answered otherwise
        now = replicas_now(workload)
        resource = next(r for r in WORKLOADS if r.kind == kind)
        label = f"{kind}/{name}"
        if counterpart is None:
            if problem := absent(workload, resource, known):
                missing = FloorChange("green", green, resource, namespace, name, "replicas", None, now, label)
                changes.append(replace(missing, problem=problem))
            continue
        scaler, other = mine.scalers.get(key), theirs.scalers.get(key)
        if scaler is not None:
            changes += _scaler("blue", blue, scaler, now, label)
        if other is not None:
            changes += _scaler("green", green, other, now, label)
        elif scaler is not None and (problem := absent(scaler, kinds.HPA, known)):
            floor = FloorChange("green", green, kinds.HPA, namespace, scaler["metadata"]["name"], "minReplicas", None, now)
            changes.append(replace(floor, problem=problem))
        else:
            before = wanted_replicas(counterpart)
            if before < now:
                reason = f"blue runs {now}"
                changes.append(FloorChange("green", green, resource, namespace, name, "replicas", before, now, label, reason))
    return sorted(changes, key=lambda c: (c.namespace != FIRST, c.namespace, c.name, c.side))


def absent(obj: Object, resource: Resource, known: Known) -> str | None:
    """What to say of an object of blue that green lacks; None: it is not meant to be there."""
    if maker := made_by(obj, resource):
        return f"not on green, and `bluegreen replicate` leaves it alone: {maker}; see to that on green first"
    verdict = judge.verdict(obj, resource, known)
    if verdict.action is Action.LEAVE:
        return None
    if verdict.action is Action.HOLD:
        return f"not on green until it has an answer: `bluegreen preflight` names it ({verdict.reason})"
    return "not on green: run `bluegreen replicate` first"


def replicas_now(workload: Mapping[str, Any]) -> int:
    """How many run; what is asked for where that is more (it is just starting)."""
    now = health(workload)
    return max(now.wanted, now.ready)


def _scaler(side: Side, cluster: str, scaler: Object, now: int, label: str) -> list[FloorChange]:
    spec, meta = scaler.get("spec") or {}, scaler["metadata"]
    most = int(spec.get("maxReplicas", now))
    before = spec.get("minReplicas")
    after = min(now, most)
    if (before if before is not None else 1) >= after:
        return []
    reason = f"blue runs {now}" + (f", its maximum is {most}" if now > most else "")
    namespace, name = meta.get("namespace", ""), meta["name"]
    return [FloorChange(side, cluster, kinds.HPA, namespace, name, "minReplicas", before, after, label, reason)]


async def apply_floors(
    changes: Sequence[FloorChange],
    blue: Kubernetes,
    green: Kubernetes,
    *,
    ready_seconds: float = READY_SECONDS,
    progress: Progress | None = None,
) -> Floors:
    """Raises them, baseline first, and waits until green has as many ready; a failure is told and the rest goes on."""
    began = time.monotonic()
    result = Floors()
    written: list[FloorChange] = []

    async def one(change: FloorChange) -> None:
        if change.problem:
            result.failed.append((change, change.problem))
            return
        try:
            await _raise(change, blue if change.side == "blue" else green)
        except BluegreenError as problem:
            result.failed.append((change, str(problem)))
        else:
            written.append(change)

    for baseline in (True, False):
        await asyncio.gather(*(one(c) for c in changes if (c.namespace == FIRST) is baseline))
    waiting = [c for c in written if c.side == "green"]
    result.done += [c for c in written if c.side == "blue"]
    deadline = time.monotonic() + ready_seconds
    while waiting:
        sizes = await _sizes(green)
        late = []
        for change in waiting:
            kind, _, name = change.workload.partition("/")
            workload = sizes.workloads.get((kind, change.namespace, name))
            ready = health(workload).ready if workload else 0
            if ready >= change.after:
                result.done.append(change)
            else:
                late.append((change, ready))
        waiting = [change for change, _ in late]
        if progress is not None:
            awaited = f"{late[0][0].where}: {late[0][1]} of {late[0][0].after} ready" if late else ""
            progress(len(changes) - len(waiting), len(changes), awaited)
        if waiting and time.monotonic() > deadline:
            for change, ready in late:
                text = f"{ready} of {change.after} ready after {ready_seconds:g} s; look at its pods on {change.cluster}"
                result.failed.append((change, text))
            break
        if waiting:
            await asyncio.sleep(POLL_SECONDS)
    result.seconds = time.monotonic() - began
    return result


async def _raise(change: FloorChange, server: Kubernetes) -> None:
    resource = change.resource
    for _ in range(3):
        live = await server.get(resource, change.namespace, change.name)
        before = floor_before(live)
        if before is None or not is_ours(live, change.field):  # what a second raise finds is ours, but for others' changes
            before = "none" if change.before is None else str(change.before)
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": change.name, "namespace": change.namespace, "annotations": {FLOOR_BEFORE: before}},
            "spec": {change.field: change.after},
        }
        try:
            await server.apply(resource, body, manager=kinds.CAPACITY, force=True)
        except Conflict:
            continue
        return


def floor_before(obj: Mapping[str, Any]) -> str | None:
    """What was there before the floor, as the annotation says; None: there is no floor."""
    before: str | None = (obj["metadata"].get("annotations") or {}).get(FLOOR_BEFORE)
    return before


def is_ours(obj: Object, name: str) -> bool:
    """Whether the floor is as we set it: an API server takes a field from its owner where another changes it."""
    holders = owners(("f:spec", f"f:{name}"), fields_of(obj))
    return kinds.CAPACITY in holders and not {h for h in holders if not h.startswith(OUR_MANAGERS)}
