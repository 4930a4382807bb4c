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
from migration import kinds
from migration.errors import BluegreenError, Conflict, Forbidden, NotFound
from tests.fakes.apiserver import FakeApiServer

BY_PLURAL = {resource.plural: resource for resource in kinds.WELL_KNOWN.values()}
STATUS = {NotFound: 404, Conflict: 409, Forbidden: 403}


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
        try:
            return web.json_response(await _answer(server, request))
        except BluegreenError as problem:
            code = STATUS.get(type(problem), 422)
            return web.json_response({"kind": "Status", "code": code, "message": str(problem)}, status=code)

    return handle


async def _answer(server: FakeApiServer, request: web.Request) -> Any:
    parts = request.path.strip("/").split("/")
    if parts == ["version"]:
        return {"major": "1", "minor": "36"}
    if parts[0] == ".well-known":
        return {"issuer": await server.issuer()}
    if parts[0] == "openid":
        return {"keys": [{"kid": each} for each in await server.signing_keys()]}
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = None
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    resource = BY_PLURAL[parts[0]]
    if len(parts) == 1:
        found = await server.list(resource, namespace)
        return {"metadata": {"resourceVersion": found.resource_version}, "items": found.items}
    if request.method == "GET":
        return await server.get(resource, namespace, parts[1])
    if request.method == "DELETE":
        await server.delete(resource, namespace, parts[1])
        return {"kind": "Status", "status": "Success"}
    body = await request.json()
    version = body["metadata"].pop("resourceVersion", None)
    return await server.apply(
        resource, body, manager=request.query["fieldManager"], force="force" in request.query, resource_version=version
    )


def _peer(server: FakeApiServer) -> Any:
    async def handle(request: web.Request) -> web.Response:
        namespace, _, name = request.headers[routing.PROBE_HEADER].partition("/")
        key = ("networking.istio.io", "VirtualService", namespace, f"{name}{routing.PEER_SUFFIX}")
        split = routing.probe_split(server.objects.get(key) or {})
        return web.Response(text=str(split), status=404 if split is None else 200)

    return handle


def _page(cluster: str, page: Callable[[str], str]) -> Any:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=page(cluster))

    return handle
