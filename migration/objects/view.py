"""What was read of one cluster. A kind that could not be listed is a problem of its own, never an empty list."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import routing
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """What was read of one cluster: objects by `plural.group`; `problems`: kinds that could not be listed, and why.

    `resources`: in which version each kind was read.
    """

    name: str
    discovery: Discovery
    objects: Mapping[str, list[Object]] = field(repr=False)  # Secrets among them
    problems: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Resource] = field(default_factory=dict)
    _cache: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, resource_name: str) -> list[Object]:
        """Objects of a kind by its resource name (`deployments.apps`); none where it was not read."""
        return self.objects.get(resource_name, [])

    def routes(self) -> list[Object]:
        """Of every kind by which services move; peer routes among them."""
        return [route for kind in routing.registered() for route in self.of(kind.resource.name)]

    def once(self, find: Callable[..., T], *given: Hashable) -> T:
        """What a pure function of this view (and what is given) finds, worked out for the first that asks and kept for
        the others.

        Checks that look something up for each object ask for an index by this: at 20,000 objects a search through all of
        them for each route took most of a minute.
        """
        if (find, *given) not in self._cache:
            self._cache[find, *given] = find(self, *given)
        result: T = self._cache[find, *given]
        return result
