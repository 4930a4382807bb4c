"""Writes a plan to green: definitions and namespaces first, then wave by wave, each as fast as the API server bears.

One object that is refused does not stop the others: each failure is told with its object, the reason and what to do,
and what failed for want of something that came later is tried once more at the end. Nothing that somebody else owns is
taken over without `force`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from migration.errors import BluegreenError, Conflict, NotFound, Rejected, Unreachable
from migration.objects import kinds
from migration.objects.health import condition
from migration.objects.kinds import Object, Resource
from migration.ports import Kubernetes
from migration.replicate import brake, refusal
from migration.replicate.compare import Change, Wait, after_writing, key_of
from migration.replicate.outcome import Applied, Failure
from migration.replicate.plan import Plan, names_refused, not_kept
from migration.replicate.unread import on, refuse_unread

__all__ = ["Applied", "Failure", "applied_entries", "apply", "merged", "refused_by_typing"]

ESTABLISHED_SECONDS = 60.0
SERVED_SECONDS = 10.0
POLL_SECONDS = 0.1
AT_ONCE = 64  # handed to the client, which finds out itself how many of them the server bears
MOST_SILENT = 20  # objects in a row that an unreachable green costs its time-out; the rest are not tried any more
MANAGER = kinds.REPLICATE
# An API server has no code for these, only the words of its field manager (k8s.io/apimachinery/pkg/util/managedfields) and of
# sigs.k8s.io/structured-merge-diff/typed
UNTYPED = ("typed patch", "duplicate entries for key", "field not declared in schema")
SEE_WHO = "see who writes it (kubectl get --show-managed-fields), then `bluegreen replicate` again"

Progress = Callable[[int, int, str], None]  # done, of how many, what has just been written


def begun(plan: Plan, *, force: bool = False) -> tuple[Applied, list[Change]]:
    """What is known before anything is written, and what is to be written."""
    applied = Applied(plan.cluster, unread=dict(plan.unread), unanswered=plan.unanswered(), notes=plan.notes())
    applied.awaited = dict(plan.awaited)
    todo: list[Change] = []
    for change in plan.changes:
        if change.action in ("create", "update") or (change.action == "conflict" and force):
            todo.append(change)
        elif change.action == "conflict":
            reason = f"{change.reason}: {', '.join(change.paths[:6])}"
            applied.conflicts.append(Failure(change.name, reason, refusal.TAKE_OVER))
        elif change.action == "held":
            applied.lacking += change.wait not in (Wait.ANSWER, Wait.EDGE)
            if change.wait is not Wait.ANSWER:  # told with the line to add
                applied.held.append(Failure(change.name, change.reason, refusal.held_remedy(change)))
        else:
            applied.unchanged += 1
            if change.wait is Wait.DROPPED:
                applied.dropped.append(_dropped(change))
    return applied, todo


async def apply(
    plan: Plan,
    green: Kubernetes,
    *,
    progress: Progress | None = None,
    force: bool = False,
    despite_unread: Iterable[str] = (),
) -> Applied:
    """Does what the plan says. `force` takes over fields that others own (conflicts of the plan are then written as
    well), and rewrites more than is allowed; `despite_unread`: kinds without which it may go on, "all" for every one.

    Raises:
        Held: before anything is written, for a kind that was not read, or for a plan that would rewrite too much.
    """
    refuse_unread(plan.unread, despite_unread, plan.asked)
    brake.refuse(plan.excess, force=force)
    started = time.monotonic()
    applied, todo = begun(plan, force=force)
    run = _Run(green, applied, len(todo), force=force, progress=progress)
    refused: list[Change] = []
    for number in range(len(kinds.WAVES)):
        wave = [change for change in todo if kinds.wave(change.resource) == number]
        if not wave:
            continue
        refused += [change for change in await asyncio.gather(*map(run.first, wave)) if change is not None]
        if number == 0:
            applied.failures += await _definitions_established(wave, green)
    # an object may have been refused for want of one of a later wave (a webhook's server, a class, an account)
    await asyncio.gather(*map(run.again, refused))
    await _still_there(run.written, green, applied)
    for failures in (applied.failures, applied.conflicts, applied.held, applied.dropped):
        failures.sort(key=lambda each: each.object)
    applied.fallbacks.sort()
    applied.seconds = time.monotonic() - started
    return applied


class _Run:
    """Writes objects of one plan, so many at once, and notes in `applied` what became of each."""

    def __init__(self, green: Kubernetes, applied: Applied, count: int, *, force: bool, progress: Progress | None) -> None:
        self.written: list[Change] = []
        self._green, self._applied, self._count, self._force = green, applied, count, force
        self._progress = progress
        self._places = asyncio.Semaphore(AT_ONCE)
        self._done = 0  # objects of which it is known what became of them
        self._silent = 0  # objects in a row that green did not answer
        self._served_by: dict[Resource, float] = {}  # until when (monotonic) a 404 may mean "not yet"

    async def first(self, change: Change) -> Change | None:
        """The change itself where it was refused and is worth another try once all else is written."""
        async with self._places:
            try:
                await self._write(change)
            except (Conflict, Unreachable) as problem:
                self._not_written(change, problem)
            except BluegreenError:
                return change
        return None

    async def again(self, change: Change) -> None:
        async with self._places:
            try:
                await self._write(change)
            except BluegreenError as problem:
                self._not_written(change, problem)

    async def _write(self, change: Change) -> None:
        if self._silent >= MOST_SILENT:
            raise Unreachable(f"not tried: cluster {self._green.name} did not answer the last {self._silent} objects")
        answer = await self._answer(change)
        self._silent = 0
        self._applied.applied.append(change.name)
        self.written.append(change)
        kept = after_writing(change, answer)
        if kept.wait is Wait.DROPPED:
            self._applied.dropped.append(_dropped(kept))
        elif kept.paths:
            self._applied.notes.append((kept.name, not_kept(kept.paths)))
        if change.action == "create":
            self._applied.created += 1
        else:
            self._applied.updated += 1
        self._tell(change)

    async def _answer(self, change: Change) -> Object:
        """The object as green's API server answered. It serves a definition's objects a moment after it calls the definition
        established: a custom object is tried until then, in all no longer for many of a kind than for one.
        """
        deadline = time.monotonic()
        if kinds.wave(change.resource) == kinds.CUSTOM_WAVE:
            deadline = self._served_by.setdefault(change.resource, deadline + SERVED_SECONDS)
        while True:
            try:
                return await _create_or_apply(change, self._green, self._applied, force=self._force)
            except NotFound as problem:
                if time.monotonic() >= deadline or problem.of == kinds.NAMESPACE.name:
                    raise
            await asyncio.sleep(POLL_SECONDS)

    def _not_written(self, change: Change, problem: BluegreenError) -> None:
        self._silent += isinstance(problem, Unreachable)
        failures = self._applied.conflicts if isinstance(problem, Conflict) else self._applied.failures
        failures.append(_failure(change, problem))
        self._tell(change)

    def _tell(self, change: Change) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._count, change.name)


async def _still_there(written: Iterable[Change], green: Kubernetes, applied: Applied) -> None:
    """Looks whether what was created is on green: something there may delete it as soon as it comes."""
    created: dict[Resource, list[Change]] = {}
    for change in written:
        if change.action == "create":
            created.setdefault(change.resource, []).append(change)

    async def look(resource: Resource, changes: list[Change]) -> None:
        try:
            present = {key_of(obj) for obj in (await green.list(resource, metadata_only=True)).items}
        except BluegreenError as problem:
            applied.unread[on(resource.name, green.name)] = f"written, and could not be read back: {problem}"
            return
        for change in changes:
            if key_of(change.obj) not in present:
                applied.created -= 1
                reason = "created, and gone again: something on green deletes it"
                remedy = f"see which controller of green does (its audit log, `kubectl get events -A`); then {refusal.AGAIN}"
                applied.failures.append(Failure(change.name, reason, remedy))

    await asyncio.gather(*(look(resource, changes) for resource, changes in created.items()))


async def _create_or_apply(change: Change, green: Kubernetes, applied: Applied, *, force: bool) -> Object:
    """What green lacks is created, which costs an API server a third less than applying it; all else is applied."""
    if change.action == "create":
        try:
            applied.writes += 1
            return await green.create(change.resource, change.obj, manager=MANAGER, repeatable=True)
        except Conflict as problem:
            if not problem.exists:
                raise
            # made since the plan (a controller's default account, a first try whose answer was lost): as any other
    elif change.live is not None:
        await _own_by_apply(change, green, applied)
    return await _apply(change, green, applied, force=force)


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
    raise Rejected(f"cluster {green.name}: {change.name} changes faster than it can be written", remedy=SEE_WHO)


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


async def _apply(change: Change, green: Kubernetes, applied: Applied, *, force: bool) -> Object:
    try:
        applied.writes += 1
        return await green.apply(change.resource, change.obj, manager=MANAGER, force=force or change.force)
    except Rejected as problem:
        if not refused_by_typing(problem):
            raise
        applied.writes += 1
        answer = await _create_or_replace(change, green)
        applied.fallbacks.append(change.name)
        return answer


def refused_by_typing(problem: Rejected) -> bool:
    """Server-side apply cannot merge this legal object: doubled keys in a keyed list, or fields its schema lacks."""
    text = str(problem)
    return any(words in text for words in UNTYPED)


async def _create_or_replace(change: Change, green: Kubernetes) -> Object:
    resource, obj = change.resource, change.obj
    meta = obj["metadata"]
    for _ in range(3):
        live = await green.find(resource, meta.get("namespace"), meta["name"])
        try:
            if live is None:
                return await green.create(resource, obj, manager=MANAGER)
            return await green.replace(resource, merged(obj, live), manager=MANAGER)
        except Conflict:
            continue  # made or changed by somebody meanwhile: read it again
    raise Rejected(f"cluster {green.name}: {change.name} changes faster than it can be replaced", remedy=SEE_WHO)


def merged(wanted: Object, live: Object) -> Object:
    """A live object with our fields over it: what it was allotted (addresses, volume) stays."""
    result = dict(live)
    for key, value in wanted.items():
        current = result.get(key)
        result[key] = merged(value, current) if isinstance(value, dict) and isinstance(current, dict) else value
    return result


async def _definitions_established(wave: list[Change], green: Kubernetes) -> list[Failure]:
    """Waits until green serves the definitions just written; one that it does not serve is there and useless."""
    waited = {change.obj["metadata"]["name"]: change for change in wave if change.resource.kind == kinds.CRD.kind}
    deadline = time.monotonic() + ESTABLISHED_SECONDS
    failures = []
    why = "green has not established it"
    while waited:
        try:
            definitions = (await green.list(kinds.CRD)).items
        except BluegreenError as problem:
            definitions, why = [], f"whether green has established it could not be read: {problem}"
        present = {obj["metadata"]["name"] for obj in definitions}
        for obj in definitions:
            name = obj["metadata"]["name"]
            if name in waited and (refused := names_refused(obj)):
                remedy = f"`kubectl get crd` on green: remove or rename the other definition, then {refusal.AGAIN}"
                failures.append(Failure(waited.pop(name).name, refused, remedy))
            elif condition(obj, "Established", "True"):
                waited.pop(name, None)
        if definitions:
            for name in waited.keys() - present:
                del waited[name]  # it was refused, which is told with the object
        if not waited or time.monotonic() > deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    remedy = f"`kubectl get crd NAME -o yaml` on green says why under status.conditions; then {refusal.AGAIN}"
    failures += [
        Failure(change.name, f"{why} within {ESTABLISHED_SECONDS:g} s", remedy.replace("NAME", name))
        for name, change in waited.items()
    ]
    return failures


def _dropped(change: Change) -> Failure:
    definition = f"{change.resource.plural}.{change.resource.group}"
    remedy = f"compare `kubectl get crd {definition} -o yaml` of both clusters; with blue's on green, {refusal.AGAIN}"
    return Failure(change.name, change.reason, remedy)


def _failure(change: Change, problem: BluegreenError) -> Failure:
    meta = change.obj["metadata"]
    if isinstance(problem, Conflict) and problem.managers:
        reason = f"owned by {', '.join(problem.managers)}: {', '.join(problem.fields[:6])}"
        return Failure(change.name, reason, refusal.TAKE_OVER)
    silent = isinstance(problem, Unreachable)
    # of a refusal the object and its kind tell more than the client knows
    remedy = refusal.remedy(problem, change.resource, meta.get("namespace"), meta["name"])
    return Failure(change.name, str(problem), (problem.remedy if silent else None) or remedy, silent)
