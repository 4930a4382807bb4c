"""What objects say of how they are, read in one way by every step: how many pods of a workload are wanted, ready and
available, which addresses of a Service take requests, and conditions. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migration.objects.access import spec_of
from migration.objects.kinds import Object


@dataclass(frozen=True, slots=True)
class Health:
    """Pods of one workload. `wanted`: by its spec (1 where that says nothing), of a DaemonSet by its nodes; `observed`: its
    controller has seen its latest spec, without which the numbers are those of an earlier one.
    """

    wanted: int
    ready: int
    available: int
    observed: bool

    @property
    def good(self) -> bool:
        """Whether the controller has seen the newest spec, and as many pods are available as it wants."""
        return self.observed and self.available >= self.wanted


def health(workload: Mapping[str, Any]) -> Health:
    """Pods of a Deployment, StatefulSet or DaemonSet, by its status."""
    status = status_of(workload)
    observed = bool(status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0))
    if workload["kind"] == "DaemonSet":
        wanted, ready, available = "desiredNumberScheduled", "numberReady", "numberAvailable"
        return Health(int(status.get(wanted, 0)), int(status.get(ready, 0)), int(status.get(available, 0)), observed)
    ready, available = status.get("readyReplicas", 0), status.get("availableReplicas", 0)
    return Health(wanted_replicas(workload), int(ready), int(available), observed)


def wanted_replicas(workload: Mapping[str, Any]) -> int:
    """By the spec; 1 where it says nothing, as Kubernetes has it."""
    wanted = spec_of(workload).get("replicas")
    return 1 if wanted is None else int(wanted)


def ready_addresses(endpoint_slice: Mapping[str, Any]) -> int:
    """Addresses that take requests; an endpoint that does not say whether it is ready counts as ready."""
    return sum(
        len(endpoint.get("addresses") or ())
        for endpoint in endpoint_slice.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
    )


def status_of(obj: Mapping[str, Any]) -> Object:
    """The status of an object; empty where it has none."""
    return obj.get("status") or {}


def conditions(obj: Mapping[str, Any]) -> list[Object]:
    """The conditions in the status of an object."""
    return list(status_of(obj).get("conditions") or ())


def condition(obj: Mapping[str, Any], kind: str, status: str) -> Object | None:
    """The condition of this type, where it has this status: `True`, `False` or `Unknown`."""
    return next((each for each in conditions(obj) if (each.get("type"), each.get("status")) == (kind, status)), None)
