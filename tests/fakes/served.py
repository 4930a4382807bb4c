"""A FakeApiServer behind a port, and the peer listener of a gateway that serves what it holds: for whole commands."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

import routing
from migration.errors import BluegreenError, Conflict, Forbidden, NotFound
from migration.objects import kinds
from migration.objects.kinds import Resource
from migration.ports.answers import UPSTREAM_TIME
from tests.fakes.apiserver import FakeApiServer

STATUS = {NotFound: 404, Conflict: 409, Forbidden: 403}


@dataclass(frozen=True)
class Asked:
    """A request as RBAC sees it. `group` and `resource` are empty for what is no resource, whose path is `name` then."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Ports:
    api: int
    peer: int
    page: int  # of its gateway's counters


@contextmanager
def served(*servers: FakeApiServer, page: Callable[[str], str] = lambda cluster: "") -> Iterator[list[Ports]]:
    """Each on three ports of 127.0.0.1, from a thread of its own. `page`: what a cluster's gateway counts now."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runners: list[web.AppRunner] = []

    async def listen(handler: Any) -> int:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    async def start() -> list[Ports]:
        return [
            Ports(await listen(_api(server)), await listen(_peer(server)), await listen(_page(server.name, page)))
            for server in servers
        ]

    async def stop() -> None:
        for runner in runners:
            await runner.cleanup()

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _api(server: FakeApiServer) -> Any:
    async def handle(request: web.Request) -> web.Response:
        if not request.host.startswith("127.0.0.1"):
            return _gateway(server, request)  # its gateway is asked by the same address, for the host of a route
        try:
            return web.json_response(await _answer(server, request))
        except BluegreenError as problem:
            code = STATUS.get(type(problem), 422)
            body: dict[str, Any] = {"kind": "Status", "code": code, "message": str(problem)}
            if isinstance(problem, Conflict):
                body["reason"] = "AlreadyExists" if problem.exists else "Conflict"
            return web.json_response(body, status=code)

    return handle


def _gateway(server: FakeApiServer, request: web.Request) -> web.Response:
    status, from_workload = server.gateway.get(request.host, (200, True))
    return web.Response(status=status, headers={UPSTREAM_TIME: "1"} if from_workload else {"server": "envoy"})


async def _answer(server: FakeApiServer, request: web.Request) -> Any:
    parts = request.path.strip("/").split("/")
    if parts[0] not in ("api", "apis") or len(parts) == 1:
        server.asked.append(Asked("get", "", "", "", request.path))
    if parts == ["version"]:
        return {"major": "1", "minor": "36"}
    if parts[0] == ".well-known":
        return {"issuer": await server.issuer()}
    if parts[0] == "openid":
        return {"keys": [{"kid": each} for each in await server.signing_keys()]}
    if parts in (["api"], ["apis"]):
        return {"items": _discovery(server, core=parts == ["api"])}
    group = "" if parts[0] == "api" else parts[1]
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = None
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    resource = _resource(server, group, parts[0])
    server.asked += _rights(server, request, resource, namespace, parts[1:])
    manager = request.query.get("fieldManager", "")
    if len(parts) == 1 and request.method == "GET":
        metadata = "PartialObjectMetadataList" in request.headers.get("Accept", "")
        labels = request.query.get("labelSelector")
        page = await server.list(resource, namespace, labels=labels, metadata_only=metadata)
        return {"kind": f"{resource.kind}List", "metadata": {"resourceVersion": page.resource_version}, "items": page.items}
    if request.method == "GET":
        return await server.get(resource, namespace, parts[1])
    if request.method == "DELETE":
        await server.delete(resource, namespace, parts[1])
        return {"kind": "Status", "status": "Success"}
    body = await request.json()
    if request.method == "POST":
        return await server.create(resource, body, manager=manager)
    if request.method == "PUT":
        return await server.replace(resource, body, manager=manager)
    if "apply-patch" not in request.content_type:
        return await server.patch(resource, namespace, parts[1], body, manager=manager)
    version = body["metadata"].pop("resourceVersion", None)
    return await server.apply(resource, body, manager=manager, force="force" in request.query, resource_version=version)


VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def _rights(
    server: FakeApiServer, request: web.Request, resource: Resource, namespace: str | None, rest: list[str]
) -> list[Asked]:
    """What it takes: an apply of what is not there creates it, which Kubernetes asks `create` for, too.

    `rest`: name and subresource.
    """
    name, *sub = rest or [""]
    plural = "/".join((resource.plural, *sub))
    verbs = ["list" if request.method == "GET" and not name else VERBS[request.method]]
    exists = (resource.group, resource.kind, namespace or "", name) in server.objects
    if request.method == "PATCH" and "apply-patch" in request.content_type and not exists:
        verbs.append("create")
    return [Asked(verb, resource.group, plural, namespace or "", name) for verb in verbs]


def _resource(server: FakeApiServer, group: str, plural: str) -> Resource:
    known = (*server.discovery.resources, *kinds.WELL_KNOWN.values())
    for resource in known:
        if (resource.group, resource.plural) == (group, plural):
            return resource
    raise NotFound("the server could not find the requested resource")


def _discovery(server: FakeApiServer, *, core: bool) -> list[dict[str, Any]]:
    """Aggregated discovery documents."""
    groups: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for resource in server.discovery.resources:
        if (resource.group == "") is core:
            for version in server.discovery.served[resource.group, resource.kind]:
                entry = {
                    "resource": resource.plural,
                    "responseKind": {"kind": resource.kind},
                    "scope": "Namespaced" if resource.namespaced else "Cluster",
                    "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
                }
                groups.setdefault(resource.group, {}).setdefault(version, []).append(entry)
    return [
        {"metadata": {"name": group}, "versions": [{"version": v, "resources": entries} for v, entries in versions.items()]}
        for group, versions in groups.items()
    ]


def _peer(server: FakeApiServer) -> Any:
    async def handle(request: web.Request) -> web.Response:
        if routing.PROBE_HEADER not in request.headers:
            return _gateway(server, request)
        namespace, _, name = request.headers[routing.PROBE_HEADER].partition("/")
        peers = [obj for key, obj in server.objects.items() if key[2:] == (namespace, routing.peer_of(name))]
        split = next((split for obj in peers if (split := routing.probe_split(obj)) is not None), None)
        return web.Response(text=str(split), status=404 if split is None else 200)

    return handle


def _page(cluster: str, page: Callable[[str], str]) -> Any:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=page(cluster))

    return handle
