"""Holds green as large as blue is now, and blue as large as it is, for as long as a migration runs.

An autoscaler on green sees no load before the traffic comes and would have scaled down; on blue it scales down as
traffic leaves, which would make the way back slow. So `minReplicas` is raised to blue's replicas of this moment on
both, and workloads without an autoscaler get blue's number on green. What was there before is written beside it
(annotation `bluegreen.io/floor-before`) and can be put back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from migration import kinds
from migration.errors import BluegreenError, Conflict
from migration.export import made_by, never_copied
from migration.kinds import Object, Resource
from migration.ports import Kubernetes
from migration.transform import FLOOR_BEFORE, ORIGINAL_REPLICAS

SideName = Literal["blue", "green"]
READY_SECONDS = 300.0
POLL_SECONDS = 0.5
# of these the baseline has to carry the traffic of everything else, so it is raised first
FIRST = "istio-system"


@dataclass(frozen=True)
class FloorChange:
    """One minimum on one cluster. `before` None: nothing was said (Kubernetes' own default). `problem`: cannot be done,
    and why.
    """

    side: SideName
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

    def __str__(self) -> str:
        was = "none" if self.before is None else str(self.before)
        text = f"{self.cluster}: {self.resource.kind} {self.namespace}/{self.name} {self.field} {was} -> {self.after}"
        return f"{text} ({self.problem or self.reason})"


@dataclass
class Floors:
    """What was raised and is ready (`done`), and what is not and why."""

    done: list[FloorChange] = field(default_factory=list)
    failed: list[tuple[FloorChange, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.failed


@dataclass(frozen=True)
class _Sizes:
    workloads: Mapping[tuple[str, str, str], Object]  # (kind, namespace, name)
    scalers: Mapping[tuple[str, str, str], Object]  # by what they scale


WORKLOADS = (kinds.DEPLOYMENT, kinds.STATEFUL_SET)


async def _sizes(server: Kubernetes) -> _Sizes:
    deployments, sets, scalers = await asyncio.gather(
        server.list(kinds.DEPLOYMENT), server.list(kinds.STATEFUL_SET), server.list(kinds.HPA)
    )
    return _Sizes(
        {_key(w): w for listing in (deployments, sets) for w in listing.items},
        {_target(h): h for h in scalers.items},
    )


def _key(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _target(scaler: Mapping[str, Any]) -> tuple[str, str, str]:
    target = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
    return str(target.get("kind")), scaler["metadata"].get("namespace", ""), str(target.get("name"))


async def plan_floors(blue: Kubernetes, green: Kubernetes) -> list[FloorChange]:
    """What has to be raised, the baseline first. Nothing is ever lowered."""
    mine, theirs = await asyncio.gather(_sizes(blue), _sizes(green))
    return floors(mine, theirs, blue.name, green.name)


def floors(mine: _Sizes, theirs: _Sizes, blue: str, green: str) -> list[FloorChange]:
    """Pure part of plan_floors."""
    changes: list[FloorChange] = []
    for key, workload in mine.workloads.items():
        kind, namespace, name = key
        baseline = namespace in kinds.BASELINE_NAMESPACES
        counterpart = theirs.workloads.get(key)
        if counterpart is None and baseline:
            continue  # another baseline may be made of other parts
        if ORIGINAL_REPLICAS in ((counterpart or {}).get("metadata", {}).get("annotations") or {}):
            continue  # a singleton: it stays at 0 until it is handed over
        now = replicas_now(workload)
        resource = next(r for r in WORKLOADS if r.kind == kind)
        label = f"{kind}/{name}"
        if counterpart is None:
            if problem := absent(workload, resource):
                missing = FloorChange("green", green, resource, namespace, name, "replicas", None, now, label)
                changes.append(replace(missing, problem=problem))
            continue
        scaler, other = mine.scalers.get(key), theirs.scalers.get(key)
        if scaler is not None:
            changes += _scaler("blue", blue, scaler, now, label)
        if other is not None:
            changes += _scaler("green", green, other, now, label)
        elif scaler is not None and (problem := absent(scaler, kinds.HPA)):
            floor = FloorChange("green", green, kinds.HPA, namespace, scaler["metadata"]["name"], "minReplicas", None, now)
            changes.append(replace(floor, problem=problem))
        else:
            before = int((counterpart.get("spec") or {}).get("replicas", 1))
            if before < now:
                reason = f"blue runs {now}"
                changes.append(FloorChange("green", green, resource, namespace, name, "replicas", before, now, label, reason))
    return sorted(changes, key=lambda c: (c.namespace != FIRST, c.namespace, c.name, c.side))


def absent(obj: Mapping[str, Any], resource: Resource) -> str | None:
    """What to say of an object of blue that green lacks; None: it is not meant to be there."""
    if maker := made_by(obj):
        return f"not on green, and `bluegreen replicate` leaves it alone: {maker}; see to that on green first"
    return None if never_copied(obj, resource) else "not on green: run `bluegreen replicate` first"


def replicas_now(workload: Mapping[str, Any]) -> int:
    """How many run; what is asked for where that is more (it is just starting)."""
    status = workload.get("status") or {}
    return max(int((workload.get("spec") or {}).get("replicas", 1)), int(status.get("readyReplicas", 0)))


def _scaler(side: SideName, cluster: str, scaler: Object, now: int, label: str) -> list[FloorChange]:
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
    changes: Sequence[FloorChange], blue: Kubernetes, green: Kubernetes, *, ready_seconds: float = READY_SECONDS
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
            ready = _ready(sizes.workloads.get((kind, change.namespace, name)))
            if ready >= change.after:
                result.done.append(change)
            else:
                late.append((change, ready))
        waiting = [change for change, _ in late]
        if waiting and time.monotonic() > deadline:
            for change, ready in late:
                text = f"{ready} of {change.after} ready after {ready_seconds:g} s; look at its pods on {change.cluster}"
                result.failed.append((change, text))
            break
        if waiting:
            await asyncio.sleep(POLL_SECONDS)
    result.seconds = time.monotonic() - began
    return result


def _ready(workload: Mapping[str, Any] | None) -> int:
    return int(((workload or {}).get("status") or {}).get("readyReplicas", 0))


async def _raise(change: FloorChange, server: Kubernetes) -> None:
    resource = change.resource
    for _ in range(3):
        live = await server.get(resource, change.namespace, change.name)
        before = (live["metadata"].get("annotations") or {}).get(FLOOR_BEFORE)
        if before is None:  # the first time only: what a second raise finds is ours
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


async def release_floors(blue: Kubernetes, green: Kubernetes) -> list[FloorChange]:
    """Puts back what was there before the floors, on both clusters; what came of it, object by object."""
    told: list[FloorChange] = []
    sides: tuple[tuple[SideName, Kubernetes], ...] = (("blue", blue), ("green", green))
    for side, server in sides:
        for resource in (kinds.HPA, *WORKLOADS):
            for obj in (await server.list(resource)).items:
                before = (obj["metadata"].get("annotations") or {}).get(FLOOR_BEFORE)
                if before is None:
                    continue
                name = "minReplicas" if resource is kinds.HPA else "replicas"
                value = None if before == "none" else int(before)
                meta = obj["metadata"]
                body = {"metadata": {"annotations": {FLOOR_BEFORE: None}}, "spec": {name: value}}
                manager = kinds.REPLICATE if side == "green" else kinds.CAPACITY
                await server.patch(resource, meta["namespace"], meta["name"], body, manager=manager)
                now = int(obj["spec"].get(name, 1))
                floor = FloorChange(side, server.name, resource, meta["namespace"], meta["name"], name, now, value or 1)
                told.append(replace(floor, reason="as before the migration"))
    return told
