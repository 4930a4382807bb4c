"""One EKS cluster: control plane, add-ons and nodes, every version pinned.

What EKS and its component do by default is right for a first try, not for a cluster that must be built again next month
and come out the same: add-ons at `mostRecent`, aws-auth, an open endpoint, no logs, a node group nobody asked for. Each
is set here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as k8s

# Nodes cannot become Ready without these two; everything else needs nodes first.
BEFORE_NODES = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
ADDON_VALUES: dict[str, dict[str, Any]] = {
    # A new cluster takes all traffic within an hour: DNS has to grow with it.
    "coredns": {"autoScaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 10}},
}
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")


@dataclass(frozen=True)
class Addon:
    version: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeGroup:
    release: str
    instance_types: tuple[str, ...]
    minimum: int
    maximum: int
    desired: int
    ami_type: str = "AL2023_x86_64_STANDARD"
    capacity_type: str = "ON_DEMAND"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Access:
    principal: str
    policy: str | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClusterArgs:
    version: str
    vpc_id: pulumi.Input[str]
    private_subnet_ids: pulumi.Input[Sequence[str]]
    public_subnet_ids: pulumi.Input[Sequence[str]]
    addons: Mapping[str, Addon]
    node_groups: Mapping[str, NodeGroup]
    access: Mapping[str, Access]
    public_cidrs: tuple[str, ...]
    logs: tuple[str, ...]
    deletion_protection: bool
    protect: bool
    tags: Mapping[str, str] = field(default_factory=dict)


class Cluster(pulumi.ComponentResource):
    """One EKS cluster; `name` is its own name.

    The side it plays in a migration is no part of the name: the next migration swaps the sides.
    """

    cluster_name: pulumi.Output[str]
    arn: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    oidc_issuer: pulumi.Output[str]
    provider: k8s.Provider
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:Cluster", name, None, opts)
        self._name = name
        self.control_plane = self._create_control_plane(args)
        self.cluster_name = self.control_plane.eks_cluster.name
        self.arn = self.control_plane.eks_cluster.arn
        self.kubeconfig = pulumi.Output.secret(self.control_plane.kubeconfig_json)
        self.oidc_issuer = self.control_plane.oidc_issuer

        first = [self._addon(n, a, []) for n, a in args.addons.items() if n in BEFORE_NODES]
        role = self._create_node_role()
        nodes = [self._node_group(group, settings, role, args, first) for group, settings in args.node_groups.items()]
        rest = [self._addon(n, a, nodes) for n, a in args.addons.items() if n not in BEFORE_NODES]
        self.ready = [*first, *nodes, *rest]
        self.provider = k8s.Provider(
            f"{name}-kubernetes",
            kubeconfig=self.kubeconfig,
            # Without it a changed kubeconfig (a new token, another endpoint) would replace everything in the cluster.
            cluster_identifier=self.arn,
            enable_server_side_apply=True,
            # Not skip_update_unreachable, which the edge has: a cluster that was lost and made again would be taken to hold
            # what the state says, and an `up` would end well on an empty one.
            # A namespace that an `up` made before it was broken off, or an add-on did: taken over, not an error.
            upsert_existing_objects=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs(
            {
                "clusterName": self.cluster_name,
                "clusterArn": self.arn,
                "kubeconfig": self.kubeconfig,
                "oidcIssuer": self.oidc_issuer,
            }
        )

    def _create_control_plane(self, args: ClusterArgs) -> eks.Cluster:
        return eks.Cluster(
            self._name,
            name=self._name,
            version=args.version,
            vpc_id=args.vpc_id,
            private_subnet_ids=args.private_subnet_ids,
            public_subnet_ids=args.public_subnet_ids,
            authentication_mode=eks.AuthenticationMode.API,
            access_entries={
                entry: eks.AccessEntryArgs(
                    principal_arn=access.principal,
                    kubernetes_groups=list(access.groups) or None,
                    access_policies=_associations(access.policy),
                )
                for entry, access in args.access.items()
            },
            endpoint_private_access=True,
            endpoint_public_access=bool(args.public_cidrs),
            public_access_cidrs=list(args.public_cidrs) or None,
            enabled_cluster_log_types=list(args.logs),
            create_oidc_provider=True,  # workloads that come over may still use roles by service account
            skip_default_node_group=True,
            create_instance_role=False,
            bootstrap_self_managed_addons=False,
            # The component's own add-ons follow the newest version; ours are pinned, below.
            use_default_vpc_cni=True,
            kube_proxy_addon_options=eks.KubeProxyAddonOptionsArgs(enabled=False),
            coredns_addon_options=eks.CoreDnsAddonOptionsArgs(enabled=False),
            deletion_protection=args.deletion_protection,
            tags=dict(args.tags),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )

    def _addon(self, addon: str, settings: Addon, after: list[pulumi.Resource]) -> aws.eks.Addon:
        values = {**ADDON_VALUES.get(addon, {}), **settings.values}
        return aws.eks.Addon(
            f"{self._name}-{addon}",
            cluster_name=self.cluster_name,
            addon_name=addon,
            addon_version=settings.version,
            configuration_values=json.dumps(values, sort_keys=True) if values else None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.control_plane, *after]),
        )

    def _create_node_role(self) -> aws.iam.Role:
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
        }
        role = aws.iam.Role(
            f"{self._name}-node", assume_role_policy=json.dumps(trust), opts=pulumi.ResourceOptions(parent=self)
        )
        self._node_policies = [
            aws.iam.RolePolicyAttachment(
                f"{self._name}-node-{policy}",
                role=role.name,
                policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=pulumi.ResourceOptions(parent=self),
            )
            for policy in NODE_POLICIES
        ]
        return role

    def _node_group(
        self, group: str, settings: NodeGroup, role: aws.iam.Role, args: ClusterArgs, first: list[aws.eks.Addon]
    ) -> aws.eks.NodeGroup:
        return aws.eks.NodeGroup(
            f"{self._name}-{group}",
            cluster_name=self.cluster_name,
            node_group_name=group,
            node_role_arn=role.arn,
            subnet_ids=args.private_subnet_ids,
            version=args.version,
            release_version=settings.release,
            ami_type=settings.ami_type,
            capacity_type=settings.capacity_type,
            instance_types=list(settings.instance_types),
            labels=dict(settings.labels),
            scaling_config={
                "min_size": settings.minimum,
                "max_size": settings.maximum,
                "desired_size": settings.desired,
            },
            update_config={"max_unavailable_percentage": 33},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[self.control_plane, *self._node_policies, *first],
                ignore_changes=["scalingConfig.desiredSize"],  # an autoscaler's business after the start
            ),
        )


def _associations(policy: str | None) -> dict[str, eks.AccessPolicyAssociationArgs] | None:
    if policy is None:
        return None
    scope = aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster")
    arn = policy if policy.startswith("arn:") else f"arn:aws:eks::aws:cluster-access-policy/{policy}"
    return {"cluster": eks.AccessPolicyAssociationArgs(policy_arn=arn, access_scope=scope)}
