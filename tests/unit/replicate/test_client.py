"""The API server's client against a server that misbehaves in every way; nothing but the command's own errors comes
out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from access import kubeconfig
from migration.clients.kubernetes import Kubernetes
from migration.clients.limiter import LEAST, Limiter
from migration.errors import BluegreenError, Conflict, Forbidden, NotFound, Rejected, Unreachable
from migration.objects.kinds import CONFIG_MAP

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def against(handler: Handler, ask: Callable[[Kubernetes], Awaitable[Any]], **options: Any) -> Any:
    """Runs a server with this handler and asks it."""

    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)  # a handler that hangs is not waited for
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = runner.addresses[0][1]
            access = kubeconfig.Access("plum", f"http://127.0.0.1:{port}", "the-file", "ctx", token="t")
            async with Kubernetes(access, **options) as client:
                return await ask(client)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def status(code: int, **body: Any) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "code": code, **body}, status=code)

    return handler


def get(client: Kubernetes) -> Awaitable[Any]:
    return client.get(CONFIG_MAP, "n", "x")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, Rejected),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Rejected),
        (422, Rejected),
        (429, Unreachable),
        (500, Rejected),
        (503, Unreachable),
    ],
)
def test_each_status_is_an_error_of_ours(code: int, error: type[BluegreenError]) -> None:
    with pytest.raises(error, match=r"plum.*GET /api/v1/namespaces/n/configmaps/x.*because"):
        against(status(code, message="because"), get, attempts=1)


@pytest.mark.parametrize(
    ("details", "of"),
    [({"name": "n", "kind": "namespaces"}, "namespaces"), ({}, ""), (None, ""), ({"kind": ["namespaces"]}, "")],
    ids=["as the server says it", "it does not say", "no details", "no word"],
)
def test_what_is_missing_is_known_by_its_kind(details: Any, of: str) -> None:
    with pytest.raises(NotFound) as missing:
        against(status(404, message="not found", details=details), get, attempts=1)
    assert missing.value.of == of


def test_a_conflict_names_managers_and_fields() -> None:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl" using apps/v1',
            "field": ".spec.replicas",
        }
    ]
    with pytest.raises(Conflict) as caught:
        against(status(409, message="m", reason="Conflict", details={"causes": causes}), get)
    assert (caught.value.managers, caught.value.fields) == (("kubectl",), (".spec.replicas",))


@pytest.mark.parametrize("how", ["closes", "hangs", "no json", "half an answer"])
def test_a_broken_server_is_unreachable(how: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if how == "hangs":
            await asyncio.sleep(30)
        if how == "closes":
            assert request.transport is not None
            request.transport.abort()
        if how == "half an answer":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"{")
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.Response(text="<html>")

    with pytest.raises(Unreachable, match="plum"):
        against(handler, get, timeout_seconds=0.3, attempts=2)


def test_a_server_that_is_not_there_is_named_with_cluster_file_and_remedy() -> None:
    async def run() -> None:
        async with Kubernetes(kubeconfig.Access("plum", "http://127.0.0.1:9", "the-file", "ctx")) as client:
            await client.minor()

    with pytest.raises(Unreachable, match=r"cluster plum: http://127.0.0.1:9") as caught:
        asyncio.run(run())
    assert caught.value.remedy is not None
    assert "the-file" in caught.value.remedy


@pytest.mark.parametrize("method", ["discover", "find", "list", "apply"])
@pytest.mark.parametrize(
    ("code", "headers", "body", "told"),
    [
        pytest.param(
            302, {"Location": "https://me:x@login.example.com/auth?code=SECRET"}, "",
            "302, a redirect to login.example.com: not an API server's answer, a login page or proxy stands in between",
            id="login",
        ),
        pytest.param(307, {"Location": "/login?next=SECRET"}, "", "307, a redirect to another path", id="path"),
        pytest.param(303, {"Location": "http://[SECRET"}, "", "303, a redirect to another path", id="no URL"),
        pytest.param(302, {}, "", "302, a redirect to nowhere", id="nowhere"),
        pytest.param(407, {}, "", "407, a proxy's wish for a login: not an API server's answer", id="407"),
        pytest.param(404, {}, "", "404 and nothing more: not an API server's answer", id="an empty 404"),
        pytest.param(418, {}, " ", "418 and nothing more", id="an empty 418"),
        pytest.param(404, {"Content-Type": "text/html"}, "<p>SECRET", "404 with a page of HTML", id="a page of 404"),
        pytest.param(403, {}, "<!DOCTYPE html><p>SECRET", "403 with a page of HTML", id="a page of 403"),
        pytest.param(200, {}, "\n<html>SECRET</html>", "200 with a page of HTML", id="a page of 200"),
    ],
)  # fmt: skip
def test_what_answers_in_the_place_of_an_api_server_is_reported_as_unreachable(
    method: str, code: int, headers: dict[str, str], body: str, told: str
) -> None:
    """`find` above all: an object that a login page does not have may be there."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=code, headers=headers, body=body.encode())

    async def ask(client: Kubernetes) -> Any:
        if method == "apply":
            obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "n"}}
            return await client.apply(CONFIG_MAP, obj, manager="m")
        if method == "find":
            return await client.find(CONFIG_MAP, "n", "x")
        return await (client.discover() if method == "discover" else client.list(CONFIG_MAP))

    with pytest.raises(Unreachable, match=r"cluster plum: http://127\.0\.0\.1:") as caught:
        against(handler, ask)
    assert told in str(caught.value)
    assert "SECRET" not in str(caught.value)
    remedy = str(caught.value.remedy)
    assert all(part in remedy for part in ("server", "proxy-url", "the-file", "context ctx"))


@pytest.mark.parametrize("code", [429, 503])
def test_a_server_that_asks_to_be_retried_is_retried(code: int) -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.method)
        if len(seen) < 3:
            return web.json_response({}, status=code, headers={"Retry-After": "0"})
        return web.json_response({"metadata": {"name": "x", "namespace": "n"}})

    assert against(handler, get)["metadata"]["name"] == "x"
    assert len(seen) == 3


def test_a_request_after_the_end_opens_no_session() -> None:
    async def ask(client: Kubernetes) -> None:
        await client.close()
        with pytest.raises(Unreachable, match="the command has ended"):
            await get(client)
        assert client._session is None

    against(status(200), ask)


def test_a_create_is_not_repeated_after_503() -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.method)
        return web.json_response({"message": "m"}, status=503)

    body = {"metadata": {"name": "x", "namespace": "n"}}
    with pytest.raises(Unreachable):
        against(handler, lambda client: client.create(CONFIG_MAP, body, manager="m"))
    assert seen == ["POST"]


@pytest.mark.parametrize("asked", [None, 0.7], ids=["the client's own time", "the caller's time"])
def test_waiting_for_a_place_among_many_requests_is_not_held_against_the_server(asked: float | None) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(0.1)
        return web.json_response({"metadata": {"name": "x", "namespace": "n"}})

    async def many(client: Kubernetes) -> int:
        return len(await asyncio.gather(*(client.get(CONFIG_MAP, "n", "x", timeout_seconds=asked) for _ in range(12))))

    assert against(handler, many, timeout_seconds=0.7, connections=1) == 12


def test_a_time_asked_for_is_over_all_repetitions_but_not_over_the_queue_between_them() -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        if request.path.endswith("patient") and seen.count(request.path) < 3:
            return web.json_response({}, status=429, headers={"Retry-After": "0"})
        await asyncio.sleep(0.2 if request.path.endswith("other") else 0)
        return web.json_response(
            {"metadata": {"name": "x", "namespace": "n"}}, status=429 if request.path.endswith("never") else 200
        )

    async def many(client: Kubernetes) -> Any:
        others = [asyncio.ensure_future(client.get(CONFIG_MAP, "n", "other")) for _ in range(15)]
        found = await client.get(CONFIG_MAP, "n", "patient", timeout_seconds=1.0)
        await asyncio.gather(*others)
        with pytest.raises(Unreachable):
            await client.get(CONFIG_MAP, "n", "never", timeout_seconds=0.4)
        return found

    assert against(handler, many, connections=1)["metadata"]["name"] == "x"
    assert sum(path.endswith("never") for path in seen) < 4


def test_a_create_that_may_be_repeated_is_sent_again_when_its_answer_is_lost() -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.method)
        if len(seen) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"message": "m", "reason": "AlreadyExists"}, status=409)

    body = {"metadata": {"name": "x", "namespace": "n"}}
    with pytest.raises(Conflict) as caught:
        against(handler, lambda client: client.create(CONFIG_MAP, body, manager="m", repeatable=True))
    assert caught.value.exists
    assert seen == ["POST", "POST"]


def test_a_list_of_pages_is_begun_again_after_410() -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        token = request.query.get("continue", "")
        asked.append(token)
        if token and asked.count(token) == 1:
            return web.json_response({"message": "too old"}, status=410)
        page = [{"metadata": {"name": token or "first", "namespace": "n"}}]
        meta = {"resourceVersion": "7"} if token else {"continue": "second", "resourceVersion": "7"}
        return web.json_response({"kind": "ConfigMapList", "items": page, "metadata": meta})

    found = against(handler, lambda client: client.list(CONFIG_MAP))
    assert asked == ["", "second", "", "second"]
    assert [(i["kind"], i["metadata"]["name"]) for i in found.items] == [
        ("ConfigMap", "first"),
        ("ConfigMap", "second"),
    ]


def test_an_apply_names_its_manager_with_its_version() -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(query=dict(request.query), body=await request.json(), type=request.content_type)
        seen["authorization"] = request.headers["Authorization"]
        return web.json_response({})

    body = {"metadata": {"name": "x", "namespace": "n"}}
    against(handler, lambda c: c.apply(CONFIG_MAP, body, manager="m", force=True, dry_run=True, resource_version="7"))
    assert seen["query"] == {"fieldManager": "m", "force": "true", "dryRun": "All"}
    assert seen["body"]["metadata"]["resourceVersion"] == "7"
    assert (seen["type"], seen["authorization"]) == ("application/apply-patch+yaml", "Bearer t")


def test_the_limiter_follows_how_the_server_answers() -> None:
    async def run() -> None:
        limiter = Limiter(start=4, most=8)
        for _ in range(200):
            for _ in range(int(limiter.limit)):
                await limiter.enter()
            while limiter.in_flight:
                limiter.leave(0.01, pressed=False)
        assert limiter.limit == 8
        await limiter.enter()
        limiter.leave(0.01, pressed=True)
        assert limiter.limit == 4
        assert limiter.limit >= LEAST

    asyncio.run(run())


def test_a_cancelled_waiter_leaves_the_limiters_order_as_it_is() -> None:
    async def run() -> None:
        limiter = Limiter(start=1, most=1)
        await limiter.enter()
        order: list[str] = []

        async def wait(name: str) -> None:
            await limiter.enter()
            order.append(name)
            limiter.leave(0.01, pressed=False)

        tasks = [asyncio.create_task(wait(name)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        limiter.leave(0.01, pressed=False)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ["b", "c"]
        assert limiter.in_flight == 0

    asyncio.run(run())


def by_group(request: web.Request, *, broken: str = "") -> web.Response:
    """A server older than 1.26: whatever is asked for, it answers in the documents of each group."""
    deployments = {"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["list", "create"]}
    documents: dict[str, Any] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "groups": [
                {
                    "name": "apps",
                    "versions": [{"groupVersion": "apps/v1beta1"}, {"groupVersion": "apps/v1"}],
                    "preferredVersion": {"groupVersion": "apps/v1"},
                },
                {
                    "name": "metrics.example.com",
                    "versions": [{"groupVersion": "metrics.example.com/v1"}],
                    "preferredVersion": {"groupVersion": "metrics.example.com/v1"},
                },
            ],
        },
        "/api/v1": {"resources": [{"name": "namespaces", "kind": "Namespace", "namespaced": False, "verbs": ["list"]}]},
        "/apis/apps/v1": {"resources": [deployments, {**deployments, "name": "deployments/status"}]},
        "/apis/apps/v1beta1": {"resources": [deployments]},
        "/apis/metrics.example.com/v1": {"resources": []},
    }
    if request.path == broken:
        return web.json_response({"message": "service unavailable"}, status=503)
    return web.json_response(documents[request.path])


def test_an_old_server_is_discovered_group_by_group() -> None:
    async def handler(request: web.Request) -> web.Response:
        return by_group(request)

    found = against(handler, lambda client: client.discover())
    assert found.served == {("", "Namespace"): ("v1",), ("apps", "Deployment"): ("v1", "v1beta1")}
    assert found.find("apps/v1", "Deployment").plural == "deployments"
    assert found.stale == ()


def test_a_group_of_an_old_server_that_does_not_answer_is_stale_and_not_absent() -> None:
    async def handler(request: web.Request) -> web.Response:
        return by_group(request, broken="/apis/metrics.example.com/v1")

    found = against(handler, lambda client: client.discover(), attempts=1)
    assert found.stale == ("metrics.example.com/v1",)
    assert ("apps", "Deployment") in found.served


@pytest.mark.parametrize("document", [{}, {"items": []}, {"kind": "Status"}], ids=["nothing", "no groups", "something else"])
def test_a_server_that_serves_nothing_is_no_empty_cluster(document: dict[str, Any]) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(document)

    with pytest.raises(Rejected, match="serves no namespaces"):
        against(handler, lambda client: client.discover())


def test_a_list_of_which_a_later_page_fails_is_no_list() -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.query.get("continue"):
            return web.json_response({"message": "no leader"}, status=503)
        page = [{"metadata": {"name": "first", "namespace": "n"}}]
        return web.json_response({"kind": "ConfigMapList", "items": page, "metadata": {"continue": "second"}})

    with pytest.raises(Unreachable):
        against(handler, lambda client: client.list(CONFIG_MAP), attempts=2)


def test_a_group_whose_server_does_not_answer_is_stale_whatever_is_remembered_of_it() -> None:
    namespace = {"resource": "namespaces", "responseKind": {"kind": "Namespace"}, "scope": "Cluster", "verbs": ["list"]}
    core = {"items": [{"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": [namespace]}]}]}
    away = {"metadata": {"name": "metrics.example.com"}, "versions": [{"version": "v1", "freshness": "Stale"}]}

    async def handler(request: web.Request) -> web.Response:
        return web.json_response(core if request.path == "/api" else {"items": [away]})

    assert against(handler, lambda client: client.discover()).stale == ("metrics.example.com/v1",)
