"""How careful a shift is: every number that a decision uses, with defaults for production."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Policy:
    """Keys of `policy:` in migration.yaml; the same names, the same defaults."""

    steps_bp: tuple[int, ...] = (10, 100, 500, 2500, 5000, 10_000)
    dwell_seconds: float = 300.0
    sample_interval_seconds: float = 1.0
    # a step passes only with this many requests of green in its dwell
    min_requests: int = 20
    # fewer errors than the limit are always allowed; above it green must be worse than blue and the margin beyond chance
    error_rate_limit: float = 0.01
    error_margin: float = 0.005
    # latency is judged where a limit (or a factor over blue) is given; the quantile is the metrics client's
    latency_limit_ms: float | None = None
    latency_factor: float | None = None
    # the fast rule: how unlikely green's errors must be if it were as good as allowed, and how many there must
    # be at least
    false_alarm: float = 1e-6
    min_errors: int = 4
    windows_seconds: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)
    hang_requests: int = 5
    hang_seconds: float = 5.0
    # the slow verdicts of the metrics store
    analysis_interval_seconds: float = 10.0
    analysis_window_seconds: float = 60.0
    fail_limit: int = 2
    # samples in a row without a word from the gateway that users come in by: then a moving service goes back
    error_limit: int = 10
    inconclusive_limit_seconds: float = 3600.0
    on_inconclusive: Literal["hold", "back", "advance"] = "hold"
    # batches: a few services first, then many, at most so many on their way at once
    first_batch: int = 2
    batch: int = 5
    in_flight: int = 5
    bake_seconds: float = 3600.0
    on_foreign_write: Literal["freeze", "reassert"] = "freeze"


@dataclass(frozen=True)
class Check:
    """The request that `verify` sends to a service."""

    path: str = "/"
    host: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class ServicePolicy:
    """What differs for one service from what was found and from `policy:`."""

    check: Check = field(default_factory=Check)
    hold: bool = False  # never moves by itself
    depends_on: tuple[str, ...] = ()
    overrides: Mapping[str, object] = field(default_factory=dict)
