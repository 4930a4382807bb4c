"""Upgrade insights of a cluster, worked out from what the lab's EKS knows of it; the rest is UNKNOWN, never PASSING."""

from __future__ import annotations

import time
import uuid
from typing import Any

from lab.aws import eks_catalogue as catalogue
from lab.aws.eks_types import Body, Kept

DETAILS = ("recommendation", "additionalInfo", "resources", "categorySpecificSummary")  # DescribeInsight only


def of(cluster: Kept) -> list[Body]:
    """Insights speak of the cluster's next minor, as EKS's do."""
    now = cluster.shown["version"]
    after = catalogue.minor_after(now)
    misfits = [
        name for name, addon in sorted(cluster.addons.items())
        if not catalogue.works_with(name, addon["addonVersion"], after)
    ]  # fmt: skip
    old = [name for name, group in sorted(cluster.node_groups.items()) if _number(after) - _number(group["version"]) > 3]
    unhealthy = bool(cluster.shown["health"]["issues"])
    return [
        _insight(
            cluster, "EKS add-on version compatibility", after,
            "WARNING" if misfits else "PASSING",
            f"{', '.join(misfits)}: not known to work with Kubernetes {after}" if misfits else "every add-on fits",
        ),
        _insight(
            cluster, "Kubelet version skew", after,
            "ERROR" if old else "PASSING",
            f"node groups too old for {after}: {', '.join(old)}" if old else "no node group is too old",
        ),
        _insight(
            cluster, "Cluster health issues", after,
            "ERROR" if unhealthy else "PASSING",
            "the cluster has health issues" if unhealthy else "no health issue",
        ),
        _insight(
            cluster, f"Deprecated APIs removed in Kubernetes v{after}", after,
            "UNKNOWN", "the lab reads no audit log",
        ),
    ]  # fmt: skip


def _number(minor: str) -> int:
    return int(minor.split(".")[1])


def _insight(cluster: Kept, name: str, version: str, status: str, reason: str) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, cluster.shown["arn"] + name)),
        "name": name,
        "category": "UPGRADE_READINESS",
        "kubernetesVersion": version,
        "lastRefreshTime": time.time(),
        "lastTransitionTime": cluster.shown["createdAt"],
        "description": name,
        "insightStatus": {"status": status, "reason": reason},
        "recommendation": "",
        "additionalInfo": {},
        "resources": [],
        "categorySpecificSummary": {},
    }
