"""The services that went back, as they are kept in a cluster: key `returned` of ConfigMap `istio-system/bluegreen-edge`, a JSON
object of reasons by service, under the field manager of the lock. store/returned.py says what it is for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import routing
from migration.errors import Conflict, NotFound
from migration.model import LOCK_MANAGER
from migration.objects.kinds import CONFIG_MAP
from migration.ports import Kubernetes

SECONDS = 3.0
KEY = "returned"


def read(record: Mapping[str, Any]) -> dict[str, str]:
    """Of a live record; empty where there is none, or none as we write it."""
    try:
        return {str(s): str(why) for s, why in json.loads((record.get("data") or {})[KEY]).items()}
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        return {}


async def write(cluster: Kubernetes, changes: Mapping[str, str | None]) -> None:
    """Adds reasons by service, takes those out whose reason is None; what others keep there meanwhile is not lost.

    Raises what the cluster answers.
    """
    namespace, name = routing.EDGE_NAMESPACE, routing.RECORD_NAME
    for last_try in (False, False, True):
        try:
            record = await cluster.get(CONFIG_MAP, namespace, name, timeout_seconds=SECONDS)
        except NotFound:
            record = {}
        before = read(record)
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
                resource_version=(record.get("metadata") or {}).get("resourceVersion"),
                timeout_seconds=SECONDS,
            )
            return
        except Conflict:
            if last_try:
                raise
