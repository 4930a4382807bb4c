"""EKS as its clients see it; a cluster is there when, and only when, its control plane is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.lab.support.aws import Aws

ROLE = "arn:aws:iam::123456789012:role/eks"


@pytest.fixture(scope="module")
def subnets(aws: Aws) -> list[str]:
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    zones = (("10.8.0.0/24", "eu-west-1a"), ("10.8.1.0/24", "eu-west-1b"))
    return [ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)["Subnet"]["SubnetId"] for block, zone in zones]


@pytest.fixture
def eks(aws: Aws) -> Any:
    return aws("eks")


@pytest.fixture
def name(aws: Aws, eks: Any, subnets: list[str]) -> Iterator[str]:
    """An ACTIVE cluster with access entries."""
    made = f"c{uuid.uuid4().hex[:8]}"
    create(eks, made, subnets, accessConfig={"authenticationMode": "API"})
    aws.control.ready(made)
    yield made
    aws.control.clusters.pop(made, None)


def create(eks: Any, name: str, subnets: list[str], version: str = "1.34", **more: Any) -> Any:
    vpc = {"subnetIds": subnets}
    return eks.create_cluster(name=name, roleArn=ROLE, version=version, resourcesVpcConfig=vpc, **more)["cluster"]


def refused(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_a_cluster_lives_as_long_as_its_control_plane(aws: Aws, eks: Any, subnets: list[str]) -> None:
    made = create(eks, "life", subnets, upgradePolicy={"supportType": "STANDARD"}, tags={"team": "edge"})
    assert made["status"] == "CREATING"
    assert aws.control.clusters["life"]["version"] == "1.34"
    assert refused(eks.create_addon, clusterName="life", addonName="coredns")[0] == "InvalidRequestException"
    aws.control.ready("life")
    found = eks.describe_cluster(name="life")["cluster"]
    assert (found["status"], found["endpoint"]) == ("ACTIVE", "https://127.1.2.3:6443")
    assert found["certificateAuthority"] == {"data": "Q0E="}
    assert found["identity"]["oidc"]["issuer"].startswith("https://oidc.eks.eu-west-1.amazonaws.com/id/")
    assert (found["upgradePolicy"], found["tags"]) == ({"supportType": "STANDARD"}, {"team": "edge"})
    group = found["resourcesVpcConfig"]["clusterSecurityGroupId"]
    assert aws("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert refused(create, eks=eks, name="life", subnets=subnets)[0] == "ResourceInUseException"
    assert "life" in eks.list_clusters()["clusters"]

    assert eks.delete_cluster(name="life")["cluster"]["status"] == "DELETING"
    assert aws.control.clusters["life"]["status"] == "deleting"
    assert eks.describe_cluster(name="life")["cluster"]["status"] == "DELETING"
    aws.control.wiped("life")
    assert refused(eks.describe_cluster, name="life")[0] == "ResourceNotFoundException"
    assert "life" not in eks.list_clusters()["clusters"]
    assert refused(aws("ec2").describe_security_groups, GroupIds=[group])[0] == "InvalidGroup.NotFound"


def test_a_control_plane_that_fails_is_reported(aws: Aws, eks: Any, subnets: list[str]) -> None:
    create(eks, "ill", subnets)
    aws.control.clusters["ill"] |= {"status": "failed", "reason": "etcd: no space left"}
    found = eks.describe_cluster(name="ill")["cluster"]
    assert found["status"] == "FAILED"
    assert "no space left" in found["health"]["issues"][0]["message"]
    eks.delete_cluster(name="ill")
    aws.control.wiped("ill")


def test_what_eks_refuses_at_creation_is_refused(aws: Aws, eks: Any, subnets: list[str]) -> None:
    assert "does not exist" in refused(create, eks=eks, name="no", subnets=["subnet-0"])[1]
    assert "two different AZs" in refused(create, eks=eks, name="no", subnets=subnets[:1])[1]
    assert "1.31" in refused(create, eks=eks, name="no", subnets=subnets, version="1.31")[1]
    assert "1.9" in refused(create, eks=eks, name="no", subnets=subnets, version="1.9")[1]
    assert "no" not in aws.control.clusters


def test_a_protected_cluster_or_one_in_use_is_not_deleted(aws: Aws, eks: Any, name: str, subnets: list[str]) -> None:
    eks.update_cluster_config(name=name, deletionProtection=True)
    assert refused(eks.delete_cluster, name=name)[0] == "InvalidRequestException"
    eks.update_cluster_config(name=name, deletionProtection=False)
    group = {"clusterName": name, "nodegroupName": "workers"}
    scaling = {"minSize": 1, "maxSize": 3, "desiredSize": 2}
    eks.create_nodegroup(**group, subnets=subnets, nodeRole=ROLE, scalingConfig=scaling, labels={"pool": "a"})
    assert refused(eks.delete_cluster, name=name)[0] == "ResourceInUseException"
    eks.update_nodegroup_config(
        **group, scalingConfig={"desiredSize": 3}, labels={"addOrUpdateLabels": {"x": "y"}, "removeLabels": ["pool"]}
    )
    found = eks.describe_nodegroup(**group)["nodegroup"]
    assert (found["status"], found["version"], found["labels"]) == ("ACTIVE", "1.34", {"x": "y"})
    assert found["scalingConfig"] == {"minSize": 1, "maxSize": 3, "desiredSize": 3}
    eks.delete_nodegroup(**group)
    assert eks.list_nodegroups(clusterName=name)["nodegroups"] == []
    eks.delete_cluster(name=name)
    assert aws.control.clusters[name]["status"] == "deleting"


def test_addons_have_to_fit_the_clusters_version(eks: Any, name: str) -> None:
    versions = {each["clusterVersion"] for each in eks.describe_cluster_versions()["clusterVersions"]}
    assert {"1.34", "1.36"} <= versions
    offered = eks.describe_addon_versions(addonName="kube-proxy", kubernetesVersion="1.36")["addons"][0]
    assert {each["addonVersion"][:5] for each in offered["addonVersions"]} == {"v1.36"}
    newest = offered["addonVersions"][0]["addonVersion"]
    assert "not supported" in refused(eks.create_addon, clusterName=name, addonName="kube-proxy", addonVersion=newest)[1]
    eks.create_addon(clusterName=name, addonName="kube-proxy", addonVersion="v1.34.1-eksbuild.2")
    assert eks.describe_addon(clusterName=name, addonName="kube-proxy")["addon"]["status"] == "ACTIVE"
    insights = {each["name"]: each for each in eks.list_insights(clusterName=name)["insights"]}
    fit = insights["EKS add-on version compatibility"]
    assert (fit["kubernetesVersion"], fit["insightStatus"]["status"]) == ("1.35", "WARNING")
    assert eks.describe_insight(clusterName=name, id=fit["id"])["insight"]["name"] == fit["name"]
    eks.update_addon(clusterName=name, addonName="kube-proxy", configurationValues='{"mode": "iptables"}')
    assert eks.list_addons(clusterName=name)["addons"] == ["kube-proxy"]
    eks.delete_addon(clusterName=name, addonName="kube-proxy")
    assert refused(eks.describe_addon, clusterName=name, addonName="kube-proxy")[0] == "ResourceNotFoundException"


def test_an_access_entry_has_its_policies_until_they_are_disassociated(eks: Any, name: str) -> None:
    at = {"clusterName": name, "principalArn": "arn:aws:iam::123456789012:role/path/ops"}
    policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    eks.create_access_entry(**at, kubernetesGroups=["ops"])
    assert refused(eks.create_access_entry, **at)[0] == "ResourceInUseException"
    eks.associate_access_policy(**at, policyArn=policy, accessScope={"type": "namespace", "namespaces": ["shop"]})
    held = eks.list_associated_access_policies(**at)["associatedAccessPolicies"]
    assert [(each["policyArn"], each["accessScope"]["namespaces"]) for each in held] == [(policy, ["shop"])]
    eks.disassociate_access_policy(**at, policyArn=policy)
    assert eks.list_associated_access_policies(**at)["associatedAccessPolicies"] == []
    eks.update_access_entry(**at, kubernetesGroups=["admins"])
    assert eks.describe_access_entry(**at)["accessEntry"]["kubernetesGroups"] == ["admins"]
    assert at["principalArn"] in eks.list_access_entries(clusterName=name)["accessEntries"]
    eks.delete_access_entry(**at)
    assert refused(eks.describe_access_entry, **at)[0] == "ResourceNotFoundException"


def test_a_pod_identity_association_keeps_its_tags(eks: Any, name: str) -> None:
    at = {"clusterName": name, "namespace": "kube-system", "serviceAccount": "lbc"}
    made = eks.create_pod_identity_association(**at, roleArn=ROLE)["association"]
    assert refused(eks.create_pod_identity_association, **at, roleArn=ROLE)[0] == "ResourceInUseException"
    listed = eks.list_pod_identity_associations(clusterName=name, namespace="kube-system")["associations"]
    assert [each["associationId"] for each in listed] == [made["associationId"]]
    eks.tag_resource(resourceArn=made["associationArn"], tags={"a": "b", "c": "d"})
    eks.untag_resource(resourceArn=made["associationArn"], tagKeys=["a"])
    assert eks.list_tags_for_resource(resourceArn=made["associationArn"])["tags"] == {"c": "d"}
    eks.delete_pod_identity_association(clusterName=name, associationId=made["associationId"])
    assert eks.list_pod_identity_associations(clusterName=name)["associations"] == []


def test_a_cluster_is_not_upgraded_in_place(eks: Any, name: str) -> None:
    assert "from 1.34 to 1.36" in refused(eks.update_cluster_version, name=name, version="1.36")[1]
    assert "another cluster" in refused(eks.update_cluster_version, name=name, version="1.35")[1]
