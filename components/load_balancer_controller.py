"""The AWS load balancer controller.

It comes before every Service of type LoadBalancer: its webhook fails closed, and it is what removes their load balancers
when they go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.charts import Chart, release
from components.identity import Identity, IdentityArgs, policy_of

NAME = "aws-load-balancer-controller"
NAMESPACE = "kube-system"


@dataclass(frozen=True)
class LoadBalancerControllerArgs:
    chart: Chart
    cluster: pulumi.Resource
    cluster_name: pulumi.Input[str]
    region: str
    vpc_id: pulumi.Input[str]
    after: Sequence[pulumi.Resource]


class LoadBalancerController(pulumi.ComponentResource):
    def __init__(self, name: str, args: LoadBalancerControllerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:LoadBalancerController", name, None, opts)
        identity = Identity(
            f"{name}-{NAME}",
            IdentityArgs(args.cluster_name, NAMESPACE, NAME, policy_of("load-balancer-controller")),
            pulumi.ResourceOptions(parent=self),
        )
        values = {
            "clusterName": args.cluster_name,
            "region": args.region,
            "vpcId": args.vpc_id,
            "replicaCount": 2,
            "serviceAccount": {"create": True, "name": NAME},
        }
        self.release = release(
            NAME, args.chart, values, self, NAMESPACE, depends_on=[identity, *args.after], deleted_with=args.cluster
        )
        self.register_outputs({})
