"""What the steps that copy and check workloads ask of an API server, so that they can be tested without one.

The real thing is `clients.kubernetes.Kubernetes`; the fake of the tests keeps objects in a dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from migration.kinds import Object, Resource


@dataclass(frozen=True)
class Discovery:
    """What an API server serves: each kind once, in the group's preferred version that has it, and every version it is
    served in.
    """

    resources: tuple[Resource, ...]
    served: Mapping[tuple[str, str], tuple[str, ...]]  # (group, kind) -> versions, the preferred one first
    stale: tuple[str, ...] = ()  # group/version whose (aggregated) server does not answer

    def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource to write an object of this apiVersion and kind through; None: this server does not serve it."""
        group, _, version = api_version.rpartition("/")
        if version not in self.served.get((group, kind), ()):
            return None
        return self.in_version(group, kind, version)

    def preferred(self, group: str, kind: str) -> Resource | None:
        return next((r for r in self.resources if (r.group, r.kind) == (group, kind)), None)

    def in_version(self, group: str, kind: str, version: str) -> Resource:
        found = next(r for r in self.resources if (r.group, r.kind) == (group, kind))
        if found.version == version:
            return found
        return Resource(group, version, kind, found.plural, found.namespaced, found.verbs)


@dataclass(frozen=True)
class Listing:
    items: list[Object]
    resource_version: str = ""


class ApiServer(Protocol):
    """One cluster's API server; errors are those of migration.errors."""

    name: str

    async def discover(self, *, fresh: bool = False) -> Discovery: ...

    async def minor(self) -> str: ...

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object: ...

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None: ...

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        metadata_only: bool = False,
    ) -> Listing: ...

    async def apply(
        self, resource: Resource, obj: Mapping[str, Any], *, manager: str, force: bool = False, dry_run: bool = False
    ) -> Object: ...

    async def create(self, resource: Resource, obj: Mapping[str, Any], *, manager: str, repeatable: bool = False) -> Object: ...

    async def replace(self, resource: Resource, obj: Mapping[str, Any], *, manager: str) -> Object: ...

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        manager: str,
    ) -> Object: ...
