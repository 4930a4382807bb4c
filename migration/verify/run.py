"""Asks each service on green the way a user would, before any user does.

First its workloads: available as many as wanted, and an address to send to. Then one real request to green's gateway by
its address, past DNS, with the host and path of the service's own route; the same to blue's gateway, since what matters
is that they answer alike. Only an answer that is proven to be a workload's counts (migration/ports/answers.py says how that is
told): what a gateway gives by itself says nothing of what is behind it, and two gateways that redirect alike may have
nothing but broken pods. Below 300 green's word is enough; any other status must be the one that a workload of blue answers.
A Service or a route that green lacks is not waited for, unless a tool (Argo CD, Flux, Fleet) brings the service's objects.
What cannot be told is **not verified**, and does not pass, unless a person named that status as the one to expect.

Once a service is enrolled, green's public route forwards to blue as the split says, and blue would answer for green. Then
the stored original tells what must stand behind it, and each gateway is asked by its peer listener, which serves from its
own cluster alone, with the rule's id and what that rule sends on (its path and host after a plain rewrite; not the headers
that it sets).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import routing
from migration.errors import BluegreenError
from migration.objects import kinds
from migration.objects.access import Selected, spec_of
from migration.objects.annotations import ORIGINAL_REPLICAS
from migration.objects.health import health, ready_addresses
from migration.objects.kinds import Object
from migration.ownership.gitops import claim
from migration.ports import Reader, routes
from migration.ports.answers import UPSTREAM_TIME, Answer, Probe
from migration.verify.request import Check, request_for, sent_on
from migration.words import counted
from routing import Request

Outcome = Literal["ok", "failed", "not verified"]
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.5
Progress = Callable[[int, int, str], None]  # done, of how many, what is waited for
ENVOYS = ("envoy", "istio-envoy")
GRPC_FAILED = (2, 4, 13, 14, 15)  # unknown, deadline exceeded, internal, unavailable, data loss: the server's own faults


class GatewayAddress(Protocol):
    """Where a gateway, or its peer listener, takes requests."""

    @property
    def address(self) -> str: ...

    @property
    def port(self) -> int: ...


@dataclass(frozen=True)
class ServiceVerdict:
    """`evidence`: what was seen, good or bad; `problems`: why it does not pass (empty where it does). `outcome`: not
    verified where nothing is known to be bad, and nothing to be good. `awaited`: a failure that may pass by waiting.
    """

    service: str
    ok: bool
    evidence: tuple[str, ...]
    problems: tuple[str, ...] = ()
    request: Request | None = None
    green_status: int | None = None
    blue_status: int | None = None
    remedy: str = ""
    outcome: Outcome = "failed"
    awaited: bool = True


@dataclass(frozen=True)
class _World:
    """What is on green, read once per round."""

    routes: Mapping[str, Object]
    gateways: Mapping[str, Object]
    services: Mapping[str, Object]
    workloads: Selected
    slices: Selected  # EndpointSlices by their own labels
    entries: Selected  # WorkloadEntries by the labels that they give


async def verify(
    services: Iterable[str],
    blue_gateway: GatewayAddress,
    green_gateway: GatewayAddress,
    blue: Reader,
    green: Reader,
    *,
    probe: Probe,
    checks: Mapping[str, Check] | None = None,
    enrolled: Mapping[str, Object] | None = None,
    listeners: Mapping[routing.Side, GatewayAddress] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    progress: Progress | None = None,
) -> list[ServiceVerdict]:
    """A verdict for each service (`namespace/name` of its route), waiting for what is still starting.

    `enrolled`: the stored originals by service; `listeners`: the peer listener of each gateway, by which they are asked.
    """
    deadline = time.monotonic() + patience_seconds
    names = sorted(services)
    checks, enrolled, listeners = checks or {}, enrolled or {}, listeners or {}
    blue_routes = routing.by_service(await routes.listed(blue))
    settled: dict[str, ServiceVerdict] = {}
    while True:
        world = await _world(green)
        todo = [name for name in names if name not in settled or _may_pass(settled[name])]

        async def one(name: str, world: _World = world) -> ServiceVerdict:
            check = checks.get(name, Check())
            if name in enrolled:
                return await _enrolled_verdict(name, world, enrolled[name], check, listeners, probe)
            return await _verdict(name, world, blue_routes.get(name), check, blue_gateway, green_gateway, probe)

        for verdict in await asyncio.gather(*(one(name) for name in todo)):
            settled[verdict.service] = verdict
        if progress is not None:
            late = [name for name in names if _may_pass(settled[name])]
            progress(len(names) - len(late), len(names), f"waiting for {late[0]}" if late else "")
        # what is still starting may come to pass; who answers for a service does not change by waiting
        if not any(map(_may_pass, settled.values())) or time.monotonic() >= deadline:
            return [settled[name] for name in names]
        await asyncio.sleep(POLL_SECONDS)


def _may_pass(verdict: ServiceVerdict) -> bool:
    return verdict.outcome == "failed" and verdict.awaited


def brought(*sides: Mapping[str, Any] | None) -> bool:
    """Whether a tool brings what belongs to a service, by the labels and annotations of its route on either side: what is
    missing may come by itself then. Nothing else than such a tool makes a Service or a route; pods make themselves ready.
    """
    return any(claim(route, routing.kind_of(route).resource) is not None for route in sides if route is not None)


def missing(route: Mapping[str, Any], world: _World) -> list[str]:
    """`namespace/name` of the Services that a route sends to and green lacks, sorted."""
    return [name for name in sorted(routing.services_of(route)) if name not in world.services]


async def _world(green: Reader) -> _World:
    wanted = (
        kinds.SERVICE,
        kinds.DEPLOYMENT,
        kinds.STATEFUL_SET,
        kinds.DAEMON_SET,
        kinds.ENDPOINT_SLICE,
        kinds.WORKLOAD_ENTRY,
    )
    live, gateways, listings = await asyncio.gather(
        routes.listed(green), routes.gateways(green), asyncio.gather(*(green.list(resource) for resource in wanted))
    )
    services, deployments, sets, daemons, slices, entries = [listing.items for listing in listings]
    return _World(
        routing.by_service(live),
        {kinds.full_name(g): g for g in gateways},
        {kinds.full_name(s): s for s in services},
        Selected((*deployments, *sets, *daemons)),
        Selected(slices, lambda piece: piece["metadata"].get("labels") or {}),
        Selected(entries, lambda entry: spec_of(entry).get("labels") or {}),
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
        text = f"green has no {routing.called() if original is None else original['kind']} {name}"
        remedy = "run `bluegreen replicate`, then `bluegreen verify` again"
        return _failed(name, text, remedy, awaited=brought(original))
    if routing.forwards(route):
        text = f"green's route {name} forwards to blue, which would answer for green, but the stack file does not list it"
        remedy = f"put {name} back into the stack file from git, or its original route onto green"
        return _failed(name, text, remedy, awaited=False)
    request = request_for(original or route, world.gateways, check)
    answers = await asyncio.gather(_ask(probe, green_gateway, request), _ask(probe, blue_gateway, request))
    verdict = _judged(name, behind(route, world), request, *answers, check, grpc=speaks_grpc(route, world))
    if gone := missing(route, world):
        verdict = _without(verdict, gone, comes=brought(route, original))
    if verdict.outcome != "not verified":
        return verdict
    remedy = (
        f"{verdict.remedy}; or `bluegreen enroll {name}` first: then `bluegreen verify` asks its workloads past the gateway"
    )
    return replace(verdict, remedy=remedy)


async def _enrolled_verdict(
    name: str,
    world: _World,
    original: Object,
    check: Check,
    listeners: Mapping[routing.Side, GatewayAddress],
    probe: Probe,
) -> ServiceVerdict:
    lacking = [route for route in (name, routing.peer_of(name)) if route not in world.routes]
    if lacking:
        text = f"green has no {original['kind']} {', '.join(lacking)}, though the service is enrolled"
        remedy = f"run `bluegreen enroll {name}` again: it makes what is missing"
        return _failed(name, text, remedy, awaited=False)
    public = request_for(original, world.gateways, check)
    request = sent_on(original, public, world.gateways)
    if request is None:
        text = f"no rule of its route with a destination takes {public}"
        remedy = f"set a path that one takes: services.{name}.check.path in migration.yaml"
        return _failed(name, text, remedy, awaited=False, request=public)
    green, blue = await asyncio.gather(_ask(probe, listeners["green"], request), _ask(probe, listeners["blue"], request))
    if isinstance(blue, Answer) and not blue.from_workload:
        blue = f"its peer listener answers {blue.status} by itself"
    grpc = speaks_grpc(original, world)
    verdict = _judged(name, behind(original, world), request, green, blue, check, grpc=grpc)
    if gone := missing(original, world):
        verdict = _without(verdict, gone, comes=brought(original, world.routes.get(name)))
    if not isinstance(green, str):
        return verdict
    where = f"{listeners['green'].address}:{listeners['green'].port}"
    remedy = (
        f"green's peer listener ({where}) is private: run `bluegreen verify` where it can be reached (from blue's network), "
        "or fix gateway.peer_address and peer_port in migration.yaml"
    )
    return replace(verdict, remedy=remedy)


def _failed(name: str, problem: str, remedy: str, *, awaited: bool, request: Request | None = None) -> ServiceVerdict:
    """Of a service that need not be asked. `awaited`: it may pass by waiting."""
    return ServiceVerdict(name, ok=False, evidence=(), problems=(problem,), request=request, remedy=remedy, awaited=awaited)


def _without(verdict: ServiceVerdict, gone: list[str], *, comes: bool) -> ServiceVerdict:
    """Of a service of which green lacks Services. `comes`: a tool brings them."""
    remedy = f"run `bluegreen replicate` (green lacks Service {', '.join(gone)}), then `bluegreen verify` again"
    return replace(verdict, remedy=remedy, awaited=comes)


def _judged(
    name: str,
    backends: tuple[list[str], list[str]],
    request: Request,
    green: Answer | str,
    blue: Answer | str,
    check: Check,
    *,
    grpc: bool = False,
) -> ServiceVerdict:
    """`backends`: evidence and problems of what stands behind the route. `grpc`: it speaks nothing else."""
    evidence, problems = (first + second for first, second in zip(backends, compared(request, green, blue, check), strict=True))
    outcome: Outcome = "failed" if problems else "ok"
    remedy = "look at its pods and route on green, then run `bluegreen verify` again" if problems else ""
    if not problems and isinstance(green, Answer) and check.status is None and (why := unproven(green, blue, grpc=grpc)):
        outcome, problems = "not verified", [f"not verified: {request} on green: {why}"]
        remedy = f"set services.{name}.check in migration.yaml: a path that its workload answers, and the status to expect"
    return ServiceVerdict(
        name,
        outcome == "ok",
        tuple(evidence),
        tuple(problems),
        request,
        green.status if isinstance(green, Answer) else None,
        blue.status if isinstance(blue, Answer) else None,
        remedy,
        outcome,
    )


async def _ask(probe: Probe, gateway: GatewayAddress, request: Request) -> Answer | str:
    try:
        return await probe(gateway.address, gateway.port, request)
    except BluegreenError as problem:
        return str(problem)


def behind(route: Mapping[str, Any], world: _World) -> tuple[list[str], list[str]]:
    """What stands behind a route on green: evidence and problems."""
    evidence: list[str] = []
    problems: list[str] = []
    for service_name in sorted(routing.services_of(route)):
        service = world.services.get(service_name)
        if service is None:
            problems.append(f"green has no Service {service_name}")
            continue
        if spec_of(service).get("type") == "ExternalName":
            evidence.append(f"Service {service_name} is outside of the cluster")
            continue
        namespace = service["metadata"].get("namespace", "")
        for workload in world.workloads.by(namespace, spec_of(service).get("selector") or {}):
            pods = health(workload)
            text = f"{kinds.name_of(workload)}: {pods.available} of {pods.wanted} available"
            if ORIGINAL_REPLICAS in (workload["metadata"].get("annotations") or {}):
                evidence.append(f"{kinds.name_of(workload)} is stopped on green until it is handed over")
            else:
                (evidence if pods.good else problems).append(text)
        addresses = endpoints(service, world)
        text = f"Service {service_name}: {counted(addresses, 'ready endpoint')}"
        (evidence if addresses else problems).append(text)
    return evidence, problems


def endpoints(service: Mapping[str, Any], world: _World) -> int:
    """Ready addresses of a Service: of its EndpointSlices, and of Istio's WorkloadEntries that it selects."""
    namespace, name = service["metadata"].get("namespace", ""), service["metadata"]["name"]
    slices = world.slices.by(namespace, {"kubernetes.io/service-name": name})
    return sum(map(ready_addresses, slices)) + len(world.entries.by(namespace, spec_of(service).get("selector") or {}))


def compared(request: Request, green: Answer | str, blue: Answer | str, check: Check) -> tuple[list[str], list[str]]:
    """Evidence and problems of one request to both gateways."""
    evidence: list[str] = []
    problems: list[str] = []
    if isinstance(green, str):
        return evidence, [green]
    evidence.append(f"{request} on green: {green.status} from {_whose(green)}")
    if isinstance(blue, str):
        evidence.append(f"blue could not be asked: {blue}")
    else:
        evidence.append(f"{request} on blue: {blue.status} from {_whose(blue)}")
    if check.status is not None:
        if green.status != check.status:
            problems.append(f"green answers {green.status}, migration.yaml expects {check.status}")
        return evidence, problems
    if not green.from_workload and green.status in (404, 503):
        meaning = "no route takes it" if green.status == 404 else "no workload to send to"
        problems.append(f"green's gateway answers {green.status} by itself to {request}: {meaning}")
    elif green.status >= 500:
        problems.append(f"green answers {green.status} to {request}")
    elif green.grpc_status in GRPC_FAILED:
        problems.append(f"green answers gRPC status {green.grpc_status} to {request}")
    elif isinstance(blue, Answer) and blue.status < 500 and _class(green) != _class(blue):
        problems.append(f"green answers {green.status} where blue answers {blue.status}")
    return evidence, problems


def _class(answer: Answer) -> int:
    """What must be alike on both sides: that it worked, or how it did not."""
    return 2 if 200 <= answer.status < 300 else answer.status


def _whose(answer: Answer) -> str:
    if answer.from_workload:
        return "a workload"
    return "the gateway itself" if answer.headers.get("server", "") in ENVOYS else "somebody unknown"


def unproven(green: Answer, blue: Answer | str, *, grpc: bool) -> str | None:
    """Why an answer in which nothing is wrong is no proof of a workload that serves users."""
    if not green.from_workload:
        if green.status in (401, 403) and UPSTREAM_TIME in green.headers:
            return f"{green.status} came from a policy of the mesh, before any workload was asked"
        return f"{green.status} came from {_whose(green)}: no {UPSTREAM_TIME} says that a workload was asked"
    if (grpc or green.is_grpc) and green.grpc_status != 0:
        status = f"{green.status}" if green.grpc_status is None else f"gRPC status {green.grpc_status}"
        return f"{status}: it speaks gRPC, and a plain GET is no call of one of its methods"
    if 200 <= green.status < 300:
        return None
    if isinstance(blue, str):
        return f"{green.status}, and blue, which might answer so too, could not be asked"
    if not blue.from_workload:
        return f"{green.status}, and blue's {blue.status} came from {_whose(blue)}, which is no workload to compare with"
    return None if blue.status == green.status else f"{green.status}, and blue answers {blue.status}"


def speaks_grpc(route: Mapping[str, Any], world: _World) -> bool:
    """Whether each port that the route sends to says so, by its name or `appProtocol`, as Istio reads them."""
    ports = []
    namespace = route["metadata"].get("namespace", "")
    for backend in routing.kind_of(route).backends(route):
        service = world.services.get(routing.services_meant(backend.host, namespace) or "")
        if backend.protocol == "http" and service is not None:
            known = spec_of(service).get("ports") or ()
            ports += [port for port in known if backend.port in (None, port.get("port"))]
    return bool(ports) and all(
        str(port.get("appProtocol") or port.get("name") or "").partition("-")[0] == "grpc" for port in ports
    )
