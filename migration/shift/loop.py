"""Moves services to green, one loop for all of them: read, ask `decide`, write, record.

A tick is one sample interval. Nothing in it waits for anything slow: the metrics store, probes and looks at the live
routes run beside it and hand in what they found. Only writes are waited for, both gateways at once. Forward: intent on
disk, file, gateways, outcome. Back: gateways first, file and journal after. A gateway that cannot be written is owed its
write and gets it as soon as it answers. Where that is green's gateway and users come in by it, the entry goes back to
blue too: nothing else takes them off it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from migration.entry.move import NotMoved, entry_back
from migration.errors import BluegreenError, Held, LostFence, StoreError, Unreachable
from migration.model import (
    WHOLE_BP,
    Baseline,
    GatewayCounters,
    Hold,
    HoldKind,
    Judged,
    Move,
    Phase,
    RouterState,
    ServiceState,
    Side,
    Tally,
    Verdict,
)
from migration.settings.stack_file import Edge, StackFile
from migration.shift import analysis
from migration.shift.decide import JUDGED, ON_GREEN, Decision, decide
from migration.shift.gateways import SIDES, Gateways
from migration.shift.judge import Observation
from migration.shift.metrics_poller import StoreWords
from migration.shift.recover import recover
from migration.shift.samples import Samples
from migration.shift.world import Result, Rules, Shown, World
from migration.store import returned
from migration.store.events import RUN, Change, Op, Outcome
from migration.store.memory import Remembered, baseline_document, remember, step_document
from migration.store.record import write_record

log = logging.getLogger(__name__)
PROBE_SECONDS = 0.05
LOOK_SECONDS = 2.0
PROGRESS_SECONDS = 10.0
BASELINE_SECONDS = 60.0
KEEP_SECONDS = 5.0  # at the end, for a cluster to take which services went back
UNPROVEN_SECONDS = 10.0
LEAVE_AGAIN_SECONDS = 5.0
RELEASE_AGAIN_SECONDS = 5.0  # and twice as long after each try that left something
RELEASE_AGAIN_MOST_SECONDS = 300.0
RELEASE_SECONDS = 30.0  # at most so long an ended run waits for it
NOTED = {Op.RETURN: "rolled back", Op.KEEP: "kept at blue", Op.FREEZE: "frozen", Op.BAKE: "baked"}  # in words, by operation


@dataclass
class Shift:
    world: World
    rules: Rules
    on_tick: Callable[[Shown], None] = lambda shown: None
    state: dict[str, ServiceState] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    returned: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._samples: dict[str, Samples] = {}
        self._effect: dict[str, asyncio.Task[None]] = {}
        metrics, clock = self.world.metrics, self.world.clock
        self._store = (
            StoreWords(metrics, clock, self.rules.policy_of, lambda: self.state, self._blue_answers) if metrics else None
        )
        self._gates = Gateways(
            self.world.routers, clock, self.world.lock.fence,
            force=self.rules.reassert, intent=self._intent, paid=self._watch_effect,
        )  # fmt: skip
        self._file_owed: dict[str, int] = {}  # splits that the file does not have yet
        self._file_trouble: str | None = None  # why no step was written down the last time
        self._trouble_told: str | None = None
        self._held: dict[str, Hold | None] = {}  # what was told last of why a service holds
        self._looking: asyncio.Task[None] | None = None
        self._keeping: list[asyncio.Task[None]] = []  # writes of which services went back
        self._looked_at = self._noted_at = self._baselines_at = float("-inf")
        self._baselines: dict[str, Baseline] = {}  # as they were noted last
        self._silent: dict[Side, tuple[frozenset[str], float]] = {}  # pages of gateway pods that did not answer: told, when
        self._generation = 0
        self._entry_sides: frozenset[Side] = frozenset({"blue"})
        self._leaving: asyncio.Task[None] | None = None
        self._not_left: str | None = None  # what was told last of why the entry is still at green
        self._releasing: asyncio.Task[None] | None = None  # floors that nothing needs any more
        self._released_at = float("-inf")
        self._bake, self._ended = asyncio.Event(), asyncio.Event()
        self._floors_told: set[str] = set()  # objects, clusters or unforeseen errors

    # -- the run -----------------------------------------------------------------------------------------------------

    async def run(self, retry: frozenset[str] = frozenset()) -> Result:
        try:
            await self.begin(retry)
            start = self.world.clock.monotonic()
            ticks = 0
            while not await self.tick():
                ticks += 1
                now = self.world.clock.monotonic()
                interval = self.rules.policy.sample_interval_seconds
                due = start + ticks * interval
                if due < now - interval:  # fell behind (suspended): do not make up for lost ticks
                    start, ticks, due = now, 0, now
                await self._rest(max(0.0, due - now))
                if self.stop.is_set():
                    self._note_progress()
                    self._note_baselines()
                    self.world.journal.note(Op.STOP, RUN, reason="interrupted")
                    break
            else:
                await self._release_rest()
            return self.result()
        finally:
            if self._keeping:  # so that another store knows, too
                await asyncio.wait(self._keeping, timeout=KEEP_SECONDS)
            await self._end_tasks()

    async def _rest(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self.world.clock.sleep(seconds))
        stopping = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (sleeping, stopping):
            task.cancel()

    async def begin(self, retry: frozenset[str]) -> None:
        """Reads the world as it is and settles what a crash left between two writes."""
        world = self.world
        edge = world.file.read()
        self._entry_sides = _entry_sides(edge)
        live: dict[Side, RouterState] = dict(
            zip(SIDES, await asyncio.gather(*(world.routers[s].read() for s in SIDES)), strict=True)
        )
        self._generation = max(edge.generation, *(state.generation or 0 for state in live.values()))
        highest = max(state.fence for state in live.values())
        elsewhere = await world.lock.rise_above(highest)
        if elsewhere:
            log.warning("another store has written here: fence %d; its journal is not here", highest)
            _refuse_older(edge, self._generation, world.file)
            world.journal.fence = self._gates.fence = world.lock.fence
        memory = remember(world.journal.events)
        kept = returned.kept(live)
        moves = []
        for service, split in edge.services.items():
            start = recover(
                service,
                split,
                {side: live[side].routes.get(service) for side in SIDES},
                memory.get(service),
                hold=service in self.rules.held,
                retry=service in retry,
                reassert=self.rules.reassert,
                returned=kept.get(service),
                elsewhere=elsewhere,
            )
            self.state[service] = start.state
            before = memory.get(service, Remembered())
            known = before.baseline
            self._samples[service] = Samples(known, before.step if start.state.dwell_seconds > 0 else None)
            self._baselines[service] = known
            if self._store:
                self._store.remember(service, known.latency_ms)
            if start.state.phase is Phase.FROZEN:
                self.state[service] = replace(start.state, in_effect_at=world.clock.monotonic())
            if start.note:
                world.journal.note(start.note[0], service, reason=start.note[1])
            if start.write and start.state.phase is not Phase.FROZEN:
                back = start.state.split_bp < max(
                    split, *(r.split_bp or 0 for s in SIDES if (r := live[s].routes.get(service)))
                )
                moves.append(Move(service, start.state.split_bp, "as it was left", back=back))
        world.journal.note(Op.START, RUN, after={service: there.split_bp for service, there in self.state.items()})
        await asyncio.gather(*(world.routers[side].raise_fence(world.lock.fence) for side in SIDES))
        if moves:
            await self._write(moves, forward=False)
        new = {s: there.reason for s, there in self.state.items() if there.phase is Phase.RETURNED and s not in kept}
        stay = (Phase.RETURNED, Phase.FROZEN)
        on = [s for s in kept if s in self.state and self.state[s].phase not in stay]  # asked for again
        await returned.keep(world.routers, {**new, **dict.fromkeys(on)})
        world.journal.settle({s: there.split_bp for s, there in self.state.items()}, "as found after a restart")
        for service, there in self.state.items():
            if there.phase in ON_GREEN:
                self._watch_effect(service)

    async def tick(self) -> bool:
        """One sample interval; whether all is done."""
        world, rules = self.world, self.rules
        try:
            world.lock.check()
        except StoreError as unknown:  # whoever took over raised the fence on the routes as well, which refuse us then
            self._not_written(unknown)
        if self._gates.lost:
            raise self._gates.lost
        began = world.clock.monotonic()
        readings, problem = await self._read_counters()
        now = world.clock.monotonic()
        for service, samples in self._samples.items():
            samples.add(began, readings, service)
        judged = [service for service, there in self.state.items() if there.phase in JUDGED]
        fast = {service: self._judge(service, problem) for service in judged}
        self._look(now)
        slow = self._store.take() if self._store else {}
        seen = Observation(
            fast=fast,
            slow=slow,
            requests={service: samples.green_requests() for service, samples in self._samples.items()},
            doubts=self._doubts(judged),
            foreign=self._foreign_now(),
            raised=self._gates.raised,
            window_open=rules.window_open(world.clock.wall()),
            paused=rules.paused(),
            stuck=self._file_trouble or world.journal.trouble,
            metrics=world.metrics is not None,
        )
        decision = decide(rules.order, self.state, seen, rules.policy_of, now)
        await self._act(decision)
        if self._store:
            self._store.ask(now, decision.wants_slow)
        self._gates.pay()
        self._leave_green_if_stuck()
        if now - self._noted_at >= PROGRESS_SECONDS:
            self._try_again()
            self._note_progress()
            self._noted_at = now
        if now - self._baselines_at >= BASELINE_SECONDS:
            self._note_baselines()
            self._baselines_at = now
        last = dict(self._store.last) if self._store else {}
        self.on_tick(Shown(now, dict(self.state), fast, last, seen.paused, seen.window_open))
        leaving = self._leaving is not None and not self._leaving.done()
        owed = any(self._gates.owed[side] for side in self._entry_sides) or self._file_owed or world.journal.trouble
        return decision.done and not leaving and not owed and not self._gates.writing

    async def _act(self, decision: Decision) -> None:
        before = self.state
        self.state = dict(decision.state)
        back = [move for move in decision.moves if move.back]
        forward = [move for move in decision.moves if not move.back]
        if back:
            await self._write(back, forward=False, before=before)
        self._tell_holds()
        if went_back := {note.service: note.reason for note in decision.notes if note.op is Op.RETURN}:
            self._keeping.append(asyncio.ensure_future(returned.keep(self.world.routers, went_back)))
        for note in decision.notes:
            self.world.journal.note(note.op, note.service, reason=note.reason)
            if note.op is Op.RETURN:
                self.returned[note.service] = note.reason
            if note.op is Op.BAKE:
                self._release_soon()
            log.log(
                logging.WARNING if note.op in (Op.RETURN, Op.KEEP, Op.FREEZE) else logging.INFO,
                "%s: %s: %s",
                note.service,
                NOTED.get(note.op, note.op),
                note.reason,
            )
        if forward:
            try:
                await self._write(forward, forward=True, before=before)
            except LostFence:
                raise
            except BluegreenError as problem:  # file or journal: no gateway was written
                for move in forward:
                    self.state[move.service] = before[move.service]
                self._not_written(problem)

    def _tell_holds(self) -> None:
        """Why a service does not go on though its dwell is over (or green's numbers are bad), once per reason:
        numbers in it may grow without being told again."""
        for service, there in self.state.items():
            late = there.dwell_done_at is not None or there.fails or there.errors
            hold = there.hold if late else None
            if hold is not None and hold.kind is HoldKind.STORE_AWAITED:
                continue
            if hold is not None and not hold.same_as(self._held.get(service)):
                self._note_hold(service, there.split_bp, hold)
            self._held[service] = hold

    def _note_hold(self, service: str, split_bp: int, hold: Hold, level: int = logging.INFO) -> None:
        self.world.journal.note(Op.HOLD, service, after=split_bp, reason=str(hold))
        log.log(level, "%s: %s", service, hold)

    # -- writing -----------------------------------------------------------------------------------------------------

    async def _write(self, moves: Sequence[Move], *, forward: bool, before: Mapping[str, ServiceState] | None = None) -> None:
        world = self.world
        before = before or self.state
        changes = [Change(move.service, before[move.service].split_bp, move.to_bp, move.reason) for move in moves]
        targets = {move.service: move.to_bp for move in moves}
        if forward:
            self._note_baselines(targets)  # blue may fall silent by this
            began = world.clock.monotonic()
            for service in targets:  # until it is proven to be in effect, what comes from now on is this step's
                self._samples[service].restart(began)
            ids = world.journal.promise(Op.SHIFT, changes)
            try:
                self._generation = world.file.write(services=targets, generation=self._generation + 1).generation
            except BluegreenError as problem:
                world.journal.not_done(Op.SHIFT, ids, changes, problem)
                raise
            await self._gates.write(list(targets))
        else:
            self._generation += 1
            over = [move.service for move in moves if move.over]
            for service in over:
                self._gates.foreign.pop(service, None)
                self._gates.raised.pop(service, None)
            await self._gates.write(list(targets), wait_for=[side for side in SIDES if side in self._entry_sides], over=over)
            self._write_file(targets)
            ids = world.journal.record(Op.SHIFT, changes)
        world.journal.outcomes(
            Op.SHIFT,
            ids,
            [Outcome(move.service, move.to_bp, move.reason) for move in moves if move.service not in self._gates.foreign],
        )
        for move in moves:
            log.info("%s: %g %%: %s", move.service, move.to_bp / 100, move.reason)
            self._watch_effect(move.service)

    def _write_file(self, splits: Mapping[str, int]) -> None:
        """What the gateways have already. A file that cannot be written is owed it, and nothing goes forward meanwhile."""
        self._see_file()
        try:
            edge = self.world.file.write(services={**self._file_owed, **splits}, generation=self._generation)
        except BluegreenError as problem:
            self._file_owed |= splits
            self._not_written(problem)
        else:
            self._generation, self._file_owed, self._file_trouble = edge.generation, {}, None

    def _not_written(self, problem: BluegreenError) -> None:
        """A disk that takes nothing may take it again, a file that is broken may be mended."""
        self._file_trouble = self.world.journal.trouble or str(problem)
        if self._file_trouble != self._trouble_told:
            log.warning("%s; nothing goes forward, what turns bad goes back", self._file_trouble)
        self._trouble_told = self._file_trouble

    def _see_file(self) -> None:
        """Freezes the services whose shares somebody else changed (all of them, where sides or entry were)."""
        file = self.world.file
        try:
            change = file.changed_by_others()
            if change is None:
                return
            edge = file.read()
        except BluegreenError as problem:
            self._not_written(problem)
            return
        if self.rules.reassert:
            self._file_owed |= {s: there.split_bp for s, there in self.state.items() if s in change.services}
            return
        for service, there in self.state.items():
            if service in change.services:
                now = edge.services.get(service, 0)
                if there.phase is Phase.RETURNED and now == 0 and service in edge.services:
                    continue  # as it is on the gateways
                self._gates.foreign.setdefault(service, f"{file.path} was changed: {change.services[service]}")
                if there.split_bp == 0:
                    self._gates.raised[service] = max(self._gates.raised.get(service, 0), now)
            elif change.whole and there.phase not in (Phase.RETURNED, Phase.HELD):
                self._gates.foreign.setdefault(service, f"{file.path} was changed: {change.told}")
        if change.whole:
            self._entry_sides = _entry_sides(edge)

    def _try_again(self) -> None:
        if self._file_owed:
            self._write_file({})
        else:
            self._file_trouble = None
        self.world.journal.try_again()

    def _intent(self) -> tuple[dict[str, int], int]:
        return {service: there.split_bp for service, there in self.state.items()}, self._generation

    def _leave_green_if_stuck(self) -> None:
        stuck = [service for service in self._gates.failing["green"] if self.state[service].phase is Phase.RETURNED]
        if stuck and "green" in self._entry_sides and (self._leaving is None or self._leaving.done()):
            self._leaving = asyncio.ensure_future(self._leave_green(", ".join(sorted(stuck))))

    async def _leave_green(self, services: str) -> None:
        world = self.world
        edge = world.file.known or world.file.read()
        shares = {edge.blue: WHOLE_BP, **({edge.green: 0} if edge.green else {})}
        why = f"{services} went back and green's gateway is unreachable"
        back = await entry_back(world.entry, shares)
        if isinstance(back, NotMoved):
            if back.problem != self._not_left:
                log.warning("%s; users who enter through green's gateway keep its old split", back.problem)
            self._not_left = back.problem
            await world.clock.sleep(LEAVE_AGAIN_SECONDS)
            return
        log.warning("%s: %s", why, back.words)
        self._entry_sides = frozenset({"blue"})
        self._gates.entry_is(shares)
        entries = [Change(name, edge.entry.get(name, 0), share, why) for name, share in shares.items()]
        ids = world.journal.record(Op.ENTRY, entries)
        try:
            edge = world.file.write(entry=shares, generation=self._generation + 1)
            self._generation = edge.generation
        except BluegreenError as problem:
            self._not_written(problem)
        world.journal.outcomes(Op.ENTRY, ids, [Outcome(name, share, why) for name, share in shares.items()])
        await write_record(world.clusters, edge)

    def _watch_effect(self, service: str) -> None:
        if (task := self._effect.pop(service, None)) is not None:
            task.cancel()
        self._effect[service] = asyncio.ensure_future(self._await_effect(service, self.state[service].split_bp))

    async def _await_effect(self, service: str, split: int) -> None:
        """Marks when every gateway itself serves the split. A probe that cannot be sent from here proves
        nothing; then time must do."""
        clock = self.world.clock
        asked_at, told = clock.monotonic(), False
        while True:
            results = await asyncio.gather(*(self._probe(side, service, split) for side in SIDES))
            unproven = clock.monotonic() - asked_at > UNPROVEN_SECONDS and not any(
                service in self._gates.owed[side] for side in SIDES
            )
            if all(result or (result is None and unproven) for result in results):
                break
            if unproven and not told:
                told = True
                sides = " and ".join(side for side, result in zip(SIDES, results, strict=True) if result is False)
                hold = Hold(HoldKind.GATEWAY, f"{sides}'s gateway does not serve {split / 100:g} % yet")
                self._note_hold(service, split, hold, logging.WARNING)
            await clock.sleep(PROBE_SECONDS)
        there = self.state[service]
        if there.split_bp == split and there.in_effect_at is None:
            now = clock.monotonic()
            self.state[service] = replace(there, in_effect_at=now)
            self._samples[service].restart(now, anew=False)
            proof = "in effect" if all(results) else "accepted, not proven"
            self.world.journal.note(Op.EFFECT, service, after=split, reason=proof)

    async def _probe(self, side: Side, service: str, split: int) -> bool | None:
        try:
            return await self.world.routers[side].in_effect(service, split)
        except BluegreenError:
            return None

    # -- seeing ------------------------------------------------------------------------------------------------------

    async def _read_counters(self) -> tuple[dict[Side, GatewayCounters], str | None]:
        """What answered in time, and what is wrong with a gateway that users come in by."""
        limit = max(0.25, 0.8 * self.rules.policy.sample_interval_seconds)

        async def one(side: Side) -> GatewayCounters | BluegreenError:
            try:
                return await asyncio.wait_for(self.world.counters[side].read(), limit)
            except TimeoutError:
                return Unreachable(f"the counters of {side}'s gateway did not answer within {limit:g} s")
            except BluegreenError as problem:
                return problem

        present = [side for side in SIDES if side in self.world.counters]
        answers = dict(zip(present, await asyncio.gather(*(one(side) for side in present)), strict=True))
        readings = {side: answer for side, answer in answers.items() if isinstance(answer, GatewayCounters)}
        problems = [
            str(answer) for side, answer in answers.items() if isinstance(answer, BluegreenError) and side in self._entry_sides
        ]
        self._tell_silent(readings)
        return readings, problems[0] if problems else None

    def _tell_silent(self, readings: Mapping[Side, GatewayCounters]) -> None:
        """The others count on; which pod is not watched is told once, and of one that comes and goes now and then."""
        now = self.world.clock.monotonic()
        for side, reading in readings.items():
            silent = frozenset(reading.silent)
            before, told_at = self._silent.get(side, (frozenset(), float("-inf")))
            if silent != before and now - told_at >= PROGRESS_SECONDS:
                told = "; ".join(reading.silent.values()) or "all gateway pods' counters answer again"
                self.world.journal.note(Op.SILENT, side, after=sorted(silent), reason=told)
                log.warning("%s's gateway: %s%s", side, told, "; the others are counted" if silent else "")
                self._silent[side] = silent, now

    def _judge(self, service: str, problem: str | None) -> Judged:
        if problem:
            return Judged(Verdict.ERROR, problem)
        alone = self.state[service].split_bp >= WHOLE_BP
        try:
            return analysis.fast(self._samples[service], self.rules.policy_of(service), alone=alone)
        except Exception as problem:  # whatever it is: a service that cannot be judged is not watched, and others must be
            log.exception("%s cannot be judged", service)
            return Judged(Verdict.ERROR, f"its numbers cannot be judged: {problem!r}")

    def _doubts(self, services: Iterable[str]) -> dict[str, str]:
        found = {}
        for service in services:
            try:
                why = analysis.doubt(self._samples[service], self.rules.policy_of(service))
            except Exception as problem:
                why = f"its numbers cannot be judged: {problem!r}"
            if why:
                found[service] = why
        return found

    def _blue_answers(self, service: str) -> Tally:
        return self._samples[service].remembered()

    def _look(self, now: float) -> None:
        if (self._looking is None or self._looking.done()) and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._looking = asyncio.ensure_future(self._gates.look(self._watched))

    def _watched(self) -> dict[str, int]:
        return {service: there.split_bp for service, there in self.state.items() if there.phase is not Phase.FROZEN}

    def _foreign_now(self) -> dict[str, str]:
        """Foreign changes not yet known to the state; by policy written over instead."""
        self._see_file()
        if self.rules.reassert:
            for service, who in self._gates.write_over().items():
                self.world.journal.note(Op.REASSERT, service, after=self.state[service].split_bp, reason=who)
        return {s: who for s, who in self._gates.foreign.items() if s in self.state and self.state[s].phase is not Phase.FROZEN}

    def _note_progress(self) -> None:
        under_way = (Phase.MOVING, Phase.ARRIVED)
        dwell = {s: round(there.dwell_seconds, 3) for s, there in self.state.items() if there.phase in under_way}
        if dwell:
            self.world.journal.note(Op.PROGRESS, RUN, after=dwell)
            self.world.journal.note(Op.STEP, RUN, after={s: step_document(self._samples[s].step()) for s in dwell})

    def _note_baselines(self, services: Collection[str] = ()) -> None:
        """What blue showed so far, for a run after this one: at 100 % nobody can ask it any more. Of all that green serves,
        or of these.
        """
        known = {}
        for service in services or [s for s, there in self.state.items() if there.phase in JUDGED]:
            samples, latency = self._samples[service], self._store.remembered_latency(service) if self._store else None
            known[service] = Baseline(samples.remembered(), latency, samples.bins)
        new = {s: baseline for s, baseline in known.items() if baseline != self._baselines.get(s)}
        if new:
            self.world.journal.note(Op.BASELINE, RUN, after={s: baseline_document(each) for s, each in new.items()})
            self._baselines |= new

    def result(self) -> Result:
        def those(*phases: Phase) -> dict[str, str]:
            return {service: there.reason for service, there in self.state.items() if there.phase in phases}

        stay = self.rules.order.stay
        behind = {
            s: why
            for s, why in those(Phase.RETURNED, Phase.HELD, Phase.WAITING, Phase.MOVING).items()
            if s not in self.returned and s not in stay
        }
        arrived = tuple(s for s in those(Phase.ARRIVED, Phase.BAKED) if s not in stay)
        splits = {service: there.split_bp for service, there in self.state.items()}
        return Result(arrived, dict(self.returned), behind, those(Phase.FROZEN), splits)

    def _release_soon(self) -> None:
        self._bake.set()
        if self.world.release and (self._releasing is None or self._releasing.done()):
            self._releasing = asyncio.ensure_future(self._release())

    async def _release(self) -> None:
        """Beside the loop, one try at a time for all that has baked, until nothing is left: a floor too many harms nobody,
        and stops nothing. What bakes meanwhile waits for the next try, and that no longer than the shortest wait.
        """
        wait = RELEASE_AGAIN_SECONDS
        while True:
            await _set_within(self._ended, self._released_at + RELEASE_AGAIN_SECONDS - self.world.clock.monotonic())
            self._bake.clear()
            baked = self._baked()
            left = await self._try_release(baked)
            self._released_at = self.world.clock.monotonic()
            for what, why in left.items():
                if what not in self._floors_told:
                    self._floors_told.add(what)
                    log.warning("floor not put back yet: %s; trying again, by hand: `bluegreen capacity release`", why)
            if left:
                await _set_within(self._bake, RELEASE_AGAIN_SECONDS if self._ended.is_set() else wait)
                wait = min(2 * wait, RELEASE_AGAIN_MOST_SECONDS)
            elif self._baked() <= baked:
                return

    def _baked(self) -> frozenset[str]:
        return frozenset(service for service, there in self.state.items() if there.phase is Phase.BAKED)

    async def _try_release(self, baked: frozenset[str]) -> Mapping[str, str]:
        if self.world.release is None or not baked:
            return {}
        try:
            return await self.world.release(baked)
        except Exception as problem:  # would end this task, and with it the releases of all that bakes later
            return {type(problem).__name__: str(problem) if isinstance(problem, BluegreenError) else repr(problem)}

    async def _release_rest(self) -> None:
        """At the end of a run: what is left is tried at once and then every few seconds, for a while."""
        if self._releasing is None:
            return
        self._ended.set()
        self._bake.set()
        await asyncio.wait({self._releasing}, timeout=RELEASE_SECONDS)
        if not self._releasing.done():
            log.warning("floors are held still, after %g s; put them back: `bluegreen capacity release`", RELEASE_SECONDS)

    async def _end_tasks(self) -> None:
        tasks = [
            *self._effect.values(),
            *(self._store.tasks.values() if self._store else ()),
            *self._gates.tasks,
            *self._keeping,
            *(task for task in (self._looking, self._leaving, self._releasing) if task),
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _refuse_older(edge: Edge, live: int, file: StackFile) -> None:
    """Of another store's file only the newest tells where users should be; an older one would take them back."""
    if edge.generation < live:
        raise Held(
            f"{file.path} is of generation {edge.generation}, live is {live}, which another store wrote: nothing was changed",
            remedy=f"get the newest {file.path.name} (git pull), then `bluegreen shift`; `bluegreen rollback` needs none",
        )


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Waits for it, so long at most."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _entry_sides(edge: Edge) -> frozenset[Side]:
    """By whose gateway users come in."""
    there: frozenset[Side] = frozenset(
        side for side in SIDES if edge.entry.get(edge.blue if side == "blue" else edge.green or "", 0) > 0
    )
    return there or frozenset({"blue"})
