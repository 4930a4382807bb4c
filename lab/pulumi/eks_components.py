"""eks.Cluster, ManagedNodeGroup and Addon, in terms of pulumi_aws."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

Inputs = Mapping[str, pulumi.Input[Any]]

_CLUSTER_POLICY = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
_NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryReadOnly", "AmazonEKS_CNI_Policy")


def unknown_inputs(token: str, inputs: Inputs) -> set[str]:
    from lab.pulumi.sdk_types import component_inputs

    known = component_inputs("pulumi_eks", token)
    return {name for name in inputs if name not in known}


def _trust(service: str) -> str:
    principal = {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [principal]})


def lab_cluster(name: str) -> dict[str, Any]:
    """What the lab's control API knows of a cluster: endpoint, token, CA."""
    from urllib.error import HTTPError
    from urllib.request import urlopen

    lab = os.environ.get("BLUEGREEN_LAB")
    if not lab:
        raise Exception("BLUEGREEN_LAB is not set: start the lab, and run pulumi in its environment")
    try:
        with urlopen(f"{lab}/clusters/{name}", timeout=30) as answer:
            cluster: dict[str, Any] = json.load(answer)
    except HTTPError as error:
        raise Exception(f"the lab at {lab} has no cluster {name!r}: {error}") from error
    return cluster


def kubeconfig(name: str, arn: str) -> dict[str, Any]:
    """One context, called as in the lab, for the cluster's own control plane."""
    live = lab_cluster(name)
    cluster = {"server": live["endpoint"], "certificate-authority-data": live["ca"]}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": {"token": live["token"]}}],
    }


class Component(pulumi.ComponentResource):
    """What the engine is given back: `state`, the outputs under the SDK's names."""

    state: dict[str, Any]


class Cluster(Component):
    """The control plane with its role, security group, OIDC provider, entries and the add-ons that are left on."""

    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__("eks:index:Cluster", name, {}, opts)
        self._name, self._inputs = name, inputs
        self._child = pulumi.ResourceOptions(parent=self)
        role = self._given_role() or self._create_role()
        subnets = self._subnets()
        self._group = self._create_security_group()
        self._cluster = self._create_cluster(role, subnets)
        self._oidc = self._create_oidc() if inputs.get("createOidcProvider") else None
        self._create_access_entries()
        addons = self._create_addons()
        self._create_default_nodes(subnets, addons)
        config: pulumi.Output[dict[str, Any]] = pulumi.Output.secret(
            pulumi.Output.all(self._cluster.name, self._cluster.arn).apply(lambda a: kubeconfig(*a))
        )
        issuer = self._cluster.identities.apply(lambda identities: identities[0]["oidcs"][0]["issuer"] if identities else "")
        self.state = {
            "eksCluster": self._cluster,
            "kubeconfig": config,
            "kubeconfigJson": config.apply(json.dumps),
            "clusterSecurityGroup": self._group,
            "clusterSecurityGroupId": self._group.id,
            "nodeSecurityGroupId": self._cluster.vpc_config.apply(lambda vpc: vpc.get("cluster_security_group_id") or ""),
            "clusterIngressRuleId": "",
            "oidcIssuer": issuer,
            "oidcProviderUrl": issuer,
            "oidcProviderArn": self._oidc.arn if self._oidc else "",
            "autoModeNodeRoleName": "",
            "defaultNodeGroupAsgName": "",
            "fargateProfileId": "",
            "fargateProfileStatus": "",
            "instanceRoles": [],
            "core": {
                "cluster": self._cluster,
                "clusterIamRole": role if isinstance(role, aws.iam.Role) else None,
                "endpoint": self._cluster.endpoint,
                "instanceRoles": [],
                "nodeGroupOptions": {},
                "subnetIds": subnets,
                "vpcId": inputs.get("vpcId"),
                "clusterSecurityGroup": self._group,
                "oidcProvider": self._oidc,
                "tags": inputs.get("tags"),
            },
        }
        self.register_outputs(self.state)

    def _given_role(self) -> Any:
        return self._inputs.get("serviceRole")

    def _create_role(self) -> aws.iam.Role:
        role = aws.iam.Role(f"{self._name}-eksRole-role", assume_role_policy=_trust("eks.amazonaws.com"), opts=self._child)
        aws.iam.RolePolicyAttachment(
            f"{self._name}-eksRole-4b490823", role=role.name, policy_arn=_CLUSTER_POLICY, opts=self._child
        )
        return role

    def _subnets(self) -> pulumi.Output[list[str]]:
        given = [self._inputs.get(key) or [] for key in ("subnetIds", "publicSubnetIds", "privateSubnetIds")]
        return pulumi.Output.all(*given).apply(lambda lists: [subnet for ids in lists for subnet in ids])

    def _create_security_group(self) -> Any:
        if self._inputs.get("clusterSecurityGroup"):
            return self._inputs["clusterSecurityGroup"]
        group = aws.ec2.SecurityGroup(
            f"{self._name}-eksClusterSecurityGroup",
            vpc_id=self._inputs.get("vpcId"),
            revoke_rules_on_delete=True,
            tags=_merged(self._inputs.get("tags"), self._inputs.get("clusterSecurityGroupTags")),
            opts=self._child,
        )
        aws.ec2.SecurityGroupRule(
            f"{self._name}-eksClusterInternetEgressRule",
            description="Allow internet access.",
            type="egress",
            from_port=0,
            to_port=0,
            protocol="-1",
            cidr_blocks=["0.0.0.0/0"],
            security_group_id=group.id,
            opts=pulumi.ResourceOptions(parent=group),
        )
        return group

    def _create_cluster(self, role: Any, subnets: pulumi.Output[list[str]]) -> aws.eks.Cluster:
        given = self._inputs
        access = pulumi.Output.from_input(given.get("authenticationMode")).apply(
            lambda mode: {"authenticationMode": mode, "bootstrapClusterCreatorAdminPermissions": True} if mode else None
        )
        network = pulumi.Output.all(given.get("ipFamily"), given.get("kubernetesServiceIpAddressRange")).apply(
            lambda n: {"ipFamily": n[0], "serviceIpv4Cidr": n[1]} if any(n) else None
        )
        key = given.get("encryptionConfigKeyArn")
        vpc = {
            "subnet_ids": subnets,
            "security_group_ids": [self._group.id] if isinstance(self._group, aws.ec2.SecurityGroup) else None,
            "endpoint_private_access": given.get("endpointPrivateAccess", False),
            "endpoint_public_access": given.get("endpointPublicAccess", True),
            "public_access_cidrs": given.get("publicAccessCidrs"),
        }
        return aws.eks.Cluster(
            f"{self._name}-eksCluster",
            name=given.get("name"),
            role_arn=role.arn if hasattr(role, "arn") else pulumi.Output.from_input(role)["arn"],
            version=given.get("version"),
            vpc_config=vpc,
            access_config=access,
            kubernetes_network_config=network,
            encryption_config={"provider": {"key_arn": key}, "resources": ["secrets"]} if key else None,
            enabled_cluster_log_types=given.get("enabledClusterLogTypes"),
            bootstrap_self_managed_addons=given.get("bootstrapSelfManagedAddons"),
            deletion_protection=given.get("deletionProtection"),
            upgrade_policy=given.get("upgradePolicy"),
            tags=_merged({"Name": f"{self._name}-eksCluster"}, given.get("tags"), given.get("clusterTags")),
            opts=self._child,
        )

    def _create_oidc(self) -> aws.iam.OpenIdConnectProvider:
        return aws.iam.OpenIdConnectProvider(
            f"{self._name}-oidcProvider",
            client_id_lists=["sts.amazonaws.com"],
            url=self._cluster.identities.apply(lambda identities: identities[0]["oidcs"][0]["issuer"]),
            thumbprint_lists=["0" * 40],
            opts=self._child,
        )

    def _create_access_entries(self) -> None:
        entries = _plain(self._inputs.get("accessEntries")) or {}
        for key, entry in entries.items():
            access_entry = aws.eks.AccessEntry(
                f"{self._name}-{key}",
                cluster_name=self._cluster.name,
                principal_arn=entry["principalArn"],
                kubernetes_groups=entry.get("kubernetesGroups"),
                type=entry.get("type"),
                user_name=entry.get("username"),
                tags=entry.get("tags"),
                opts=self._child,
            )
            for policy_key, policy in (_plain(entry.get("accessPolicies")) or {}).items():
                aws.eks.AccessPolicyAssociation(
                    f"{self._name}-{key}-{policy_key}",
                    cluster_name=self._cluster.name,
                    principal_arn=entry["principalArn"],
                    policy_arn=policy["policyArn"],
                    access_scope=policy["accessScope"],
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[access_entry]),
                )

    def _create_addons(self) -> list[pulumi.Resource]:
        given = self._inputs
        wanted = []
        if not given.get("useDefaultVpcCni"):
            wanted.append("vpc-cni")
        if _enabled(given.get("kubeProxyAddonOptions"), True):
            wanted.append("kube-proxy")
        if _enabled(given.get("corednsAddonOptions"), not given.get("skipDefaultNodeGroup")):
            wanted.append("coredns")
        return [
            aws.eks.Addon(
                f"{self._name}-{addon}",
                cluster_name=self._cluster.name,
                addon_name=addon,
                resolve_conflicts_on_create="OVERWRITE",
                opts=self._child,
            )
            for addon in wanted
        ]

    def _create_default_nodes(self, subnets: pulumi.Output[list[str]], addons: list[pulumi.Resource]) -> None:
        given = self._inputs
        if given.get("skipDefaultNodeGroup") or given.get("fargate"):
            return
        role = aws.iam.Role(f"{self._name}-instanceRole-role", assume_role_policy=_trust("ec2.amazonaws.com"), opts=self._child)
        attached = [
            aws.iam.RolePolicyAttachment(
                f"{self._name}-instanceRole-{policy}",
                role=role.name,
                policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=self._child,
            )
            for policy in _NODE_POLICIES
        ]
        scaling = {
            "desired_size": given.get("desiredCapacity", 2),
            "min_size": given.get("minSize", 1),
            "max_size": given.get("maxSize", 2),
        }
        aws.eks.NodeGroup(
            f"{self._name}-nodes",
            cluster_name=self._cluster.name,
            node_role_arn=role.arn,
            subnet_ids=given.get("nodeSubnetIds") or subnets,
            instance_types=[given.get("instanceType") or "t3.medium"],
            scaling_config=scaling,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*attached, *addons]),
        )


class ManagedNodeGroup(Component):
    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__("eks:index:ManagedNodeGroup", name, {}, opts)
        core = pulumi.Output.from_input(inputs["cluster"])
        cluster_name = inputs.get("clusterName") or core.apply(_cluster_name)
        role = inputs.get("nodeRoleArn") or pulumi.Output.from_input(inputs.get("nodeRole")).apply(lambda given: given.arn)
        group = aws.eks.NodeGroup(
            name,
            cluster_name=cluster_name,
            node_role_arn=role,
            node_group_name=inputs.get("nodeGroupName"),
            subnet_ids=inputs.get("subnetIds") or core.apply(lambda given: _get(given, "subnet_ids", "subnetIds")),
            scaling_config=inputs.get("scalingConfig") or {"desired_size": 2, "min_size": 1, "max_size": 2},
            ami_type=inputs.get("amiType"),
            capacity_type=inputs.get("capacityType"),
            disk_size=inputs.get("diskSize"),
            instance_types=inputs.get("instanceTypes"),
            labels=inputs.get("labels"),
            release_version=inputs.get("releaseVersion"),
            version=inputs.get("version"),
            taints=inputs.get("taints"),
            tags=inputs.get("tags"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.state = {"nodeGroup": group, "placementGroupName": ""}
        self.register_outputs(self.state)


class Addon(Component):
    def __init__(self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__("eks:index:Addon", name, {}, opts)
        values = inputs.get("configurationValues")
        addon = aws.eks.Addon(
            name,
            cluster_name=pulumi.Output.from_input(inputs["cluster"]).apply(_cluster_name),
            addon_name=inputs["addonName"],
            addon_version=inputs.get("addonVersion"),
            configuration_values=pulumi.Output.json_dumps(values) if values is not None else None,
            resolve_conflicts_on_create=inputs.get("resolveConflictsOnCreate", "OVERWRITE"),
            resolve_conflicts_on_update=inputs.get("resolveConflictsOnUpdate", "OVERWRITE"),
            service_account_role_arn=inputs.get("serviceAccountRoleArn"),
            tags=inputs.get("tags"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.state = {"addon": addon}
        self.register_outputs({})


def _merged(*tags: Any) -> pulumi.Output[dict[str, str]]:
    return pulumi.Output.all(*[tag or {} for tag in tags]).apply(lambda all: {k: v for one in all for k, v in one.items()})


def _plain(value: Any) -> Any:
    """What decides how many children there are cannot be an output; the SDK declares it plain."""
    if isinstance(value, pulumi.Output):
        raise Exception("accessEntries must be plain values: they decide which resources there are")
    return value


def _enabled(options: Any, default: bool) -> bool:
    enabled = options.get("enabled") if isinstance(options, Mapping) else None
    return default if enabled is None else bool(enabled)


def _get(value: Any, *names: str) -> Any:
    for name in names:
        attribute = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if attribute is not None:
            return attribute
    return None


def _cluster_name(source: Any) -> Any:
    """The name of an eks.Cluster or of its `core`."""
    core = _get(source, "core") or source
    cluster = _get(core, "cluster", "eks_cluster", "eksCluster")
    return cluster.name if cluster is not None else None
