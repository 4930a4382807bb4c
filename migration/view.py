"""What was read of one cluster, and how it is read: one LIST for each kind, all at once.

A kind that could not be listed is a problem of its own, never an empty list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

from migration.errors import BluegreenError, NotFound
from migration.kinds import Object, Resource
from migration.ports import Discovery, Kubernetes

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
    _found: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, resource_name: str) -> list[Object]:
        return self.objects.get(resource_name, [])

    def once(self, find: Callable[..., T], *given: Hashable) -> T:
        """What a pure function of this view (and what is given) finds, worked out for the first that asks and kept for
        the others.

        Checks that look something up for each object ask for an index by this: at 20,000 objects a search through all of
        them for each route took most of a minute.
        """
        if (find, *given) not in self._found:
            self._found[find, *given] = find(self, *given)
        found: T = self._found[find, *given]
        return found


async def look(
    server: Kubernetes,
    *,
    whole: Set[str] = frozenset(),
    heads: Callable[[Resource], bool] = lambda resource: False,
    version: Callable[[Resource, Discovery], Resource] = lambda resource, discovery: resource,
    fresh: bool = False,
) -> View:
    """Reads a cluster: kinds named `whole` with all that they have, those that `heads` picks by their metadata alone.

    `version` chooses in which of the served versions a kind is read.
    """
    discovery = await server.discover(fresh=fresh)
    objects: dict[str, list[Object]] = {}
    problems: dict[str, str] = {}
    resources: dict[str, Resource] = {}
    gone: list[Resource] = []

    async def one(resource: Resource, metadata_only: bool) -> None:
        resources[resource.name] = resource
        try:
            listing = await server.list(resource, metadata_only=metadata_only)
        except NotFound:
            gone.append(resource)
        except BluegreenError as problem:
            problems[resource.name] = str(problem)
        else:
            objects[resource.name] = listing.items

    tasks = []
    for resource in discovery.resources:
        if "list" not in resource.verbs:
            continue
        if resource.name in whole:
            tasks.append(one(version(resource, discovery), False))
        elif heads(resource):
            tasks.append(one(version(resource, discovery), True))
    await asyncio.gather(*tasks)
    if gone:
        now = await server.discover(fresh=True)
        for resource in gone:  # a definition that went since discovery has no objects; one that did not, has some maybe
            if now.find(resource.api_version, resource.kind) is None:
                objects[resource.name] = []
            else:
                problems[resource.name] = f"cluster {server.name}: serves {resource.name} and answers 404 when they are listed"
    return View(server.name, discovery, objects, problems, resources)
