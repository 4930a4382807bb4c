"""The EKS clusters of one account and region, as the lab's control API has them now."""

from __future__ import annotations

import threading

from lab.aws.control import ControlPlanes, Rejected
from lab.aws.eks_types import Body, Kept, gone, refused


class Network:
    """What a cluster has in EC2: its VPC and the security group that EKS makes. `lab.aws.network` does it in moto."""

    def vpc_of(self, account: str, region: str, subnets: list[str]) -> str:
        """The VPC of the subnets; ValueError says what is wrong with them."""
        return "vpc-0000"

    def make_group(self, account: str, region: str, cluster: str, vpc: str) -> str:
        return "sg-0000"

    def drop_group(self, account: str, region: str, group: str) -> None: ...


class Account:
    """One account and region."""

    def __init__(self, account: str, region: str, control: ControlPlanes, network: Network) -> None:
        self.account, self.region, self.control, self.network = account, region, control, network
        self.clusters: dict[str, Kept] = {}
        self.lock = threading.RLock()

    def arn(self, kind: str, *parts: str) -> str:
        return f"arn:aws:eks:{self.region}:{self.account}:{kind}/{'/'.join(parts)}"

    def cluster(self, name: str) -> Kept:
        """The cluster as it is now, after a look at the control plane."""
        kept = self.clusters.get(name)
        if kept is not None:
            self.look(kept)
        if name not in self.clusters:
            raise gone(f"No cluster found for name: {name}.", clusterName=name)
        return self.clusters[name]

    def active(self, name: str) -> Kept:
        kept = self.cluster(name)
        if kept.shown["status"] != "ACTIVE":
            raise refused(f"Cluster '{name}' is not in ACTIVE status", clusterName=name)
        return kept

    def look(self, kept: Kept) -> None:
        shown, name = kept.shown, kept.shown["name"]
        try:
            live = self.control.get(name)
        except Rejected:
            return  # the control API is down: what was known stands
        if live is None:
            if shown["status"] == "DELETING":
                self.network.drop_group(self.account, self.region, shown["resourcesVpcConfig"]["clusterSecurityGroupId"])
                del self.clusters[name]
            elif shown["status"] == "ACTIVE":
                _fail(shown, "InternalFailure", "the lab has no control plane of this name any longer")
            return
        if shown["status"] == "CREATING" and live["status"] == "ready":
            shown["status"] = "ACTIVE"
            shown["endpoint"] = live["endpoint"]
            shown["certificateAuthority"] = {"data": live["ca"]}
        elif shown["status"] == "CREATING" and live["status"] == "failed":
            shown["status"] = "FAILED"
            _fail(shown, "InternalFailure", str(live.get("reason") or "the control plane failed"))


def _fail(shown: Body, code: str, message: str) -> None:
    issue = {"code": code, "message": message, "resourceIds": []}
    if issue not in shown["health"]["issues"]:
        shown["health"]["issues"].append(issue)
