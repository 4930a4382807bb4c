"""Fields of Kubernetes objects that several steps read, and objects by their labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from migration.objects.kinds import Object

WorkloadKey = tuple[str, str, str]  # kind, namespace, name


def spec_of(obj: Mapping[str, Any]) -> Object:
    """The spec of an object; empty where it has none."""
    return obj.get("spec") or {}


def pod_spec(workload: Mapping[str, Any]) -> Object:
    """The spec of a workload's pods, by its template; empty where it has none."""
    return (spec_of(workload).get("template") or {}).get("spec") or {}


def pod_labels(workload: Mapping[str, Any]) -> Object:
    """The labels of a workload's pods, by its template; empty where it has none."""
    return ((spec_of(workload).get("template") or {}).get("metadata") or {}).get("labels") or {}


def workload_key(obj: Mapping[str, Any]) -> WorkloadKey:
    """Kind, namespace ("" where there is none) and name."""
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def scale_target(scaler: Mapping[str, Any]) -> WorkloadKey:
    """What a HorizontalPodAutoscaler scales, or a ScaledObject of KEDA, which means a Deployment by default."""
    target = spec_of(scaler).get("scaleTargetRef") or {}
    usual = "Deployment" if scaler.get("kind") == "ScaledObject" else ""
    return str(target.get("kind", usual)), scaler["metadata"].get("namespace", ""), str(target.get("name", ""))


class Selected:
    """Objects by labels, as a Service's selector asks for them. `labels_of`: by default of a workload's pods."""

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
