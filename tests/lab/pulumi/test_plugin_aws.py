"""The language host and the aws plugin, on the engine and moto."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab.server import Lab
from tests.lab.support.pulumi_program import Program

PROGRAM = """
import json
import pulumi, pulumi_aws as aws

config = pulumi.Config()
zones = aws.get_availability_zones(state="available").names[:2]
vpc = aws.ec2.Vpc("net", cidr_block=config.get("cidr") or "10.77.0.0/16", enable_dns_hostnames=True, tags={"Name": "net"})
subnets = [
    aws.ec2.Subnet(f"s{i}", vpc_id=vpc.id, cidr_block=vpc.cidr_block.apply(lambda c, i=i: c.replace("0.0/16", f"{i}.0/24")),
                   availability_zone=zone) for i, zone in enumerate(zones)
]
trust = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
role = aws.iam.Role("role", assume_role_policy=json.dumps(trust))
zone = aws.route53.Zone("zone", name="plugins.test")
record = aws.route53.Record("record", zone_id=zone.zone_id, name="*.plugins.test", type="A", ttl=5, records=["127.0.0.9"],
    set_identifier="plum", weighted_routing_policies=[{"weight": int(config.get("weight") or 255)}])
aws.sqs.Queue("queue", tags={"kept": "as given"})
pulumi.export("vpc", vpc.id)
pulumi.export("role", role.name)
pulumi.export("zone", zone.zone_id)
"""


@pytest.fixture
def environment(lab: Lab) -> dict[str, str]:
    return {**os.environ, **lab.client.environment()}


def _client(service: Any, environment: dict[str, str]) -> Any:
    return boto3.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _weight(route53: Any, zone: str) -> int:
    listed = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return next(record["Weight"] for record in listed if record.get("SetIdentifier") == "plum")


def test_resources_are_as_the_program_says_until_they_are_destroyed(environment: dict[str, str], tmp_path: Path) -> None:
    program = Program(tmp_path / "awsplugin", environment, PROGRAM)
    ec2, iam, route53 = (_client(service, environment) for service in ("ec2", "iam", "route53"))
    assert program.run("up")["created"] == 8
    made = program.outputs()
    assert ec2.describe_vpcs(VpcIds=[made["vpc"]])["Vpcs"][0]["CidrBlock"] == "10.77.0.0/16"
    assert _weight(route53, made["zone"]) == 255

    # Drift made behind the engine's back is seen by a refresh, and mended.
    listed = route53.list_resource_record_sets(HostedZoneId=made["zone"])["ResourceRecordSets"]
    record = next(record for record in listed if record.get("SetIdentifier") == "plum") | {"Weight": 99}
    change = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    route53.change_resource_record_sets(HostedZoneId=made["zone"], ChangeBatch=change)
    ec2.create_tags(Resources=[made["vpc"]], Tags=[{"Key": "by", "Value": "hand"}])
    assert program.run("preview", "--refresh") == {"to update": 2, "unchanged": 6}
    assert program.run("up", "--refresh") == {"updated": 2, "unchanged": 6}
    assert _weight(route53, made["zone"]) == 255
    assert [tag["Key"] for tag in ec2.describe_vpcs(VpcIds=[made["vpc"]])["Vpcs"][0]["Tags"]] == ["Name"]

    program.configure(weight="10", cidr="10.78.0.0/16")
    assert program.run("up") == {"updated": 1, "replaced": 3, "unchanged": 4}
    assert _weight(route53, made["zone"]) == 10
    assert program.outputs()["vpc"] != made["vpc"]

    iam.delete_role(RoleName=made["role"])  # what is gone already does not stop a destroy
    assert program.run("destroy")["deleted"] == 8
    assert not [v for v in ec2.describe_vpcs()["Vpcs"] if v["CidrBlock"] in ("10.77.0.0/16", "10.78.0.0/16")]
    assert not [z for z in route53.list_hosted_zones()["HostedZones"] if z["Name"] == "plugins.test."]


MISTAKES = {
    "pulumi.CustomResource('aws:ec2/vpcc:Vpcc', 'x', {})": "no resource type aws:ec2/vpcc:Vpcc",
    "pulumi.CustomResource('aws:ec2/vpc:Vpc', 'x', {'cidrBlok': '10.0.0.0/8'})": "'cidrBlok'",
    "aws.ec2.get_ami()": "getAmi",
    "raise ValueError('no such luck')": "__main__.py:2 in <module>",
}


def test_mistakes_are_reported(environment: dict[str, str], tmp_path: Path) -> None:
    program = Program(tmp_path / "mistakes", environment, "")
    for line, said in MISTAKES.items():
        program.write(f"import pulumi, pulumi_aws as aws\n{line}\n")
        assert said in program.fails("preview")


def test_options_of_the_project_file_are_followed(environment: dict[str, str], tmp_path: Path) -> None:
    text = """
import pulumi, pulumi_aws as aws
days = int(pulumi.Config().require("days"))
aws.cloudwatch.LogGroup("g", name="/plugins/g", retention_in_days=days)
"""
    program = Program(
        tmp_path / "elsewhere", environment, "", main="inner", stackConfigDir="stacks", options={"refresh": "always"}
    )
    (program.folder / "inner").mkdir()
    (program.folder / "inner" / "__main__.py").write_text(text)
    program.configure(days="7")
    assert program.run("up")["created"] == 2
    logs = _client("logs", environment)
    logs.put_retention_policy(logGroupName="/plugins/g", retentionInDays=3)
    assert program.run("preview")["to update"] == 1
