"""Definitions of other projects' kinds, with a schema that takes everything, and objects that do not outlive their test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.lab.support.away import remove_definitions, remove_namespaces
from tests.lab.support.bare import Bare, established


def definition(
    group: str, version: str, kind: str, plural: str, *, scope: str = "Namespaced", categories: Sequence[str] = ()
) -> dict[str, Any]:
    """Made of both clusters, as a baseline or a chart brings it."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = {"name": version, "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    meta: dict[str, Any] = {"name": f"{plural}.{group}"}
    if group.endswith((".k8s.io", "x-k8s.io")):
        meta["annotations"] = {"api-approved.kubernetes.io": "https://example.org/approved"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": meta,
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "categories": list(categories)},
            "versions": [served],
        },
    }


class ScratchObjects:
    """What one test makes on blue, in a namespace of its own, and takes away from both clusters."""

    def __init__(self, pair: tuple[Bare, Bare], space: str) -> None:
        self.pair, self.space = pair, space
        self.definitions: list[str] = []
        pair[0].kubectl("create", "namespace", space)

    def define(self, *definitions: dict[str, Any]) -> None:
        """On both clusters: the definitions of a baseline do not come along, others would."""
        names = [each["metadata"]["name"] for each in definitions]
        self.definitions += names

        def make(bare: Bare) -> None:
            self._apply(bare, definitions)
            established(bare, *names)

        with ThreadPoolExecutor() as pool:
            list(pool.map(make, self.pair))

    def write(self, objects: Iterable[dict[str, Any]]) -> None:
        self._apply(self.pair[0], objects)

    @staticmethod
    def _apply(bare: Bare, objects: Iterable[dict[str, Any]]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        bare.kubectl("apply", "--server-side", "-f", "-", given=json.dumps(items))

    def clear(self, *others: str) -> None:
        """Volumes at the same time as the claims that their protection waits for, and the definitions last."""
        for bare in self.pair:
            if others:
                bare.kubectl("delete", *others, "--ignore-not-found", "--wait=false")
        remove_namespaces(self.pair, self.space)
        remove_definitions(self.pair, *self.definitions)
        for bare in self.pair:
            for each in others:
                bare.kubectl("wait", "--for=delete", each, "--timeout=60s")
