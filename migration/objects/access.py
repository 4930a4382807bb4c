"""Fields of Kubernetes objects that several steps read, and objects by their labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from migration.objects.kinds import Object


def spec_of(obj: Mapping[str, Any]) -> Object:
    return obj.get("spec") or {}


def pod_spec(workload: Mapping[str, Any]) -> Object:
    return (spec_of(workload).get("template") or {}).get("spec") or {}


def pod_labels(workload: Mapping[str, Any]) -> Object:
    return ((spec_of(workload).get("template") or {}).get("metadata") or {}).get("labels") or {}


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
