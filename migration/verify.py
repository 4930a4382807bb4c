"""Asks each service on green the way a user would, before any user does.

First its workloads: available as many as wanted, and an address to send to. Then one real request to green's gateway by
its address, past DNS, with the host and path of the service's own route; the same to blue's gateway, since what matters
is that they answer alike. An answer that the gateway gave by itself (no route, no workload behind it) is told from one
that came from a workload, whatever its status.

Once a service is enrolled, green's public route forwards to blue as the split says, and blue would answer for green. Then
the stored original tells what must stand behind it, and each gateway is asked by its peer listener, which serves
from its own cluster alone, with the rule's id and what that rule sends on (its path and host after a plain rewrite; not
the headers that it sets).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import routing
from migration import kinds
from migration.answers import Answer, Probe
from migration.errors import BluegreenError
from migration.export import forwards
from migration.findings import full_name, routed_services, spec_of
from migration.kinds import Object
from migration.ports import Kubernetes
from migration.request import Check, Request, request_for, sent_on

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.5


class GatewayAddress(Protocol):
    @property
    def address(self) -> str: ...

    @property
    def port(self) -> int: ...


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
    enrolled: Mapping[str, Object] | None = None,
    listeners: Mapping[routing.Side, GatewayAddress] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> list[ServiceVerdict]:
    """A verdict for each service (`namespace/name` of its route), waiting for what is still starting.

    `enrolled`: the stored originals by service; `listeners`: the peer listener of each gateway, by which they are asked.
    """
    deadline = time.monotonic() + patience_seconds
    names = sorted(services)
    checks, enrolled, listeners = checks or {}, enrolled or {}, listeners or {}
    blue_routes = {full_name(r): r for r in (await blue.list(kinds.VIRTUAL_SERVICE)).items}
    settled: dict[str, ServiceVerdict] = {}
    while True:
        world = await _world(green)
        todo = [name for name in names if name not in settled or not settled[name].ok]

        async def one(name: str, world: _World = world) -> ServiceVerdict:
            check = checks.get(name, Check())
            if name in enrolled:
                return await _enrolled_verdict(name, world, enrolled[name], check, listeners, probe)
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
    if forwards(route):
        text = f"green's route {name} forwards to blue, which would answer for green, but the stack file does not list it"
        remedy = f"put {name} back into the stack file from git, or its original route onto green"
        return ServiceVerdict(name, False, (), (text,), remedy=remedy)
    request = request_for(original or route, world.gateways, check)
    answers = await asyncio.gather(_ask(probe, green_gateway, request), _ask(probe, blue_gateway, request))
    return _judged(name, behind(route, world), request, *answers, check)


async def _enrolled_verdict(
    name: str,
    world: _World,
    original: Object,
    check: Check,
    listeners: Mapping[routing.Side, GatewayAddress],
    probe: Probe,
) -> ServiceVerdict:
    lacking = [route for route in (name, f"{name}-bluegreen-peer") if route not in world.routes]
    if lacking:
        text = f"green has no VirtualService {', '.join(lacking)}, though the service is enrolled"
        return ServiceVerdict(name, False, (), (text,), remedy=f"run `bluegreen enroll {name}` again: it makes what is missing")
    public = request_for(original, world.gateways, check)
    request = sent_on(original, public)
    if request is None:
        text = f"no rule of its route with a destination takes {public}"
        remedy = f"set a path that one takes: services.{name}.check.path in migration.yaml"
        return ServiceVerdict(name, False, (), (text,), public, remedy=remedy)
    green, blue = await asyncio.gather(_ask(probe, listeners["green"], request), _ask(probe, listeners["blue"], request))
    if isinstance(blue, Answer) and answered_by_gateway(blue):
        blue = f"its peer listener answers {blue.status} by itself"
    verdict = _judged(name, behind(original, world), request, green, blue, check)
    if not isinstance(green, str):
        return verdict
    where = f"{listeners['green'].address}:{listeners['green'].port}"
    remedy = (
        f"green's peer listener ({where}) is private: run `bluegreen verify` where it can be reached (from blue's network), "
        "or mend gateway.peer_address and peer_port in migration.yaml"
    )
    return replace(verdict, remedy=remedy)


def _judged(
    name: str,
    found: tuple[list[str], list[str]],
    request: Request,
    green: Answer | str,
    blue: Answer | str,
    check: Check,
) -> ServiceVerdict:
    """`found`: evidence and problems of what stands behind the route."""
    evidence, problems = (first + second for first, second in zip(found, compared(request, green, blue, check), strict=True))
    return ServiceVerdict(
        name,
        not problems,
        tuple(evidence),
        tuple(problems),
        request,
        green.status if isinstance(green, Answer) else None,
        blue.status if isinstance(blue, Answer) else None,
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
