"""One API server in raw JSON: its objects, and what it serves.

Typed clients decode every object twice and double the processor time of a large replication; this one hands
dictionaries through. Lists come in pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from access.causes import foreign_remedy
from migration.clients import shapes
from migration.clients.connection import APPLY, Connection
from migration.clients.discovery import preferred_first, read_by_group, read_discovery
from migration.clients.reach import load
from migration.errors import BluegreenError, NotFound, Rejected, Unreachable
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery, Listing

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


class Kubernetes(Connection):
    """One API server. Open it with `async with`; every method may be called from many tasks at once."""

    _discovery: Discovery | None = None

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

    # -- objects -------------------------------------------------------------------------------------------------------

    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, timeout_seconds: float | None = None
    ) -> Object:
        """The object as it is live.

        Raises:
            NotFound: no such object, or no such kind.
            Unreachable: no answer, or one that is no object of Kubernetes.
        """
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
        """PUT of the whole object; gives it as the server has it then. Conflict where its resourceVersion is not the newest."""
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
        """The object after it. `kind`: of patch, by default a merge patch."""
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
        """`resource_version`: only if nothing has changed since then. NotFound is raised only without `missing_ok`."""
        body = {"preconditions": {"resourceVersion": resource_version}} if resource_version else None
        try:
            await self.request("DELETE", resource.path(namespace, name), body=body)
        except NotFound:
            if not missing_ok:
                raise

    # -- the server ----------------------------------------------------------------------------------------------------

    async def version(self, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """The server's `/version` document."""
        return await self.request("GET", "/version", timeout_seconds=timeout_seconds)

    async def minor(self) -> str:
        """`1.34`: what the server serves, also where it emulates an older Kubernetes than the one it was built from."""
        answer = await self.version()
        major = answer.get("emulationMajor") or answer.get("major", "?")
        return f"{major}.{str(answer.get('emulationMinor') or answer.get('minor', '?')).rstrip('+')}"

    async def issuer(self) -> str:
        """Who signs the tokens of its ServiceAccounts. Forbidden: not every user may ask (docs/reference/permissions.md)."""
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

    # -- what came ----------------------------------------------------------------------------------------------------

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


def _write_query(manager: str, dry_run: bool, force: bool = False) -> dict[str, str]:
    query = {"fieldManager": manager}
    if dry_run:
        query["dryRun"] = "All"
    if force:
        query["force"] = "true"
    return query
