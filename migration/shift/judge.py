"""One service at one tick: what was seen of it, whether it must go back, whether its step or its bake may end. Pure.

A dwell counts only while the split is in effect and green is being judged. Missing data never passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from migration.model import Hold, HoldKind, Judged, Phase, ServiceState, Verdict
from migration.settings.policy import Policy

NOTHING = Judged(Verdict.INCONCLUSIVE, "no samples yet")
WAITS = Hold(HoldKind.STORE_AWAITED, "waits for the metrics store")
LONGEST_SAMPLES = 3  # a tick that took longer than so many intervals counts as so many: a long sleep is no dwell


@dataclass(frozen=True)
class Sight:
    """What was seen of one service; fields as in Observation."""

    fast: Judged
    slow: Judged | None
    requests: int
    doubt: Hold | None
    metrics: bool


@dataclass(frozen=True)
class Observation:
    """`slow` holds only verdicts that came since the last tick; `requests` is what green answered since the step is in
    effect.
    """

    fast: Mapping[str, Judged] = field(default_factory=dict)
    slow: Mapping[str, Judged] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    doubts: Mapping[str, Hold] = field(default_factory=dict)  # why the whole step so far is not good enough to end it
    foreign: Mapping[str, str] = field(default_factory=dict)
    raised: Mapping[str, int] = field(default_factory=dict)  # to which share of green, of those that are foreign
    window_open: bool = True
    paused: str | None = None
    stuck: str | None = None  # why what must be on disk before a step cannot be written
    metrics: bool = False  # a metrics store is configured: its word is needed to advance

    def of(self, service: str) -> Sight:
        """What was seen of one service."""
        return Sight(
            self.fast.get(service, NOTHING),
            self.slow.get(service),
            self.requests.get(service, 0),
            self.doubts.get(service),
            self.metrics,
        )


@dataclass(frozen=True)
class Judgement:
    """The state with what this tick adds to it. `guilty`: why the service must go back; None: it need not."""

    state: ServiceState
    guilty: str | None = None


def judge(state: ServiceState, sight: Sight, policy: Policy, now: float) -> Judgement:
    """By the samples of this tick and, where it has come, the metrics store's word."""
    elapsed = _elapsed(state, policy, now)
    state, fast = replace(state, last_tick=now), sight.fast
    if fast.verdict is Verdict.FAIL:
        return Judgement(state, fast.reason)
    if fast.verdict is Verdict.ERROR:
        state = replace(
            state, errors=state.errors + 1, slow_passed_at=None, hold=Hold(HoldKind.COUNTERS, fast.reason, fast.about)
        )
        blind = state.errors >= policy.error_limit
        return Judgement(state, f"no counters from the gateway for {state.errors} samples: {fast.reason}" if blind else None)
    state = replace(state, errors=0, hold=None)
    if sight.slow is not None:
        if sight.slow.verdict is Verdict.FAIL:
            return _failed(state, sight.slow, policy)
        state = _heard(state, sight.slow, now)
    return Judgement(_dwelt(state, elapsed, policy, now))


def _elapsed(state: ServiceState, policy: Policy, now: float) -> float:
    """Seconds since the last tick."""
    if state.last_tick is None:
        return 0.0
    return max(0.0, min(now - state.last_tick, LONGEST_SAMPLES * policy.sample_interval_seconds))


def _of_store(word: Judged) -> Hold:
    return Hold(HoldKind.STORE, word.reason, f"{word.verdict} {word.about}")


def _failed(state: ServiceState, word: Judged, policy: Policy) -> Judgement:
    """The store says that green is bad: the dwell begins again, until it has said so too often."""
    state = replace(state, fails=state.fails + 1, dwell_seconds=0.0, dwell_done_at=None, slow_passed_at=None)
    if state.fails >= policy.fail_limit:
        return Judgement(state, word.reason)
    return Judgement(replace(state, hold=_of_store(word)))


def _heard(state: ServiceState, word: Judged, now: float) -> ServiceState:
    """The store's word, which is not that green is bad."""
    if word.verdict is Verdict.PASS:
        return replace(state, slow_passed_at=now, slow_unsure_at=None, slow_hold=None, fails=0)
    hold = _of_store(word)
    unsure_at = now if word.verdict is Verdict.INCONCLUSIVE else None
    return replace(state, slow_passed_at=None, slow_unsure_at=unsure_at, slow_hold=hold, hold=hold)


def _dwelt(state: ServiceState, elapsed: float, policy: Policy, now: float) -> ServiceState:
    if state.in_effect_at is None or now < state.in_effect_at:
        return state
    needed = policy.dwell_seconds if state.phase is Phase.MOVING else policy.bake_seconds
    state = replace(state, dwell_seconds=state.dwell_seconds + min(elapsed, now - state.in_effect_at))
    if state.dwell_seconds >= needed and state.dwell_done_at is None:
        state = replace(state, dwell_done_at=now)
    return state


@dataclass(frozen=True)
class Proven:
    """Whether a step or a bake may end. `state`: with why it holds; `guilty`: as in Judgement; `asks_store`: it hangs on the
    metrics store's word now.
    """

    state: ServiceState
    passed: bool = False
    guilty: str | None = None
    asks_store: bool = False


def prove(state: ServiceState, sight: Sight, policy: Policy) -> Proven:
    """Of a service whose dwell or bake may be over; what is missing, or too little, never passes."""
    done_at = state.dwell_done_at
    if state.in_effect_at is None or done_at is None or sight.fast.verdict is Verdict.ERROR:
        return Proven(state)
    if sight.doubt is not None:
        return Proven(replace(state, hold=sight.doubt))
    passed = not sight.metrics or (state.slow_passed_at is not None and state.slow_passed_at > done_at)
    unsure = sight.metrics and state.slow_unsure_at is not None and state.slow_unsure_at > done_at
    if sight.requests < policy.min_requests or unsure:
        hold = _too_little(state, sight, policy)
        waited = state.inconclusive_seconds + policy.sample_interval_seconds
        state = replace(state, inconclusive_seconds=waited, hold=hold)
        over = waited >= policy.inconclusive_limit_seconds
        if over and policy.on_inconclusive == "back":
            guilty = f"{hold.text}, {waited:.0f} s after the step's time"
            return Proven(state, guilty=guilty, asks_store=sight.metrics)
        if not (over and policy.on_inconclusive == "advance"):
            return Proven(state, asks_store=sight.metrics)
        passed = passed or unsure  # the store answered, and has too little to say; one that is down never advances
    if not passed and state.hold is None:
        state = replace(state, hold=state.slow_hold or WAITS)
    return Proven(state, passed, asks_store=sight.metrics)


def _too_little(state: ServiceState, sight: Sight, policy: Policy) -> Hold:
    if sight.requests >= policy.min_requests and state.slow_hold is not None:
        return state.slow_hold
    return Hold(HoldKind.REQUESTS, f"{sight.requests} of {policy.min_requests} requests")
