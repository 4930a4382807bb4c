"""How careful a shift is: every number that a decision uses, with its range, its unit and a default for production.

A range refuses what cannot work: a limit that nothing can pass, and one that nothing can exceed, so that the rule is dead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from migration.settings.keys import HOST, SERVICE_SHAPE, key

MONTH = 31 * 86_400.0
PARTS = "of the answers (0.01 is 1 %)"


@dataclass(frozen=True)
class Policy:
    """Keys of `policy:` in migration.yaml; the same names, the same defaults. Each: default, lowest, highest, unit, meaning."""

    steps_bp: tuple[int, ...] = key(
        (10, 100, 500, 2500, 5000, 10_000), 1, 10_000, "basis points", "green's share, step by step: growing to 10000",
        minItems=1, uniqueItems=True, contains={"const": 10_000},
    )  # fmt: skip
    dwell_seconds: float = key(300.0, 0, MONTH, "seconds", "how long a step must be good")
    sample_interval_seconds: float = key(1.0, 0.1, 60, "seconds", "between two looks at the counters")
    min_requests: int = key(20, 1, 1_000_000_000, "requests", "green's in a dwell, before a step can pass")
    # at 1 nothing is ever above the limit, or beyond the margin: nobody would be taken back
    error_rate_limit: float = key(0.01, 0, 0.99, PARTS, "errors that are always allowed")
    error_margin: float = key(0.005, 0, 0.99, PARTS, "so many more than blue's are allowed: errors, or answers of a class")
    # an hour is the last bucket of Envoy's and Istio's histograms: a quantile is never above it
    latency_limit_ms: float | None = key(
        None, 1, 3_600_000, "milliseconds", "of green's 99th percentile, by the metrics store; needs `metrics`"
    )
    latency_factor: float | None = key(None, 1, 1000, "times blue's", "the same limit as a multiple; needs `metrics`")
    # how unlikely green's errors must be if it were as good as allowed, and how many there must be at least
    false_alarm: float = key(1e-6, 1e-15, 0.05, "(a probability)", "green is bad when a good one would look so no more often")
    min_errors: int = key(4, 1, 10_000, "errors", "fewer never take a service back")
    # judged in this order until one is the whole step: a longer one in front would hide the shorter ones. What came more than
    # ten minutes ago is kept as part of the whole step only (samples.LONGEST_SECONDS)
    windows_seconds: tuple[float, ...] = key(
        (1.0, 2.0, 5.0, 10.0), 0.1, 600, "seconds", "over which the counters are judged, growing; a minute, ten and "
        "the whole step follow", minItems=1, uniqueItems=True,
    )  # fmt: skip
    hang_requests: int = key(5, 1, 1_000_000, "requests", "so many open and none finished ...")
    # samples.RECENT_SECONDS: it is not known of any longer time
    hang_seconds: float = key(5.0, 0.1, 60, "seconds", "... for so long: green hangs")
    analysis_interval_seconds: float = key(10.0, 1, 3600, "seconds", "between two questions to the metrics store")
    analysis_window_seconds: float = key(
        60.0, 1, 86_400, "seconds",
        "over which it is asked; several of its scrapes must fit in: one sample alone shows nothing",
    )  # fmt: skip
    fail_limit: int = key(2, 1, 1000, "answers", "bad answers of the metrics store before a service is rolled back")
    error_limit: int = key(10, 1, 10_000, "samples", "without counters from the gateway before a moving service is rolled back")
    inconclusive_limit_seconds: float = key(
        3600.0,
        1,
        MONTH,
        "seconds",
        "how long too little is known before `on_inconclusive`; a sample's interval or more",
    )
    on_inconclusive: Literal["hold", "back", "advance"] = key("hold", doc="what then")
    first_batch: int = key(2, 1, 10_000, "services", "in the first batch")
    batch: int = key(5, 1, 10_000, "services", "in each later one")
    in_flight: int = key(5, 1, 10_000, "services", "on their way at once")
    bake_seconds: float = key(3600.0, 0, MONTH, "seconds", "how long 100 % must be good")
    on_foreign_write: Literal["freeze", "reassert"] = key("freeze", doc="when another client changes a route")


# of the whole shift, not of a service
COMMON = ("sample_interval_seconds", "first_batch", "batch", "on_foreign_write")


def impossible(policy: Policy, *, metrics: bool) -> Iterator[tuple[str, str]]:
    """Keys whose values cannot work together, each with why. `metrics`: a metrics store is configured."""
    for name in ("latency_limit_ms", "latency_factor"):
        if getattr(policy, name) is not None and not metrics:
            yield name, "needs a metrics store, which alone knows latencies: without `metrics` it is never looked at"
    if policy.inconclusive_limit_seconds < policy.sample_interval_seconds:
        interval = f"{policy.sample_interval_seconds:g}"
        yield (
            "inconclusive_limit_seconds",
            f"must be at least policy.sample_interval_seconds ({interval} seconds), got {policy.inconclusive_limit_seconds:g}: "
            "it would be over before anything more is known",
        )


@dataclass(frozen=True)
class Check:
    """The request that `verify` sends to a service."""

    path: str = key("/", doc="`/` lets `verify` choose a path that a route takes", pattern="^/")
    host: str | None = key(None, doc="the host to ask for; the route's first by default", pattern=HOST)
    status: int | None = key(None, 100, 599, doc="exactly this status passes, whoever gives it; as blue answers by default")


@dataclass(frozen=True)
class ServicePolicy:
    """What differs for one service from what was found and from `policy:`."""

    check: Check = key(factory=Check, doc="the request that `verify` sends")
    hold: bool = key(False, doc="true: never moves by itself")
    depends_on: tuple[str, ...] = key((), doc="moves after these services", items=SERVICE_SHAPE)
    overrides: Mapping[str, object] = key(factory=dict, doc="keys of `policy` for this service alone", name="policy")
