"""What an API server says of itself and of its objects, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from migration.objects.kinds import Object, Resource


@dataclass(frozen=True)
class Discovery:
    """What an API server serves: each kind once, in the group's preferred version that has it, and every version it is
    served in.
    """

    resources: tuple[Resource, ...]
    served: Mapping[tuple[str, str], tuple[str, ...]]  # (group, kind) -> versions, the preferred one first
    stale: tuple[str, ...] = ()  # group/version whose (aggregated) server does not answer

    @cached_property
    def _by_kind(self) -> Mapping[tuple[str, str], Resource]:
        return {(r.group, r.kind): r for r in reversed(self.resources)}  # of two, the first

    def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource to write an object of this apiVersion and kind through; None: this server does not serve it."""
        group, _, version = api_version.rpartition("/")
        if version not in self.served.get((group, kind), ()):
            return None
        return self.in_version(group, kind, version)

    def preferred(self, group: str, kind: str) -> Resource | None:
        """In the version that the API server prefers; None: it does not serve the kind."""
        return self._by_kind.get((group, kind))

    def in_version(self, group: str, kind: str, version: str) -> Resource:
        """A kind in this version, which may be one that is not served.

        Raises:
            KeyError: no version of the kind is served.
        """
        resource = self._by_kind[group, kind]
        if resource.version == version:
            return resource
        return Resource(group, version, kind, resource.plural, resource.namespaced, resource.verbs)


@dataclass(frozen=True)
class Listing:
    """What one LIST gave. `resource_version`: that of the whole list."""

    items: list[Object] = field(repr=False)  # may be Secrets
    resource_version: str = ""
