"""The record of intent on both clusters, after the file changed without a route being written.

`pulumi up` of the edge makes the record from the file, and an older file is known by it: it has to keep up with every
write of the file, not only with those that move a service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import routing
from migration.errors import BluegreenError
from migration.model import MANAGER, Side
from migration.objects.kinds import CONFIG_MAP
from migration.ports import Kubernetes
from migration.settings.stack_file import Edge

log = logging.getLogger(__name__)
WRITE_SECONDS = 3.0


async def write_record(clusters: Mapping[Side, Kubernetes], edge: Edge) -> None:
    """On each cluster as well as it can: a dead one gets its record from the next `pulumi up` that reaches it."""
    sides = {"blue": edge.blue} | ({"green": edge.green} if edge.green else {})
    record = routing.record(routing.Intent(sides, edge.entry, edge.services, edge.generation))

    async def one(cluster: Kubernetes) -> None:
        try:
            await cluster.apply(CONFIG_MAP, record, manager=MANAGER, force=True, timeout_seconds=WRITE_SECONDS)
        except BluegreenError as problem:
            log.warning("%s keeps an older record of the edge: %s", cluster.name, problem)

    await asyncio.gather(*map(one, clusters.values()))
