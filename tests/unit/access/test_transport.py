"""Requests to API servers: whatever goes wrong below comes out as one of access.errors."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from access.credentials import Credentials
from access.errors import AccessError, Broken, Late, Unanswered
from access.kubeconfig import Access
from access.transport import Answer, Session, get, get_now

KEY = ConnectionKey("x", 443, True, True, None, None, None)
INFO = aiohttp.RequestInfo(URL("https://x"), "CONNECT", {}, URL("https://x"))  # type: ignore[arg-type]
TEMPORARY = Unanswered


def plum(server: str = "https://127.0.0.1:9", **more: Any) -> Access:
    return Access("plum", server, "the-file", "ctx", **more)


@pytest.mark.parametrize(
    ("problem", "kind", "told"),
    [
        pytest.param(TimeoutError(), Late, "did not answer GET /p within 5 s", id="too late"),
        pytest.param(aiohttp.ServerTimeoutError("slow"), Late, "did not answer GET /p within 5 s", id="aiohttp's too late"),
        pytest.param(aiohttp.ConnectionTimeoutError("slow"), Late, "did not answer", id="no connection in time"),
        pytest.param(aiohttp.ServerDisconnectedError(), Broken, "closed the connection", id="disconnected"),
        pytest.param(aiohttp.ClientOSError(104, "reset"), Broken, "failed during GET /p", id="reset"),
        pytest.param(aiohttp.ClientPayloadError("short"), Broken, "failed during GET /p", id="a part of an answer"),
        pytest.param(aiohttp.ClientConnectionError("closed"), Broken, "failed during", id="a closed connector"),
        pytest.param(aiohttp.ClientResponseError(INFO, ()), Broken, "failed during", id="an answer that is none"),
        pytest.param(aiohttp.ClientError("x"), Broken, "failed during", id="any other of aiohttp"),
        pytest.param(OSError(24, "Too many open files"), Broken, "Too many open files", id="of the system"),
        pytest.param(ssl.SSLError(1, "alert"), Broken, "alert", id="of TLS"),
        pytest.param(ssl.SSLCertVerificationError(1, "old"), TEMPORARY, "old", id="of a certificate"),
        pytest.param(aiohttp.InvalidURL("x"), TEMPORARY, "failed during", id="no URL"),
        pytest.param(ValueError("header"), TEMPORARY, "failed during", id="no header"),
        pytest.param(UnicodeError("label too long"), TEMPORARY, "label too long", id="no name"),
        pytest.param(
            aiohttp.ClientConnectorError(KEY, OSError(111, "x")), TEMPORARY, "cannot be connected to (Connection refused)",
            id="refused",
        ),
        pytest.param(
            aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")), TEMPORARY,
            "Name or service not known", id="no such name",
        ),
        pytest.param(
            aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "wrong version")), TEMPORARY,
            "come to terms by TLS: wrong version", id="no TLS",
        ),
        pytest.param(
            aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "old")), TEMPORARY, "is not trusted",
            id="not trusted",
        ),
        pytest.param(
            aiohttp.ClientProxyConnectionError(KEY, OSError(111, "x")), TEMPORARY,
            "is behind the proxy http://p:8, which cannot be connected to (Connection refused)", id="the proxy is down",
        ),
        pytest.param(
            aiohttp.ClientHttpProxyError(INFO, (), status=407, message="Proxy Authentication Required"), TEMPORARY,
            "is behind the proxy http://p:8, which answers 407 Proxy Authentication Required", id="the proxy refuses",
        ),
    ],
)  # fmt: skip
def test_every_failure_below_is_one_of_ours_with_the_original_behind_it(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, kind: type[AccessError], told: str
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise problem

    async def ask() -> None:
        session = Session(plum(proxy="http://me:secret@p:8"), Credentials())
        try:
            await session.request("GET", "/p", Credentials(), seconds=5)
        finally:
            await session.close()

    monkeypatch.setattr(aiohttp.ClientSession, "_request", fail)
    with pytest.raises(AccessError) as caught:
        asyncio.run(ask())
    assert type(caught.value) is kind
    assert told in caught.value.message
    assert caught.value.message.startswith("cluster plum: https://127.0.0.1:9 ")
    assert "secret" not in caught.value.message
    assert caught.value.remedy
    assert caught.value.__cause__ is problem


def against(handler: Callable[[web.Request], Awaitable[web.StreamResponse]], ask: Callable[[str], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            return await ask(f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/login")

    found = against(handler, lambda url: get(plum(url, token="t"), "/a", seconds=5))
    assert found.status == 302
    assert asked == ["/a"]


def test_headers_of_the_user_are_sent_as_often_as_they_are_given() -> None:
    async def handler(request: web.Request) -> web.Response:
        groups = request.headers.getall("Impersonate-Group")
        return web.json_response([request.headers["Authorization"], *groups])

    who = (("Impersonate-User", "me"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b"))
    found: Answer = against(handler, lambda url: get(plum(url, token="t", impersonate=who), "/", seconds=5))
    assert found.body == b'["Bearer t", "a", "b"]'


def test_only_the_beginning_of_a_long_answer_is_read() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x" * 50)
        await asyncio.Event().wait()  # the rest never comes
        return response

    found: Answer = against(handler, lambda url: get(plum(url), "/", seconds=30, most_bytes=20))
    assert found.body == b"x" * 20


def test_a_synchronous_caller_is_answered_beside_a_running_loop_too() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="here")

    async def within(url: str) -> Answer:  # the thread of a running loop, that answers meanwhile
        return await asyncio.get_running_loop().run_in_executor(None, lambda: get_now(plum(url), "/", seconds=5))

    assert against(handler, within).body == b"here"

    async def blocked() -> None:
        with pytest.raises(Unanswered, match="Connection refused"):
            get_now(plum("http://127.0.0.1:9"), "/", seconds=5)

    asyncio.run(blocked())


def test_a_name_that_is_looked_up_for_ever_ends_within_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        release.wait(60)
        raise socket.gaierror(-3, "late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr("access.transport.CLOSE_SECONDS", 0.2)
    try:
        with pytest.raises(Late, match=r"api\.plum\.test did not answer within"):
            get_now(plum("https://api.plum.test"), "/", seconds=0.2)
    finally:
        release.set()
        for thread in threading.enumerate():
            if thread.name.startswith("access "):
                thread.join(10)
