"""Sessions with API servers and requests over them; every failure comes out as one of access.errors.

Redirects are not followed: an API server sends none, and what does (a page to sign in) must not get a token.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from access import exec_plugin, proxy, tls
from access.causes import tls_failure, why
from access.credentials import Credentials, obtain
from access.errors import AccessError, Broken, Late, Unanswered
from access.kubeconfig import Access

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # in any case
    body: bytes


class Session:
    """Kept connections to one API server, by one client certificate and one proxy. Close it."""

    def __init__(self, access: Access, credentials: Credentials) -> None:
        """To be called in an event loop.

        Raises:
            Unusable: trust, certificate or proxy cannot be used.
        """
        import aiohttp

        self.access = access
        self.proxy = proxy.choose(access)
        context = tls.context(access, credentials.pair)
        through = {"Proxy-Authorization": self.proxy.authorization} if self.proxy and self.proxy.authorization else None
        self._proxy_headers = through
        self._session = aiohttp.ClientSession(
            # callers limit what is in flight: time spent in a queue here would count as the server's
            connector=aiohttp.TCPConnector(limit=0, ssl=context if context else False, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )

    async def close(self) -> None:
        """Closes all its connections; nothing can be asked by it afterwards."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        credentials: Credentials,
        *,
        seconds: float,
        connect_seconds: float | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        most_bytes: int | None = None,
    ) -> Answer:
        """The whole answer within `seconds`; of a longer one than `most_bytes` its beginning.

        Raises:
            Late: not within the time.
            Broken: the connection broke while it was used; whether the server did it is not known.
            Unanswered: not reached, or not to be spoken to.
        """
        import aiohttp
        from multidict import CIMultiDict

        if self._session.closed:
            raise unanswered(self.access, "is not asked any more: the command has ended")
        sent = CIMultiDict(headers or {})
        for name, value in credentials.headers:
            sent.add(name, value)
        try:
            async with self._session.request(
                method,
                self.access.server + path,
                params=query,
                data=body,
                headers=sent,
                timeout=aiohttp.ClientTimeout(total=max(seconds, 0.001), sock_connect=connect_seconds),
                proxy=self.proxy.url if self.proxy else None,
                proxy_headers=self._proxy_headers,
                server_hostname=self.access.tls_server_name,
                allow_redirects=False,
            ) as response:
                if most_bytes is None:
                    content = await response.read()
                else:
                    content = await _beginning(response, most_bytes)
                return Answer(response.status, response.headers, content)
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise self._access_error(problem, f"{method} {path}", seconds) from problem

    def _access_error(self, problem: Exception, where: str, seconds: float) -> AccessError:
        import aiohttp

        access = self.access
        if isinstance(problem, TimeoutError):
            return unanswered(access, f"did not answer {where} within {seconds:g} s", problem, Late)
        if isinstance(problem, aiohttp.ServerDisconnectedError):
            return unanswered(access, "closed the connection", problem, Broken)
        if isinstance(problem, aiohttp.ClientProxyConnectionError) and self.proxy:
            return unanswered(access, f"is behind the proxy {self.proxy.url}, which cannot be connected to", problem)
        if isinstance(problem, aiohttp.ClientHttpProxyError) and self.proxy:
            said = f"{problem.status} {problem.message}".strip()[:200]
            return Unanswered(
                f"cluster {access.cluster}: {access.server} is behind the proxy {self.proxy.url}, which answers {said}",
                remedy=f"check the proxy: it was taken from {access.source if access.proxy else 'the environment'}",
            )
        if (broken := tls_failure(problem, access.source, access.context)) is not None:
            # a certificate does not mend itself, a connection that breaks in the middle may
            kind = Broken if not isinstance(problem, aiohttp.ClientConnectorError | ssl.CertificateError) else Unanswered
            return kind(f"cluster {access.cluster}: {access.server} {broken.said}", remedy=broken.remedy)
        if isinstance(problem, aiohttp.ClientConnectorError):
            return unanswered(access, "cannot be connected to", problem)
        usable = not isinstance(problem, ValueError)  # InvalidURL is one: the same request fails again
        return unanswered(access, f"failed during {where}", problem, Broken if usable else Unanswered)


def unanswered(
    access: Access, what: str, problem: BaseException | None = None, kind: type[Unanswered] = Unanswered
) -> Unanswered:
    """`what` is said of the server: "cannot be connected to"."""
    detail = "" if problem is None else f" ({why(problem)[:300]})"
    return kind(
        f"cluster {access.cluster}: {access.server} {what}{detail}",
        remedy=usual_remedy(access),
    )


def usual_remedy(access: Access) -> str:
    """Where nothing better is known than that there was no answer."""
    taken = f"it was taken from {access.source}, context {access.context}"
    return f"check that its API server is up and reachable from here; {taken}"


async def _beginning(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    content = b""
    async for part in response.content.iter_any():
        content += part
        if len(content) >= most_bytes:
            response.close()  # the rest is not waited for
            return content[:most_bytes]
    return content


async def get(access: Access, path: str, *, seconds: float, most_bytes: int | None = None) -> Answer:
    """One GET over a connection of its own. The time of a credential program is not part of `seconds`.

    Raises:
        AccessError: there is no whole answer.
    """
    credentials = await obtain(access)
    session = Session(access, credentials)
    try:
        headers = {"Accept": "application/json"}
        return await session.request("GET", path, credentials, seconds=seconds, headers=headers, most_bytes=most_bytes)
    finally:
        await session.close()


def get_now(access: Access, path: str, *, seconds: float, most_bytes: int | None = None) -> Answer:
    """`get` for callers that are not asynchronous, whether their thread has an event loop or not.

    Raises:
        AccessError: there is no whole answer; also where a name is looked up for longer than anybody should wait.
    """
    longest = seconds + CLOSE_SECONDS
    if access.exec_plugin is not None:
        longest += exec_plugin.SECONDS + CLOSE_SECONDS
    return _in_thread(get(access, path, seconds=seconds, most_bytes=most_bytes), longest, access)


def _in_thread(work: Coroutine[Any, Any, T], longest_seconds: float, access: Access) -> T:
    import asyncio

    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(asyncio.run(work))
        except BaseException as problem:  # whatever it is, it belongs to the caller
            failed.append(problem)

    # asyncio.run waits at its end for a look-up of a name that hangs; a caller does not
    thread = threading.Thread(target=run, daemon=True, name=f"access {access.cluster}")
    thread.start()
    thread.join(longest_seconds)
    if failed:
        raise failed[0]
    if not done:
        raise unanswered(access, f"did not answer within {longest_seconds:g} s", None, Late)
    return done[0]
