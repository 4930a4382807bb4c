"""Moves services to green, one loop for all of them: read, ask `decide`, write, record.

A tick is one sample interval. Nothing in it waits for anything slow: the metrics store, probes and looks at the live routes
run beside it and hand in what they found. Only writes are waited for, both gateways at once. Each part owns its state:

    services     where each service is            observe      counters and the store's words
    writer       file, generation, whose gateway  gateways     the routes of both, and what they are owed
    effect       what is served by now            leave_green  the entry, where green cannot be written
    floors       what bakes need no more          report       what the journal and the log have been told
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from migration.errors import BluegreenError, LostFence, StoreError
from migration.model import NEVER, Phase, RouterState, ServiceState, Side
from migration.shift.begin import Beginning, beginning, refuse_older
from migration.shift.decide import JUDGED, ON_GREEN, Decision, decide
from migration.shift.effect import Effect
from migration.shift.floors import Floors
from migration.shift.gateways import SIDES, Gateways
from migration.shift.judge import Observation
from migration.shift.leave_green import LeaveGreen
from migration.shift.observe import Counted, Observer
from migration.shift.report import Reporter
from migration.shift.services import Services
from migration.shift.world import Result, Rules, Shown, World
from migration.shift.writer import Writer
from migration.store import returned
from migration.store.events import RUN, Op
from migration.store.memory import Remembered, remember

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0
PROGRESS_SECONDS = 10.0
BASELINE_SECONDS = 60.0
KEEP_SECONDS = 5.0  # at the end, for a cluster to take which services went back


class Shift:
    """One run, from outside: `run` does it, `stop` ends it, `state` and `result` tell how far it is."""

    def __init__(self, world: World, rules: Rules) -> None:
        self.world, self.rules = world, rules
        self.on_tick: Callable[[Shown], None] = lambda shown: None
        self.stop = asyncio.Event()
        self.services = Services()

    @property
    def state(self) -> Mapping[str, ServiceState]:
        """Where each service is; empty before the run has begun."""
        return self.services.states

    async def run(self, retry: frozenset[str] = frozenset()) -> Result:
        """Moves until all is done or `stop` is set. `retry`: services that went back and are tried again.

        Raises:
            LostFence: another process took the migration over.
            BluegreenError: the world could not be read at the beginning, or a gateway's route not marked.
        """
        loop = Loop(self.world, self.rules, self.services, self.on_tick)
        try:
            await loop.begin(retry)
            await self._until_done(loop)
            return self.result()
        finally:
            await loop.end()

    async def _until_done(self, loop: Loop) -> None:
        start = self.world.clock.monotonic()
        ticks = 0
        while not await loop.tick():
            ticks += 1
            now = self.world.clock.monotonic()
            interval = self.rules.policy.sample_interval_seconds
            due = start + ticks * interval
            if due < now - interval:  # fell behind (suspended): do not make up for lost ticks
                start, ticks, due = now, 0, now
            await self._rest(max(0.0, due - now))
            if self.stop.is_set():
                loop.interrupted()
                return
        await loop.floors.release_rest()

    async def _rest(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self.world.clock.sleep(seconds))
        stopping = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (sleeping, stopping):
            task.cancel()

    def result(self) -> Result:
        """How far it is, also while it runs."""
        reasons, went_back, stay = self.services.reasons, self.services.returned, self.rules.order.stay
        left = reasons(Phase.RETURNED, Phase.HELD, Phase.WAITING, Phase.MOVING)
        return Result(
            arrived=tuple(service for service in self.services.of(Phase.ARRIVED, Phase.BAKED) if service not in stay),
            returned=dict(went_back),
            behind={service: why for service, why in left.items() if service not in went_back and service not in stay},
            frozen=reasons(Phase.FROZEN),
            splits=self.services.splits(),
        )


class Loop:
    """The parts of a run, and in which order they have their turn."""

    def __init__(self, world: World, rules: Rules, services: Services, on_tick: Callable[[Shown], None]) -> None:
        self.world, self.rules, self.services, self.on_tick = world, rules, services, on_tick
        journal, clock, routers = world.journal, world.clock, world.routers
        self.observer = Observer(world, rules, services)
        self.reporter = Reporter(journal, clock, services, self.observer)
        self.gateways = Gateways(routers, clock, world.lock.fence, force=rules.reassert)
        self.effect = Effect(routers, clock, journal, self.gateways, services, self.observer, self.reporter)
        self.gateways.on_paid = self.effect.watch
        self.writer = Writer(world, services, self.gateways, self.observer, self.reporter, self.effect)
        self.leave_green = LeaveGreen(world, services, self.gateways, self.writer)
        self.floors = Floors(world, services)
        self._looking: asyncio.Task[None] | None = None
        self._keeping: list[asyncio.Task[None]] = []  # writes of which services went back
        self._looked_at = self._noted_at = self._baselines_at = NEVER

    # -- begin and end -----------------------------------------------------------------------------------------------

    async def begin(self, retry: frozenset[str]) -> None:
        """Reads the world as it is and settles what a crash left between two writes."""
        begun, memory = await self._read(retry)
        self._take_over(begun, memory)
        await asyncio.gather(*(self.world.routers[side].raise_fence(self.world.lock.fence) for side in SIDES))
        if begun.moves:
            await self.writer.back(begun.moves, self.services.states)
        await returned.keep(self.world.routers, begun.to_keep())
        self.world.journal.settle(self.services.splits(), "as found after a restart")
        for service in self.services.of(*ON_GREEN):
            self.effect.watch(service)

    async def _read(self, retry: frozenset[str]) -> tuple[Beginning, Mapping[str, Remembered]]:
        world = self.world
        edge = world.file.read()
        states = await asyncio.gather(*(world.routers[side].read() for side in SIDES))
        live: dict[Side, RouterState] = dict(zip(SIDES, states, strict=True))
        generation = max(edge.generation, *(state.generation or 0 for state in states))
        highest = max(state.fence for state in states)
        elsewhere = await world.lock.rise_above(highest)
        if elsewhere:
            log.warning("another store has written here: fence %d; its journal is not here", highest)
            refuse_older(edge, generation, world.file.path)
            world.journal.fence = self.gateways.fence = world.lock.fence
        self.writer.begin(edge, generation)
        memory = remember(world.journal.events)
        return beginning(edge, live, memory, self.rules, retry, elsewhere=elsewhere), memory

    def _take_over(self, begun: Beginning, memory: Mapping[str, Remembered]) -> None:
        """What the last run left, in memory and in the journal."""
        states = begun.states(self.world.clock.monotonic())
        for service, start in begun.starts.items():
            known = memory.get(service, Remembered())
            self.observer.begin(service, known, goes_on=start.state.dwell_seconds > 0)
            self.reporter.known(service, known.baseline)
            if start.note:
                self.world.journal.note(start.note[0], service, reason=start.note[1])
        self.services.become(states)
        self.world.journal.note(Op.START, RUN, after=self.services.splits())

    def interrupted(self) -> None:
        """Writes down where the run is, for the one after it."""
        self.reporter.progress()
        self.reporter.baselines()
        self.world.journal.note(Op.STOP, RUN, reason="interrupted")

    async def end(self) -> None:
        """Gives the clusters KEEP_SECONDS to take which services went back, then cancels all that runs beside."""
        if self._keeping:  # so that another store knows, too
            await asyncio.wait(self._keeping, timeout=KEEP_SECONDS)
        parts = (self.effect, self.observer, self.gateways, self.leave_green, self.floors)
        tasks = [task for part in parts for task in part.tasks]
        tasks += [*self._keeping, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- a tick ------------------------------------------------------------------------------------------------------

    async def tick(self) -> bool:
        """One sample interval; whether all is done."""
        self._check_fence()
        counted = await self.observer.count(self.writer.entry_sides)
        self.reporter.silent(counted.readings)
        now = self.world.clock.monotonic()
        self._look(now)
        self.writer.see_file()
        if self.rules.reassert:
            self.reporter.reasserted(self.gateways.write_over())
        observation = self._observation(counted)
        decision = decide(self.rules.order, self.services.states, observation, self.rules.policy_of, now)
        await self._act(decision)
        self.observer.ask_store(now, decision.wants_slow)
        self._note_now_and_then(now)  # may write the file, and with it raise the generation of what is paid
        self.gateways.pay(self.writer.intent)
        self.leave_green.if_stuck()
        slow = self.observer.last_slow()
        paused, window_open = observation.paused, observation.window_open
        self.on_tick(Shown(now, dict(self.services.states), observation.fast, slow, paused, window_open))
        return decision.done and not self._busy()

    def _check_fence(self) -> None:
        try:
            self.world.lock.check()
        except StoreError as unknown:  # whoever took over raised the fence on the routes as well, which refuse us then
            self.writer.not_written(unknown)
        if self.gateways.lost:
            raise self.gateways.lost

    def _look(self, now: float) -> None:
        if (self._looking is None or self._looking.done()) and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._looking = asyncio.ensure_future(self.gateways.look(self._watched))

    def _watched(self) -> dict[str, int]:
        frozen = self.services.of(Phase.FROZEN)
        return {service: split for service, split in self.services.splits().items() if service not in frozen}

    def _observation(self, counted: Counted) -> Observation:
        judged = self.services.of(*JUDGED)
        doubts = {service: doubt for service in judged if (doubt := self.observer.doubt(service))}
        return Observation(
            fast={service: self.observer.fast(service, counted) for service in judged},
            slow=self.observer.take_slow(),
            requests=self.observer.requests(),
            doubts=doubts,
            foreign=self._foreign(),
            raised=self.gateways.raised,
            window_open=self.rules.window_open(self.world.clock.wall()),
            paused=self.rules.paused(),
            stuck=self.writer.stuck,
            metrics=self.world.metrics is not None,
        )

    def _foreign(self) -> dict[str, str]:
        """Foreign changes that no service is frozen for yet: who made them."""
        states = self.services.states
        return {
            service: who
            for service, who in self.gateways.foreign.items()
            if service in states and states[service].phase is not Phase.FROZEN
        }

    async def _act(self, decision: Decision) -> None:
        before = self.services.states
        self.services.become(decision.state)
        back = [move for move in decision.moves if move.back]
        forward = [move for move in decision.moves if not move.back]
        if back:
            await self.writer.back(back, before)
        self.reporter.holds()
        went_back = {note.service: note.reason for note in decision.notes if note.op is Op.RETURN}
        if went_back:
            self._keeping.append(asyncio.ensure_future(returned.keep(self.world.routers, went_back)))
            self.services.returned |= went_back
        self.reporter.decided(decision.notes)
        if any(note.op is Op.BAKE for note in decision.notes):
            self.floors.baked()
        if forward:
            try:
                await self.writer.forward(forward, before)
            except LostFence:
                raise
            except BluegreenError as problem:  # file or journal: no gateway was written
                for move in forward:
                    self.services.put(move.service, before[move.service])
                self.writer.not_written(problem)

    def _note_now_and_then(self, now: float) -> None:
        if now - self._noted_at >= PROGRESS_SECONDS:
            self.writer.try_again()
            self.reporter.progress()
            self._noted_at = now
        if now - self._baselines_at >= BASELINE_SECONDS:
            self.reporter.baselines()
            self._baselines_at = now

    def _busy(self) -> bool:
        """Whether something is on its way that the end of the run must not cut off."""
        owed = any(self.gateways.owed[side] for side in self.writer.entry_sides) or self.writer.owed
        return bool(owed or self.world.journal.trouble or self.leave_green.under_way or self.gateways.writing)
