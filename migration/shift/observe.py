"""What a run sees of its services: the gateways' counters each tick, and the metrics store beside them.

`count` reads; all else are questions about what was read, which change nothing but what is asked of the store next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from migration.errors import BluegreenError, Unreachable
from migration.model import WHOLE_BP, Baseline, GatewayCounters, Hold, HoldKind, Judged, Side, Step
from migration.shift import analysis
from migration.shift.gateways import SIDES
from migration.shift.metrics_poller import MetricsPoller
from migration.shift.samples import Samples
from migration.shift.services import Services
from migration.shift.world import Rules, World
from migration.store.memory import Remembered

log = logging.getLogger(__name__)
SHORTEST_SECONDS = 0.25  # given to a gateway's counters, however short a sample is


@dataclass(frozen=True)
class Counted:
    """One reading of the gateways' counters. `readings`: of those that answered in time; `problem`: what is wrong with a
    gateway that users come in by, so that nothing can be judged by this.
    """

    readings: Mapping[Side, GatewayCounters]
    problem: str | None


class Observer:
    def __init__(self, world: World, rules: Rules, services: Services) -> None:
        self._world, self._rules, self._services = world, rules, services
        self._samples: dict[str, Samples] = {}
        self._poller: MetricsPoller | None = None
        if world.metrics:
            self._poller = MetricsPoller(
                world.metrics,
                world.clock,
                rules.policy_of,
                lambda: services.states,
                lambda service: self._samples[service].remembered(),
            )

    # -- what begins -------------------------------------------------------------------------------------------------

    def begin(self, service: str, memory: Remembered, *, goes_on: bool) -> None:
        """`goes_on`: with the step that the last run left."""
        self._samples[service] = Samples(memory.baseline, memory.step if goes_on else None)
        if self._poller:
            self._poller.remember(service, memory.baseline.latency_ms)

    def step_written(self, services: Iterable[str]) -> None:
        """Until it is proven to be in effect, what comes from now on is this step's."""
        now = self._world.clock.monotonic()
        for service in services:
            self._samples[service].restart(now)

    def step_in_effect(self, service: str, at: float) -> None:
        """The step's history begins here (`at`: monotonic)."""
        self._samples[service].restart(at, anew=False)

    async def count(self, entry_sides: Collection[Side]) -> Counted:
        """`entry_sides`: by whose gateways users come in."""
        began = self._world.clock.monotonic()
        present = [side for side in SIDES if side in self._world.counters]
        answers = dict(zip(present, await asyncio.gather(*map(self._read, present)), strict=True))
        readings = {side: answer for side, answer in answers.items() if isinstance(answer, GatewayCounters)}
        problems = [
            str(answer) for side, answer in answers.items() if isinstance(answer, BluegreenError) and side in entry_sides
        ]
        for service, samples in self._samples.items():
            samples.add(began, readings, service)
        return Counted(readings, problems[0] if problems else None)

    async def _read(self, side: Side) -> GatewayCounters | BluegreenError:
        limit = max(SHORTEST_SECONDS, 0.8 * self._rules.policy.sample_interval_seconds)
        try:
            return await asyncio.wait_for(self._world.counters[side].read(), limit)
        except TimeoutError:
            return Unreachable(f"the counters of {side}'s gateway did not answer within {limit:g} s")
        except BluegreenError as problem:
            return problem

    # -- what was counted --------------------------------------------------------------------------------------------

    def fast(self, service: str, counted: Counted) -> Judged:
        """The word of the gateways' counters on this service."""
        if counted.problem:
            return Judged.unknown(counted.problem)
        alone = self._services[service].split_bp >= WHOLE_BP
        try:
            return analysis.fast(self._samples[service], self._rules.policy_of(service), alone=alone)
        except Exception as problem:  # whatever it is: a service that cannot be judged is not watched, and others must be
            log.exception("%s cannot be judged", service)
            return Judged.unknown(_not_judged(problem))

    def doubt(self, service: str) -> Hold | None:
        """Why its step should not end by what was counted; None: nothing speaks against it."""
        try:
            return analysis.doubt(self._samples[service], self._rules.policy_of(service))
        except Exception as problem:
            return Hold(HoldKind.NUMBERS, _not_judged(problem), type(problem).__name__)

    def requests(self) -> dict[str, int]:
        """What green answered since each step is in effect."""
        return {service: samples.green_requests() for service, samples in self._samples.items()}

    def step(self, service: str) -> Step:
        """What both sides answered since its step took effect."""
        return self._samples[service].step()

    def baseline(self, service: str) -> Baseline:
        """What blue is remembered to have answered for it."""
        samples = self._samples[service]
        latency_ms = self._poller.remembered_latency(service) if self._poller else None
        return Baseline(samples.remembered(), latency_ms, samples.bins)

    # -- the metrics store -------------------------------------------------------------------------------------------

    def take_slow(self) -> Mapping[str, Judged]:
        """The store's words since the last tick."""
        return self._poller.take() if self._poller else {}

    def last_slow(self) -> dict[str, Judged]:
        """The store's last word on each service, however old."""
        return dict(self._poller.last) if self._poller else {}

    def ask_store(self, now: float, wanted: Collection[str]) -> None:
        """Asks the metrics store, if there is one, beside the loop. `wanted`: whose step hangs on its word."""
        if self._poller:
            self._poller.ask(now, wanted)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Questions to the store under way, to be cancelled at the end."""
        return list(self._poller.tasks.values()) if self._poller else []


def _not_judged(problem: Exception) -> str:
    return f"its numbers cannot be judged: {problem!r}"
