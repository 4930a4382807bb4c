"""Everything (or some services) back to blue, at once. Asks nobody, waits for no lock and for no green.

Order: raise the fence in the store (a running shift stops at its next look), write the routes of both gateways in
parallel, then the file, then the journal, each as well as it can: a full disk or a torn journal does not stand between
users and the way back, it is told. Where requests come in by green's gateway the entry is moved back too, at the same
time: a green that cannot be told keeps its last split, and then only this takes users off it. That takes as long as
resolvers remember, and is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from migration.entry.move import Moved
from migration.entry.move import entry_back as go_back
from migration.errors import BluegreenError, Forbidden, LostFence, StoreError, Unreachable
from migration.model import WHOLE_BP, RouterState, Side
from migration.ports import Clock, Entry, Kubernetes, Router, Written
from migration.settings.stack_file import Edge, StackFile
from migration.shift.gateways import SIDES
from migration.shift.rolled import REASON, Proof, RollbackResult, SoFar
from migration.shift.witness import Others, Witness
from migration.store import returned
from migration.store.events import Change, Op, Outcome
from migration.store.journal import Journal
from migration.store.lock import Lock, take_over
from migration.store.record import write_record
from migration.words import counted, some

log = logging.getLogger(__name__)
MARKS = 4  # tries to rise above others' fences
LOOK_SECONDS = 1.5  # for a look at what is live; without it the file tells with whom to begin
CREDENTIALS_SECONDS = 0.3  # given to green's before blue is written by the files alone
GREEN_SECONDS = 1.0  # a green that nobody comes in by is not waited for longer than that without progress
EFFECT_SECONDS = 10.0  # without progress
UNPROVEN_SECONDS = 3.0  # a gateway's peer listener that has not answered by then cannot be asked from here
PROBE_SECONDS = 0.02
INSYNC_SECONDS = 60.0
TOLD = 5  # services of a kind that are named in words; `--json` has all


@dataclass(frozen=True)
class Books:
    """Fence and journal of a rollback, and what of them could not be had."""

    lock: Lock
    journal: Journal | None
    problems: tuple[str, ...] = ()


async def open_books(store: Path, wall: Callable[[], float]) -> Books:
    """As far as they can be had; raises nothing."""
    problems = []
    try:
        lock = await take_over(store)
    except StoreError as problem:
        lock = Lock(store, 0)
        problems.append(f"{problem}; a running `bluegreen shift` is not told: stop it")
    journal = None
    try:
        journal = Journal(store, lock.fence, wall)
    except StoreError as problem:
        problems.append(f"this is not in the journal: {problem}")
    return Books(lock, journal, tuple(problems))


async def rollback(
    edge: Edge,
    services: Sequence[str],
    *,
    routers: Mapping[Side, Router],
    entry: Entry | None,
    file: StackFile,
    books: Books,
    clock: Clock,
    clusters: Mapping[Side, Kubernetes] | None = None,
    reason: str = REASON,
    witness: Witness | None = None,
    so_far: SoFar | None = None,
) -> RollbackResult:
    """`services` have their originals; `witness` may know of others, and better than these. None but those whose file does
    not agree with the live route wait for it. `so_far` is told what is at blue, for one that is interrupted.
    """
    so_far = so_far or SoFar()
    so_far.services = tuple(services)
    began = clock.monotonic()
    splits = {**edge.services, **dict.fromkeys(services, 0)}
    generation = edge.generation + 1
    sides: list[Side] = [side for side in SIDES if side in routers]
    wrote: dict[Side, Written] = {}
    taken: dict[Side, set[str]] = {side: set() for side in sides}
    seen: dict[Side, RouterState | None] = {}
    public = asyncio.Event()  # blue's public routes have all had their turn
    # A program that fetches credentials takes seconds: no time-out of ours begins before it has ended, by its own at last.
    others = asyncio.ensure_future(witness.others()) if witness else None
    doubted: dict[Side, list[str]] = {}  # services whose file is not what the live route was made of
    opening = {side: asyncio.ensure_future(routers[side].ready()) for side in sides}

    async def one(side: Side) -> None:
        try:
            await opening[side]
        except BluegreenError as problem:
            wrote[side] = Written(generation, dict.fromkeys(services, problem))
            return
        looked = clock.monotonic()
        seen[side] = state = await _look(routers[side])
        left = _left(services, edge.services, state)
        if witness is not None and state is None:
            if side == "blue" and "green" in opening:  # whose word is worth a moment, but not its credentials' time
                await asyncio.wait({opening["green"]}, timeout=CREDENTIALS_SECONDS)
            patience = LOOK_SECONDS if all(each.done() for each in opening.values()) else 0.0
            _warn(await witness.settle(left, max(0.0, patience - (clock.monotonic() - looked))))
        elif witness is not None and state is not None:
            doubted[side] = [name for name in left if (there := state.routes.get(name)) and there.split_bp is None]
            left = [name for name in left if name not in doubted[side]]

        if side == "blue":
            so_far.at_blue |= set(services) - {*left, *doubted.get("blue", ())}

        def told(service: str) -> None:
            taken[side].add(service)
            if side == "blue":
                so_far.at_blue.add(service)
            if side == "blue" and len(taken[side]) == len(left):
                public.set()

        wrote[side] = await routers[side].write(
            splits, changed=left, generation=generation, fence=books.lock.fence, force=True, taken=told
        )

    async def rest(side: Side) -> None:
        """After all whose file is sure: what has to be settled, then what the file does not know of."""
        if witness is None or others is None:
            return
        if names := doubted.get(side):
            _warn(await witness.settle(names))
            await more(side, names)
        await more(side, list((await others).services))

    async def more(side: Side, names: Sequence[str]) -> None:
        if not names:
            return
        before = wrote[side]
        if side not in seen:  # it cannot be asked at all
            problem = opening[side].exception() or Unreachable("does not answer")
            assert isinstance(problem, BluegreenError)
            wrote[side] = replace(before, problems={**before.problems, **dict.fromkeys(names, problem)})
            return
        now = {name: split for name, split in splits.items() if name not in before.problems} | dict.fromkeys(names, 0)
        again = await routers[side].write(
            now,
            changed=names,
            generation=before.generation,
            fence=books.lock.fence,
            force=True,
            taken=lambda service: (so_far.at_blue if side == "blue" else taken[side]).add(service),
        )
        wrote[side] = Written(again.generation, {**before.problems, **again.problems}, again.record)

    async def whole(side: Side) -> None:
        await one(side)
        await rest(side)

    async def probe(side: Side, service: str) -> Proof:
        """FAILED: its gateway answers, with another split."""
        try:
            return Proof.SERVED if await routers[side].in_effect(service, 0) else Proof.FAILED
        except BluegreenError:
            return Proof.ACCEPTED

    async def effect(side: Side, names: Sequence[str]) -> dict[str, Proof]:
        """By service what its gateway says of itself, or why its route was not written."""
        failed = wrote[side].problems
        seen = {service: _unwritten(failed[service]) for service in names if service in failed}
        left, heard, since = [service for service in names if service not in failed], False, clock.monotonic()
        while left:
            answers = dict(zip(left, await asyncio.gather(*(probe(side, service) for service in left)), strict=True))
            seen |= answers
            heard = heard or any(answer is not Proof.ACCEPTED for answer in answers.values())
            still = [service for service, answer in answers.items() if answer is not Proof.SERVED]
            if len(still) < len(left):
                left, since = still, clock.monotonic()
            elif clock.monotonic() - since > (EFFECT_SECONDS if heard else UNPROVEN_SECONDS):
                break
            await clock.sleep(PROBE_SECONDS)
        return seen

    new_entry: dict[str, int] = {}
    entry_back = None
    asked_for = {*services, *(witness.missing if witness else ())}
    if edge.green_entry_bp and asked_for >= {service for service, split in edge.services.items() if split > 0}:
        new_entry = {edge.blue: WHOLE_BP, **({edge.green: 0} if edge.green else {})}
        entry_back = asyncio.ensure_future(go_back(entry, new_entry))
    green_entry = edge.green_entry_bp
    blue = asyncio.ensure_future(one("blue"))
    if green_entry == 0:  # nobody comes in by green: blue's public routes have the machine for themselves
        await asyncio.wait({opening["blue"]})
        early = asyncio.ensure_future(public.wait())
        await asyncio.wait({blue, early}, timeout=GREEN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        early.cancel()
    green = asyncio.ensure_future(whole("green")) if "green" in routers else None
    await blue
    beside = asyncio.ensure_future(rest("blue"))
    at_blue = await effect("blue", [service for service in services if service not in doubted.get("blue", ())])
    seconds = clock.monotonic() - began
    _say(edge.blue, at_blue, seconds)
    await beside
    found = await others if others else Others()
    _warn(found.told)
    splits |= dict.fromkeys(found.services, 0)
    services = [*services, *found.services]
    if late := [service for service in services if service not in at_blue]:
        at_blue |= await effect("blue", late)
        seconds = clock.monotonic() - began
    in_effect: dict[Side, Proof] = {"blue": _worst(at_blue)}
    entry_told = None
    if green is None:
        in_effect["green"] = Proof.UNREACHABLE
    else:
        while not green.done():
            before, begun = len(taken["green"]), opening["green"].done()
            await asyncio.wait({green}, timeout=GREEN_SECONDS)
            if green_entry == 0 and begun and not green.done() and len(taken["green"]) == before < len(services):
                green.cancel()
                break
        await asyncio.wait({green})
        if not green.cancelled():
            green.result()
        if "green" not in wrote:
            gone = Unreachable(f"{routers['green'].cluster} does not answer")
            wrote["green"] = Written(generation, dict.fromkeys(services, gone))
        elif cut := [s for s in (*doubted.get("green", ()), *found.services) if s not in taken["green"]]:
            gone = Unreachable(f"{routers['green'].cluster} does not answer")
            wrote["green"] = replace(wrote["green"], problems={**dict.fromkeys(cut, gone), **wrote["green"].problems})
        in_effect["green"] = _worst(await effect("green", services))
        if green_entry:
            seconds = clock.monotonic() - began
    problems = list(books.problems)
    not_back = {
        service: str(problem) if problem else "blue's gateway does not serve it yet"
        for service in services
        if (problem := wrote["blue"].problems.get(service)) or at_blue[service] is Proof.FAILED
    }
    if not_back:  # first what users suffer from
        behind = f"{len(not_back)} of {counted(len(services), 'service')}"
        problems.insert(0, f"blue's gateway may still forward {behind} to green: {some(not_back)}")
    if lost := found.lost:
        problems.append(f"{some(lost)}: still at the old split, for the original route cannot be found")
    problems += found.problems
    moved = None
    if entry_back is not None:
        back = await entry_back
        if isinstance(back, Moved):
            moved, entry_told = back, back.words
        else:
            problems.append(back.problem)
    through_green = bool(green_entry) and moved is None and in_effect["green"] is not Proof.SERVED
    if through_green and entry_back is None:
        problems.append(
            "users still enter through green's gateway, which is not known to serve the new split; "
            "`bluegreen rollback` without a service moves the entry back"
        )
    if "green" in wrote and (kept := wrote["green"].problems):
        log.warning("green's gateway keeps its old split of %s: %s", counted(len(kept), "service"), _some(kept))
    for side, written in wrote.items():
        if written.record is not None:
            log.warning("%s keeps an older record of the edge: %s", routers[side].cluster, written.record)
    try:
        now = file.write(
            services=dict.fromkeys([name for name in services if name in edge.services or name in found.filed], 0),
            entry=new_entry if moved else None,
            generation=max(generation, *(written.generation for written in wrote.values())),
            force=True,
        )
        if moved:  # the routers' records have the entry as it was
            await write_record(clusters or {}, now)
    except BluegreenError as problem:
        problems.append(
            f"{file.path} could not be written: {problem}; set these services to 0 there before the next `pulumi up`"
        )
    live = {side: state for side, state in seen.items() if state is not None}
    on_green = {service for service in services if edge.services.get(service) or found.services.get(service)} | {
        service for state in live.values() for service in services if (there := state.routes.get(service)) and there.split_bp
    }
    answering = {side: routers[side] for side in wrote if not wrote[side].problems or taken[side]}
    await returned.keep(answering, dict.fromkeys(sorted(on_green), words(reason)))
    for side in [side for side in answering if side not in live]:  # it was too slow for the first look
        with contextlib.suppress(BluegreenError):
            live[side] = await routers[side].read()
    highest = max((state.fence for state in live.values()), default=0)
    with contextlib.suppress(BluegreenError):
        await books.lock.rise_above(highest)
    fence = max(books.lock.fence, highest + 1)
    again = await asyncio.gather(
        *(_mark(router, books.lock, fence, services, splits, generation) for router in answering.values())
    )
    problems += [problem for problem in again if problem]
    if books.journal is not None:
        _enter(books.journal, edge, services, reason)
        if books.journal.trouble:
            problems.append(books.journal.trouble)
    if entry is not None and moved and not await _in_sync(entry, moved.change, clock):
        entry_told = f"{entry_told}; Route 53 has not finished it yet (`bluegreen entry status`)"
    everything, not_back = (*services, *lost), {**not_back, **lost}
    return RollbackResult(
        services=everything,
        back=tuple(service for service in everything if service not in not_back),
        not_back=not_back,
        in_effect=in_effect,
        problems=tuple(problems),
        entry=entry_told,
        seconds=seconds,
        through_green=through_green,
        refused=tuple(side for side in wrote if any(isinstance(each, Forbidden) for each in wrote[side].problems.values())),
        lost=tuple(lost),
        complete=in_effect["blue"] in (Proof.SERVED, Proof.ACCEPTED) and not problems,
    )


def _say(blue: str, at_blue: Mapping[str, Proof], seconds: float) -> None:
    """At once what users wait for: a green whose credentials take their time may come much later."""
    if back := [service for service, proof in at_blue.items() if proof is Proof.SERVED]:
        told = counted(len(back), "service")
        log.info("%s at blue (%s), in effect after %.2f s; green's gateway is told next", told, blue, seconds)
    if taken := [service for service, proof in at_blue.items() if proof is Proof.ACCEPTED]:
        log.info("blue (%s) took %s; green's gateway is told next", blue, counted(len(taken), "service"))


def words(reason: str) -> str:
    """Why a service went back, as the journal, the clusters and `status` have it."""
    return reason if reason == REASON else f"{REASON}: {reason}"


def _warn(told: Sequence[str]) -> None:
    for each in told:
        log.warning("%s", each)


async def _mark(
    router: Router, lock: Lock, fence: int, services: Sequence[str], splits: Mapping[str, int], generation: int
) -> str | None:
    """Raises the fence on the routes, at which a shift of any store stops; what it wrote of `services` meanwhile is written
    over. Who has a higher fence, as another rollback has, is risen above: we were asked, too.
    """
    lost: LostFence | None = None
    for _ in range(MARKS):
        try:
            if changed := [name for name in await router.raise_fence(fence) if name in services]:
                await router.write(splits, changed=changed, generation=generation, fence=fence, force=True)
            return None
        except LostFence as problem:
            lost = problem
        except BluegreenError as problem:
            log.warning("%s: not every route carries fence %d: %s", router.cluster, fence, problem)
            return None
        if (state := await _look(router)) is None:
            break
        with contextlib.suppress(BluegreenError):
            await lock.rise_above(state.fence)
        fence = max(lock.fence, state.fence + 1)
    if (state := await _look(router)) and not _left(services, {}, state):
        log.warning("%s; all that was to go back is at blue there", lost)
        return None
    return f"{lost}: stop the `bluegreen shift` that runs there, or it goes on"


async def _look(router: Router) -> RouterState | None:
    try:
        return await asyncio.wait_for(router.read(), LOOK_SECONDS)
    except (BluegreenError, TimeoutError):
        return None


def _left(services: Sequence[str], filed: Mapping[str, int], live: RouterState | None) -> list[str]:
    """What is to be written, those with most users on green first. What was read as back already is left out."""
    there = {}
    for service in services:
        route = live.routes.get(service) if live else None
        if route is None or route.split_bp is None:
            there[service] = filed.get(service, 0) if live is None else WHOLE_BP
        elif route.split_bp or route.probe_bp != 0:
            there[service] = route.split_bp
    return sorted(there, key=lambda service: -there[service])


def _unwritten(problem: BluegreenError) -> Proof:
    return Proof.UNREACHABLE if isinstance(problem, Unreachable) else Proof.FAILED


def _worst(seen: Mapping[str, Proof]) -> Proof:
    order = list(Proof)
    return max(seen.values(), key=order.index, default=Proof.SERVED)


def _some(problems: Mapping[str, object]) -> str:
    by_problem: dict[str, list[str]] = {}
    for service, problem in problems.items():
        by_problem.setdefault(str(problem), []).append(service)
    told = [f"{some(names, TOLD)}: {problem}" for problem, names in list(by_problem.items())[:TOLD]]
    return "; ".join(told) + (f"; and {len(by_problem) - TOLD} other reasons" if len(by_problem) > TOLD else "")


def _enter(journal: Journal, edge: Edge, services: Sequence[str], reason: str) -> None:
    ids = journal.record(Op.ROLLBACK, [Change(service, edge.services.get(service), 0, reason) for service in services])
    journal.outcomes(Op.ROLLBACK, ids, [Outcome(service, 0, reason) for service in services])
    for service in services:
        if edge.services.get(service, 0) > 0:
            journal.note(Op.RETURN, service, reason=words(reason))


async def _in_sync(entry: Entry, change: str, clock: Clock) -> bool:
    deadline = clock.monotonic() + INSYNC_SECONDS
    while clock.monotonic() < deadline:
        try:
            if await entry.in_effect(change):
                return True
        except BluegreenError:
            return False
        await clock.sleep(0.25)
    return False
