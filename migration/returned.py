"""Which services went back, and why, in the clusters: so that no other store sends them to green again by mistake.

Kept beside the edge's record (ConfigMap `istio-system/bluegreen-edge`, key `returned`: a JSON object of reasons by
service), under the field manager of the lock: the program, which applies the rest, neither removes nor sees it. Whoever
begins a shift reads it; `--retry` clears a service there. It is kept on both clusters and counts where either has it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

import routing
from migration.errors import BluegreenError, Conflict, NotFound
from migration.kinds import CONFIG_MAP
from migration.model import LOCK_MANAGER, RouterState, Side
from migration.ports import Kubernetes, Router

log = logging.getLogger(__name__)
SECONDS = 3.0
KEY = "returned"


def kept(live: Mapping[Side, RouterState]) -> dict[str, str]:
    """Reasons by service, as either cluster has them."""
    return {service: reason for state in live.values() for service, reason in state.returned.items()}


async def keep(routers: Mapping[Side, Router], changes: Mapping[str, str | None]) -> None:
    """Adds reasons by service, takes those out whose reason is None; on each cluster as well as it can, raises nothing.

    What a dead cluster did not take is told: the other one has it.
    """
    if not changes:
        return

    async def one(router: Router) -> None:
        try:
            await router.keep_returned(changes)
        except BluegreenError as problem:
            log.warning("%s does not know which services went back: %s", router.cluster, problem)

    await asyncio.gather(*map(one, routers.values()))


def read(record: Mapping[str, Any]) -> dict[str, str]:
    """Of a live record; empty where there is none, or none as we write it."""
    try:
        return {str(s): str(why) for s, why in json.loads((record.get("data") or {})[KEY]).items()}
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        return {}


async def write(cluster: Kubernetes, changes: Mapping[str, str | None]) -> None:
    """As `keep`, on one cluster; what others keep there meanwhile is not lost. Raises what the cluster answers."""
    namespace, name = routing.EDGE_NAMESPACE, routing.RECORD_NAME
    for last_try in (False, False, True):
        try:
            found = await cluster.get(CONFIG_MAP, namespace, name, timeout_seconds=SECONDS)
        except NotFound:
            found = {}
        before = read(found)
        reasons = {service: why for service, why in {**before, **changes}.items() if why is not None}
        if reasons == before:
            return
        data = {"data": {KEY: json.dumps(reasons, sort_keys=True)}} if reasons else {}
        ours = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}, **data}
        try:
            await cluster.apply(
                CONFIG_MAP,
                ours,
                manager=LOCK_MANAGER,
                force=True,
                resource_version=(found.get("metadata") or {}).get("resourceVersion"),
                timeout_seconds=SECONDS,
            )
            return
        except Conflict:
            if last_try:
                raise
