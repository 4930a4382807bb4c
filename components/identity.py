"""AWS permissions of what runs in the cluster, by EKS Pod Identity.

Pod Identity and not roles by service account: its trust policy does not name the cluster's OIDC issuer, so green's
roles are written exactly as blue's were, and nothing has to be changed when a cluster is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

POLICIES = Path(__file__).with_name("policies")
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


def policy_of(name: str) -> dict[str, Any]:
    """A policy of components/policies, as the documentation of the program it is for asks for it.

    That of the load balancer controller lets it read, create what it tags, and change what carries its own tag.
    """
    document: dict[str, Any] = json.loads((POLICIES / f"{name}.json").read_text())
    return document
