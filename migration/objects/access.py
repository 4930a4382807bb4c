"""Fields of Kubernetes objects that several steps read, and objects by their labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from migration.objects.kinds import Object

WorkloadKey = tuple[str, str, str]  # kind, namespace, name


def spec_of(obj: Mapping[str, Any]) -> Object:
    return obj.get("spec") or {}


def pod_spec(workload: Mapping[str, Any]) -> Object:
    return (spec_of(workload).get("template") or {}).get("spec") or {}


def pod_labels(workload: Mapping[str, Any]) -> Object:
    return ((spec_of(workload).get("template") or {}).get("metadata") or {}).get("labels") or {}


def workload_key(obj: Mapping[str, Any]) -> WorkloadKey:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def scale_target(scaler: Mapping[str, Any]) -> WorkloadKey:
    """What an autoscaler scales: a HorizontalPodAutoscaler, or a ScaledObject of KEDA, which means a Deployment unless it says
    otherwise.
    """
    target = spec_of(scaler).get("scaleTargetRef") or {}
    usual = "Deployment" if scaler.get("kind") == "ScaledObject" else ""
    return str(target.get("kind", usual)), scaler["metadata"].get("namespace", ""), str(target.get("name", ""))


def gateways_of(route: Mapping[str, Any]) -> list[str]:
    """`namespace/name` of each gateway that a route is bound to, without the mesh."""
    namespace = route["metadata"].get("namespace", "")
    named = [g for g in spec_of(route).get("gateways") or () if g != "mesh"]
    return [g if "/" in g else f"{namespace}/{g}" for g in named]


def routed_services(route: Mapping[str, Any]) -> set[str]:
    """`namespace/name` of the cluster's Services that a route sends to."""
    found = set()
    namespace = route["metadata"].get("namespace", "")
    for protocol in ("http", "tls", "tcp"):
        for rule in spec_of(route).get(protocol) or ():
            for destination in rule.get("route") or ():
                host = str((destination.get("destination") or {}).get("host", ""))
                parts = host.split(".")
                if len(parts) == 1 and host:
                    found.add(f"{namespace}/{host}")
                elif len(parts) == 2 or (len(parts) > 2 and parts[2] == "svc"):
                    found.add(f"{parts[1]}/{parts[0]}")
    return found


class Selected:
    """Objects by labels, as a Service's selector asks for them: workloads by those of their pods, where nothing else is
    said.
    """

    def __init__(self, objects: Iterable[Object], labels_of: Callable[[Object], Object] = pod_labels) -> None:
        self._having: dict[tuple[str | None, str, str], list[tuple[Object, Object]]] = defaultdict(list)
        for obj in objects:
            labels = labels_of(obj)
            for key, value in labels.items():
                self._having[obj["metadata"].get("namespace"), key, value].append((obj, labels))

    def by(self, namespace: str, selector: Mapping[str, str]) -> list[Object]:
        """Those that a selector means, in the order given; an empty one means none."""
        of_each = [self._having.get((namespace, key, value), []) for key, value in selector.items()]
        fewest = min(of_each, key=len, default=[])
        return [obj for obj, labels in fewest if selector.items() <= labels.items()]
