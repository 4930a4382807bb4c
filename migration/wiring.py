"""Opens what a command needs: configuration, stack file, clients. The only place besides cli.py that knows clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migration import decide, windows
from migration.config import Cluster, Migration
from migration.errors import BluegreenError, ConfigError, Unreachable
from migration.kinds import Object
from migration.model import Side
from migration.stackfile import Edge, StackFile, read_route

if TYPE_CHECKING:
    from migration.clients.istio import IstioRouter
    from migration.clients.kubernetes import Kubernetes
    from migration.clients.route53 import Route53Entry
    from migration.ports import Counters, Metrics
    from migration.world import Rules
    from routing import Peer


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
                    remedy="add counters: {url: http://.../stats/prometheus, dialect: envoy | istio}",
                )
            counters = PageCounters([source.url], "envoy" if source.dialect == "envoy" else "istio", self.originals)
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

        return Route53Entry(self.edge.zone, self.edge.hosts)

    def rules(self, *, reassert: bool = False) -> Rules:
        from migration.world import Rules

        migration = self.migration
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


@asynccontextmanager
async def opened(migration: Migration, *, need: tuple[Side, ...] = ("blue", "green")) -> AsyncIterator[Opened]:
    """`need`: clusters that must answer before anything is begun."""
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
                problem.remedy = f"mend it, or set kubeconfig and context of clusters.{there.name} in {migration.path}"
                raise
            await stack.enter_async_context(clusters[side])
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
