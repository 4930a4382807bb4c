"""What a shift works with, and what it tells: the ports and files of a run, its rules, one tick, its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from migration.model import Judged, ServiceState, Side
from migration.ports import Clock, Counters, Entry, Kubernetes, Metrics, Router
from migration.settings.policy import Policy
from migration.settings.stack_file import StackFile
from migration.shift.order import Order
from migration.store.journal import Journal
from migration.store.lock import Lock


@dataclass
class World:
    """Everything the loop touches."""

    routers: Mapping[Side, Router]
    counters: Mapping[Side, Counters]
    metrics: Metrics | None
    clock: Clock
    file: StackFile
    journal: Journal
    lock: Lock
    entry: Entry | None = None
    clusters: Mapping[Side, Kubernetes] = field(default_factory=dict)
    # puts the floors of what has baked back (all of it, each time); gives what is left: what it is, and why it is a floor still
    release: Callable[[frozenset[str]], Awaitable[Mapping[str, str]]] | None = None


@dataclass(frozen=True)
class Rules:
    order: Order
    policy: Policy
    policy_of: Callable[[str], Policy]
    window_open: Callable[[float], bool] = lambda wall: True
    paused: Callable[[], str | None] = lambda: None
    held: frozenset[str] = frozenset()
    reassert: bool = False


@dataclass(frozen=True)
class Shown:
    """One tick, for whoever watches."""

    at: float
    services: Mapping[str, ServiceState]
    fast: Mapping[str, Judged]
    slow: Mapping[str, Judged]
    paused: str | None
    window_open: bool


@dataclass(frozen=True)
class Result:
    arrived: tuple[str, ...]
    returned: Mapping[str, str]  # in this run, unasked
    behind: Mapping[str, str]  # held, or went back before
    frozen: Mapping[str, str]
    splits: Mapping[str, int]  # of all, also of those that it was not asked to move
