"""Judges green from numbers alone. Pure: samples and windows go in, a verdict comes out.

Two judges. `fast` reads the gateways' counters and may take a service back within a second: it asks how likely green's errors would be
if green were exactly as bad as is allowed, where allowed is the larger of the absolute limit and blue's own rate over the same seconds
plus a margin (a fault that both share is not green's). Only when that is less likely than `policy.false_alarm` over some window is green
guilty: half of a handful of requests is guilty at once, half a percent of thousands all day is not. `slow` reads the metrics store and
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


@dataclass(frozen=True)
class Sides:
    """What each side answered of one service, whichever gateway the requests came in by."""

    blue: Tally
    green: Tally


def sides(blue_gateway: ServiceCounters, green_gateway: ServiceCounters) -> Sides:
    """A side's sample: what the other gateway saw of its forwards, and what its own gateway served of its own.

    A forwarded request is counted by the gateway that forwarded it, so that one which never arrived counts; `peer_in` is taken off, or
    it would count twice.
    """
    return Sides(
        blue=blue_gateway.local - blue_gateway.peer_in + green_gateway.forwarded,
        green=green_gateway.local - green_gateway.peer_in + blue_gateway.forwarded,
    )


@dataclass(frozen=True)
class Sample:
    at: float  # monotonic
    blue: Tally  # since the first sample; `active` as it is
    green: Tally


class Samples:
    """The last seconds of one service. Counters that began again (a restarted proxy) add what they show, never a negative number."""

    def __init__(self, keep_seconds: float = 60.0) -> None:
        self._keep_seconds = keep_seconds
        self._kept: deque[Sample] = deque()
        self._last: dict[str, tuple[str, ServiceCounters]] = {}
        self._sum = {"blue": Tally(), "green": Tally()}

    def add(self, at: float, gateways: Mapping[Side, GatewayCounters], service: str) -> None:
        """`gateways` by side; one that did not answer is left out, its counts come with its next answer."""
        grown = {"blue": NONE, "green": NONE}
        for side, reading in gateways.items():
            counters = reading.services.get(service, NONE)
            before = self._last.get(side)
            self._last[side] = (reading.epoch, counters)
            if before is not None:
                base = before[1] if before[0] == reading.epoch else NONE
                grown[side] = ServiceCounters(
                    _growth(counters.local, base.local),
                    _growth(counters.forwarded, base.forwarded),
                    _growth(counters.peer_in, base.peer_in),
                )
        blue, green = self._last.get("blue", ("", NONE))[1], self._last.get("green", ("", NONE))[1]
        present, delta = sides(blue, green), sides(grown["blue"], grown["green"])
        for side, tally in (("blue", delta.blue), ("green", delta.green)):
            # forwarded and local are counted by different proxies at different moments: a small negative is noise
            self._sum[side] = self._sum[side] + Tally(max(tally.requests, 0), max(min(tally.errors, tally.requests), 0))
        self._kept.append(
            Sample(
                at,
                *(
                    _with_active(self._sum[side], tally)
                    for side, tally in (("blue", present.blue), ("green", present.green))
                ),
            )
        )
        while len(self._kept) > 2 and self._kept[1].at < at - self._keep_seconds:
            self._kept.popleft()

    def over(self, seconds: float) -> tuple[Tally, Tally] | None:
        """Blue's and green's growth over the last seconds (the newest sample back to the last one that is old enough)."""
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
        return newest.blue - base.blue, newest.green - base.green

    def hung_seconds(self) -> float:
        """For how long green has held requests without finishing any."""
        if not self._kept:
            return 0.0
        newest = self._kept[-1]
        since = newest.at
        for sample in reversed(self._kept):
            if sample.green.active <= 0 or sample.green.requests != newest.green.requests:
                break
            since = sample.at
        return newest.at - since

    def forget(self) -> None:
        """Drops the window, not the counters: a mended service is not judged by the answers it gave before."""
        self._kept.clear()

    def green_active(self) -> int:
        return self._kept[-1].green.active if self._kept else 0

    def green_total(self) -> int:
        return self._kept[-1].green.requests if self._kept else 0


def _with_active(total: Tally, present: Tally) -> Tally:
    return Tally(total.requests, total.errors, max(present.active, 0))


def _growth(now: Tally, before: Tally) -> Tally:
    if now.requests < before.requests:
        before = Tally()
    return Tally(now.requests - before.requests, max(now.errors - before.errors, 0), now.active)


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
    """Blue's rate is taken at the upper end of what its few requests allow: an unlucky green must not be compared with a lucky blue."""
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
        green_rate = green.errors / green.requests
        blue_rate = blue.errors / blue.requests if blue.requests else None
        allowed = allowed_rate(blue, policy)
        if green.errors >= policy.min_errors and tail(green.errors, green.requests, allowed) < policy.false_alarm:
            told = f"{green.errors} errors in {green.requests} requests within {seconds:g} s ({green_rate:.1%}), allowed {allowed:.1%}"
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
