"""The gateway: the proxies, the public way in, and the peer's way in.

The Services are ours and not the chart's: there are two of them over the same pods, each owns a load balancer, and
Pulumi waits for their addresses, which the edge needs. They are never `deleted_with` the cluster: removing the cluster
first would leave their load balancers behind, unowned and paid for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

import routing
from components.charts import Chart, release
from components.istio import NAMESPACE

NAME = "istio-ingressgateway"
SELECTOR = routing.GATEWAY_LABELS
CLASS = "service.k8s.aws/nlb"
NLB = "service.beta.kubernetes.io/aws-load-balancer-"
# Pods as targets: no second hop through a node, and a pod that leaves is drained by the load balancer.
PUBLIC_ANNOTATIONS = {f"{NLB}type": "external", f"{NLB}nlb-target-type": "ip", f"{NLB}scheme": "internet-facing"}
PEER_ANNOTATIONS = PUBLIC_ANNOTATIONS | {f"{NLB}scheme": "internal"}


@dataclass(frozen=True)
class GatewayArgs:
    chart: Chart
    cluster: pulumi.Resource
    after: Sequence[pulumi.Resource]
    peer_sources: Sequence[pulumi.Input[str]]
    minimum: int = 3
    maximum: int = 20
    annotations: Mapping[str, str] = field(default_factory=dict)


class Gateway(pulumi.ComponentResource):
    address: pulumi.Output[str]
    peer_address: pulumi.Output[str]

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:Gateway", name, None, opts)
        values: dict[str, Any] = {
            "labels": SELECTOR,
            "service": {"type": "None"},
            "autoscaling": {"enabled": True, "minReplicas": args.minimum, "maxReplicas": args.maximum},
        }
        proxies = release("gateway", args.chart, values, self, NAMESPACE, NAME, args.after, args.cluster)
        public = self._service(
            NAME,
            [_port("http2", 80), _port("https", 443), _port("status-port", 15021)],
            {**PUBLIC_ANNOTATIONS, **args.annotations},
            None,
            proxies,
        )
        # Only the network itself may reach the peer listener: what comes in there has passed a gateway already.
        peer = self._service(
            f"{NAME}-peer", [_port("http2-peer", routing.PEER_PORT)], PEER_ANNOTATIONS, args.peer_sources, proxies
        )
        k8s.apiextensions.CustomResource(
            "public",
            api_version="networking.istio.io/v1",
            kind="Gateway",
            metadata={"name": "public", "namespace": NAMESPACE},
            spec={
                "selector": SELECTOR,
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after), deleted_with=args.cluster),
        )
        self.address = public.status.apply(load_balancer_address)
        self.peer_address = peer.status.apply(load_balancer_address)
        self.register_outputs({"address": self.address, "peerAddress": self.peer_address})

    def _service(
        self,
        name: str,
        ports: list[dict[str, Any]],
        annotations: Mapping[str, str],
        sources: Sequence[pulumi.Input[str]] | None,
        proxies: pulumi.Resource,
    ) -> k8s.core.v1.Service:
        return k8s.core.v1.Service(
            name,
            metadata={"name": name, "namespace": NAMESPACE, "labels": SELECTOR, "annotations": dict(annotations)},
            spec={
                "type": "LoadBalancer",
                "load_balancer_class": CLASS,
                "load_balancer_source_ranges": sources,
                "external_traffic_policy": "Local",  # keeps the client's address
                "selector": SELECTOR,
                "ports": ports,
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[proxies]),
        )


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "port": number, "target_port": number, "protocol": "TCP"}


def load_balancer_address(status: Any) -> str:
    """A load balancer has a name in AWS and may have an address elsewhere."""
    balancer = _get(status, "load_balancer", "loadBalancer")
    for ingress in _get(balancer, "ingress") or []:
        if address := _get(ingress, "ip") or _get(ingress, "hostname"):
            return str(address)
    return ""


def _get(value: Any, *names: str) -> Any:
    for name in names:
        attribute = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if attribute:
            return attribute
    return None
