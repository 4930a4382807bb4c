"""Asks the metrics store beside the loop, never in its way: what it says comes with a later tick."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from statistics import median

from migration.errors import BluegreenError
from migration.model import NEVER, Baseline, Judged, ServiceState, Tally, Verdict
from migration.ports import Clock, Metrics
from migration.settings.policy import Policy
from migration.shift import analysis
from migration.shift.decide import JUDGED

SHORTEST_SECONDS = 2.0  # a step that has been in effect for less is not asked about
LATENCIES = 30  # of blue's, by which its usual one is told


class MetricsPoller:
    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        policy_of: Callable[[str], Policy],
        state: Callable[[], Mapping[str, ServiceState]],
        answers: Callable[[str], Tally],
    ) -> None:
        """`state`: of the services, as it is when an answer comes; `answers`: what blue is remembered to have answered."""
        self.metrics, self.clock, self.policy_of, self.state, self.answers = metrics, clock, policy_of, state, answers
        self._latencies: dict[str, deque[float]] = {}
        self.last: dict[str, Judged] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._new: dict[str, Judged] = {}
        self._asked_at: dict[str, float] = {}

    def take(self) -> Mapping[str, Judged]:
        """What came since the last look."""
        new, self._new = self._new, {}
        return new

    def remember(self, service: str, latency_ms: float | None) -> None:
        """Blue's latency in a window with enough of its answers; it is what green is compared with once blue is silent."""
        if latency_ms is not None:
            self._latencies.setdefault(service, deque(maxlen=LATENCIES)).append(latency_ms)

    def remembered_latency(self, service: str) -> float | None:
        """The median of blue's last latencies in milliseconds; None: none is known."""
        known = self._latencies.get(service)
        return median(known) if known else None

    def ask(self, now: float, wanted: Collection[str]) -> None:
        """Of each service that green serves, as often as its policy says; at once where a step hangs on it (`wanted`)."""
        for service, state in self.state().items():
            policy, task = self.policy_of(service), self.tasks.get(service)
            if state.phase not in JUDGED or state.in_effect_at is None or (task and not task.done()):
                continue
            if now - state.in_effect_at < SHORTEST_SECONDS:
                continue
            gap = 1.0 if service in wanted else policy.analysis_interval_seconds
            if now - self._asked_at.get(service, NEVER) < gap - 1e-6:
                continue
            self._asked_at[service] = now
            # never further back than the step: what was before it is none of its own
            seconds = min(policy.analysis_window_seconds, now - state.in_effect_at)
            self.tasks[service] = asyncio.ensure_future(self._ask(service, seconds, policy, state.split_bp))

    async def _ask(self, service: str, seconds: float, policy: Policy, split: int) -> None:
        asked_at = self.clock.monotonic()
        try:
            green, blue = await asyncio.gather(
                self.metrics.window(service, "green", seconds), self.metrics.window(service, "blue", seconds)
            )
            known = Baseline(self.answers(service), self.remembered_latency(service))
            judged = analysis.slow(green, blue, policy, known)
            if blue is not None and blue.requests >= policy.min_requests:
                self.remember(service, blue.latency_ms)
        except BluegreenError as problem:
            judged = Judged.unknown(str(problem))
        state = self.state()[service]
        if state.split_bp != split:
            return
        self.last[service] = judged
        done_at = state.dwell_done_at
        if judged.verdict is Verdict.PASS and done_at is not None and asked_at < done_at:
            return  # asked before the dwell was over: it says nothing of its end
        self._new[service] = judged
