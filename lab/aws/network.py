"""What a cluster of EKS has in EC2, made in moto: its VPC is that of its subnets, and EKS makes a security group there.

Also for DNS: the addresses behind a load balancer's name, from its listeners' default actions and registered targets.
"""

from __future__ import annotations

import random
from typing import Any

from lab.aws.eks_account import Network


class MotoNetwork(Network):
    """EC2 as moto holds it in this process."""

    def vpc_of(self, account: str, region: str, subnets: list[str]) -> str:
        """As EKS: subnets that exist, of one VPC, in at least two zones."""
        ec2 = _ec2(account, region)
        known = {id: subnet for zone in ec2.subnets.values() for id, subnet in zone.items()}
        missing = [id for id in subnets if id not in known]
        if missing:
            raise ValueError(f"The subnet ID '{missing[0]}' does not exist")
        if len({known[id].availability_zone for id in subnets}) < 2:
            raise ValueError("Subnets specified must be in at least two different AZs")
        vpcs = {known[id].vpc_id for id in subnets}
        if len(vpcs) > 1:
            raise ValueError(f"Subnets specified must belong to the same VPC: {', '.join(sorted(vpcs))}")
        return str(vpcs.pop())

    def make_group(self, account: str, region: str, cluster: str, vpc: str) -> str:
        tags = {"Name": f"eks-cluster-sg-{cluster}", f"kubernetes.io/cluster/{cluster}": "owned"}
        ec2 = _ec2(account, region)
        name = f"eks-cluster-sg-{cluster}-{random.randrange(10**9)}"
        group = ec2.create_security_group(name, "EKS created security group", vpc_id=vpc, tags=tags)
        return str(group.id)

    def drop_group(self, account: str, region: str, group: str) -> None:
        ec2 = _ec2(account, region)
        for groups in ec2.groups.values():
            groups.pop(group, None)
        ec2.tags.pop(group, None)


def _ec2(account: str, region: str) -> Any:
    from moto.ec2.models import ec2_backends

    return ec2_backends[account][region]


def load_balancer_addresses(dns_name: str, draw: random.Random) -> list[str]:
    """The IP targets behind the load balancer of this DNS name; a weighted action draws one of its target groups.

    What stands behind a load balancer answers here itself: the lab has no machines that would forward.
    """
    from moto.elbv2.models import elbv2_backends

    wanted = dns_name.lower().rstrip(".").removeprefix("dualstack.")
    for account in list(elbv2_backends.values()):
        for backend in list(account.values()):
            for balancer in list(backend.load_balancers.values()):
                if balancer.dns_name.lower() == wanted:
                    return _targets(backend, balancer, draw)
    return []


def _targets(backend: Any, balancer: Any, draw: random.Random) -> list[str]:
    for listener in balancer.listeners.values():
        for action in listener.default_actions:
            data = action.to_dict() if hasattr(action, "to_dict") else dict(action.data)
            if data.get("Type", "").lower() != "forward":
                continue
            forward = data.get("ForwardConfig") or {}
            groups = forward.get("TargetGroups") or [{"TargetGroupArn": data.get("TargetGroupArn"), "Weight": 1}]
            weights = [int(group.get("Weight") or 0) for group in groups]
            if not any(weights):
                continue
            chosen = backend.target_groups.get(draw.choices(groups, weights)[0]["TargetGroupArn"])
            return [str(target) for target in chosen.targets] if chosen is not None else []
    return []
