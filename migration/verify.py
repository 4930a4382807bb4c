"""Asks each service on green the way a user would, before any user does.

First its workloads: available as many as wanted, and an address to send to. Then one real request to green's gateway by
its address, past DNS, with the host and path of the service's own route; the same to blue's gateway, since what matters
is that they answer alike. An answer that the gateway gave by itself (no route, no workload behind it) is told from one
that came from a workload, whatever its status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from migration import kinds
from migration.answers import Answer, Probe
from migration.errors import BluegreenError
from migration.findings import full_name, routed_services, spec_of
from migration.kinds import Object
from migration.ports import Kubernetes

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.5


class GatewayAddress(Protocol):
    @property
    def address(self) -> str: ...

    @property
    def port(self) -> int: ...


@dataclass(frozen=True)
class Check:
    """What to ask for, where the route does not tell: from `services` of migration.yaml. `status`: exactly this one."""

    path: str | None = None
    host: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class Request:
    host: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.host}{self.path}"


@dataclass(frozen=True)
class ServiceVerdict:
    """`evidence`: what was seen, good or bad; `problems`: why it does not pass (empty where it does)."""

    service: str
    ok: bool
    evidence: tuple[str, ...]
    problems: tuple[str, ...] = ()
    request: Request | None = None
    green_status: int | None = None
    blue_status: int | None = None
    remedy: str = ""


@dataclass(frozen=True)
class _World:
    """What is on green, read once per round."""

    routes: Mapping[str, Object]
    gateways: Mapping[str, Object]
    services: Mapping[str, Object]
    workloads: tuple[Object, ...]
    slices: tuple[Object, ...]
    entries: tuple[Object, ...]


async def verify(
    services: Iterable[str],
    blue_gateway: GatewayAddress,
    green_gateway: GatewayAddress,
    blue: Kubernetes,
    green: Kubernetes,
    *,
    probe: Probe,
    checks: Mapping[str, Check] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> list[ServiceVerdict]:
    """A verdict for each service (`namespace/name` of its route), waiting for what is still starting."""
    deadline = time.monotonic() + patience_seconds
    names = sorted(services)
    checks = checks or {}
    blue_routes = {full_name(r): r for r in (await blue.list(kinds.VIRTUAL_SERVICE)).items}
    settled: dict[str, ServiceVerdict] = {}
    while True:
        world = await _world(green)
        todo = [name for name in names if name not in settled or not settled[name].ok]

        async def one(name: str, world: _World = world) -> ServiceVerdict:
            check = checks.get(name, Check())
            return await _verdict(name, world, blue_routes.get(name), check, blue_gateway, green_gateway, probe)

        for verdict in await asyncio.gather(*(one(name) for name in todo)):
            settled[verdict.service] = verdict
        if all(verdict.ok for verdict in settled.values()) or time.monotonic() >= deadline:
            return [settled[name] for name in names]
        await asyncio.sleep(POLL_SECONDS)


async def _world(green: Kubernetes) -> _World:
    wanted = (
        kinds.VIRTUAL_SERVICE,
        kinds.GATEWAY,
        kinds.SERVICE,
        kinds.DEPLOYMENT,
        kinds.STATEFUL_SET,
        kinds.DAEMON_SET,
        kinds.ENDPOINT_SLICE,
        kinds.WORKLOAD_ENTRY,
    )
    routes, gateways, services, deployments, sets, daemons, slices, entries = [
        listing.items for listing in await asyncio.gather(*(green.list(resource) for resource in wanted))
    ]
    return _World(
        {full_name(r): r for r in routes},
        {full_name(g): g for g in gateways},
        {full_name(s): s for s in services},
        (*deployments, *sets, *daemons),
        tuple(slices),
        tuple(entries),
    )


async def _verdict(
    name: str,
    world: _World,
    original: Object | None,
    check: Check,
    blue_gateway: GatewayAddress,
    green_gateway: GatewayAddress,
    probe: Probe,
) -> ServiceVerdict:
    route = world.routes.get(name)
    if route is None:
        text = f"green has no VirtualService {name}"
        return ServiceVerdict(name, False, (), (text,), remedy="run `bluegreen replicate`, then `bluegreen verify` again")
    evidence, problems = behind(route, world)
    request = request_for(original or route, world.gateways, check)
    answers = await asyncio.gather(
        _ask(probe, green_gateway, request), _ask(probe, blue_gateway, request), return_exceptions=False
    )
    green_answer, blue_answer = answers
    seen, wrong = compared(request, green_answer, blue_answer, check)
    evidence += seen
    problems += wrong
    return ServiceVerdict(
        name,
        not problems,
        tuple(evidence),
        tuple(problems),
        request,
        green_answer.status if isinstance(green_answer, Answer) else None,
        blue_answer.status if isinstance(blue_answer, Answer) else None,
        "" if not problems else "look at its pods and route on green, then run `bluegreen verify` again",
    )


async def _ask(probe: Probe, gateway: GatewayAddress, request: Request) -> Answer | str:
    try:
        return await probe(
            gateway.address, gateway.port, request.host, request.path, method=request.method, headers=request.headers
        )
    except BluegreenError as problem:
        return str(problem)


def behind(route: Mapping[str, Any], world: _World) -> tuple[list[str], list[str]]:
    """What stands behind a route on green: evidence and problems."""
    evidence: list[str] = []
    problems: list[str] = []
    for service_name in sorted(routed_services(route)):
        service = world.services.get(service_name)
        if service is None:
            problems.append(f"green has no Service {service_name}")
            continue
        if spec_of(service).get("type") == "ExternalName":
            evidence.append(f"Service {service_name} is outside of the cluster")
            continue
        namespace = service["metadata"].get("namespace", "")
        selector = spec_of(service).get("selector") or {}
        for workload in world.workloads:
            labels = ((spec_of(workload).get("template") or {}).get("metadata") or {}).get("labels") or {}
            if workload["metadata"].get("namespace") != namespace or not selector or not selector.items() <= labels.items():
                continue
            wanted, there = available(workload)
            text = f"{kinds.name_of(workload)}: {there} of {wanted} available"
            if kinds.DOMAIN + "replicas" in (workload["metadata"].get("annotations") or {}):
                evidence.append(f"{kinds.name_of(workload)} is a singleton, not running on green yet")
            elif there < wanted or not _observed(workload):
                problems.append(text)
            else:
                evidence.append(text)
        addresses = endpoints(service, world)
        text = f"Service {service_name}: {addresses} ready endpoints"
        (evidence if addresses else problems).append(text)
    return evidence, problems


def _observed(workload: Mapping[str, Any]) -> bool:
    observed = (workload.get("status") or {}).get("observedGeneration", 0)
    return bool(observed >= workload["metadata"].get("generation", 0))


def available(workload: Mapping[str, Any]) -> tuple[int, int]:
    """(wanted, available)"""
    status = workload.get("status") or {}
    if workload["kind"] == "DaemonSet":
        return int(status.get("desiredNumberScheduled", 0)), int(status.get("numberAvailable", 0))
    return int(spec_of(workload).get("replicas", 1)), int(status.get("availableReplicas", 0))


def endpoints(service: Mapping[str, Any], world: _World) -> int:
    """Ready addresses of a Service: of its EndpointSlices, and of Istio's WorkloadEntries that it selects."""
    namespace, name = service["metadata"].get("namespace", ""), service["metadata"]["name"]
    count = 0
    for piece in world.slices:
        labels = piece["metadata"].get("labels") or {}
        if piece["metadata"].get("namespace") == namespace and labels.get("kubernetes.io/service-name") == name:
            for endpoint in piece.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    count += len(endpoint.get("addresses") or ())
    selector = spec_of(service).get("selector") or {}
    for entry in world.entries:
        labels = spec_of(entry).get("labels") or {}
        if selector and entry["metadata"].get("namespace") == namespace and selector.items() <= labels.items():
            count += 1
    return count


def request_for(route: Mapping[str, Any], gateways: Mapping[str, Object], check: Check) -> Request:
    """A request that the route's first rule takes: its host, path, method and headers as far as they are said exactly."""
    path, method, headers = "/", "GET", {}
    rules = spec_of(route).get("http") or ()
    matches = [m for rule in rules if rule.get("route") for m in (rule.get("match") or [{}])]
    # the rule that asks for least is the one that most users meet
    matches.sort(key=lambda m: len(m.keys() - {"uri", "name"}))
    for match in matches[:1]:
        uri = match.get("uri") or {}
        path = str(uri.get("exact") or uri.get("prefix") or "/")
        method = str((match.get("method") or {}).get("exact") or "GET")
        for name, condition in (match.get("headers") or {}).items():
            value = condition.get("exact") or condition.get("prefix")
            if value:
                headers[name] = str(value)
    if not path.startswith("/"):
        path = f"/{path}"
    return Request(check.host or concrete_host(route, gateways), check.path or path, method, headers)


def concrete_host(route: Mapping[str, Any], gateways: Mapping[str, Object]) -> str:
    """The route's first host that is a name; a wildcard is given one, where even the gateway takes every host any will
    do.
    """
    hosts = [str(h) for h in spec_of(route).get("hosts") or ()]
    for host in hosts:
        if "*" not in host:
            return host
    namespace = route["metadata"].get("namespace", "")
    for host in hosts:
        if host.startswith("*."):
            return f"bluegreen-check{host[1:]}"
    for named in spec_of(route).get("gateways") or ():
        gateway = gateways.get(named if "/" in named else f"{namespace}/{named}")
        for server in spec_of(gateway).get("servers") or () if gateway else ():
            for host in server.get("hosts") or ():
                bare = str(host).rpartition("/")[2]
                if "*" not in bare:
                    return bare
                if bare.startswith("*."):
                    return f"bluegreen-check{bare[1:]}"
    return "bluegreen-check.internal"


def compared(request: Request, green: Answer | str, blue: Answer | str, check: Check) -> tuple[list[str], list[str]]:
    """Evidence and problems of one request to both gateways."""
    evidence: list[str] = []
    problems: list[str] = []
    if isinstance(green, str):
        return evidence, [green]
    by_gateway = answered_by_gateway(green)
    place = green.headers.get("x-lab-cluster") or ("the gateway itself" if by_gateway else "a workload")
    evidence.append(f"{request} on green: {green.status} from {place}")
    if isinstance(blue, str):
        evidence.append(f"blue could not be asked: {blue}")
    else:
        evidence.append(f"{request} on blue: {blue.status}")
    if check.status is not None:
        if green.status != check.status:
            problems.append(f"green answers {green.status}, {check.status} is asked for")
        return evidence, problems
    if by_gateway and green.status in (404, 503):
        meaning = "no route takes it" if green.status == 404 else "no workload to send to"
        problems.append(f"green's gateway answers {green.status} by itself to {request}: {meaning}")
    elif green.status >= 500:
        problems.append(f"green answers {green.status} to {request}")
    elif isinstance(blue, Answer) and blue.status < 500 and green.status // 100 != blue.status // 100:
        problems.append(f"green answers {green.status} where blue answers {blue.status}")
    return evidence, problems


def answered_by_gateway(answer: Answer) -> bool:
    """Envoy tells how long the workload took; where it does not, it answered by itself."""
    return (
        answer.headers.get("server", "") in ("envoy", "istio-envoy") and "x-envoy-upstream-service-time" not in answer.headers
    )
