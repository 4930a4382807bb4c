"""Judges green from numbers alone. Pure: samples and windows go in, a verdict comes out.

Three judges. `fast` reads the gateways' counters and may take a service back within a second. `doubt` looks at a whole step
before it may end. `slow` reads the metrics store and gates each step.

Green is guilty of errors where there are more than are always allowed (`policy.error_rate_limit`) and more than blue's,
both beyond chance: less likely than `policy.false_alarm`. Blue's part is counts, not a rate: twenty good answers are little
evidence, and a fault that both share is not green's. A class of answers (404, 401/403, 3xx, ...) that is most of green's and
not of blue's counts like errors; a smaller shift of one is a doubt.

Where blue answers too little in the same seconds to tell (it serves next to nothing at 99 %, nothing at 100 %), what it is
remembered to have shown is taken too. A memory knows nothing of the present: an outage of both sides looks like green's
alone. So green's worst SHARED_SECONDS are then forgiven, and nothing is said while the few answers that blue still gives
are worse than they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from migration.model import Baseline, Hold, HoldKind, Judged, Tally, Verdict, WindowStats
from migration.settings.policy import Policy
from migration.shift.chance import tail, two_sample
from migration.shift.samples import LONGEST_SECONDS, RECENT_SECONDS, Sample, Samples, Window

ERRORS = "errors"
LONG_WINDOWS = (RECENT_SECONDS, LONGEST_SECONDS, math.inf)  # after the policy's; infinity: since the step took effect
SHARED_SECONDS = 3.0  # an outage of one or two seconds, and the sample in which it began
DOUBT = 0.01  # less likely than this by chance: a step does not end on it
DILUTED = 0.8  # of what green's gateway counted came by blue's: the rest are other services', or its own users'
SURELY_WORSE = 0.05  # that blue's few answers are worse than it is remembered


def fast(samples: Samples, policy: Policy, *, alone: bool = False) -> Judged:
    """Fail: green is worse than allowed beyond chance, or hangs. Pass: it answered and is not. Else inconclusive.

    `alone`: green serves everything, so that blue will not answer any more.
    """
    last = Judged(Verdict.INCONCLUSIVE, "no answers of green yet")
    whole = samples.over()
    harmless = whole is not None and whole.green.errors < policy.min_errors and not whole.green.classes
    for window in (whole,) if whole and harmless else _windows(samples, policy):
        green, blue = window.green, window.blue
        if green.requests <= 0:
            continue
        rates = green.errors / green.requests, blue.errors / blue.requests if blue.requests else None
        for part in _parts(window):
            for kind in _kinds(part(window)):
                if why := _guilty(kind, part, window, samples, policy, alone=alone):
                    return Judged(Verdict.FAIL, why, *rates, green.requests)
        last = Judged(Verdict.PASS, _figures(ERRORS, green), *rates, green.requests)
    hung, active = samples.hung_seconds(), samples.green_active()
    if active >= policy.hang_requests and hung >= policy.hang_seconds:
        return Judged(Verdict.FAIL, f"{active} requests open, none finished for {hung:.0f} s", None, None, 0)
    return last


def _windows(samples: Samples, policy: Policy) -> Iterator[Window]:
    for seconds in (*policy.windows_seconds, *LONG_WINDOWS):
        window = samples.over(seconds)
        if window is None:
            return
        yield window
        if window.whole:
            return


Part = Callable[[Sample | Window], Tally]


def _green(span: Sample | Window) -> Tally:
    return span.green


def _sent(span: Sample | Window) -> Tally:
    return span.sent


def _parts(window: Window) -> tuple[Part, ...]:
    """What of green is judged: all of it and, where that has answers of others too, what blue's gateway forwarded.

    A gateway counts a destination that several services share for all of them together: one that fails could hide there.
    """
    diluted = 0 < window.sent.requests < DILUTED * window.green.requests
    return (_green, _sent) if diluted else (_green,)


def _kinds(green: Tally) -> tuple[str, ...]:
    return (ERRORS, *green.classes) if green.classes else (ERRORS,)


def _count(answers: Tally, kind: str) -> int:
    return answers.errors if kind == ERRORS else answers.classes.get(kind, 0)


def _most(answers: Tally, kind: str) -> bool:
    return 2 * _count(answers, kind) > answers.requests


def _too_many(kind: str, green: Tally, policy: Policy) -> bool:
    """By green's own numbers: for errors beyond the limit, for a class most of its answers."""
    bad = _count(green, kind)
    if bad < policy.min_errors:
        return False
    if kind != ERRORS:
        return _most(green, kind)
    return tail(bad, green.requests, policy.error_rate_limit, policy.false_alarm) < policy.false_alarm


def _by_chance(kind: str, green: Tally, blue: Tally, policy: Policy, alarm: float) -> bool:
    """Whether green may have so many more than blue and the margin where both are equally good."""
    allowed = min(_count(blue, kind) + math.floor(policy.error_margin * blue.requests), blue.requests)
    return two_sample(_count(green, kind), green.requests, allowed, blue.requests, alarm) >= alarm


def _worse(kind: str, green: Tally, blue: Tally, policy: Policy) -> bool:
    return not _by_chance(kind, green, blue, policy, policy.false_alarm) and (kind == ERRORS or not _most(blue, kind))


def _can_tell(kind: str, green: Tally, blue: Tally, alarm: float) -> bool:
    """Whether blue answered enough to show green worse, had all of its answers been good."""
    return two_sample(_count(green, kind), green.requests, 0, blue.requests, alarm) < alarm


def _guilty(kind: str, part: Part, window: Window, samples: Samples, policy: Policy, *, alone: bool) -> str | None:
    green, blue = part(window), window.blue
    if not _too_many(kind, green, policy):
        return None
    when = "since the step took effect" if window.whole else f"within {window.seconds:g} s"
    if _worse(kind, green, blue, policy):
        return f"{_figures(kind, green)} {when} ({_rate(kind, green)}), blue {_count(blue, kind)} of {blue.requests}"
    if _can_tell(kind, green, blue, policy.false_alarm):
        return None
    known = samples.remembered(window.since) + blue
    if not _worse_than_remembered(kind, green, known, policy, alone=alone) or _blue_is_worse_too(kind, window, samples):
        return None
    forgiven = samples.without_worst(window, SHARED_SECONDS, lambda answers: _count(answers, kind), part)
    if not _too_many(kind, forgiven, policy) or not _worse_than_remembered(kind, forgiven, known, policy, alone=alone):
        return None
    showed = f"blue showed {_count(known, kind)} of {known.requests}" if known.requests else "nothing is known of blue"
    return f"{_figures(kind, green)} {when} ({_rate(kind, green)}), {showed}"


def _worse_than_remembered(kind: str, green: Tally, known: Tally, policy: Policy, *, alone: bool) -> bool:
    if known.requests <= 0:
        if kind != ERRORS:
            return False
        if alone:
            return True  # the limit alone must do: nobody will ever tell more
    elif _worse(kind, green, known, policy):
        return True
    # too little is known of blue, but no cluster that serves users fails most of what it is asked
    hopeless = kind == ERRORS and tail(green.errors, green.requests, 0.5, policy.false_alarm) < policy.false_alarm
    return hopeless and not _most(known, kind)


def _blue_is_worse_too(kind: str, window: Window, samples: Samples) -> bool:
    """Whether the few answers that blue gave of late are worse than it is remembered: then the fault may be shared."""
    for lately in (window, samples.over(RECENT_SECONDS) or window):
        before = samples.remembered(lately.since)
        usual = (_count(before, kind) + 1) / (before.requests + 1)
        if tail(_count(lately.blue, kind), lately.blue.requests, usual) < SURELY_WORSE:
            return True
    return False


def doubt(samples: Samples, policy: Policy) -> Hold | None:
    """Why all that happened since the step took effect is not good enough to end it; None: it is."""
    window = samples.over()
    if window is None:
        return Hold(HoldKind.NUMBERS, "nothing was counted yet in this run")
    if window.green.requests <= 0:
        return None  # too few requests hold it by themselves
    for part in _parts(window):
        if in_doubt := _in_doubt(part(window), window.blue, samples.remembered(window.since), policy):
            return Hold(HoldKind.NUMBERS, f"{in_doubt.text} since the step took effect", in_doubt.kind)
    return None


@dataclass(frozen=True)
class _InDoubt:
    """`kind`: of answers, as `_kinds` names them."""

    kind: str
    text: str


def _in_doubt(green: Tally, beside: Tally, before: Tally, policy: Policy) -> _InDoubt | None:
    """`beside`: what blue answered meanwhile; where that is too little to tell, `before` is taken too."""
    for kind in _kinds(green):
        bad = _count(green, kind)
        blue = beside if _can_tell(kind, green, beside, DOUBT) else before + beside
        if kind == ERRORS:
            if tail(bad, green.requests, policy.error_rate_limit, DOUBT) >= DOUBT:
                continue
            # beyond the limit only what blue does too passes; that it may be so by chance is not enough
            same = blue.requests > 0 and 2 * _count(blue, kind) * green.requests >= bad * blue.requests
        else:
            same = not _most(green, kind) or _most(blue, kind)
        if same and _by_chance(kind, green, blue, policy, DOUBT):
            continue
        showed = f"{_count(blue, kind)} of {blue.requests}" if blue.requests else "nothing is known"
        return _InDoubt(kind, f"{_figures(kind, green)} ({_rate(kind, green)}), of blue {showed},")
    return None


def _figures(kind: str, answers: Tally) -> str:
    what = ERRORS if kind == ERRORS else f"answers {kind}"
    return f"{_count(answers, kind)} {what} in {answers.requests} requests"


def _rate(kind: str, answers: Tally) -> str:
    return f"{_count(answers, kind) / answers.requests:.2%}"


def slow(green: WindowStats | None, blue: WindowStats | None, policy: Policy, remembered: Baseline | None = None) -> Judged:
    """The metrics store's word on a step. Missing, empty or NaN numbers never pass.

    Fails by what both sides answered in this window. Where blue answered too little to tell, a green that is worse than
    `remembered` is inconclusive: the counters, which see each second, take it back where it is to be.
    """
    served = _answers(green)
    if green is None or served is None:
        return Judged(Verdict.INCONCLUSIVE, "the metrics store has no data of green", about="no data")
    if served.requests <= 0:
        return Judged(Verdict.INCONCLUSIVE, "the metrics store has no requests of green in this window", about="no requests")
    remembered = remembered or Baseline()
    beside = _answers(blue) or Tally()
    rates = served.errors / served.requests, beside.errors / beside.requests if beside.requests else None

    def judged(verdict: Verdict, reason: str, about: str) -> Judged:
        return Judged(verdict, reason, *rates, served.requests, about)

    for kind in _kinds(served):
        if _too_many(kind, served, policy) and _worse(kind, served, beside, policy):
            why = f"{_figures(kind, served)} ({_rate(kind, served)}), blue {_count(beside, kind)} of {beside.requests}"
            return judged(Verdict.FAIL, why, kind)
    if in_doubt := _in_doubt(served, beside, remembered.answers, policy):
        return judged(Verdict.INCONCLUSIVE, f"{in_doubt.text} by the metrics store", in_doubt.kind)
    limits = [] if policy.latency_limit_ms is None else [policy.latency_limit_ms]
    if policy.latency_factor is not None:
        usual = blue.latency_ms if blue is not None and beside.requests >= policy.min_requests else None
        usual = usual if usual is not None and math.isfinite(usual) else remembered.latency_ms
        if usual is None:
            return judged(Verdict.INCONCLUSIVE, "no latency of blue to compare with", "no latency of blue")
        limits.append(usual * policy.latency_factor)
    if limits:
        if green.latency_ms is None or not math.isfinite(green.latency_ms):
            return judged(Verdict.INCONCLUSIVE, "the metrics store has no latency of green", "no latency of green")
        if green.latency_ms > min(limits):
            return judged(Verdict.FAIL, f"latency {green.latency_ms:.0f} ms, allowed {min(limits):.0f} ms", "latency")
    return judged(Verdict.PASS, _figures(ERRORS, served), "")


def _answers(stats: WindowStats | None) -> Tally | None:
    if stats is None or not math.isfinite(stats.requests) or not math.isfinite(stats.errors):
        return None
    classes = {name: round(count) for name, count in stats.classes.items() if math.isfinite(count)}
    return Tally(round(stats.requests), round(stats.errors), 0, classes)
