"""Everything (or some services) back to blue, at once. Asks nobody, waits for no lock and for no green.

Order: raise the fence in the store (a running shift stops at its next look), write the routes of both gateways in
parallel, then the file, then the journal, each as well as it can: a full disk or a torn journal does not stand between
users and the way back, it is told. Where requests come in by green's gateway the entry is moved back too, at the same
time: a green that cannot be told keeps its last split, and then only this takes users off it. That takes as long as
resolvers remember, and is said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration.entry import entry_back as go_back
from migration.errors import BluegreenError, ConfigError, Unreachable
from migration.journal import Journal
from migration.lock import Lock, take_over
from migration.model import WHOLE_BP, Side
from migration.ports import Clock, Entry, Kubernetes, Router
from migration.record import write_record
from migration.stackfile import Edge, StackFile

log = logging.getLogger(__name__)
WRITE_SECONDS = 10.0
EFFECT_SECONDS = 10.0
UNPROVEN_SECONDS = 3.0  # a gateway's peer listener that has not answered by then cannot be asked from here
PROBE_SECONDS = 0.02
INSYNC_SECONDS = 60.0


@dataclass(frozen=True)
class Rolled:
    services: tuple[str, ...]
    in_effect: Mapping[Side, bool | None]  # None: taken, but the gateway cannot be asked from here
    problems: tuple[str, ...]  # what could not be done; each with its remedy
    entry: str | None  # what became of the entry, in words
    seconds: float  # until the gateways that users come in by served it

    @property
    def complete(self) -> bool:
        """Whether no user reaches green any more, or will not once caches have run out."""
        return self.in_effect.get("blue", False) is not False and not self.problems


@dataclass(frozen=True)
class Books:
    """Fence and journal of a rollback, and what of them could not be had."""

    lock: Lock
    journal: Journal | None
    problems: tuple[str, ...] = ()


def open_books(store: Path, wall: Callable[[], float]) -> Books:
    """As far as they can be had; raises nothing."""
    problems = []
    try:
        lock = take_over(store)
    except OSError as problem:
        lock = Lock(store, 0)
        problems.append(f"{store} cannot be written: {problem}; a running `bluegreen shift` is not told: stop it")
    journal = None
    try:
        journal = Journal(store, lock.fence, wall)
    except (ConfigError, OSError) as problem:
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
    reason: str = "asked for",
) -> Rolled:
    began = clock.monotonic()
    splits = {**edge.services, **dict.fromkeys(services, 0)}
    generation = edge.generation + 1
    wrote: dict[Side, int | BluegreenError] = {}

    async def one(side: Side) -> None:
        router = routers[side]
        try:
            wrote[side] = await asyncio.wait_for(
                router.write(splits, changed=services, generation=generation, fence=books.lock.fence, force=True),
                WRITE_SECONDS,
            )
        except TimeoutError:
            wrote[side] = Unreachable(f"{router.cluster} did not take the write within {WRITE_SECONDS:g} s")
        except BluegreenError as problem:
            wrote[side] = problem

    async def probe(side: Side, service: str) -> bool | None:
        try:
            return await routers[side].in_effect(service, 0)
        except BluegreenError:
            return None

    async def effect(side: Side) -> bool | None:
        asked_at = clock.monotonic()
        left, heard = list(services), False
        while True:
            answers = await asyncio.gather(*(probe(side, service) for service in left))
            heard = heard or any(answer is not None for answer in answers)
            left = [service for service, answer in zip(left, answers, strict=True) if not answer]
            if not left:
                return True
            if clock.monotonic() - asked_at > (EFFECT_SECONDS if heard else UNPROVEN_SECONDS):
                return False if False in answers else None
            await clock.sleep(PROBE_SECONDS)

    new_entry: dict[str, int] = {}
    entry_back = None
    if edge.green_entry_bp and set(services) >= {service for service, split in edge.services.items() if split > 0}:
        new_entry = {edge.blue: WHOLE_BP, **({edge.green: 0} if edge.green else {})}
        entry_back = asyncio.ensure_future(go_back(entry, new_entry))
    # blue is waited for; green gets the same time, in parallel, and is not waited for where it stays silent
    green = asyncio.ensure_future(one("green")) if "green" in routers else None
    await one("blue")
    in_effect: dict[Side, bool | None] = {"blue": await effect("blue") if isinstance(wrote["blue"], int) else False}
    seconds = clock.monotonic() - began
    entry_told = None
    green_entry = edge.green_entry_bp
    if green is None:
        in_effect["green"] = False
    else:
        if green_entry == 0 and not green.done():
            await asyncio.wait({green}, timeout=1.0)
            if not green.done():
                green.cancel()
                wrote["green"] = Unreachable(f"{routers['green'].cluster} does not answer")
        else:
            await green
        in_effect["green"] = await effect("green") if isinstance(wrote["green"], int) else False
        if green_entry:
            seconds = clock.monotonic() - began
    problems = list(books.problems)
    if isinstance(blue := wrote["blue"], BluegreenError):
        problems.append(f"blue's gateway still forwards to green: {blue}; try `bluegreen rollback` again")
    change, moved = None, False
    if entry_back is not None:
        back = await entry_back
        change, entry_told, moved = back.change, back.told, back.problem is None
        if back.problem:
            problems.append(back.problem)
    elif green_entry and not in_effect.get("green"):
        problems.append(
            "requests still come in by green's gateway, which cannot be told; "
            "`bluegreen rollback` without a service moves the entry back"
        )
    if isinstance(silent := wrote.get("green"), BluegreenError):
        log.warning("green's gateway keeps its last split: %s", silent)
    written = [number for number in wrote.values() if isinstance(number, int)]
    try:
        now = file.write(
            services=dict.fromkeys(services, 0),
            entry=new_entry if moved else None,
            generation=max(written, default=generation),
            force=True,
        )
        if moved:  # the routers' records have the entry as it was
            await write_record(clusters or {}, now)
    except (BluegreenError, OSError) as problem:
        problems.append(
            f"{file.path} could not be written: {problem}; set these services to 0 there before the next `pulumi up`"
        )
    if books.journal is not None:
        _enter(books.journal, edge, services, reason)
        if books.journal.trouble:
            problems.append(books.journal.trouble)
    if entry is not None and change and not await _in_sync(entry, change, clock):
        entry_told = f"{entry_told}; Route 53 has not finished it yet (`bluegreen entry status`)"
    return Rolled(tuple(services), in_effect, tuple(problems), entry_told, seconds)


def _enter(journal: Journal, edge: Edge, services: Sequence[str], reason: str) -> None:
    changes = [(service, edge.services.get(service), 0, reason) for service in services]
    ids = journal.intents("rollback", changes, needed=False)
    journal.outcomes("rollback", ids, dict.fromkeys(services, (0, reason)))
    for service in services:
        if edge.services.get(service, 0) > 0:
            journal.note("return", service, reason=f"rollback {reason}")


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
