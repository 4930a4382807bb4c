"""Talks to one API server in raw JSON over kept connections.

Typed clients decode every object twice and double the processor time of a large replication; this one hands
dictionaries through. What it adds is what every caller needs: one answer per failure in the command's own errors,
patience with a server that asks for it (429, 503 with Retry-After), lists in pages, and no more requests in flight than
the server bears.

No exception of the HTTP library leaves this module.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import orjson

from access.causes import foreign, foreign_remedy
from access.credentials import Credentials, can_renew, obtain
from access.errors import AccessError, Broken, Late
from access.kubeconfig import Access
from access.transport import Answer, Session, unanswered
from migration.clients import discreet, shapes
from migration.clients.discovery import preferred_first, read_by_group, read_discovery
from migration.clients.limiter import Limiter
from migration.clients.reach import as_ours, load
from migration.errors import BluegreenError, Conflict, Forbidden, NotFound, Rejected, Unreachable
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery, Listing

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
PATCHES = {"apply": APPLY, "merge": MERGE, "json": JSON_PATCH, "strategic": STRATEGIC}
PatchKind = Literal["apply", "merge", "json", "strategic"]
DISCOVERY = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
ISSUER_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
PAGE = 500
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


class Kubernetes:
    """One API server. Open it with `async with`; every method may be called from many tasks at once."""

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
        self._discovery: Discovery | None = None
        self._opening: asyncio.Task[None] | None = None
        self._ready_since = 0.0
        self._closed = False

    @classmethod
    def from_kubeconfig(
        cls,
        kubeconfig: str | Path,
        context: str | None = None,
        *,
        name: str | None = None,
        timeout_seconds: float = 30.0,
    ) -> Kubernetes:
        """A client for a context of a kubeconfig (path, or JSON text as a stack output holds it)."""
        return cls(load(kubeconfig, context, cluster=name), timeout_seconds=timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
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

    # -- objects -------------------------------------------------------------------------------------------------------

    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, timeout_seconds: float | None = None
    ) -> Object:
        path = resource.path(namespace, name)
        answer = await self.request("GET", path, timeout_seconds=timeout_seconds)
        if (fault := shapes.fault(answer, resource)) is not None:
            raise self._shapeless(path, resource, answer, fault)
        return answer

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """Like get, but None where there is no such object (or no such kind)."""
        try:
            return await self.get(resource, namespace, name)
        except NotFound:
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        timeout_seconds: float | None = None,
    ) -> Listing:
        """Every object of a kind, in pages; starts again where the server has forgotten the first page (410)."""
        accept = METADATA if metadata_only else None
        query = {"limit": str(PAGE)}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        for last_try in (False, False, True):
            items: list[Object] = []
            page_query = dict(query)
            try:
                while True:
                    page = await self.request(
                        "GET",
                        resource.path(namespace),
                        query=page_query,
                        accept=accept,
                        timeout_seconds=timeout_seconds,
                    )
                    listing = self._listed(resource, namespace, page)
                    items += listing.items
                    token = (page.get("metadata") or {}).get("continue")
                    if not token:
                        return Listing(items, listing.resource_version)
                    page_query = {**query, "continue": token}
            except Rejected as problem:
                if problem.status != 410:
                    raise
                if last_try:  # a list that changes faster than it can be read in pages: once in one piece
                    query.pop("limit")
        page = await self.request("GET", resource.path(namespace), query=query, accept=accept, timeout_seconds=timeout_seconds)
        return self._listed(resource, namespace, page)

    async def apply(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        resource_version: str | None = None,
        subresource: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Object:
        """Server-side apply. `resource_version`: only if nothing has changed since then (Conflict without managers
        otherwise).
        """
        meta = obj["metadata"]
        body: Mapping[str, Any] = obj
        if resource_version is not None:
            body = {**obj, "metadata": {**meta, "resourceVersion": resource_version}}
        path = resource.path(meta.get("namespace"), meta["name"]) + (f"/{subresource}" if subresource else "")
        answer = await self.request(
            "PATCH",
            path,
            query=_write_query(manager, dry_run, force),
            body=body,
            content_type=APPLY,
            timeout_seconds=timeout_seconds,
        )
        return self._whole(path, answer)

    async def create(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        manager: str,
        dry_run: bool = False,
        repeatable: bool = False,
    ) -> Object:
        """`repeatable`: sent again after a lost answer; a Conflict (exists) may then speak of our own first try."""
        path = resource.path(obj["metadata"].get("namespace"))
        query = _write_query(manager, dry_run)
        return self._whole(path, await self.request("POST", path, query=query, body=obj, repeatable=repeatable))

    async def replace(self, resource: Resource, obj: Mapping[str, Any], *, manager: str, dry_run: bool = False) -> Object:
        meta = obj["metadata"]
        path = resource.path(meta.get("namespace"), meta["name"])
        return self._whole(path, await self.request("PUT", path, query=_write_query(manager, dry_run), body=obj))

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        manager: str,
        kind: PatchKind = "merge",
        subresource: str | None = None,
        dry_run: bool = False,
        timeout_seconds: float | None = None,
    ) -> Object:
        path = resource.path(namespace, name) + (f"/{subresource}" if subresource else "")
        query = _write_query(manager, dry_run)
        answer = await self.request(
            "PATCH", path, query=query, body=body, content_type=PATCHES[kind], timeout_seconds=timeout_seconds
        )
        return self._whole(path, answer)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        resource_version: str | None = None,
        missing_ok: bool = True,
    ) -> None:
        body = {"preconditions": {"resourceVersion": resource_version}} if resource_version else None
        try:
            await self.request("DELETE", resource.path(namespace, name), body=body)
        except NotFound:
            if not missing_ok:
                raise

    # -- the server ----------------------------------------------------------------------------------------------------

    async def version(self, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        return await self.request("GET", "/version", timeout_seconds=timeout_seconds)

    async def minor(self) -> str:
        """`1.34`: what the server serves, also where it emulates an older Kubernetes than the one it was built from."""
        answer = await self.version()
        major = answer.get("emulationMajor") or answer.get("major", "?")
        return f"{major}.{str(answer.get('emulationMinor') or answer.get('minor', '?')).rstrip('+')}"

    async def issuer(self) -> str:
        """Who signs the tokens of its ServiceAccounts. Forbidden: not every user may ask (docs/permissions.md)."""
        issuer = (await self.request("GET", ISSUER_PATH)).get("issuer")
        if not isinstance(issuer, str) or not issuer:
            raise self._unreachable(f"names no issuer at {ISSUER_PATH}", None)
        return issuer

    async def signing_keys(self) -> frozenset[str]:
        """Key ids, as this API server itself publishes them; Forbidden as for `issuer`."""
        keys = (await self.request("GET", KEYS_PATH, accept="application/jwk-set+json, application/json")).get("keys")
        listed = keys if isinstance(keys, list) else []
        ids = frozenset(str(key["kid"]) for key in listed if isinstance(key, dict) and key.get("kid"))
        if not ids:
            raise self._unreachable(f"names no key at {KEYS_PATH}", None)
        return ids

    async def discover(self, *, fresh: bool = False) -> Discovery:
        """What the server serves, in two requests (aggregated discovery), or in one for each group where it is older than
        1.26; remembered until asked for afresh.
        """
        if self._discovery is None or fresh:
            core, groups = await asyncio.gather(
                self.request("GET", "/api", accept=DISCOVERY), self.request("GET", "/apis", accept=DISCOVERY)
            )
            try:
                if "items" in core and "items" in groups:
                    discovery = read_discovery([*core["items"], *groups["items"]])
                else:
                    discovery = await self._discover_by_group(core, groups)
            except (AttributeError, KeyError, TypeError, ValueError) as problem:
                raise self._odd("GET /apis", "discovery document", problem) from problem
            if ("", "Namespace") not in discovery.served:
                raise Rejected(
                    f"cluster {self.name}: {self.access.server} serves no namespaces: nothing can be read of it",
                    remedy=f"check that {self.access.source}, context {self.access.context} leads to its API server",
                )
            self._discovery = discovery
        return self._discovery

    async def _discover_by_group(self, core: Object, groups: Object) -> Discovery:
        versions = preferred_first(core, groups)
        answers = await asyncio.gather(
            *(self.request("GET", path) for path in versions.values()),
            return_exceptions=True,
        )
        served: dict[str, Object] = {}
        stale: list[str] = []
        for group_version, answer in zip(versions, answers, strict=True):
            if isinstance(answer, NotFound):
                continue  # a definition that went meanwhile
            if isinstance(answer, BluegreenError):
                stale.append(group_version)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                served[group_version] = answer
        return read_by_group(served, stale)

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

    def _shapeless(self, path: str, resource: Resource, obj: Any, fault: str) -> BluegreenError:
        access = self.access
        return Unreachable(
            f"cluster {self.name}: {access.server} answered GET {path} with {shapes.named(obj, resource)}, which is no object "
            f"of Kubernetes: {fault}",
            remedy=f"look at it: kubectl --context {access.context} get --raw '{path}'; where that is right, "
            + foreign_remedy(access.source, access.context),
        )

    def _whole(self, path: str, answer: Object) -> Object:
        """An object as every object is. What answers a write may be less than that, but nothing else."""
        if not isinstance(answer.get("metadata", {}), dict):
            raise self._odd(path, "object", None)
        return answer

    def _listed(self, resource: Resource, namespace: str | None, page: Object) -> Listing:
        path = resource.path(namespace)
        meta, listed = page.get("metadata"), page.get("items")
        if listed is None and "items" in page:  # so Go writes an empty list
            listed = []
        if not isinstance(meta, dict) or not isinstance(page.get("kind"), str) or not isinstance(listed, list):
            raise self._odd(f"GET {path}", "list", None)
        if (bad := shapes.first_bad(listed, resource)) is not None:
            raise self._shapeless(path, resource, *bad)
        # the items of a list carry neither apiVersion nor kind; with both in front an object reads as people expect
        items = [{**item, "apiVersion": resource.api_version, "kind": resource.kind} for item in listed]
        return Listing(items, str(meta.get("resourceVersion") or ""))

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


def _write_query(manager: str, dry_run: bool, force: bool = False) -> dict[str, str]:
    query = {"fieldManager": manager}
    if dry_run:
        query["dryRun"] = "All"
    if force:
        query["force"] = "true"
    return query


def _wait_seconds(retry_after: str | None, attempt: int) -> float:
    try:
        asked = float(retry_after) if retry_after else 0.0
    except ValueError:
        asked = 0.0
    return min(LONGEST_WAIT_SECONDS, max(asked, 0.1 * float(1 << attempt)))
