"""A cluster stack: one EKS cluster and its baseline, complete and reproducible from this file's versions.

Nothing here says blue or green: the edge stack does, and the next migration says it the other way round.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

import routing
from components.charts import Chart
from components.cloud import aws_provider
from components.cluster import BEFORE_NODES, Access, Addon, Cluster, ClusterArgs, NodeGroup
from components.external_dns import ExternalDns, ExternalDnsArgs
from components.gateway import Gateway, GatewayArgs
from components.istio import Istio, IstioArgs, supports
from components.load_balancer_controller import LoadBalancerController, LoadBalancerControllerArgs
from components.monitoring import Monitoring, MonitoringArgs
from stacks.config import ConfigError, Source, check_keys, check_text, check_whole
from stacks.reference import stack

ADDONS_NEEDED = ("vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent")
BASELINE = ("istio", "load-balancer-controller", "metrics-server", "monitoring", "external-dns")
LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
MINOR = r"1\.\d{2}"
EXACT = r"v?\d+\.\d+\.\d+\S*"  # a version that means one thing for ever, unlike "latest" or "1.30"
SIDES = ("blue", "green")


@dataclass(frozen=True)
class ClusterConfig:
    name: str
    region: str
    version: str
    network: str
    addons: Mapping[str, Addon]
    node_groups: Mapping[str, NodeGroup]
    access: Mapping[str, Access]
    public_cidrs: tuple[str, ...]
    logs: tuple[str, ...]
    deletion_protection: bool
    protect: bool
    baseline: Mapping[str, Chart]
    gateway_minimum: int
    gateway_maximum: int
    gateway_annotations: Mapping[str, str]


def parse(source: Source, stack_name: str) -> ClusterConfig:
    """A cluster stack's file; `stack_name` is the cluster's name unless the file has one.

    Raises:
        ConfigError: a value that is not allowed, one that is missing, or an unknown key.
    """
    name = source.text("name", stack_name, r"[a-z][a-z0-9-]{0,62}", "lower-case letters, digits and -, at most 63")
    if any(part in SIDES for part in name.split("-")):
        remedy = f"choose a name without a side and keep it for the cluster's life, in {source.file}"
        raise source.error("name", name, "a name that says no side: the next migration swaps blue and green", remedy)
    if not source.region:
        remedy = f"add `aws:region: eu-west-1` under `config:` in {source.file}"
        raise ConfigError(f"{source.file}: aws:region is not set; allowed: a region. Remedy: {remedy}")
    version = source.text("version", pattern=MINOR, allowed='a Kubernetes minor in quotes, such as "1.36"')
    baseline = {
        key: _chart(source, f"baseline.{key}", value)
        for key, value in check_keys(source, "baseline", source.mapping("baseline"), BASELINE, ("istio",)).items()
    }
    if supports(baseline["istio"].version, version) is False:
        allowed = f"an Istio that supports Kubernetes {version}"
        raise source.error("baseline.istio", baseline["istio"].version, allowed)
    gateway = check_keys(source, "gateway", source.mapping("gateway", {}), ("minimum", "maximum", "annotations"))
    minimum = check_whole(source, "gateway.minimum", gateway.get("minimum", 3), 1, 500)
    config = ClusterConfig(
        name=name,
        region=source.region,
        version=version,
        network=source.text("network", "network"),
        addons=_addons(source),
        node_groups=_node_groups(source, version),
        access=_access(source),
        public_cidrs=_public_cidrs(source),
        logs=_logs(source),
        deletion_protection=source.flag("deletionProtection", True),
        protect=source.flag("protect", True),
        baseline=baseline,
        gateway_minimum=minimum,
        gateway_maximum=check_whole(source, "gateway.maximum", gateway.get("maximum", max(20, minimum)), minimum, 1000),
        gateway_annotations=_texts(source, "gateway.annotations", gateway.get("annotations", {})),
    )
    source.finish()
    return config


def _version_and_values(source: Source, key: str, value: Any) -> tuple[str, Mapping[str, Any]]:
    allowed = "an exact version such as 1.30.3, or {version: ..., values: {...}}"
    if isinstance(value, str):
        value = {"version": value}
    if not isinstance(value, dict):
        raise source.error(key, value, allowed)
    check_keys(source, key, value, ("version", "values"), ("version",))
    values = value.get("values", {})
    if not isinstance(values, dict):
        raise source.error(f"{key}.values", values, "a mapping")
    return check_text(source, f"{key}.version", value["version"], EXACT, allowed), values


def _chart(source: Source, key: str, value: Any) -> Chart:
    return Chart(*_version_and_values(source, key, value))


def _addons(source: Source) -> dict[str, Addon]:
    given = source.mapping("addons", allowed="add-on names and exact versions")
    for needed in ADDONS_NEEDED:
        if needed not in given:
            raise source.error(f"addons.{needed}", None, "an exact version: without it nodes or pods do not come up")
    order = [*BEFORE_NODES, *(name for name in given if name not in BEFORE_NODES)]
    return {name: Addon(*_version_and_values(source, f"addons.{name}", given[name])) for name in order}


def _node_groups(source: Source, version: str) -> dict[str, NodeGroup]:
    keys = ("release", "instanceTypes", "minimum", "maximum", "desired", "amiType", "capacityType", "labels")
    groups = {}
    given = source.mapping("nodeGroups")
    if not given:
        raise source.error("nodeGroups", given, "at least one node group")
    for name, value in given.items():
        key = f"nodeGroups.{name}"
        check_keys(source, key, value, keys, ("release", "instanceTypes", "minimum", "maximum"))
        types = value["instanceTypes"]
        if not isinstance(types, list) or not types or not all(isinstance(item, str) for item in types):
            raise source.error(f"{key}.instanceTypes", types, "a list of instance types")
        minimum = check_whole(source, f"{key}.minimum", value["minimum"], 0, 1000)
        maximum = check_whole(source, f"{key}.maximum", value["maximum"], max(minimum, 1), 1000)
        capacity = value.get("capacityType", "ON_DEMAND")
        if capacity not in ("ON_DEMAND", "SPOT"):
            raise source.error(f"{key}.capacityType", capacity, "ON_DEMAND, SPOT")
        release = check_text(
            source,
            f"{key}.release",
            value["release"],
            rf"{re.escape(version)}\.\d+-\d+",
            f"an AMI release of {version}, as {version}.2-20260801",
        )
        groups[name] = NodeGroup(
            release=release,
            instance_types=tuple(types),
            minimum=minimum,
            maximum=maximum,
            desired=check_whole(source, f"{key}.desired", value.get("desired", max(minimum, 1)), minimum, maximum),
            ami_type=check_text(source, f"{key}.amiType", value.get("amiType", "AL2023_x86_64_STANDARD")),
            capacity_type=capacity,
            labels=_texts(source, f"{key}.labels", value.get("labels", {})),
        )
    return groups


def _access(source: Source) -> dict[str, Access]:
    entries = {}
    for name, value in source.mapping("access", {}).items():
        key = f"access.{name}"
        check_keys(source, key, value, ("principal", "policy", "groups"), ("principal",))
        principal = check_text(source, f"{key}.principal", value["principal"], r"arn:\S+", "the ARN of a role or user")
        policy = value.get("policy")
        if policy is not None:
            check_text(source, f"{key}.policy", policy, r"(arn:|AmazonEKS)\S+", "an EKS access policy")
        groups = value.get("groups", [])
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            raise source.error(f"{key}.groups", groups, "a list of Kubernetes groups")
        entries[name] = Access(principal, policy, tuple(groups))
    return entries


def _public_cidrs(source: Source) -> tuple[str, ...]:
    """Empty: the API is reached from inside the network only."""
    allowed = "networks such as 203.0.113.0/24; the whole internet is refused"
    cidrs = source.names("publicCidrs", (), allowed)
    for cidr in cidrs:
        try:
            network = ipaddress.IPv4Network(cidr)
        except ValueError as problem:
            raise source.error("publicCidrs", cidr, f"{allowed} ({problem})") from problem
        if network.prefixlen == 0:
            raise source.error("publicCidrs", cidr, allowed)
    return cidrs


def _logs(source: Source) -> tuple[str, ...]:
    logs = source.names("logs", ("api", "audit", "authenticator"))
    for log in logs:
        if log not in LOGS:
            raise source.error("logs", log, ", ".join(LOGS))
    return logs


def _texts(source: Source, key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise source.error(key, value, "a mapping of texts (quote numbers and true/false)")
    return value


def build(source: Source) -> None:
    """The cluster with its baseline, and what other stacks and the command read of it as outputs."""
    config = parse(source, pulumi.get_stack())
    if supports(config.baseline["istio"].version, config.version) is None:
        pulumi.log.warn(
            f"Istio {config.baseline['istio'].version}: its support of Kubernetes {config.version} is not known here"
        )
    network = stack(config.network)
    provider = aws_provider(config.region)
    cluster = Cluster(
        config.name,
        ClusterArgs(
            version=config.version,
            vpc_id=network.require_output("vpcId"),
            private_subnet_ids=network.require_output("privateSubnetIds"),
            public_subnet_ids=network.require_output("publicSubnetIds"),
            addons=config.addons,
            node_groups=config.node_groups,
            access=config.access,
            public_cidrs=config.public_cidrs,
            logs=config.logs,
            deletion_protection=config.deletion_protection,
            protect=config.protect,
        ),
        pulumi.ResourceOptions(providers=[provider]),
    )
    gateway = _baseline(config, cluster, network, [provider, cluster.provider])
    pulumi.export("kubeconfig", cluster.kubeconfig)
    pulumi.export("clusterName", cluster.cluster_name)
    pulumi.export("clusterArn", cluster.arn)
    pulumi.export("version", config.version)
    pulumi.export("oidcIssuer", cluster.oidc_issuer)
    pulumi.export("gatewayAddress", gateway.address)
    pulumi.export("peerAddress", gateway.peer_address)
    pulumi.export("peerPort", routing.PEER_PORT)


def _baseline(
    config: ClusterConfig, cluster: Cluster, network: pulumi.StackReference, providers: list[pulumi.ProviderResource]
) -> Gateway:
    """The order matters: Istio's webhooks before the gateway, the load balancer controller before any load balancer."""
    inside = pulumi.ResourceOptions(providers=providers)
    plane, charts = cluster.control_plane, config.baseline
    before: list[pulumi.Resource] = [*cluster.ready]
    istio = Istio(
        f"{config.name}-istio",
        IstioArgs(charts["istio"], plane),
        pulumi.ResourceOptions(providers=providers, depends_on=cluster.ready),
    )
    before.append(istio)
    if chart := charts.get("load-balancer-controller"):
        args = LoadBalancerControllerArgs(
            chart, plane, cluster.cluster_name, config.region, network.require_output("vpcId"), cluster.ready
        )
        before.append(LoadBalancerController(config.name, args, inside))
    gateway = Gateway(
        f"{config.name}-gateway",
        GatewayArgs(
            # Only the version is Istio's: values in the file are istiod's.
            chart=Chart(charts["istio"].version),
            cluster=plane,
            after=[*before],
            peer_sources=[network.require_output("cidr")],
            minimum=config.gateway_minimum,
            maximum=config.gateway_maximum,
            annotations=config.gateway_annotations,
        ),
        inside,
    )
    if "monitoring" in charts or "metrics-server" in charts:
        measures = MonitoringArgs(plane, config.name, charts.get("monitoring"), charts.get("metrics-server"), cluster.ready)
        Monitoring(f"{config.name}-monitoring", measures, inside)
    if chart := charts.get("external-dns"):
        ExternalDns(config.name, ExternalDnsArgs(chart, plane, config.name, before), inside)
    return gateway
