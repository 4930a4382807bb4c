"""EKS on the lab itself: create starts a real control plane, delete wipes it."""

from __future__ import annotations

import base64
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from lab.client import Lab
from tests.lab.support.aws import until

NAME = "rose"


def test_a_cluster_of_eks_is_a_real_control_plane_until_it_is_deleted(lab: Lab) -> None:
    url = lab.client.lab()["services"]["aws"]

    def client(service: Any) -> Any:
        keys: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=url, region_name="eu-west-1", **keys)

    ec2, eks = client("ec2"), client("eks")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{n}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]
        for n, zone in enumerate("ab")
    ]
    ids = {"subnetIds": [subnet["SubnetId"] for subnet in subnets]}
    role = "arn:aws:iam::123456789012:role/eks"
    eks.create_cluster(name=NAME, roleArn=role, version="1.34", resourcesVpcConfig=ids)
    found = until(lambda: _settled(eks), "ACTIVE or FAILED")
    assert found["status"] == "ACTIVE", found["health"]
    trust = ssl.create_default_context(cadata=base64.b64decode(found["certificateAuthority"]["data"]).decode())
    request = urllib.request.Request(
        found["endpoint"] + "/version",
        headers={"Authorization": f"Bearer {lab.client.cluster(NAME)['token']}"},
    )
    with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
        assert b'"emulationMinor": "34"' in answer.read()
    eks.delete_cluster(name=NAME)
    until(lambda: _gone(eks), "the cluster is gone")
    assert NAME not in [each["name"] for each in lab.client.clusters()]
    assert not (Path(lab.client.lab()["root"]) / "clusters" / NAME).exists()


def _settled(eks: Any) -> Any:
    found = eks.describe_cluster(name=NAME)["cluster"]
    return found if found["status"] != "CREATING" else None


def _gone(eks: Any) -> bool:
    try:
        eks.describe_cluster(name=NAME)
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "ResourceNotFoundException")
    return False
