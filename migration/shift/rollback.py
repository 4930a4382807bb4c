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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from migration.entry.move import Moved, NotMoved, entry_back
from migration.errors import BluegreenError, Forbidden, LostFence
from migration.model import RouterState, Side
from migration.ports import Clock, Entry, Kubernetes, Router
from migration.settings.stack_file import Edge, StackFile
from migration.shift.gateways import SIDES
from migration.shift.ledger import Ledger, words
from migration.shift.proof import Proof
from migration.shift.rolled import REASON, RollbackResult, SoFar
from migration.shift.side_back import SideBack, look, warn
from migration.shift.way_back import behind, by_problem, not_back, to_write, way_back, worst
from migration.shift.witness import Others, Witness
from migration.store import returned
from migration.store.record import write_record
from migration.words import counted, some

log = logging.getLogger(__name__)
MARKS = 4  # tries to rise above others' fences
GREEN_SECONDS = 1.0  # a green that nobody comes in by is not waited for longer than that without progress
INSYNC_SECONDS = 60.0
NO_ENTRY_MOVE = (
    "users still enter through green's gateway, which is not known to serve the new split; "
    "`bluegreen rollback` without a service moves the entry back"
)


@dataclass(frozen=True)
class Means:
    """What a rollback works with."""

    routers: Mapping[Side, Router]
    entry: Entry | None
    file: StackFile
    ledger: Ledger
    clock: Clock
    clusters: Mapping[Side, Kubernetes] = field(default_factory=dict)
    witness: Witness | None = None  # may know of services that the file lacks, and better than it


@dataclass
class Proofs:
    """What is known of the gateways. `seconds`: until those that users enter through served it."""

    blue: dict[str, Proof] = field(default_factory=dict)
    green: Proof = Proof.UNREACHABLE
    seconds: float = 0.0

    def by_side(self) -> dict[Side, Proof]:
        """The worst of each side."""
        return {"blue": worst(self.blue), "green": self.green}


async def rollback(
    edge: Edge, services: Sequence[str], means: Means, *, reason: str = REASON, so_far: SoFar | None = None
) -> RollbackResult:
    """`services` have their originals. None but those whose file does not agree with the live route wait for the witness.
    `so_far` is told what is at blue, for one that is interrupted.
    """
    so_far = so_far or SoFar()
    so_far.services = tuple(services)
    return await Rollback(edge, services, means, so_far).run(reason)


class Rollback:
    def __init__(self, edge: Edge, services: Sequence[str], means: Means, so_far: SoFar) -> None:
        witness = means.witness
        self.edge, self.means = edge, means
        self.began = means.clock.monotonic()
        self.way = way_back(edge, services, witness.missing if witness else ())
        self.problems = list(means.ledger.problems)
        self.proofs = Proofs()
        self.others: asyncio.Task[Others] | None = asyncio.ensure_future(witness.others()) if witness else None
        fence = means.ledger.lock.fence
        # a program that fetches credentials takes seconds: no time-out of ours begins before it has ended
        self.sides: dict[Side, SideBack] = {
            side: SideBack(
                side, means.routers[side], self.way, means.clock, fence, witness, so_far.at_blue if side == "blue" else set()
            )
            for side in SIDES
            if side in means.routers
        }
        self.moving = asyncio.ensure_future(entry_back(means.entry, self.way.entry)) if self.way.entry else None

    async def run(self, reason: str) -> RollbackResult:
        """Gateways and entry first; what people and later runs read comes after."""
        others = await self._write()
        left = not_back(self.way.services, self.proofs.blue, self.sides["blue"].problems)
        if left:  # first what users suffer from
            self.problems.insert(0, behind(left, self.way.services))
        self._report_others(others)
        entry = await self.moving if self.moving else None
        through_green = self._through_green(entry)
        self._warn_of_green()
        moved = isinstance(entry, Moved)
        await self._write_file(others, moved=moved)
        await self._keep_and_mark(others, reason)
        if trouble := self.means.ledger.enter(self.edge, self.way.services, reason):
            self.problems.append(trouble)
        everything, left = (*self.way.services, *others.lost), {**left, **others.lost}
        proofs = self.proofs.by_side()
        return RollbackResult(
            services=everything,
            back=tuple(service for service in everything if service not in left),
            not_back=left,
            in_effect=proofs,
            problems=tuple(self.problems),
            entry=await self._entry_words(entry),
            seconds=self.proofs.seconds,
            through_green=through_green,
            refused=tuple(side for side, each in self.sides.items() if _refused(each)),
            lost=tuple(others.lost),
            complete=proofs["blue"] in (Proof.SERVED, Proof.ACCEPTED) and not self.problems,
        )

    # -- the gateways ------------------------------------------------------------------------------------------------

    async def _write(self) -> Others:
        blue, green = self.sides["blue"], self.sides.get("green")
        writing_blue = await self._begin_blue(blue)
        writing_green = asyncio.ensure_future(self._whole(green)) if green else None
        await writing_blue
        rest = asyncio.ensure_future(blue.rest(self.others))
        self.proofs.blue = await blue.effect(service for service in self.way.services if service not in blue.doubted)
        self._in_effect()
        _say(self.edge.blue, self.proofs.blue, self.proofs.seconds)
        await rest
        others = await self.others if self.others else Others()
        warn(others.notes)
        self.way = self.way.along_with(others)
        if late := [service for service in self.way.services if service not in self.proofs.blue]:
            self.proofs.blue |= await blue.effect(late)
            self._in_effect()
        if green and writing_green:
            await self._end_green(green, writing_green)
            green.settled(self.way.services, others.services)
            self.proofs.green = worst(await green.effect(self.way.services))
            if self.way.through_green:
                self._in_effect()
        return others

    def _in_effect(self) -> None:
        self.proofs.seconds = self.means.clock.monotonic() - self.began

    async def _begin_blue(self, blue: SideBack) -> asyncio.Task[None]:
        """Ends when green may begin: where nobody comes in by it, blue's public routes have the machine for themselves."""
        openings = [side.opening for side in self.sides.values()]
        writing = asyncio.ensure_future(blue.write(self.edge.services, openings))
        if self.way.through_green:
            return writing
        await asyncio.wait({blue.opening})
        public = asyncio.ensure_future(blue.public.wait())
        await asyncio.wait({writing, public}, timeout=GREEN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        public.cancel()
        return writing

    async def _whole(self, side: SideBack) -> None:
        await side.write(self.edge.services, [each.opening for each in self.sides.values()])
        await side.rest(self.others)

    async def _end_green(self, green: SideBack, writing: asyncio.Task[None]) -> None:
        """A green that nobody comes in by is waited for as long as it makes progress."""
        while not writing.done():
            before, begun = len(green.taken), green.opening.done()
            await asyncio.wait({writing}, timeout=GREEN_SECONDS)
            stands = len(green.taken) == before < len(self.way.services)
            if not self.way.through_green and begun and not writing.done() and stands:
                writing.cancel()
                break
        await asyncio.wait({writing})
        if not writing.cancelled():
            writing.result()

    # -- what is said of it ------------------------------------------------------------------------------------------

    def _report_others(self, others: Others) -> None:
        if others.lost:
            self.problems.append(f"{some(others.lost)}: still at the old split, for the original route cannot be found")
        self.problems += others.problems

    def _through_green(self, entry: Moved | NotMoved | None) -> bool:
        """Whether users still enter by a green of which it is not known that it serves the way back."""
        if isinstance(entry, NotMoved):
            self.problems.append(entry.problem)
        if not self.way.through_green or isinstance(entry, Moved) or self.proofs.green is Proof.SERVED:
            return False
        if entry is None:
            self.problems.append(NO_ENTRY_MOVE)
        return True

    def _warn_of_green(self) -> None:
        if (green := self.sides.get("green")) and (kept := green.problems):
            log.warning("green's gateway keeps its old split of %s: %s", counted(len(kept), "service"), by_problem(kept))
        for side in self.sides.values():
            if side.written and side.written.record is not None:
                log.warning("%s keeps an older record of the edge: %s", side.router.cluster, side.written.record)

    async def _entry_words(self, entry: Moved | NotMoved | None) -> str | None:
        if not isinstance(entry, Moved):
            return None
        if self.means.entry is not None and not await _in_sync(self.means.entry, entry.change, self.means.clock):
            return f"{entry.words}; Route 53 has not finished it yet (`bluegreen entry status`)"
        return entry.words

    # -- after users ---------------------------------------------------------------------------------------------------

    async def _write_file(self, others: Others, *, moved: bool) -> None:
        file, written = self.means.file, [side.written for side in self.sides.values() if side.written]
        filed = [service for service in self.way.services if service in self.edge.services or service in others.filed]
        try:
            now = file.write(
                services=dict.fromkeys(filed, 0),
                entry=self.way.entry if moved else None,
                generation=max(self.way.generation, *(each.generation for each in written)),
                force=True,
            )
            if moved:  # the routers' records have the entry as it was
                await write_record(self.means.clusters, now)
        except BluegreenError as problem:
            self.problems.append(
                f"{file.path} could not be written: {problem}; set these services to 0 there before the next `pulumi up`"
            )

    async def _keep_and_mark(self, others: Others, reason: str) -> None:
        """On clusters that answer: which services went back, and a fence above all others."""
        answering = {name: side for name, side in self.sides.items() if side.written and (not side.problems or side.taken)}
        routers = {name: side.router for name, side in answering.items()}
        await returned.keep(routers, dict.fromkeys(sorted(self._on_green(others)), words(reason)))
        live = self._live()
        for name in routers.keys() - live.keys():  # it was too slow for the first look
            with contextlib.suppress(BluegreenError):
                live[name] = await routers[name].read()
        highest = max((state.fence for state in live.values()), default=0)
        lock = self.means.ledger.lock
        with contextlib.suppress(BluegreenError):
            await lock.rise_above(highest)
        fence = max(lock.fence, highest + 1)
        marks = await asyncio.gather(*(self._mark(router, fence) for router in routers.values()))
        self.problems += [problem for problem in marks if problem]

    def _live(self) -> dict[Side, RouterState]:
        return {name: side.live for name, side in self.sides.items() if side.live is not None}

    def _on_green(self, others: Others) -> set[str]:
        """Services that had users on green, by the file or by what was live."""
        services, live = self.way.services, self._live()
        filed = {service for service in services if self.edge.services.get(service) or others.services.get(service)}
        routes = [(service, state.routes.get(service)) for state in live.values() for service in services]
        return filed | {service for service, route in routes if route and route.split_bp}

    async def _mark(self, router: Router, fence: int) -> str | None:
        """Raises the fence on the routes, at which a shift of any store stops; what it wrote of the services meanwhile is
        written over. Who has a higher fence, as another rollback has, is risen above: we were asked, too.
        """
        lost: LostFence | None = None
        lock, way = self.means.ledger.lock, self.way
        for _ in range(MARKS):
            try:
                if changed := [name for name in await router.raise_fence(fence) if name in way.services]:
                    await router.write(way.splits, changed=changed, generation=way.generation, fence=fence, force=True)
                return None
            except LostFence as problem:
                lost = problem
            except BluegreenError as problem:
                log.warning("%s: not every route carries fence %d: %s", router.cluster, fence, problem)
                return None
            if (state := await look(router)) is None:
                break
            with contextlib.suppress(BluegreenError):
                await lock.rise_above(state.fence)
            fence = max(lock.fence, state.fence + 1)
        if (state := await look(router)) and not to_write(way.services, {}, state):
            log.warning("%s; everything to roll back is at blue there", lost)
            return None
        return f"{lost}: stop the `bluegreen shift` that runs there, or it continues"


def _refused(side: SideBack) -> bool:
    return any(isinstance(problem, Forbidden) for problem in side.problems.values())


def _say(blue: str, proofs: Mapping[str, Proof], seconds: float) -> None:
    """At once what users wait for: a green whose credentials take their time may come much later."""
    if back := [service for service, proof in proofs.items() if proof is Proof.SERVED]:
        services = counted(len(back), "service")
        log.info("%s at blue (%s), in effect after %.2f s; green's gateway is next", services, blue, seconds)
    if taken := [service for service, proof in proofs.items() if proof is Proof.ACCEPTED]:
        log.info("blue (%s) took %s; green's gateway is next", blue, counted(len(taken), "service"))


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
