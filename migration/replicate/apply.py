"""Writes a plan to green: definitions and namespaces first, then wave by wave, within a wave as fast as the API server
bears.

One object that is refused does not stop the others: each failure is told with its object, the reason and what to do,
and what failed for want of something that came later is tried once more at the end. Nothing that somebody else owns is
taken over without `force`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migration import kinds
from migration.errors import BluegreenError, Conflict, Forbidden, Held, NotFound, Rejected, Unreachable
from migration.kinds import Object
from migration.ports import Kubernetes
from migration.replicate.classes import Verdict
from migration.replicate.plan import Change, Plan, Wait, answers_wanted, awaited_lines

ESTABLISHED_SECONDS = 60.0
POLL_SECONDS = 0.1
AT_ONCE = 64  # handed to the client, which finds out itself how many of them the server bears
MOST_SILENT = 20  # objects in a row that an unreachable green costs its time-out; the rest are not tried any more
MANAGER = kinds.REPLICATE

Progress = Callable[[int, int, str], None]  # done, of how many, what has just been written


@dataclass(frozen=True)
class Failure:
    object: str
    reason: str
    remedy: str
    temporary: bool = False


@dataclass
class Applied:
    """What came of it. `writes` counts requests that wrote, so that "nothing to do" can be told from "done again"."""

    cluster: str
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    writes: int = 0
    applied: list[str] = field(default_factory=list)  # what was written, in the order of writing
    fallbacks: list[str] = field(default_factory=list)  # objects that server-side apply refuses: written by create or replace
    failures: list[Failure] = field(default_factory=list)
    conflicts: list[Failure] = field(default_factory=list)
    held: list[Failure] = field(default_factory=list)
    lacking: int = 0  # of what is held: what green should have and lacks
    unanswered: list[tuple[str, Verdict]] = field(default_factory=list)  # what a person has to say something about
    awaited: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by tool: what it has to bring to green, and has not
    unread: dict[str, str] = field(default_factory=dict)  # kinds that could not be read: nothing is known of their objects
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.verdict() is None

    def as_json(self) -> dict[str, Any]:
        told = {name: [vars(f) for f in getattr(self, name)] for name in ("failures", "conflicts", "held")}
        return {
            "cluster": self.cluster,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "writes": self.writes,
            "applied": self.applied,
            "fallbacks": self.fallbacks,
            "awaited": {tool: list(names) for tool, names in self.awaited.items()},
            "unread": self.unread,
            "unanswered": {name: verdict.add(name) for name, verdict in self.unanswered},
            "seconds": round(self.seconds, 3),
            **told,
        }

    def lines(self) -> list[str]:
        """For people: the numbers, then each object and kind that did not come along."""
        numbers = f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged in {self.seconds:.1f} s"
        left = [
            f"  {mark} {f.object}: {f.reason}\n      {f.remedy}"
            for mark, failures in (("FAILED", self.failures), ("CONFLICT", self.conflicts), ("held", self.held))
            for f in failures
        ]
        unread = [f"  UNREAD {kind}: {why}" for kind, why in sorted(self.unread.items())]
        return [numbers, *left, *answers_wanted(self.unanswered), *awaited_lines(self.awaited), *unread]

    def verdict(self) -> BluegreenError | None:
        """What to end with: green lacks something that it should have, or nobody said what is to become of something."""
        if self.failures:
            return BluegreenError(
                f"{len(self.failures)} objects could not be written", remedy="mend them and `bluegreen replicate` again"
            )
        lacks = [
            (len(self.conflicts), "objects in conflict", "settle the conflicts (or --force)"),
            (self.lacking, "objects held", "see what holds each of them"),
            (len(self.unanswered), "objects without an answer", "add the lines above to migration.yaml"),
            *(
                (len(names), f"objects that {tool} deploys", f"let {tool} deploy to {self.cluster}")
                for tool, names in self.awaited.items()
            ),
            (len(self.unread), "kinds that could not be read", "let the kubeconfigs' users list these kinds"),
        ]
        told = [(f"{count} {what}", remedy) for count, what, remedy in lacks if count]
        if not told:
            return None
        return Held(
            f"cluster {self.cluster} lacks what blue has: {', '.join(what for what, _ in told)}",
            remedy=f"{', '.join(remedy for _, remedy in told)}, then `bluegreen replicate` again",
        )


def refuse_unread(unread: Mapping[str, str], despite: Iterable[str]) -> None:
    """Held where a kind was not read and not named: what its objects own or need could not be told from anything else."""
    named = frozenset(despite)
    left = {kind: why for kind, why in unread.items() if "all" not in named and kind.partition(" on ")[0] not in named}
    if left:
        told = "; ".join(f"{kind}: {why}" for kind, why in sorted(left.items()))
        words = " ".join(f"--despite-unread {kind}" for kind in sorted({kind.partition(" on ")[0] for kind in left}))
        raise Held(
            f"nothing was written: {len(left)} kinds could not be read: {told}",
            remedy=f"let the kubeconfig's user list them, or go on without: {words}",
        )


async def apply(
    plan: Plan,
    green: Kubernetes,
    *,
    progress: Progress | None = None,
    force: bool = False,
    despite_unread: Iterable[str] = (),
) -> Applied:
    """Does what the plan says. `force` takes over fields that others own (conflicts of the plan are then written as
    well); `despite_unread` names the kinds without which it may go on, "all" for every one.
    """
    refuse_unread(plan.unread, despite_unread)
    began = time.monotonic()
    applied = Applied(plan.cluster, unread=dict(plan.unread), unanswered=plan.unanswered())
    applied.awaited = dict(plan.awaited)
    todo: list[Change] = []
    for change in plan.changes:
        if change.action in ("create", "update") or (change.action == "conflict" and force):
            todo.append(change)
        elif change.action == "conflict":
            remedy = "settle it on green, or run `bluegreen replicate --force` to take the fields over"
            applied.conflicts.append(Failure(change.name, f"{change.reason}: {', '.join(change.paths[:6])}", remedy))
        elif change.action == "held":
            applied.lacking += change.wait not in (Wait.ANSWER, Wait.EDGE)
            if change.wait is not Wait.ANSWER:  # told with the line to add
                applied.held.append(Failure(change.name, change.reason, _held_remedy(change)))
        else:
            applied.unchanged += 1
    done = silent = 0

    places = asyncio.Semaphore(AT_ONCE)

    async def one(change: Change, last: bool) -> Change | None:
        async with places:
            return await in_place(change, last)

    async def in_place(change: Change, last: bool) -> Change | None:
        nonlocal done, silent
        try:
            if silent >= MOST_SILENT:
                raise Unreachable(f"not tried: cluster {green.name} did not answer the last {silent} objects")
            await _write(change, green, applied, force=force)
            silent = 0
        except Conflict as problem:
            applied.conflicts.append(_failure(change, problem))
        except BluegreenError as problem:
            if not last and not isinstance(problem, Unreachable):
                return change
            silent += isinstance(problem, Unreachable)
            applied.failures.append(_failure(change, problem))
        else:
            applied.applied.append(change.name)
            if change.action == "create":
                applied.created += 1
            else:
                applied.updated += 1
        done += 1
        if progress is not None:
            progress(done, len(todo), change.name)
        return None

    later: list[Change] = []
    for number in range(len(kinds.WAVES)):
        wave = [change for change in todo if kinds.wave(change.resource) == number]
        if not wave:
            continue
        later += [c for c in await asyncio.gather(*(one(change, False) for change in wave)) if c is not None]
        if number == 0:
            await _definitions_established(wave, green)
    # once more: an object may have been refused for want of one of a later wave (a webhook's server, a class, an
    # account)
    await asyncio.gather(*(one(change, True) for change in later))
    for told in (applied.failures, applied.conflicts, applied.held):
        told.sort(key=lambda f: f.object)
    applied.fallbacks.sort()
    applied.seconds = time.monotonic() - began
    return applied


async def _write(change: Change, green: Kubernetes, applied: Applied, *, force: bool) -> None:
    if kinds.wave(change.resource) == kinds.CUSTOM_WAVE:
        # an API server serves a definition's objects a moment after it calls it established
        await _until_served(lambda: _create_or_apply(change, green, applied, force=force))
    else:
        await _create_or_apply(change, green, applied, force=force)


async def _create_or_apply(change: Change, green: Kubernetes, applied: Applied, *, force: bool) -> None:
    """What green lacks is created, which costs an API server a third less than applying it; all else is applied."""
    if change.action == "create":
        try:
            applied.writes += 1
            await green.create(change.resource, change.obj, manager=MANAGER, repeatable=True)
            return
        except Conflict as problem:
            if not problem.exists:
                raise
            # made since the plan (a controller's default account, a first try whose answer was lost): as any other
    elif change.live is not None:
        await _own_by_apply(change, green, applied)
    await _apply(change, green, applied, force=force)


async def _own_by_apply(change: Change, green: Kubernetes, applied: Applied) -> None:
    """Turns what we own by having created or replaced it into what we own by applying it.

    Server-side apply takes away a field that is no longer wanted only where nobody else owns it, and for it our own
    create is somebody else. kubectl does the same with what `kubectl apply` of the client's side left.
    """
    resource, live = change.resource, change.live
    for _ in range(3):
        entries = applied_entries(live) if live is not None else None
        if live is None or entries is None:
            return
        meta = live["metadata"]
        body = {"metadata": {"resourceVersion": meta.get("resourceVersion"), "managedFields": entries}}
        try:
            applied.writes += 1
            await green.patch(resource, meta.get("namespace"), meta["name"], body, manager=MANAGER)
            return
        except Conflict:
            live = await green.find(resource, meta.get("namespace"), meta["name"])
    raise Rejected(f"cluster {green.name}: {change.name} changes faster than it can be written")


def applied_entries(live: Mapping[str, Any]) -> list[Object] | None:
    """managedFields with all that is ours in one entry of server-side apply; None where it is so already."""
    entries = live["metadata"].get("managedFields") or []
    ours = [e for e in entries if e.get("manager") == MANAGER and not e.get("subresource")]
    if all(entry.get("operation") == "Apply" for entry in ours):
        return None
    fields: Object = {}
    for entry in ours:
        fields = merged(entry.get("fieldsV1") or {}, fields)
    return [e for e in entries if e not in ours] + [{**ours[-1], "operation": "Apply", "fieldsV1": fields}]


async def _apply(change: Change, green: Kubernetes, applied: Applied, *, force: bool) -> None:
    try:
        applied.writes += 1
        await green.apply(change.resource, change.obj, manager=MANAGER, force=force or change.force)
    except Rejected as problem:
        if not refused_by_typing(problem):
            raise
        applied.writes += 1
        await _create_or_replace(change, green)
        applied.fallbacks.append(change.name)


def refused_by_typing(problem: Rejected) -> bool:
    """Server-side apply cannot merge this object though it is legal: doubled keys in a keyed list, or fields its schema
    lacks.
    """
    text = str(problem)
    return "typed patch" in text or "duplicate entries for key" in text or "field not declared in schema" in text


async def _create_or_replace(change: Change, green: Kubernetes) -> None:
    resource, obj = change.resource, change.obj
    meta = obj["metadata"]
    for _ in range(3):
        live = await green.find(resource, meta.get("namespace"), meta["name"])
        try:
            if live is None:
                await green.create(resource, obj, manager=MANAGER)
            else:
                await green.replace(resource, merged(obj, live), manager=MANAGER)
            return
        except Conflict:
            continue  # made or changed by somebody meanwhile: read it again
    raise Rejected(f"cluster {green.name}: {change.name} changes faster than it can be replaced")


def merged(wanted: Object, live: Object) -> Object:
    """A live object with our fields over it: what it was allotted (addresses, volume) stays."""
    result = dict(live)
    for key, value in wanted.items():
        there = result.get(key)
        result[key] = merged(value, there) if isinstance(value, dict) and isinstance(there, dict) else value
    return result


async def _until_served(write: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10.0
    while True:
        try:
            await write()
            return
        except NotFound:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(POLL_SECONDS)


async def _definitions_established(wave: list[Change], green: Kubernetes) -> None:
    """Waits until green serves the definitions just written; what does not come in time fails with its objects."""
    waited = {change.obj["metadata"]["name"] for change in wave if change.resource.kind == kinds.CRD.kind}
    deadline = time.monotonic() + ESTABLISHED_SECONDS
    while waited and time.monotonic() < deadline:
        found = await green.list(kinds.CRD)
        for obj in found.items:
            conditions = (obj.get("status") or {}).get("conditions") or ()
            if any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
                waited.discard(obj["metadata"]["name"])
        if waited:
            await asyncio.sleep(POLL_SECONDS)


def _failure(change: Change, problem: BluegreenError) -> Failure:
    remedy = problem.remedy or ""
    if isinstance(problem, Conflict):
        remedy = remedy or "settle it on green, or run `bluegreen replicate --force` to take the fields over"
        reason = (
            f"owned by {', '.join(problem.managers)}: {', '.join(problem.fields[:6])}" if problem.managers else str(problem)
        )
        return Failure(change.name, reason, remedy)
    if isinstance(problem, Rejected) and "immutable" in str(problem):
        remedy = remedy or "delete it on green and run `bluegreen replicate` again: this kind cannot be changed in place"
    elif isinstance(problem, Forbidden):
        remedy = remedy or "let the user of green's kubeconfig write this kind, or leave its namespace out"
    elif isinstance(problem, NotFound):
        remedy = remedy or "its definition or namespace is not on green: see the failures above it"
    return Failure(
        change.name,
        str(problem),
        remedy or "mend the object on blue or on green and run `bluegreen replicate` again",
        isinstance(problem, Unreachable),
    )


def _held_remedy(change: Change) -> str:
    match change.wait:
        case Wait.UNSERVED:
            return "install what serves it on green, or convert the object; then run `bluegreen replicate` again"
        case Wait.EDGE:
            return "nothing to do here"
        case _:
            return "run `bluegreen replicate` again"
