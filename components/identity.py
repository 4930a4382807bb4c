"""AWS permissions of what runs in the cluster, by EKS Pod Identity.

Pod Identity and not roles by service account: its trust policy does not name the cluster's OIDC issuer, so green's
roles are written exactly as blue's were, and nothing has to be changed when a cluster is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
    ],
}


@dataclass(frozen=True)
class IdentityArgs:
    cluster_name: pulumi.Input[str]
    namespace: str
    service_account: str
    policy: Mapping[str, Any]


class Identity(pulumi.ComponentResource):
    """One role for one service account."""

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:Identity", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(f"{name}-role", assume_role_policy=json.dumps(TRUST), opts=child)
        policy = aws.iam.RolePolicy(f"{name}-policy", role=role.name, policy=json.dumps(args.policy), opts=child)
        self.association = aws.eks.PodIdentityAssociation(
            f"{name}-association",
            cluster_name=args.cluster_name,
            namespace=args.namespace,
            service_account=args.service_account,
            role_arn=role.arn,
            # The pod gets credentials as soon as this exists; they should not be empty.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.role_arn = role.arn
        self.register_outputs({"roleArn": role.arn})


def external_dns_policy() -> dict[str, Any]:
    read = ["route53:ListHostedZones", "route53:ListResourceRecordSets", "route53:ListTagsForResources"]
    return _document(
        [
            {
                "Effect": "Allow",
                "Action": ["route53:ChangeResourceRecordSets"],
                "Resource": "arn:aws:route53:::hostedzone/*",
            },
            {"Effect": "Allow", "Action": read, "Resource": "*"},
        ]
    )


def load_balancer_policy() -> dict[str, Any]:
    """What the controller's documentation asks for: reading is free, creating must tag, changing needs the controller's
    own tag.
    """
    own = {"Null": {"aws:ResourceTag/elbv2.k8s.aws/cluster": "false"}}
    creating = {"Null": {"aws:RequestTag/elbv2.k8s.aws/cluster": "false"}}
    elb, ec2 = "arn:aws:elasticloadbalancing:*:*:", "arn:aws:ec2:*:*:security-group/*"
    tagged = [f"{elb}targetgroup/*/*", f"{elb}loadbalancer/net/*/*", f"{elb}loadbalancer/app/*/*"]
    rules = [f"{elb}{part}/{kind}/*/*/*" for part in ("listener", "listener-rule") for kind in ("net", "app")]
    describe = [
        *(f"ec2:{a}" for a in ("Describe*", "GetCoipPoolUsage", "GetSecurityGroupsForVpc")),
        "elasticloadbalancing:Describe*",
        "cognito-idp:DescribeUserPoolClient",
        *("acm:ListCertificates", "acm:DescribeCertificate", "iam:ListServerCertificates", "iam:GetServerCertificate"),
        *("wafv2:GetWebACL", "wafv2:GetWebACLForResource", "wafv2:AssociateWebACL", "wafv2:DisassociateWebACL"),
        *(
            "shield:GetSubscriptionState",
            "shield:DescribeProtection",
            "shield:CreateProtection",
            "shield:DeleteProtection",
        ),
    ]
    change = [
        f"elasticloadbalancing:{a}"
        for a in (
            *(
                "ModifyLoadBalancerAttributes",
                "SetIpAddressType",
                "SetSecurityGroups",
                "SetSubnets",
                "DeleteLoadBalancer",
            ),
            *("ModifyTargetGroup", "ModifyTargetGroupAttributes", "DeleteTargetGroup", "ModifyListenerAttributes"),
            *("ModifyCapacityReservation", "ModifyIpPools"),
        )
    ]
    listeners = [
        f"elasticloadbalancing:{a}"
        for a in (
            *("CreateListener", "DeleteListener", "CreateRule", "DeleteRule", "ModifyListener", "ModifyRule"),
            *("AddListenerCertificates", "RemoveListenerCertificates", "SetWebAcl", "SetRulePriorities"),
        )
    ]
    tags = ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]
    create = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
    registering = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
    ingress = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
    service = {"StringEquals": {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"}}
    return _document(
        [
            _allow(["iam:CreateServiceLinkedRole"], "*", service),
            _allow(describe, "*"),
            _allow([*ingress, "ec2:CreateSecurityGroup"], "*"),
            _allow(["ec2:CreateTags"], ec2, {"StringEquals": {"ec2:CreateAction": "CreateSecurityGroup"}, **creating}),
            _allow(["ec2:CreateTags", "ec2:DeleteTags"], ec2, own),
            _allow([*ingress, "ec2:DeleteSecurityGroup"], "*", own),
            _allow(create, "*", creating),
            _allow(listeners, "*"),
            _allow(tags, tagged, own),
            _allow(tags, rules),
            _allow(["elasticloadbalancing:AddTags"], tagged, creating),
            _allow(change, "*", own),
            _allow(registering, f"{elb}targetgroup/*/*"),
        ]
    )


def _allow(actions: list[str], resource: str | list[str], condition: dict[str, Any] | None = None) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}
