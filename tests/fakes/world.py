"""Two clusters with gateways, users and a metrics store, in memory. Implements the ports of migration/ports.py."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from migration.errors import BluegreenError, ForeignWrite, LostFence, Unreachable
from migration.model import GatewayCounters, RouteLive, RouterState, ServiceCounters, Side, Tally, WindowStats
from migration.ports import Written
from migration.settings.policy import Policy
from migration.settings.stack_file import StackFile
from migration.shift.loop import Shift
from migration.shift.order import make_order
from migration.shift.world import Result, Rules, World
from migration.store.journal import Journal
from migration.store.lock import Lock, take
from tests.fakes.clock import FakeClock, run

EDGE = """\
# the way in
config:
  bluegreen:kind: edge
  bluegreen:sides: {blue: plum, green: fern}
  bluegreen:entry: {plum: 10000, fern: 0}  # moves last
  bluegreen:services:
    # one line each
SERVICES
  bluegreen:generation: 1
  bluegreen:ttl: 5
"""
FAST = Policy(
    steps_bp=(10, 2000, 10_000),
    dwell_seconds=3,
    min_requests=1,
    bake_seconds=5,
    analysis_interval_seconds=1,
    analysis_window_seconds=10,
    first_batch=2,
)


SILENT_SECONDS = 4.0


class Killed(BaseException):
    """The process dies here."""


@dataclass
class Route:
    split: int | None = 0
    version: int = 1
    fence: int = 0
    manager: str = "bluegreen-edge"


@dataclass
class Universe:
    """What outlives the command: clusters, users, files."""

    folder: Path
    services: Sequence[str] = ("shop/catalog",)
    rate: float = 200.0  # requests a second and service
    seed: int = 0
    splits: Mapping[str, int] = field(default_factory=dict)
    green_errors: Callable[[str, float], float] = lambda service, now: 0.0
    blue_errors: Callable[[str, float], float] = lambda service, now: 0.0
    green_class: str = ""  # of every good answer of green: "404", "gRPC 7" ...
    blue_class: str = ""
    latency_ms: Mapping[Side, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.routes: dict[Side, dict[str, Route]] = {
            side: {service: Route(self.splits.get(service, 0)) for service in self.services} for side in ("blue", "green")
        }
        self.records: dict[Side, tuple[int, dict[str, int]]] = {"blue": (1, {}), "green": (1, {})}
        self.returned: dict[Side, dict[str, str]] = {"blue": {}, "green": {}}  # why services went back
        # blue-api, green-api (refuse), green-silent (takes all, answers nothing), blue-counters, green-counters, store
        self.dead: set[str] = set()
        self.hang: set[str] = set()
        self.counted: dict[Side, dict[str, ServiceCounters]] = {
            side: {service: ServiceCounters() for service in self.services} for side in ("blue", "green")
        }
        self.answers: list[tuple[float, str, Side, int, int]] = []  # at, service, side, requests, errors
        self.history: dict[str, list[tuple[float, str, int]]] = {service: [] for service in self.services}
        self.upto = 0.0
        self.points = 0
        self.kill_at: int | None = None
        self.entry: FakeEntry | None = None
        self.edge = self.folder / "Pulumi.edge.yaml"
        if not self.edge.exists():
            lines = "\n".join(f"    {service}: {self.splits.get(service, 0)}" for service in self.services)
            self.edge.write_text(EDGE.replace("SERVICES", lines))

    def point(self) -> None:
        self.points += 1
        if self.kill_at is not None and self.points > self.kill_at:
            raise Killed

    def live(self, service: str) -> tuple[int | None, int | None]:
        return self.routes["blue"][service].split, self.routes["green"][service].split

    def some(self, requests: int, rate: float) -> int:
        if rate <= 0.0 or rate >= 1.0:
            return requests if rate >= 1.0 else 0
        return sum(self.random.random() < rate for _ in range(requests))

    def flow(self) -> None:
        """Users since the last look, all by blue's gateway."""
        now = asyncio.get_running_loop().time()
        span, self.upto = now - self.upto, now
        if span <= 0:
            return
        for service in self.services:
            split = (self.routes["blue"][service].split or 0) / 10_000
            expected = self.rate * span
            total = int(expected) + (self.random.random() < expected % 1)
            forwarded = self.some(total, split)
            green_bad = self.some(forwarded, self.green_errors(service, now))
            blue_bad = self.some(total - forwarded, self.blue_errors(service, now))
            hung = forwarded if service in self.hang else 0
            blue, green = self.counted["blue"][service], self.counted["green"][service]
            blue_classes = {self.blue_class: total - forwarded - blue_bad} if self.blue_class else {}
            green_classes = {self.green_class: forwarded - hung - green_bad} if self.green_class else {}
            self.counted["blue"][service] = replace(
                blue,
                local=blue.local + Tally(total - forwarded, blue_bad, 0, blue_classes),
                forwarded=blue.forwarded + Tally(forwarded - hung, 0 if hung else green_bad, hung, green_classes),
            )
            self.counted["green"][service] = replace(
                green,
                local=green.local + Tally(forwarded - hung, green_bad, 0, green_classes),
                peer_in=green.peer_in + Tally(forwarded - hung, green_bad, 0, green_classes),
            )
            self.answers.append((now, service, "green", forwarded, green_bad))
            self.answers.append((now, service, "blue", total - forwarded, blue_bad))


class FakeRouter:
    def __init__(self, universe: Universe, side: Side) -> None:
        self.universe, self.side = universe, side
        self.cluster = {"blue": "plum", "green": "fern"}[side]
        self.known: dict[str, int] = {}
        self.entry: Mapping[str, int] = {}

    async def _reach(self) -> dict[str, Route]:
        await asyncio.sleep(0.01)
        if f"{self.side}-api" in self.universe.dead:
            raise Unreachable(f"{self.cluster} does not answer")
        if f"{self.side}-silent" in self.universe.dead:
            await asyncio.Event().wait()  # until the caller gives up
        return self.universe.routes[self.side]

    async def ready(self) -> None:
        pass

    async def read(self) -> RouterState:
        routes = await self._reach()
        self.known = {**{service: route.version for service, route in routes.items()}, **self.known}
        generation, services = self.universe.records[self.side]
        return RouterState(
            generation,
            services,
            {
                service: RouteLive(
                    route.split, str(route.version), route.fence, str(route.split), route.manager, "10:00:00", route.split
                )
                for service, route in routes.items()
            },
            dict(self.universe.returned[self.side]),
        )

    async def write(
        self,
        splits: Mapping[str, int],
        *,
        changed: Sequence[str],
        generation: int,
        fence: int,
        force: bool = False,
        taken: Callable[[str], None] | None = None,
    ) -> Written:
        self.universe.flow()
        try:
            routes = await asyncio.wait_for(self._reach(), SILENT_SECONDS)
        except (Unreachable, TimeoutError):
            gone = Unreachable(f"{self.cluster} answers nothing")
            return Written(generation, dict.fromkeys(changed, gone), None if changed else gone)
        problems: dict[str, BluegreenError] = {}
        for service in changed:
            self.universe.point()
            route = routes[service]
            if not force and route.version != self.known.get(service):
                if route.fence > fence:
                    raise LostFence(f"{service} has fence {route.fence}")
                if route.manager != "bluegreen-edge":
                    problems[service] = ForeignWrite(
                        f"{service} changed by {route.manager}", target=service, who=route.manager, when="10:00:00"
                    )
                    continue
            route.split, route.version, route.manager = splits[service], route.version + 1, "bluegreen-edge"
            self.known[service] = route.version
            self.universe.history[service].append((asyncio.get_running_loop().time(), self.side, splits[service]))
            self.universe.point()
            if taken is not None:
                taken(service)
        if not changed or len(problems) < len(changed):
            self.universe.records[self.side] = (generation, dict(splits))
            self.universe.point()
        return Written(generation, problems)

    async def raise_fence(self, fence: int) -> list[str]:
        changed = []
        for service, route in (await self._reach()).items():
            if route.fence >= fence:
                raise LostFence(f"{service} has fence {route.fence}")
            if self.known.get(service, route.version) == route.version:
                self.known[service] = route.version + 1
            else:
                changed.append(service)
            route.fence, route.version = fence, route.version + 1
        return changed

    async def keep_returned(self, changes: Mapping[str, str | None]) -> None:
        await self._reach()
        returned = {**self.universe.returned[self.side], **changes}
        self.universe.returned[self.side] = {service: why for service, why in returned.items() if why is not None}

    async def in_effect(self, service: str, split_bp: int) -> bool:
        await asyncio.sleep(0.005)
        return self.universe.routes[self.side][service].split == split_bp


class FakeEntry:
    """Route 53's shares. `dead` has "route53": no answer."""

    def __init__(self, universe: Universe, shares: Mapping[str, int]) -> None:
        self.universe, self.shares = universe, dict(shares)

    async def read(self) -> Mapping[str, int]:
        return self.shares

    async def write(self, shares_bp: Mapping[str, int], *, force: bool = False) -> str:
        await asyncio.sleep(0.01)
        if "route53" in self.universe.dead:
            raise Unreachable("Route 53 does not answer")
        self.shares = dict(shares_bp)
        return "C1"

    async def in_effect(self, change: str) -> bool:
        return True

    async def ttl_seconds(self) -> int:
        return 5


class FakeCounters:
    def __init__(self, universe: Universe, side: Side) -> None:
        self.universe, self.side = universe, side

    async def read(self) -> GatewayCounters:
        if f"{self.side}-counters" in self.universe.dead:
            raise Unreachable(f"no counters of {self.side}")
        self.universe.flow()
        return GatewayCounters(dict(self.universe.counted[self.side]))


class FakeMetrics:
    def __init__(self, universe: Universe) -> None:
        self.universe = universe
        self.asked = 0

    async def window(self, service: str, side: Side, seconds: float) -> WindowStats | None:
        self.asked += 1
        if "store" in self.universe.dead:
            raise Unreachable("the metrics store does not answer")
        self.universe.flow()
        since = asyncio.get_running_loop().time() - seconds
        rows = [a for a in self.universe.answers if a[1] == service and a[2] == side and a[0] > since]
        if not rows:
            return None
        requests = sum(a[3] for a in rows)
        latency = self.universe.latency_ms.get(side) if requests else None  # of nothing there is no quantile
        return WindowStats(requests, sum(a[4] for a in rows), latency)


class MarkedFile(StackFile):
    universe: Universe

    def write(self, **arguments):  # type: ignore[no-untyped-def]
        self.universe.point()
        edge = super().write(**arguments)
        self.universe.point()
        return edge


class MarkedJournal(Journal):
    universe: Universe | None = None

    def _append(self, events, *, sync=True):  # type: ignore[no-untyped-def]
        if self.universe:
            self.universe.point()
        super()._append(events, sync=sync)
        if self.universe:
            self.universe.point()


@dataclass
class Command:
    """One run of the command in a universe."""

    shift: Shift
    lock: Lock
    journal: Journal

    def close(self) -> None:
        self.journal.close()
        self.lock.release()


def command(
    universe: Universe,
    policy: Policy = FAST,
    *,
    metrics: bool = False,
    groups: Sequence[Sequence[str]] = (),
    depends_on: Mapping[str, Sequence[str]] | None = None,
    **rules: object,
) -> Command:
    store = universe.folder / ".bluegreen"
    lock = take(store, "bluegreen shift")
    file = MarkedFile(universe.edge)
    file.universe = universe
    journal = MarkedJournal(store, lock.fence, FakeClock().wall)
    journal.universe = universe
    world = World(
        routers={"blue": FakeRouter(universe, "blue"), "green": FakeRouter(universe, "green")},
        counters={"blue": FakeCounters(universe, "blue"), "green": FakeCounters(universe, "green")},
        metrics=FakeMetrics(universe) if metrics else None,
        clock=FakeClock(),
        file=file,
        journal=journal,
        lock=lock,
        entry=universe.entry,
    )
    order = make_order(universe.services, groups, depends_on or {}, policy.first_batch, policy.batch)
    return Command(Shift(world, Rules(order, policy, lambda service: policy, **rules)), lock, journal)  # type: ignore[arg-type]


def shift(universe, *, during=None, retry=frozenset(), limit=600.0, **options):  # type: ignore[no-untyped-def]
    """Runs one command to its end; `during(shift, universe)` runs beside it, and what it asserted fails the test."""
    prepared = command(universe, **options)

    async def both() -> Result:
        task = asyncio.ensure_future(prepared.shift.run(retry))
        side = asyncio.ensure_future(during(prepared.shift, universe)) if during else None
        try:
            return await asyncio.wait_for(task, limit)
        finally:
            if side:
                if side.done() and side.exception():
                    raise side.exception()
                side.cancel()
                await asyncio.gather(side, return_exceptions=True)

    try:
        universe.upto = 0.0
        return run(both())
    finally:
        prepared.close()


async def until(condition: Callable[..., object]) -> None:
    while not condition():  # noqa: ASYNC110 - any state of the world, not an event
        await asyncio.sleep(0.01)
