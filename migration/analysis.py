"""Judges green from numbers alone. Pure: samples and windows go in, a verdict comes out.

Two judges. `fast` reads the gateways' counters and may take a service back within a second: it asks how likely
green's errors would be
if green were exactly as bad as is allowed, where allowed is the larger of the absolute limit and blue's own rate over
the same seconds
plus a margin (a fault that both share is not green's). Only when that is less likely than `policy.false_alarm` over
some window is green
guilty: half of a handful of requests is guilty at once, half a percent of thousands all day is not. `slow` reads the
metrics store and
gates each step.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from migration.model import GatewayCounters, Judged, ServiceCounters, Side, Tally, Verdict, WindowStats
from migration.policy import Policy

NONE = ServiceCounters()
# with fewer answers of blue than these in a window (it serves next to nothing at 100 %), its last minute is asked
ENOUGH_OF_BLUE = 20


def sides(blue_gateway: ServiceCounters, green_gateway: ServiceCounters) -> tuple[Tally, Tally]:
    """What blue and green answered, whichever gateway the requests came in by.

    A forwarded request is counted by the gateway that forwarded it, so that one which never arrived counts too.
    The other gateway counts
    those that arrived among its `local`; where it cannot tell them apart (`peer_in` is 0), as many as were
    forwarded are taken off.
    """
    return _side(blue_gateway, green_gateway.forwarded), _side(green_gateway, blue_gateway.forwarded)


def _side(own: ServiceCounters, sent: Tally) -> Tally:
    came = own.peer_in
    if came == Tally():
        came = Tally(
            min(sent.requests, own.local.requests),
            min(sent.errors, own.local.errors),
            min(sent.active, own.local.active),
        )
    total = own.local - came + sent
    return Tally(max(total.requests, 0), max(min(total.errors, total.requests), 0), max(total.active, 0))


@dataclass(frozen=True)
class Sample:
    at: float  # monotonic
    blue: ServiceCounters  # of blue's gateway: what it counted since the first sample; `active` as it is
    green: ServiceCounters


class Samples:
    """The last seconds of one service. Counters that began again (a restarted proxy) add what they show, never a
    negative number."""

    def __init__(self, keep_seconds: float = 60.0) -> None:
        self.keep_seconds = keep_seconds
        self._kept: deque[Sample] = deque()
        self._last: dict[Side, tuple[str, ServiceCounters]] = {}
        self._sum: dict[Side, ServiceCounters] = {"blue": NONE, "green": NONE}

    def add(self, at: float, gateways: Mapping[Side, GatewayCounters], service: str) -> None:
        """`gateways` by side; one that did not answer is left out, its counts come with its next answer."""
        for side, reading in gateways.items():
            counters = reading.services.get(service, NONE)
            before = self._last.get(side)
            self._last[side] = (reading.epoch, counters)
            if before is not None:
                base = before[1] if before[0] == reading.epoch else NONE
                total = self._sum[side]
                self._sum[side] = ServiceCounters(
                    _grown(total.local, counters.local, base.local),
                    _grown(total.forwarded, counters.forwarded, base.forwarded),
                    _grown(total.peer_in, counters.peer_in, base.peer_in),
                )
        self._kept.append(Sample(at, self._sum["blue"], self._sum["green"]))
        while len(self._kept) > 2 and self._kept[1].at < at - self.keep_seconds:
            self._kept.popleft()

    def over(self, seconds: float) -> tuple[Tally, Tally] | None:
        """Blue's and green's growth over the last seconds (the newest sample back to the last one that is old
        enough)."""
        if len(self._kept) < 2:
            return None
        newest = self._kept[-1]
        base = self._kept[0]
        for sample in self._kept:
            if sample.at <= newest.at - seconds + 1e-6:
                base = sample
            else:
                break
        if base is newest:
            base = self._kept[-2]
        return sides(_since(newest.blue, base.blue), _since(newest.green, base.green))

    def hung_seconds(self) -> float:
        """For how long green has held requests without finishing any."""
        if not self._kept:
            return 0.0
        newest = self._kept[-1]
        finished = self._green(newest).requests
        since = newest.at
        for sample in reversed(self._kept):
            there = self._green(sample)
            if there.active <= 0 or there.requests != finished:
                break
            since = sample.at
        return newest.at - since

    def _green(self, sample: Sample) -> Tally:
        return sides(sample.blue, sample.green)[1]

    def green_active(self) -> int:
        return self._green(self._kept[-1]).active if self._kept else 0

    def green_total(self) -> int:
        """Green's answers since the first sample."""
        return sides(self._sum["blue"], self._sum["green"])[1].requests

    def forget(self) -> None:
        """Drops the window, not the counters: a mended service is not judged by the answers it gave before."""
        self._kept.clear()


def _grown(total: Tally, now: Tally, before: Tally) -> Tally:
    if now.requests < before.requests:
        before = Tally()
    return Tally(total.requests + now.requests - before.requests, total.errors + max(now.errors - before.errors, 0), now.active)


def _since(now: ServiceCounters, before: ServiceCounters) -> ServiceCounters:
    def growth(after: Tally, base: Tally) -> Tally:
        return Tally(after.requests - base.requests, after.errors - base.errors, after.active)

    return ServiceCounters(
        growth(now.local, before.local), growth(now.forwarded, before.forwarded), growth(now.peer_in, before.peer_in)
    )


def tail(errors: int, requests: int, rate: float) -> float:
    """P(X >= errors) of a binomial: how likely so many errors are where each request fails with `rate`."""
    if errors <= 0:
        return 1.0
    if errors > requests or rate <= 0.0:
        return 0.0
    if rate >= 1.0:
        return 1.0
    mean = requests * rate
    if errors <= mean:
        return 1.0  # not above what is allowed; the exact number does not matter
    log_p, log_q = math.log(rate), math.log1p(-rate)
    term = math.exp(
        math.lgamma(requests + 1)
        - math.lgamma(errors + 1)
        - math.lgamma(requests - errors + 1)
        + errors * log_p
        + (requests - errors) * log_q
    )
    total = 0.0
    ratio = rate / (1.0 - rate)
    for k in range(errors, requests + 1):
        total += term
        term *= (requests - k) / (k + 1) * ratio
        if term < total * 1e-9:
            break
    return min(total, 1.0)


def allowed_rate(blue: Tally, policy: Policy) -> float:
    """Blue's rate is taken at the upper end of what its few requests allow: an unlucky green must not be compared
    with a lucky blue."""
    if blue.requests <= 0:
        return policy.error_rate_limit
    rate = blue.errors / blue.requests
    if blue.errors:
        rate += 2.0 * math.sqrt(rate * (1.0 - rate) / blue.requests)
        return min(1.0, max(policy.error_rate_limit, rate + policy.error_margin))
    return policy.error_rate_limit


def fast(samples: Samples, policy: Policy) -> Judged:
    """Fail: green is worse than allowed beyond chance, or hangs. Pass: it answered and is not. Else inconclusive."""
    last = Judged(Verdict.INCONCLUSIVE, "no answers of green yet")
    for seconds in policy.windows_seconds:
        grown = samples.over(seconds)
        if grown is None:
            continue
        blue, green = grown
        if green.requests <= 0:
            continue
        if blue.requests < ENOUGH_OF_BLUE and (longer := samples.over(samples.keep_seconds)):
            blue = longer[0]
        green_rate = green.errors / green.requests
        blue_rate = blue.errors / blue.requests if blue.requests else None
        allowed = allowed_rate(blue, policy)
        if green.errors >= policy.min_errors and tail(green.errors, green.requests, allowed) < policy.false_alarm:
            told = f"{green.errors} errors in {green.requests} requests within {seconds:g} s ({green_rate:.1%})"
            told += f", allowed {allowed:.1%}"
            if blue_rate is not None:
                told += f" (blue {blue_rate:.1%})"
            return Judged(Verdict.FAIL, told, green_rate, blue_rate, green.requests)
        last = Judged(
            Verdict.PASS, f"{green.errors} errors in {green.requests} requests", green_rate, blue_rate, green.requests
        )
    hung, active = samples.hung_seconds(), samples.green_active()
    if active >= policy.hang_requests and hung >= policy.hang_seconds:
        return Judged(Verdict.FAIL, f"{active} requests open, none finished for {hung:.0f} s", None, None, 0)
    return last


def slow(green: WindowStats | None, blue: WindowStats | None, policy: Policy) -> Judged:
    """The metrics store's word on a step. Missing, empty or NaN numbers never pass."""
    if green is None or not math.isfinite(green.requests) or not math.isfinite(green.errors):
        return Judged(Verdict.INCONCLUSIVE, "the metrics store has no data of green")
    requests, errors = round(green.requests), round(green.errors)
    if requests <= 0:
        return Judged(Verdict.INCONCLUSIVE, "the metrics store has no requests of green in this window")
    rate = errors / requests
    base = Tally()
    if blue is not None and math.isfinite(blue.requests) and math.isfinite(blue.errors):
        base = Tally(round(blue.requests), round(blue.errors))
    blue_rate = base.errors / base.requests if base.requests else None
    allowed = allowed_rate(base, policy)
    if rate > allowed and tail(errors, requests, allowed) < 0.01:
        return Judged(
            Verdict.FAIL, f"{rate:.2%} errors in {requests} requests, allowed {allowed:.2%}", rate, blue_rate, requests
        )
    limits = []
    if policy.latency_limit_ms is not None:
        limits.append(policy.latency_limit_ms)
    if policy.latency_factor is not None:
        if blue is None or blue.latency_ms is None or not math.isfinite(blue.latency_ms):
            return Judged(Verdict.INCONCLUSIVE, "no latency of blue to compare with", rate, blue_rate, requests)
        limits.append(blue.latency_ms * policy.latency_factor)
    if limits:
        if green.latency_ms is None or not math.isfinite(green.latency_ms):
            return Judged(Verdict.INCONCLUSIVE, "the metrics store has no latency of green", rate, blue_rate, requests)
        if green.latency_ms > min(limits):
            told = f"latency {green.latency_ms:.0f} ms, allowed {min(limits):.0f} ms"
            return Judged(Verdict.FAIL, told, rate, blue_rate, requests)
    return Judged(Verdict.PASS, f"{errors} errors in {requests} requests", rate, blue_rate, requests)
