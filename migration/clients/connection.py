"""Requests to one API server over kept connections: what every caller needs of the way there.

One answer per failure in the command's own errors, patience with a server that asks for it (429, 503 with Retry-After), new
credentials where they have run out, and no more requests in flight than the server bears.

No exception of the HTTP library leaves this module.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson

from access.causes import foreign, foreign_remedy
from access.credentials import Credentials, can_renew, obtain
from access.errors import AccessError, Broken, Late
from access.kubeconfig import Access
from access.transport import Answer, Session, unanswered
from migration.clients import discreet
from migration.clients.limiter import Limiter
from migration.clients.reach import as_ours
from migration.errors import BluegreenError, Conflict, Forbidden, NotFound, Rejected, Unreachable
from migration.objects.kinds import Object

APPLY = "application/apply-patch+yaml"
RETRIED = frozenset({429, 502, 503, 504})
LONGEST_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class _Asked:
    """A request as it is sent, however often. `repeatable`: also after a connection that broke."""

    method: str
    path: str
    query: Mapping[str, str] | None
    headers: Mapping[str, str]
    body: bytes | None
    parse: bool
    repeatable: bool

    @property
    def where(self) -> str:
        return f"{self.method} {self.path}"


class Connection:
    """To be opened with `async with`; every method may be called from many tasks at once."""

    def __init__(self, access: Access, *, timeout_seconds: float = 30.0, connections: int = 32, attempts: int = 6) -> None:
        self.access = access
        self.name = access.cluster
        self.limiter = Limiter(most=connections)
        self.requests: dict[str, int] = {}
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._session: Session | None = None
        self._sessions: list[Session] = []  # those of earlier client certificates too, which requests may still use
        self._credentials = Credentials()
        self._stale = False  # refused by the server: not used again
        self._opening: asyncio.Task[None] | None = None
        self._ready_since = 0.0
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what is under way to credentials, and closes all connections; nothing is sent after it."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
            self._opening = None
        self._session = None
        while self._sessions:
            await self._sessions.pop().close()

    async def ready(self) -> float:
        """Has credentials and a session; gives the event loop's time since when. A request does this by itself: it is for
        callers with a time-out of their own, which a credential program (up to 15 s) must not use up.

        Raises:
            Unreachable, ConfigError: there are no credentials to be had.
        """
        await self._open()
        return self._ready_since

    # -- the wire ------------------------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str | None = None,
        timeout_seconds: float | None = None,
        parse: bool = True,
        repeatable: bool = False,
    ) -> Object:
        """One request, repeated where the server says so; the answer as it came, or one of the command's own errors.

        `timeout_seconds` is the server's time, from the sending on and over all repetitions with the waits it asks for.

        Safe to repeat: reads, applies, deletes and what the caller calls `repeatable` after a broken connection;
        anything after 429, which is told before it is begun.
        """
        headers = {"Accept": accept or "application/json"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = orjson.dumps(body), content_type
        repeatable = repeatable or method in ("GET", "DELETE") or content_type == APPLY
        asked = _Asked(method, path, query, headers, data, parse=parse, repeatable=repeatable)
        return await self._repeated(asked, timeout_seconds or self._timeout_seconds)

    async def _repeated(self, asked: _Asked, limit: float) -> Object:
        left = limit  # of the server's time; the wait for a place among our own requests is not held against it
        attempt, wait, renewed = 0, 0.0, False
        while True:
            attempt += 1
            if wait:
                await asyncio.sleep(wait)
            await self.limiter.enter()
            began = time.monotonic()
            left -= wait
            wait = 0.0
            pressed = False
            try:
                session = await self._open()
                began = time.monotonic()  # a program that fetches a token takes its own time
                used = self._credentials
                answer = await self._sent(session, used, asked, left, connect_seconds=min(limit, 5.0))
                if answer.status < 300:
                    return self._read(answer, asked)
                if answer.status == 401 and can_renew(self.access) and not renewed:
                    renewed = True
                    if used is self._credentials:  # else another request has had them renewed already
                        self._stale = True
                    continue
                if answer.status in RETRIED and (answer.status == 429 or asked.repeatable) and attempt < self._attempts:
                    wait = _wait_seconds(answer.headers.get("Retry-After"), attempt)
                    pressed = True
                    if time.monotonic() - began + wait < left:
                        continue
                raise self._foreign(asked.where, answer) or self._refusal(answer.status, answer.body, asked.method, asked.path)
            except Late as problem:
                pressed = True
                raise self._unreachable(f"did not answer {asked.where} within {limit:g} s", problem.__cause__) from problem
            except Broken as problem:
                if not asked.repeatable or attempt >= min(3, self._attempts):
                    raise as_ours(problem) from problem
            except AccessError as problem:
                raise as_ours(problem) from problem
            finally:
                left -= time.monotonic() - began
                self.limiter.leave(time.monotonic() - began, pressed=pressed)

    async def _sent(
        self, session: Session, credentials: Credentials, asked: _Asked, seconds: float, *, connect_seconds: float
    ) -> Answer:
        self.requests[asked.method] = self.requests.get(asked.method, 0) + 1
        return await session.request(
            asked.method,
            asked.path,
            credentials,
            seconds=seconds,
            connect_seconds=connect_seconds,
            query=asked.query,
            headers=asked.headers,
            body=asked.body,
        )

    def _read(self, response: Answer, asked: _Asked) -> Object:
        try:
            answer: Object = orjson.loads(response.body) if response.body and asked.parse else {}
        except orjson.JSONDecodeError as problem:
            something = self._foreign(asked.where, response)
            raise something or self._unreachable(
                f"answered {asked.where} with something that is not JSON", problem
            ) from problem
        if not isinstance(answer, dict):
            raise self._odd(asked.where, "object", None)
        return answer

    async def _open(self) -> Session:
        if self._session is not None and not self._stale and time.time() < self._credentials.until:
            return self._session
        if self._closed:  # a request that waited for its place meanwhile: a session of its own would never be closed
            raise self._unreachable("is not asked any more: the command has ended", None)
        # One for all who wait for it, which outlives each of them: a look that is given up must not end the program that
        # fetches the token, or the next request begins it anew.
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._connect())
            self._opening.add_done_callback(self._opened)
        await asyncio.shield(self._opening)
        assert self._session is not None
        return self._session

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening = None
        if not task.cancelled() and task.exception() is None:
            self._ready_since = asyncio.get_running_loop().time()

    async def _connect(self) -> None:
        try:
            new = await obtain(self.access, self._credentials)
            if self._session is None or new.pair != self._credentials.pair:  # a new token needs no new connections
                self._session = Session(self.access, new)
                self._sessions.append(self._session)
        except AccessError as problem:
            raise as_ours(problem) from problem
        self._credentials, self._stale = new, False

    # -- what went wrong -----------------------------------------------------------------------------------------------

    def _unreachable(self, what: str, problem: BaseException | None) -> BluegreenError:
        return as_ours(unanswered(self.access, what, problem))

    def _foreign(self, where: str, answer: Answer) -> BluegreenError | None:
        """The error where something else than an API server answered; None where it may have been one."""
        why = foreign(answer.status, answer.headers, answer.body)
        if why is None:
            return None
        access = self.access
        return Unreachable(
            f"cluster {self.name}: {access.server} answered {where} with {why}",
            remedy=foreign_remedy(access.source, access.context),
        )

    def _odd(self, where: str, what: str, problem: BaseException | None) -> BluegreenError:
        """JSON, but not Kubernetes': something else answers in its place, which may pass."""
        return self._unreachable(f"answered {where} with JSON that is no {what} of Kubernetes", problem)

    def _refusal(self, status: int, content: bytes, method: str, path: str) -> Exception:
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError:
            answer = {}
        if not isinstance(answer, dict):
            answer = {}
        message = str(answer.get("message") or content[:300].decode(errors="replace") or f"{status} and no reason given")
        message = discreet.message_of(method, path, status, answer, message)[:1000]
        code = discreet.reason(answer)
        text = f"cluster {self.name}: {method} {path}: {message}"
        # without a remedy: callers know what the object is to whom; else `usual` of the kind is told
        if status == 404:
            return NotFound(text, of=discreet.kind(answer))
        if status == 409:
            managers, fields = conflict_details(answer)
            return Conflict(text, managers=managers, fields=fields, exists=code == "AlreadyExists")
        if status in (401, 403):
            return Forbidden(f"{text} (kubeconfig {self.access.source}, context {self.access.context})", status=status)
        if status in RETRIED:
            return Unreachable(f"{text} ({status}: overloaded or not ready)")
        return Rejected(text, status=status, reason=code, causes=tuple(discreet.causes(method, path, answer)))


def conflict_details(answer: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Managers and fields that a refused server-side apply names; both empty for a resourceVersion that is not the
    newest.
    """
    managers: list[str] = []
    fields: list[str] = []
    for cause in discreet.all_causes(answer):
        if cause.get("reason") == "FieldManagerConflict":
            parts = str(cause.get("message", "")).split('"')  # conflict with "kubectl" using apps/v1
            manager = parts[1] if len(parts) > 2 else str(cause.get("message", ""))
            if manager not in managers:
                managers.append(manager)
            fields.append(str(cause.get("field", "")))
    return tuple(managers), tuple(fields)


def _wait_seconds(retry_after: str | None, attempt: int) -> float:
    try:
        asked = float(retry_after) if retry_after else 0.0
    except ValueError:
        asked = 0.0
    return min(LONGEST_WAIT_SECONDS, max(asked, 0.1 * float(1 << attempt)))
