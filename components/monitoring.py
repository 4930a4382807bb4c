"""What measures: Prometheus for verdicts and history, metrics-server for autoscalers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.charts import Chart, namespace, release

NAMESPACE = "monitoring"


@dataclass(frozen=True)
class MonitoringArgs:
    cluster: pulumi.Resource
    cluster_name: str
    prometheus: Chart | None
    metrics_server: Chart | None
    after: Sequence[pulumi.Resource]


class Monitoring(pulumi.ComponentResource):
    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:Monitoring", name, None, opts)
        if args.metrics_server:
            release(
                "metrics-server",
                args.metrics_server,
                {"replicas": 2},
                self,
                "kube-system",
                depends_on=args.after,
                deleted_with=args.cluster,
            )
        if args.prometheus:
            home = namespace(NAMESPACE, self, args.cluster)
            release(
                "kube-prometheus-stack",
                args.prometheus,
                prometheus_values(args.cluster_name),
                self,
                NAMESPACE,
                depends_on=[home, *args.after],
                deleted_with=args.cluster,
            )
        self.register_outputs({})


def prometheus_values(cluster_name: str) -> dict[str, Any]:
    """Values of kube-prometheus-stack for one cluster of EKS: two replicas, 15 days, series marked with the cluster's name."""
    # EKS does not let anyone scrape these three: their alerts would fire for ever.
    hidden = {part: {"enabled": False} for part in ("kubeEtcd", "kubeScheduler", "kubeControllerManager")}
    return hidden | {
        "prometheus": {
            "prometheusSpec": {
                "replicas": 2,
                "retention": "15d",
                # Both clusters' series may meet in one store: they must stay apart there.
                "externalLabels": {"cluster": cluster_name},
                "serviceMonitorSelectorNilUsesHelmValues": False,
                "podMonitorSelectorNilUsesHelmValues": False,
            }
        }
    }
