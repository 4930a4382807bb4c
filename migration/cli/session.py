"""Opens what a command needs: configuration, stack file, clients. What knows clients is here alone (import-linter)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from migration.cli import choice
from migration.errors import BluegreenError, ConfigError, Unreachable
from migration.model import Side
from migration.objects.kinds import Object
from migration.settings import calendar
from migration.settings.migration_file import Cluster, Migration
from migration.settings.stack_file import Edge, StackFile, read_route
from migration.settings.yaml_reader import Reader, did_you_mean, some_of
from migration.shift import order as orders
from migration.store import pause

if TYPE_CHECKING:
    from migration.clients.counters import Dialect, PageCounters
    from migration.clients.istio import IstioRouter
    from migration.clients.kubernetes import Kubernetes
    from migration.clients.route53 import Route53Entry
    from migration.ports import Aws, Metrics
    from migration.ports.answers import Probe
    from migration.shift.world import Rules
    from routing import Peer

log = logging.getLogger(__name__)
RELEASED_AT_ONCE = 4  # so that a way back finds places free at its API servers


@dataclass
class Session:
    migration: Migration
    file: StackFile
    edge: Edge
    clusters: Mapping[Side, Kubernetes]
    originals: Mapping[str, Object]
    peers: Mapping[Side, Peer]  # how the gateway of that side reaches the other
    _stack: AsyncExitStack = field(repr=False)

    def cluster_of(self, side: Side) -> Cluster:
        """The cluster of a side, as migration.yaml has it."""
        name = self.edge.blue if side == "blue" else self.edge.green
        return self.migration.clusters[name or ""]

    def routers(self) -> dict[Side, IstioRouter]:
        """Clients of the gateways' routes by side, closed with the session."""
        from migration.clients.edge_record import Sides
        from migration.clients.istio import IstioRouter

        sides = Sides(self.edge.blue, self.edge.green or "", self.edge.entry)
        routers: dict[Side, IstioRouter] = {}
        for side, cluster in self.clusters.items():
            gateway = self.cluster_of(side).gateway
            probe = (gateway.peer_address or gateway.address, gateway.peer_port)
            routers[side] = IstioRouter(cluster, side, self.peers[side], probe, self.originals, sides)
            self._stack.push_async_callback(routers[side].close)
        return routers

    def counters(self, *, as_far_as_known: bool = False) -> dict[Side, PageCounters]:
        """`as_far_as_known`: leaves clusters without counters out, for looking only."""
        from migration.clients.counters import READ_SECONDS, PageCounters

        # well below what a sample may take, so that one page which hangs does not spoil the whole sample
        read_seconds = min(READ_SECONDS, max(0.15, 0.6 * self.migration.policy.sample_interval_seconds))
        pages: dict[Side, PageCounters] = {}
        for side in self.clusters:
            source = self.cluster_of(side).counters
            if source is None and as_far_as_known:
                continue
            if source is None:
                raise ConfigError(
                    f"{self.migration.path}: clusters.{self.cluster_of(side).name}.counters is missing: without the gateway's "
                    "own counters a bad service cannot be rolled back",
                    remedy="add counters: {urls: [http://POD:15020/stats/prometheus, ...], dialect: envoy | istio}",
                )
            dialect: Dialect = "envoy" if source.dialect == "envoy" else "istio"
            counters = PageCounters(source.urls, dialect, self.originals, read_seconds=read_seconds)
            self._stack.push_async_callback(counters.close)
            pages[side] = counters
        return pages

    def metrics(self) -> Metrics | None:
        """The metrics store; None: migration.yaml names none."""
        if self.migration.metrics is None:
            return None
        from migration.clients.prometheus import PrometheusMetrics

        source = self.migration.metrics
        names = {side: self.cluster_of(side).name for side in self.clusters}
        client = PrometheusMetrics(source.url, "envoy" if source.dialect == "envoy" else "istio", names, self.originals)
        self._stack.push_async_callback(client.close)
        return client

    def entry(self) -> Route53Entry | None:
        """The entry's records; None: the stack file names no zone or no hosts."""
        if not self.edge.zone or not self.edge.hosts:
            return None
        from migration.clients.route53 import Route53Entry

        return Route53Entry(self.edge.zone, self.edge.hosts, self.edge.zone_id)

    @property
    def probe(self) -> Probe:
        """One request to a gateway, past DNS."""
        from migration.clients.probe import ask

        return ask

    def aws(self) -> Aws:
        """Opens nothing before it is asked, and is asked only where blue has identities of AWS."""
        from migration.clients.iam import AwsIdentities

        return AwsIdentities()

    def release(self) -> Callable[[frozenset[str]], Awaitable[Mapping[str, str]]]:
        """Puts the floors of all that has baked back, also what an earlier run left; gives what could not be done yet, by
        cluster or object.
        """

        async def act(baked: frozenset[str]) -> Mapping[str, str]:
            from migration.capacity.release import release_floors

            came = await release_floors(
                self.clusters["blue"],
                self.clusters["green"],
                originals=self.originals,
                services=baked,
                keep={name: "has not baked" for name in self.edge.services if name not in baked},
                at_once=RELEASED_AT_ONCE,
            )
            for change in came:
                if not change.problem and not change.kept:
                    log.info("floor put back: %s", change)
            return {change.where: str(change) for change in came if change.problem}

        return act

    def _refuse_misspelt(self) -> None:
        """A hold or a dependency of a misspelt service would not hold. Names like no enrolled one may come later."""
        for key, name, meant in unenrolled(self.migration, self.edge.services):
            if meant:
                raise _not_enrolled(self.migration, key, name, meant, self.edge.services)

    def rules(self, *, reassert: bool = False, services: Sequence[str] = ()) -> Rules:
        """`services`: the only ones to move; empty: all."""
        from migration.shift.world import Rules

        migration = self.migration
        self._refuse_misspelt()
        depends = {service: own.depends_on for service, own in migration.services.items()}
        order = orders.make_order(
            self.edge.services,
            migration.groups,
            depends,
            migration.policy.first_batch,
            migration.policy.batch,
        )
        held = frozenset(service for service, own in migration.services.items() if own.hold)
        if services:
            sizes = {"first_batch": migration.policy.first_batch, "batch": migration.policy.batch}
            order = choice.choose(services, order, self.edge.services, held=held, **sizes)
        return Rules(
            replace(order, held=held),
            migration.policy,
            migration.policy_of,
            window_open=lambda wall: calendar.any_open(migration.windows, wall),
            paused=lambda: pause.paused(migration.store),
            held=held,
            reassert=reassert or migration.policy.on_foreign_write == "reassert",
        )


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
        f"an enrolled service: {some_of(enrolled, name, '`bluegreen status` lists all')}",
        f"correct it in {migration.path}, or `bluegreen enroll {name}` first",
    )


def _warn_of_unenrolled(migration: Migration, enrolled: Iterable[str]) -> None:
    for key, name, meant in unenrolled(migration, enrolled):
        log.warning("%s; it has no effect yet", _not_enrolled(migration, key, name, meant, enrolled))


def refuse_one_cluster_twice(migration: Migration, clusters: Mapping[Side, Kubernetes]) -> None:
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
async def opened(migration: Migration, *, need: tuple[Side, ...] = ("blue", "green")) -> AsyncIterator[Session]:
    """`need`: clusters that must answer before anything is begun."""
    from migration.clients.kubernetes import Kubernetes

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
            cluster = migration.clusters[name or ""]
            try:
                clusters[side] = Kubernetes.from_kubeconfig(cluster.kubeconfig, cluster.context, name=cluster.name)
            except ConfigError as problem:
                problem.remedy = f"fix it, or set kubeconfig and context of clusters.{cluster.name} in {migration.path}"
                raise
            await stack.enter_async_context(clusters[side])
        refuse_one_cluster_twice(migration, clusters)
        if need and edge.services:
            _warn_of_unenrolled(migration, edge.services)
        for side in need:
            try:
                await clusters[side].version(timeout_seconds=5.0)
            except Unreachable as problem:
                from access.transport import usual_remedy

                known = problem.remedy not in (None, usual_remedy(clusters[side].access))
                problem.remedy = way_to(clusters[side], migration.path, problem.remedy if known else None)
                raise
            except BluegreenError:
                pass  # it answers; whether it lets us do things will be seen
        yield Session(migration, file, edge, clusters, originals, peers_of(migration, names), stack)


def way_to(cluster: Kubernetes, path: Path, known: str | None = None) -> str:
    """What is known to help, else how people see whether they reach it; and where it is named in migration.yaml."""
    access = cluster.access
    advice = known or f"kubectl --kubeconfig {access.source} --context {access.context} version"
    return f"{advice}; {path} names it under clusters.{cluster.name}"


def peers_of(migration: Migration, names: Mapping[Side, str | None]) -> dict[Side, Peer]:
    """By side, how its gateway reaches the other one. `names`: the clusters' names by side."""
    from routing import Peer

    def reached(side: Side) -> Peer:
        cluster = migration.clusters.get(names[side] or "")
        if cluster is None:
            return Peer("")  # of a way back, which writes no destination
        gateway = cluster.gateway
        return Peer(gateway.peer_address or gateway.address, gateway.peer_port)

    return {"blue": reached("green"), "green": reached("blue")}


async def reach_all(migration: Migration, stack: AsyncExitStack) -> tuple[dict[str, Kubernetes], dict[str, ConfigError]]:
    """Clients of all clusters of migration.yaml by name, and why the others have none. `stack` closes them."""
    from migration.clients.kubernetes import Kubernetes

    reached: dict[str, Kubernetes] = {}
    closed: dict[str, ConfigError] = {}
    for name, cluster in migration.clusters.items():
        try:
            reached[name] = Kubernetes.from_kubeconfig(cluster.kubeconfig, cluster.context, name=name)
        except ConfigError as problem:
            problem.remedy = f"fix it, or set kubeconfig and context of clusters.{name} in {migration.path}"
            closed[name] = problem
            continue
        await stack.enter_async_context(reached[name])
    return reached, closed
