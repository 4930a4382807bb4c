"""Istio's control plane: CRDs, then istiod, in the version this cluster's file names.

No version of Istio serves both ends of a jump over several Kubernetes minors, so it is pinned per cluster and checked
against what Istio's own matrix says.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.charts import Chart, namespace, release

NAMESPACE = "istio-system"
# Istio minor: the Kubernetes minors (of 1.x) it is tested with. What is not listed is unknown, neither right nor wrong.
SUPPORTED = {24: (28, 31), 25: (29, 32), 26: (29, 33), 27: (29, 33), 28: (30, 34), 29: (31, 35), 30: (32, 36)}


def supports(istio: str, kubernetes: str) -> bool | None:
    """Whether Istio's matrix has this pair; None when the matrix does not know this Istio."""
    minors = SUPPORTED.get(int(istio.split(".")[1]))
    return None if minors is None else minors[0] <= int(kubernetes.split(".")[1]) <= minors[1]


@dataclass(frozen=True)
class IstioArgs:
    chart: Chart
    cluster: pulumi.Resource


class Istio(pulumi.ComponentResource):
    namespace: k8s.core.v1.Namespace

    def __init__(self, name: str, args: IstioArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:Istio", name, None, opts)
        self.namespace = namespace(NAMESPACE, self, args.cluster)
        crds = Chart(args.chart.version)  # the cluster's values are istiod's
        base = release("base", crds, {}, self, NAMESPACE, "istio-base", [self.namespace], args.cluster)
        values = {"autoscaleEnabled": True, "autoscaleMin": 2, "autoscaleMax": 5}
        self.istiod = release("istiod", args.chart, values, self, NAMESPACE, "istiod", [base], args.cluster)
        self.register_outputs({})
