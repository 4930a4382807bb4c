"""How a cluster is read: one LIST for each kind, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set

from migration.errors import BluegreenError, NotFound
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery
from migration.objects.view import View
from migration.ports import Reader


async def look(
    server: Reader,
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

    async def one(resource: Resource, *, metadata_only: bool) -> None:
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
            tasks.append(one(version(resource, discovery), metadata_only=False))
        elif heads(resource):
            tasks.append(one(version(resource, discovery), metadata_only=True))
    await asyncio.gather(*tasks)
    if gone:
        now = await server.discover(fresh=True)
        for resource in gone:  # a definition that went since discovery has no objects; one that did not, has some maybe
            if now.find(resource.api_version, resource.kind) is None:
                objects[resource.name] = []
            else:
                problems[resource.name] = f"cluster {server.name}: serves {resource.name} and answers 404 when they are listed"
    return View(server.name, discovery, objects, problems, resources)
