"""external-dns, for names that are not part of a migration.

Two clusters with one owner id and policy `sync` delete each other's records. Here the owner is the cluster, nothing is
ever deleted by it, and the annotation prefix is pinned because a later version changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.charts import Chart, release
from components.identity import Identity, IdentityArgs, policy_of

NAME = "external-dns"
NAMESPACE = "kube-system"


@dataclass(frozen=True)
class ExternalDnsArgs:
    chart: Chart
    cluster: pulumi.Resource
    cluster_name: str
    after: Sequence[pulumi.Resource]


class ExternalDns(pulumi.ComponentResource):
    def __init__(self, name: str, args: ExternalDnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:ExternalDns", name, None, opts)
        identity = Identity(
            f"{name}-{NAME}",
            IdentityArgs(args.cluster_name, NAMESPACE, NAME, policy_of("external-dns")),
            pulumi.ResourceOptions(parent=self, depends_on=[args.cluster]),
        )
        values = external_dns_values(args.cluster_name)
        release(NAME, args.chart, values, self, NAMESPACE, depends_on=[identity, *args.after], deleted_with=args.cluster)
        self.register_outputs({})


def external_dns_values(cluster_name: str) -> dict[str, Any]:
    """Values of the chart for one cluster: its own owner and prefix of TXT records, and no deletions."""
    return {
        "provider": {"name": "aws"},
        "policy": "upsert-only",
        "registry": "txt",
        "txtOwnerId": cluster_name,
        "txtPrefix": f"{cluster_name}-",
        "sources": ["service", "ingress"],
        "annotationPrefix": "external-dns.alpha.kubernetes.io/",
        "serviceAccount": {"create": True, "name": NAME},
    }
