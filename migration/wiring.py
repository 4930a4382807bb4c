"""Opens what a command needs: configuration, stack file, clients. The only place besides cli.py that knows clients."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migration import decide, windows
from migration.config import Cluster, Migration
from migration.errors import BluegreenError, ConfigError, Unreachable
from migration.kinds import Object
from migration.model import Side
from migration.reading import Reader, did_you_mean
from migration.stackfile import Edge, StackFile, read_route

if TYPE_CHECKING:
    from migration.clients.istio import IstioRouter
    from migration.clients.kubernetes import Kubernetes
    from migration.clients.route53 import Route53Entry
    from migration.journal import Journal
    from migration.ports import Counters, Metrics
    from migration.world import Rules
    from routing import Peer

log = logging.getLogger(__name__)


@dataclass
class Opened:
    migration: Migration
    file: StackFile
    edge: Edge
    clusters: Mapping[Side, Kubernetes]
    originals: Mapping[str, Object]
    peers: Mapping[Side, Peer]  # how the gateway of that side reaches the other
    _stack: AsyncExitStack = field(repr=False)

    def cluster_of(self, side: Side) -> Cluster:
        name = self.edge.blue if side == "blue" else self.edge.green
        return self.migration.clusters[name or ""]

    def routers(self) -> dict[Side, IstioRouter]:
        from migration.clients.istio import IstioRouter, Sides

        sides = Sides(self.edge.blue, self.edge.green or "", self.edge.entry)
        made: dict[Side, IstioRouter] = {}
        for side, cluster in self.clusters.items():
            gateway = self.cluster_of(side).gateway
            probe = (gateway.peer_address or gateway.address, gateway.peer_port)
            made[side] = IstioRouter(cluster, side, self.peers[side], probe, self.originals, sides)
            self._stack.push_async_callback(made[side].close)
        return made

    def counters(self) -> dict[Side, Counters]:
        from migration.clients.counters import PageCounters

        made: dict[Side, Counters] = {}
        for side in self.clusters:
            source = self.cluster_of(side).counters
            if source is None:
                raise ConfigError(
                    f"{self.migration.path}: clusters.{self.cluster_of(side).name}.counters is missing: without the gateway's "
                    "own counters a bad service cannot be taken back",
                    remedy="add counters: {urls: [http://POD:15020/stats/prometheus, ...], dialect: envoy | istio}",
                )
            counters = PageCounters(source.urls, "envoy" if source.dialect == "envoy" else "istio", self.originals)
            self._stack.push_async_callback(counters.close)
            made[side] = counters
        return made

    def metrics(self) -> Metrics | None:
        if self.migration.metrics is None:
            return None
        from migration.clients.prometheus import PrometheusMetrics

        source = self.migration.metrics
        names = {side: self.cluster_of(side).name for side in self.clusters}
        made = PrometheusMetrics(source.url, "envoy" if source.dialect == "envoy" else "istio", names, self.originals)
        self._stack.push_async_callback(made.close)
        return made

    def entry(self) -> Route53Entry | None:
        if not self.edge.zone or not self.edge.hosts:
            return None
        from migration.clients.route53 import Route53Entry

        return Route53Entry(self.edge.zone, self.edge.hosts, self.edge.zone_id)

    def release(self, journal: Journal) -> Callable[[str], Awaitable[None]]:
        """Puts the floors of a baked service back, and what an earlier run left of others; raises Unreachable with what could
        not be done yet.
        """
        one_at_a_time = asyncio.Lock()

        async def act(service: str) -> None:
            from migration.capacity import release_floors
            from migration.journal import remember

            async with one_at_a_time:
                memory = remember(journal.events)
                baked = {name for name, known in memory.items() if known.state == "baked"} | {service}
                came = await release_floors(
                    self.clusters["blue"],
                    self.clusters["green"],
                    originals=self.originals,
                    services=baked,
                    keep={name: "has not baked" for name in self.edge.services if name not in baked},
                )
            for change in came:
                log.info("floor of %s: %s", service, change)
            if problems := [str(change) for change in came if change.problem]:
                raise Unreachable("; ".join(problems))

        return act

    def _refuse_misspelt(self) -> None:
        """A hold or a dependency of a misspelt service would not hold. Names like no enrolled one may come later."""
        for key, name, meant in unenrolled(self.migration, self.edge.services):
            if meant:
                raise _not_enrolled(self.migration, key, name, meant, self.edge.services)

    def rules(self, *, reassert: bool = False) -> Rules:
        from migration.world import Rules

        migration = self.migration
        self._refuse_misspelt()
        depends = {service: own.depends_on for service, own in migration.services.items()}
        order = decide.make_order(
            self.edge.services, migration.groups, depends, migration.policy.first_batch, migration.policy.batch
        )
        return Rules(
            order,
            migration.policy,
            migration.policy_of,
            window_open=lambda wall: windows.any_open(migration.windows, wall),
            paused=lambda: paused(migration),
            held=frozenset(service for service, own in migration.services.items() if own.hold),
            reassert=reassert or migration.policy.on_foreign_write == "reassert",
        )


def paused(migration: Migration) -> str | None:
    try:
        return (migration.store / "pause").read_text().strip() or "somebody"
    except OSError:
        return None


def unenrolled(migration: Migration, enrolled: Iterable[str]) -> list[tuple[str, str, str]]:
    """Key, name and what was probably meant (or nothing) of each service in migration.yaml that is not enrolled."""
    named = [(f"services.{service}", service) for service in migration.services]
    for service, own in migration.services.items():
        named += [(f"services.{service}.depends_on[{index}]", name) for index, name in enumerate(own.depends_on)]
    for number, group in enumerate(migration.groups):
        named += [(f"groups[{number}][{index}]", name) for index, name in enumerate(group)]
    known = sorted(enrolled)
    return [(key, name, did_you_mean(name, known)) for key, name in named if name not in known]


def _not_enrolled(migration: Migration, key: str, name: str, meant: str, enrolled: Iterable[str]) -> ConfigError:
    return Reader(migration.path, migration.lines).wrong(
        key,
        f"{name} is not enrolled{meant}",
        f"an enrolled service: {', '.join(enrolled)}",
        f"correct it in {migration.path}, or `bluegreen enroll {name}` first",
    )


def _warn_of_unenrolled(migration: Migration, enrolled: Iterable[str]) -> None:
    for key, name, meant in unenrolled(migration, enrolled):
        log.warning("%s; it has no effect yet", _not_enrolled(migration, key, name, meant, enrolled))


def _refuse_one_cluster_twice(migration: Migration, clusters: Mapping[Side, Kubernetes]) -> None:
    """Two names, contexts or copies of a kubeconfig may lead to one API server. Asks nobody."""
    if len(clusters) < 2:
        return
    blue, green = clusters["blue"], clusters["green"]
    if blue.access.endpoint != green.access.endpoint:
        return
    raise Reader(migration.path, migration.lines).wrong(
        f"clusters.{green.name}",
        f"is the same cluster as {blue.name}: {green.access.server} "
        f"({green.access.source}, context {green.access.context}; {blue.access.source}, context {blue.access.context})",
        "two different clusters",
        f"set kubeconfig and context of clusters.{green.name} in {migration.path}",
    )


@asynccontextmanager
async def opened(
    migration: Migration, *, need: tuple[Side, ...] = ("blue", "green"), spare: tuple[Side, ...] = ()
) -> AsyncIterator[Opened]:
    """`need`: clusters that must answer before anything is begun. `spare`: left out where it cannot be opened at all."""
    from migration.clients.kubernetes import Kubernetes
    from routing import Peer

    file = StackFile(migration.edge)
    edge = file.read()
    names: dict[Side, str | None] = {"blue": edge.blue, "green": edge.green}
    for side, name in names.items():
        if name is None:
            raise ConfigError(f"{file.path}: bluegreen:sides has no {side}", remedy="name both clusters there")
        if name not in migration.clusters:
            raise ConfigError(
                f"{migration.path}: clusters has no {name}, which {file.path} names as {side}; "
                f"there: {', '.join(migration.clusters)}",
                remedy=f"add {name} to clusters in {migration.path}",
            )
    originals = {service: read_route(file.routes_folder, service) for service in edge.services}
    async with AsyncExitStack() as stack:
        clusters: dict[Side, Kubernetes] = {}
        for side, name in names.items():
            there = migration.clusters[name or ""]
            try:
                clusters[side] = Kubernetes.from_kubeconfig(there.kubeconfig, there.context, name=there.name)
            except ConfigError as problem:
                if side in spare:
                    log.warning("%s is left out: %s", there.name, problem)
                    continue
                problem.remedy = f"mend it, or set kubeconfig and context of clusters.{there.name} in {migration.path}"
                raise
            await stack.enter_async_context(clusters[side])
        _refuse_one_cluster_twice(migration, clusters)
        if need and edge.services:
            _warn_of_unenrolled(migration, edge.services)
        for side in need:
            try:
                await clusters[side].version(timeout_seconds=5.0)
            except Unreachable as problem:
                access = clusters[side].access
                raise Unreachable(
                    str(problem),
                    remedy=f"kubectl --kubeconfig {access.source} --context {access.context} version; "
                    f"{migration.path} names it under clusters.{clusters[side].name}",
                ) from problem
            except BluegreenError:
                pass  # it answers; whether it lets us do things will be seen
        gateways = {side: migration.clusters[name or ""].gateway for side, name in names.items()}
        peers: dict[Side, Peer] = {
            "blue": Peer(gateways["green"].peer_address or gateways["green"].address, gateways["green"].peer_port),
            "green": Peer(gateways["blue"].peer_address or gateways["blue"].address, gateways["blue"].peer_port),
        }
        yield Opened(migration, file, edge, clusters, originals, peers, stack)
