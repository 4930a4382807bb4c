"""Puts back what was there before the floors, object by object, on both clusters: for a service when its bake ends, or for
everything by `bluegreen capacity release`. What somebody else has set since stays as it is; managedFields tell whose it is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import routing
from migration.capacity.floors import FIRST, OUR_MANAGERS, WORKLOADS, FloorChange, floor_before, is_ours
from migration.errors import BluegreenError, Conflict
from migration.model import Side
from migration.objects import kinds
from migration.objects.access import Selected, WorkloadKey, scale_target, spec_of, workload_key
from migration.objects.annotations import FLOOR_BEFORE
from migration.objects.difference import fields_of, owners
from migration.objects.health import wanted_replicas
from migration.objects.kinds import Object
from migration.ports import Kubernetes, Reader

IN_FLIGHT = 32


async def release_floors(
    blue: Kubernetes,
    green: Kubernetes,
    *,
    originals: Mapping[str, Object] | None = None,
    services: Collection[str] | None = None,
    keep: Mapping[str, str] | None = None,
    at_once: int = IN_FLIGHT,
) -> list[FloorChange]:
    """Puts back what was there before the floors, on both clusters; what came of it, object by object. Raises nothing."""
    changes = await plan_release(blue, green, originals=originals, services=services, keep=keep)
    return await release(changes, blue, green, at_once=at_once)


async def plan_release(
    blue: Reader,
    green: Reader,
    *,
    originals: Mapping[str, Object] | None = None,
    services: Collection[str] | None = None,
    keep: Mapping[str, str] | None = None,
) -> list[FloorChange]:
    """What is to be put back of the floors that are held now.

    `services`: of these alone (`originals` has their routes); None: of everything, also what is behind no service.
    `keep`: services that need their floors still, and why; what is behind one of them too stays, and so does the baseline,
    which carries them all.
    """
    read = await asyncio.gather(_held(blue), _held(green), return_exceptions=True)
    for held in read:
        if isinstance(held, BaseException) and not isinstance(held, BluegreenError):
            raise held
    # not in the loop: a shift judges its services in it meanwhile
    return await asyncio.to_thread(
        floors_to_release, *read, blue.name, green.name, dict(originals or {}), services, keep or {}
    )  # fmt: skip


def floors_to_release(
    mine: _Held | BaseException,
    theirs: _Held | BaseException,
    blue: str,
    green: str,
    originals: Mapping[str, Object],
    services: Collection[str] | None,
    keep: Mapping[str, str],
) -> list[FloorChange]:
    """Pure part of plan_release; an error is why that cluster could not be read."""
    wished = mine.workloads if isinstance(mine, _Held) else {}
    wanted = None if services is None else frozenset(services)
    first = min(keep, default=None)
    routes: dict[str, list[str]] = defaultdict(list)  # by each Service that they send to
    for name, route in originals.items():
        for service in routing.services_of(route):
            routes[service].append(name)
    changes: list[FloorChange] = []
    sides: tuple[tuple[Side, str, _Held | BaseException], ...] = (("blue", blue, mine), ("green", green, theirs))
    for side, cluster, held in sides:
        if isinstance(held, BaseException):
            problem = f"its floors cannot be read: {held}"
            changes.append(FloorChange(side, cluster, kinds.HPA, "", "", "minReplicas", None, 0, problem=problem))
            continue
        behind = held.users(routes)
        for obj in held.floors:
            target = _floored(obj)
            users = behind.get(target, set())
            if wanted is not None and users.isdisjoint(wanted):
                continue
            change = _put_back(side, cluster, obj, wished.get(target))
            baseline = target[1] in kinds.BASELINE_NAMESPACES
            needed = first if baseline else min((name for name in users if name in keep), default=None)
            if needed is not None:
                why = f"{needed}, which it serves, {keep[needed]}"
                change = replace(change, after=change.before or 0, reason=why, problem="", kept=True)
            changes.append(change)
    return sorted(changes, key=lambda c: (c.side, c.namespace == FIRST, c.namespace, c.name))


async def release(
    changes: Sequence[FloorChange], blue: Kubernetes, green: Kubernetes, *, at_once: int = IN_FLIGHT
) -> list[FloorChange]:
    """Does what `plan_release` said, so many objects at a time; what failed has a `problem`, and is a floor still."""
    places = asyncio.Semaphore(at_once)

    async def one(change: FloorChange) -> FloorChange:
        if change.problem or change.kept:
            return change
        async with places:
            try:
                return await _release(change, blue if change.side == "blue" else green)
            except BluegreenError as problem:
                return replace(change, problem=f"still a floor: {problem}")

    return list(await asyncio.gather(*(one(change) for change in changes)))


@dataclass(frozen=True)
class _Held:
    """What a release looks at on one cluster."""

    floors: tuple[Object, ...]
    workloads: Mapping[WorkloadKey, Object]
    services: Mapping[str, Object]

    def users(self, routes: Mapping[str, Collection[str]]) -> dict[WorkloadKey, set[str]]:
        """Which routes need each workload that carries a floor; `routes` by the Services that they send to."""
        carrying = {target: self.workloads[target] for o in self.floors if (target := _floored(o)) in self.workloads}
        selected = Selected(carrying.values())
        needed_by: dict[WorkloadKey, set[str]] = defaultdict(set)
        for name, its in routes.items():
            selector = spec_of(self.services.get(name) or {}).get("selector") or {}
            for workload in selected.by(name.partition("/")[0], selector):
                needed_by[workload_key(workload)].update(its)
        return needed_by


def _floored(obj: Object) -> WorkloadKey:
    """The workload that a floor is for."""
    return scale_target(obj) if obj["kind"] == kinds.HPA.kind else workload_key(obj)


async def _held(server: Reader) -> _Held:
    scalers, services, *workloads = [
        listing.items for listing in await asyncio.gather(*(server.list(r) for r in (kinds.HPA, kinds.SERVICE, *WORKLOADS)))
    ]
    running = {workload_key(workload): workload for listing in workloads for workload in listing}
    floors = tuple(o for o in (*scalers, *running.values()) if floor_before(o) is not None)
    return _Held(floors, running, {kinds.full_name(service): service for service in services})


def _put_back(side: Side, cluster: str, obj: Object, wished: Object | None) -> FloorChange:
    """`wished`: the same workload on blue, or the one that this autoscaler scales there."""
    meta, spec = obj["metadata"], spec_of(obj)
    resource = next(r for r in (kinds.HPA, *WORKLOADS) if r.kind == obj["kind"])
    name = "minReplicas" if resource is kinds.HPA else "replicas"
    now = int(spec.get(name, 1))
    change = FloorChange(side, cluster, resource, meta.get("namespace", ""), meta["name"], name, now, now)
    before = str(floor_before(obj))
    if not is_ours(obj, name):
        others = {h for h in owners(("f:spec", f"f:{name}"), fields_of(obj)) if not h.startswith(OUR_MANAGERS)}
        return replace(change, reason=f"set by {', '.join(sorted(others)) or 'another client'} since: left as it is")
    if before != "none" and not (before.isascii() and before.isdigit()):
        return replace(change, problem=f"annotation {FLOOR_BEFORE} is {before!r}; allowed: a number, or none")
    was = 1 if before == "none" else int(before)
    if resource is not kinds.HPA:
        # nothing would scale it up again under the users that it has now: not below what it is meant to be on blue
        least = wanted_replicas(wished) if wished else now
        if min(now, least) > was:
            return replace(change, after=min(now, least), reason=f"as on blue: no autoscaler would raise it from {was} again")
    return replace(change, after=was, reason="as before the migration")


async def _release(change: FloorChange, server: Kubernetes) -> FloorChange:
    for _ in range(3):
        live = await server.find(change.resource, change.namespace, change.name)
        if live is None or floor_before(live) is None:
            return replace(change, reason="no floor any more")
        again = _put_back(change.side, change.cluster, live, None)
        if again.problem:
            return again
        meta: dict[str, Any] = {"annotations": {FLOOR_BEFORE: None}}
        if version := live["metadata"].get("resourceVersion"):
            meta["resourceVersion"] = version  # nothing that changes in between is written over
        body: dict[str, Any] = {"metadata": meta}
        if is_ours(live, change.field):
            value = None if floor_before(live) == "none" and change.after == 1 else change.after
            body["spec"] = {change.field: value}
        else:
            change = again
        # what replicate made is replicate's again
        manager = kinds.REPLICATE if change.side == "green" else kinds.CAPACITY
        try:
            await server.patch(change.resource, change.namespace, change.name, body, manager=manager)
        except Conflict:
            continue
        return change
    return replace(change, problem="still a floor: it was changed again and again while we looked")
