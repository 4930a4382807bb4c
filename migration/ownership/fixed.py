"""Names and addresses that one cluster has and another cannot have as well: of load balancers, Elastic IPs, pods.

Green's object comes along without them: its controller would fail for ever to make a second load balancer of that name,
or would take blue's over. What names a place that both may use (subnets, security groups, pools, certificates, a group of
Ingresses, which a controller looks up by its own cluster's tag) stays. So do the host names of external-dns: two of them
tell their records apart by their owner ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from migration.objects.kinds import Object

NAME, ADDRESS, MADE = "load balancer name", "address", "load balancer"
_AWS, _ALB = "service.beta.kubernetes.io/aws-load-balancer-", "alb.ingress.kubernetes.io/"
_AZURE = "service.beta.kubernetes.io/azure-"
# annotation -> what it asks for
ANNOTATIONS: Mapping[str, str] = {
    f"{_AWS}name": NAME,
    f"{_AWS}eip-allocations": "Elastic IPs",
    f"{_AWS}private-ipv4-addresses": ADDRESS,
    f"{_AWS}ipv6-addresses": ADDRESS,
    f"{_AWS}source-nat-ipv6-prefixes": ADDRESS,
    f"{_ALB}load-balancer-name": NAME,
    f"{_ALB}frontend-nlb-eip-allocations": "Elastic IPs",
    f"{_AZURE}load-balancer-ipv4": ADDRESS,
    f"{_AZURE}load-balancer-ipv6": ADDRESS,
    f"{_AZURE}pip-name": "public address",
    f"{_AZURE}pip-name-ipv6": "public address",
    f"{_AZURE}pls-name": "private link service",
    f"{_AZURE}pls-ip-configuration-ip-address": ADDRESS,
    f"{_AZURE}dns-label-name": "DNS label",
    "kubernetes.io/ingress.global-static-ip-name": "static address",
    "kubernetes.io/ingress.regional-static-ip-name": "static address",
    "networking.gke.io/load-balancer-ip-addresses": "static address",
    "cloud.google.com/neg-status": "network endpoint group",
    "service.beta.kubernetes.io/do-loadbalancer-name": NAME,
    "load-balancer.hetzner.cloud/name": NAME,
    "loadbalancer.openstack.org/load-balancer-address": ADDRESS,
    "loadbalancer.openstack.org/port-id": ADDRESS,
    "metallb.universe.tf/loadBalancerIPs": ADDRESS,
    "metallb.io/loadBalancerIPs": ADDRESS,
    "purelb.io/addresses": ADDRESS,
    "kube-vip.io/loadbalancerIPs": ADDRESS,
    "io.cilium/lb-ipam-ips": ADDRESS,
    "lbipam.cilium.io/ips": ADDRESS,
    "ovn.kubernetes.io/vip": ADDRESS,
    # written by blue's controller, or by a person who hands it one: which load balancer is this Service's
    "kubernetes.digitalocean.com/load-balancer-id": MADE,
    "loadbalancer.openstack.org/load-balancer-id": MADE,
    "service.beta.kubernetes.io/scw-loadbalancer-id": MADE,
    "service.beta.kubernetes.io/linode-loadbalancer-nodebalancer-id": MADE,
    "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-id": MADE,
    "service.kubernetes.io/tke-existed-lbid": MADE,
    "kubernetes.io/elb.id": MADE,
    # of pods
    "cni.projectcalico.org/ipAddrs": "pod address",
    "cni.projectcalico.org/ipAddrsNoIpam": "pod address",
    "cni.projectcalico.org/floatingIPs": "pod address",
    "cni.projectcalico.org/hwAddr": "pod address",
    "ovn.kubernetes.io/ip_address": "pod address",
    "ovn.kubernetes.io/ip_pool": "pod address",
    "ovn.kubernetes.io/mac_address": "pod address",
}
# as other providers write it
OTHERS_ID = re.compile(r"[\w.-]+/(?:[\w.-]+-)?(?:load-?balancer|elb|slb|clb)-id")

# (kind, groups) -> fields of spec, and what they ask for
FIELDS: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "Service": (("",), {"loadBalancerIP": ADDRESS, "externalIPs": ADDRESS}),
    "Gateway": (("gateway.networking.k8s.io",), {"addresses": ADDRESS}),
    "IngressClassParams": (("elbv2.k8s.aws", "eks.amazonaws.com"), {"loadBalancerName": NAME}),
    "LoadBalancerConfiguration": (("gateway.k8s.aws",), {"loadBalancerName": NAME}),
    "TargetGroupConfiguration": (("gateway.k8s.aws",), {}),
}
# what a Service may only say that is reached from outside
OF_EXTERNAL = ("externalTrafficPolicy", "healthCheckNodePort")
# fields of each of LoadBalancerConfiguration's subnets
OF_SUBNETS: Mapping[str, str] = {
    "eipAllocation": "Elastic IPs",
    "privateIPv4Allocation": ADDRESS,
    "ipv6Allocation": ADDRESS,
    "sourceNatIPv6Prefix": ADDRESS,
}


def notes(obj: Object) -> tuple[str, ...]:
    """What green's object does not ask for, one sentence each."""
    return tuple(
        dict.fromkeys(f"asks for {what} {_shown(at[key])}, which blue has: left out" for at, key, what in _places(obj))
    )


def leave_out(obj: Object) -> None:
    """Takes it off an object, in place."""
    for at, key, _ in list(_places(obj)):
        del at[key]
        if key == "externalIPs":
            _without_external(at)
    for meta in _metadata(obj):
        if meta.get("annotations") == {}:
            del meta["annotations"]


def _without_external(spec: Object) -> None:
    """Of a Service that only its external addresses let be reached from outside: the API server refuses these fields."""
    if spec.get("type") in (None, "", "ClusterIP"):
        for key in OF_EXTERNAL:
            spec.pop(key, None)


def _places(obj: Object) -> Iterator[tuple[Object, str, str]]:
    """Each place: the mapping, its key, and what it asks for."""
    for meta in _metadata(obj):
        annotations: Any = meta.get("annotations")
        for key in annotations if isinstance(annotations, dict) else ():
            if what := ANNOTATIONS.get(key) or (MADE if OTHERS_ID.fullmatch(key) else None):
                yield annotations, key, what
    kind = obj.get("kind", "")
    groups, fields = FIELDS.get(kind, ((), {}))
    spec = obj.get("spec")
    if not isinstance(spec, dict) or str(obj.get("apiVersion", "")).rpartition("/")[0] not in groups:
        return
    for key, what in fields.items():
        if spec.get(key):
            yield spec, key, what
    if kind == "LoadBalancerConfiguration":
        for subnet in spec.get("loadBalancerSubnets") or ():
            for key, what in OF_SUBNETS.items():
                if subnet.get(key):
                    yield subnet, key, what
    if kind == "TargetGroupConfiguration":
        for group in _target_groups(spec):
            if group.get("targetGroupName"):
                yield group, "targetGroupName", "target group name"


def _target_groups(spec: Object) -> Iterator[Object]:
    """The settings of all of a TargetGroupConfiguration's groups, and of those of single routes."""
    routes = spec.get("routeConfigurations")
    for group in (
        spec.get("defaultConfiguration"),
        *(each.get("targetGroupProps") for each in (routes if isinstance(routes, list) else ()) if isinstance(each, dict)),
    ):
        if isinstance(group, dict):
            yield group


def _metadata(obj: Object) -> Iterator[Object]:
    """An object's own, that of its pods, and of what a Gateway makes."""
    yield obj["metadata"]
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    if obj.get("kind") == "Gateway" and isinstance(spec.get("infrastructure"), dict):
        yield spec["infrastructure"]
    for holder in (spec, (spec.get("jobTemplate") or {}).get("spec") if isinstance(spec.get("jobTemplate"), dict) else None):
        template = holder.get("template") if isinstance(holder, dict) else None
        meta = template.get("metadata") if isinstance(template, dict) else None
        if isinstance(meta, dict):
            yield meta


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(each.get("value", each)) if isinstance(each, dict) else str(each) for each in value)
    return str(value)
