"""Helm releases, all made the same way.

From which repository each chart comes, which version is pinned, and what waits for what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

ISTIO = "https://istio-release.storage.googleapis.com/charts"
REPOSITORIES = {
    "base": ISTIO,
    "istiod": ISTIO,
    "gateway": ISTIO,
    "aws-load-balancer-controller": "https://aws.github.io/eks-charts",
    "kube-prometheus-stack": "https://prometheus-community.github.io/helm-charts",
    "metrics-server": "https://kubernetes-sigs.github.io/metrics-server",
    "external-dns": "https://kubernetes-sigs.github.io/external-dns",
}


@dataclass(frozen=True)
class Chart:
    """A pinned version and what this cluster's file adds to the values."""

    version: str
    values: Mapping[str, Any] = field(default_factory=dict)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Helm merges them: mappings key by key, everything else replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def release(
    chart: str,
    pinned: Chart,
    values: Mapping[str, Any],
    parent: pulumi.Resource,
    namespace: str,
    name: str | None = None,
    depends_on: Sequence[pulumi.Resource] = (),
    deleted_with: pulumi.Resource | None = None,
) -> k8s.helm.v3.Release:
    """The release's name is fixed: Pulumi's random suffix would make blue and green differ in every object's name."""
    name = name or chart
    return k8s.helm.v3.Release(
        name,
        name=name,
        chart=chart,
        version=pinned.version,
        repository_opts={"repo": REPOSITORIES[chart]},
        namespace=namespace,
        create_namespace=False,
        atomic=False,  # a failed release stays to be looked at; the next `pulumi up` goes on from it
        values=merged(values, pinned.values),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on), deleted_with=deleted_with),
    )


def namespace(name: str, parent: pulumi.Resource, deleted_with: pulumi.Resource | None = None) -> k8s.core.v1.Namespace:
    """A namespace for releases, which create none themselves."""
    return k8s.core.v1.Namespace(
        name, metadata={"name": name}, opts=pulumi.ResourceOptions(parent=parent, deleted_with=deleted_with)
    )
