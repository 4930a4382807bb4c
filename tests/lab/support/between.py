"""What stands between the command and the two API servers in these tests: a proxy that answers some requests itself, and a
run of the command that gives back how it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web

from access import kubeconfig, tls
from migration.cli.console import Context, finish
from migration.cli.replicate import copy
from migration.clients.kubernetes import Kubernetes
from migration.errors import BluegreenError
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Listing
from migration.preflight.run import preflight
from migration.settings.choices import NOTHING_SAID
from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import WRITES, Bare


@dataclass(frozen=True)
class Instead:
    """What the API server is asked instead: other values of the query, another Accept."""

    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = ""


Answer = Callable[[web.Request], web.Response | Instead | None]  # None: what the API server says


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, what it said, the document it printed, the requests that wrote to green."""

    code: int
    said: str
    document: Mapping[str, Any]
    writes: int

    def by_name(self, *names: str) -> dict[str, Mapping[str, str]]:
        """Failures, conflicts, held or dropped objects by their name."""
        return {each["object"]: each for name in names for each in self.document.get(name, ())}

    def actions(self) -> dict[str, str]:
        return {each["object"]: each["action"] for each in self.document["objects"]}


class Kept(Kubernetes):
    """A cluster that has objects which nobody could make any more: they are added to what it lists."""

    legacy: Sequence[Object] = ()

    async def list(self, resource: Resource, namespace: str | None = None, **options: Any) -> Listing:
        listing = await super().list(resource, namespace, **options)
        listing.items.extend(json.loads(json.dumps([o for o in self.legacy if o["kind"] == resource.kind])))
        return listing


@contextlib.asynccontextmanager
async def behind(access: kubeconfig.Access, answer: Answer | None) -> AsyncIterator[kubeconfig.Access]:
    """Access through a proxy on loopback that answers for the API server where `answer` says something."""
    if answer is None:
        yield access
        return
    headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls.context(access) or False), auto_decompress=True
    ) as session:

        async def handle(request: web.Request) -> web.Response:
            assert answer is not None
            reaction = answer(request)
            if isinstance(reaction, web.Response):
                return reaction
            instead = reaction or Instead()
            body = await request.read()
            copied = ("Accept", "Content-Type") if body else ("Accept",)
            sent = {k: v for k, v in request.headers.items() if k in copied} | headers
            accept = instead.accept or sent.get("Accept", "")
            url = access.server + request.path
            query = {**request.query, **instead.query}
            async with session.request(
                request.method, url, params=query, data=body or None, headers={**sent, "Accept": accept}
            ) as response:
                return web.Response(status=response.status, body=await response.read(), content_type=response.content_type)

        app = web.Application(client_max_size=16 * 1024**2)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield replace(access, server=f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def both(
    pair: tuple[Bare, Bare],
    *,
    blue: Answer | None = None,
    green: Answer | None = None,
    blue_token: str | None = None,
    green_token: str | None = None,
    legacy: Sequence[Object] = (),
) -> AsyncIterator[tuple[Kept, Kubernetes]]:
    mine, theirs = (kubeconfig.load(plane.kubeconfig, cluster=plane.name) for plane in pair)
    mine = replace(mine, token=blue_token) if blue_token else mine
    theirs = replace(theirs, token=green_token) if green_token else theirs
    async with (
        behind(mine, blue) as to_blue,
        behind(theirs, green) as to_green,
        Kept(to_blue, attempts=2) as one,
        Kubernetes(to_green, attempts=2) as other,
    ):
        one.legacy = legacy
        yield one, other


def run(
    pair: tuple[Bare, Bare], *, yes: bool = True, despite: Sequence[str] = (), choices: Any = NOTHING_SAID, **between: Any
) -> Ended:
    """`bluegreen --json replicate`."""

    async def act() -> Ended:
        printed, problem = io.StringIO(), None
        async with both(pair, **between) as (blue, green):
            session: Any = SimpleNamespace(clusters={"blue": blue, "green": green}, edge=SimpleNamespace(services={}))
            migration: Any = SimpleNamespace(singletons=frozenset({"tricky/leader"}), replicate=choices)
            context = Context(Path("migration.yaml"), True)
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
                try:
                    await copy(context, migration, session, yes=yes, despite_unread=despite)
                except BluegreenError as raised:
                    problem = raised
                finish(context, problem)
            writes = sum(green.requests.get(verb, 0) for verb in WRITES)
        document = json.loads(printed.getvalue()) if printed.getvalue() else {}
        said = f"{problem}\n{problem.remedy}" if problem else ""
        return Ended(problem.exit_code if problem else 0, said, document, writes)

    return asyncio.run(act())


def look(pair: tuple[Bare, Bare], **between: Any) -> list[Any]:
    """`bluegreen preflight`."""

    async def act() -> list[Any]:
        async with both(pair, **between) as (blue, green):
            return await preflight(blue, green)

    return asyncio.run(act())


@contextlib.contextmanager
def namespace(pair: tuple[Bare, Bare], name: str) -> Iterator[str]:
    """A namespace on blue, and nothing of it on either cluster afterwards."""
    try:
        pair[0].kubectl("create", "namespace", name)
        yield name
    finally:
        remove_namespaces(pair, name)
