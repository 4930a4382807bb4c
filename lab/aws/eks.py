"""EKS over real control planes of the lab, in place of moto's.

moto's EKS knows clusters, node groups and Fargate profiles, drops what it does not know (accessConfig, upgradePolicy,
deletionProtection ...) and is ACTIVE at once. This one keeps requests as given. A cluster is what the lab's control API
says of it: CREATING until its control plane is ready, then ACTIVE with the real endpoint and CA; DELETING until it is
wiped. Nothing runs in the background: the control API is asked whenever somebody looks.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from lab.aws import eks_access, eks_parts
from lab.aws import eks_catalogue as catalogue
from lab.aws.control import Rejected
from lab.aws.eks_account import Account
from lab.aws.eks_types import Answer, At, Body, EksError, Kept, in_use, invalid, paged, refused

NAME_PATTERN = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}")
CONFIG = ("upgradePolicy", "zonalShiftConfig", "computeConfig", "storageConfig", "remoteNetworkConfig")
LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")


class Eks(Account):
    """The REST API of one account and region; what belongs to a cluster is in eks_parts and eks_access."""

    def call(self, method: str, path: str, query: Mapping[str, list[str]], body: Body) -> Answer:
        """One request of the REST API; EksError where AWS would refuse."""
        for verb, pattern, act in ROUTES:
            match = pattern.fullmatch(path) if verb == method else None
            if match:
                with self.lock:
                    named = {key: unquote(value) for key, value in match.groupdict().items()}
                    return act(self, {**named, "query": query}, body)
        raise EksError(501, "NotImplemented", f"the lab's EKS has no {method} {path}: see lab/aws/eks.py for what it has")

    # --- clusters ---

    def create(self, at: At, body: Body) -> Answer:
        name = str(body.get("name", ""))
        if not NAME_PATTERN.fullmatch(name):
            raise invalid(f"The cluster name {name!r} must be 1-100 letters, digits, dashes and underscores")
        if name in self.clusters:
            self.look(self.clusters[name])
        if name in self.clusters:
            raise in_use(f"Cluster already exists with name: {name}", clusterName=name)
        if not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/.+", str(body.get("roleArn", ""))):
            raise invalid(f"Invalid Role Arn: '{body.get('roleArn')}'", clusterName=name)
        version = str(body.get("version") or catalogue.DEFAULT_VERSION)
        if version not in catalogue.CALENDAR:
            raise invalid(f"unsupported Kubernetes version {version}", clusterName=name)
        vpc = dict(body.get("resourcesVpcConfig") or {})
        try:
            vpc_id = self.network.vpc_of(self.account, self.region, list(vpc.get("subnetIds") or []))
        except ValueError as error:
            raise invalid(str(error), clusterName=name) from error
        try:
            self.control.create(name, version)
        except Rejected as error:
            refusal = in_use if error.status == 409 else invalid
            raise refusal(f"the lab did not start {name}: {error}", clusterName=name) from error
        group = self.network.make_group(self.account, self.region, name, vpc_id)
        shown = self._described(name, version, body, vpc | {"vpcId": vpc_id, "clusterSecurityGroupId": group})
        self.clusters[name] = Kept(shown)
        eks_access.first_access(self, name, body)
        return {"cluster": shown}

    def _described(self, name: str, version: str, body: Body, vpc: Body) -> Body:
        access = dict(body.get("accessConfig") or {})
        network = dict(body.get("kubernetesNetworkConfig") or {})
        issuer = f"https://oidc.eks.{self.region}.amazonaws.com/id/{uuid.uuid4().hex.upper()}"
        defaults = {
            "endpointPublicAccess": True,
            "endpointPrivateAccess": False,
            "publicAccessCidrs": ["0.0.0.0/0"],
            "securityGroupIds": [],
        }
        shown: Body = {
            "name": name,
            "arn": self.arn("cluster", name),
            "createdAt": time.time(),
            "version": version,
            "roleArn": body["roleArn"],
            "resourcesVpcConfig": defaults | {key: value for key, value in vpc.items() if value is not None},
            "kubernetesNetworkConfig": {
                "serviceIpv4Cidr": network.get("serviceIpv4Cidr", "172.20.0.0/16"),
                "ipFamily": network.get("ipFamily", "ipv4"),
                "elasticLoadBalancing": network.get("elasticLoadBalancing", {"enabled": False}),
            },
            "logging": body.get("logging") or {"clusterLogging": [{"types": list(LOG_TYPES), "enabled": False}]},
            "identity": {"oidc": {"issuer": issuer}},
            "status": "CREATING",
            "certificateAuthority": {},
            "platformVersion": "eks.1",
            "tags": dict(body.get("tags") or {}),
            "encryptionConfig": body.get("encryptionConfig") or [],
            "health": {"issues": []},
            "accessConfig": {"authenticationMode": access.get("authenticationMode", "CONFIG_MAP")},
            "deletionProtection": bool(body.get("deletionProtection", False)),
        }
        shown["accessConfig"]["bootstrapClusterCreatorAdminPermissions"] = access.get(
            "bootstrapClusterCreatorAdminPermissions", True
        )
        shown["upgradePolicy"] = {"supportType": "EXTENDED"}
        return shown | {key: body[key] for key in CONFIG if body.get(key) is not None}

    def describe(self, at: At, body: Body) -> Answer:
        return {"cluster": self.cluster(at["name"]).shown}

    def list(self, at: At, body: Body) -> Answer:
        for kept in list(self.clusters.values()):
            self.look(kept)
        return paged(sorted(self.clusters), "clusters", at)

    def delete(self, at: At, body: Body) -> Answer:
        name = at["name"]
        kept = self.cluster(name)
        if kept.shown["deletionProtection"]:
            raise refused(
                f"Cluster {name} has deletion protection enabled: set deletionProtection to false first",
                clusterName=name,
            )
        if kept.node_groups:
            raise in_use("Cluster has nodegroups attached", clusterName=name, nodegroupName=",".join(sorted(kept.node_groups)))
        try:
            self.control.delete(name)
        except Rejected as error:
            raise EksError(503, "ServiceUnavailableException", f"the lab did not delete {name}: {error}") from error
        kept.shown["status"] = "DELETING"
        return {"cluster": kept.shown}

    def update_config(self, at: At, body: Body) -> Answer:
        kept = self.active(at["name"])
        changes = {key: value for key, value in body.items() if key != "clientRequestToken" and value is not None}
        for key, value in changes.items():
            old = kept.shown.get(key)
            kept.shown[key] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
        return kept.update("ConfigUpdate", changes)

    def update_version(self, at: At, body: Body) -> Answer:
        """EKS goes one minor up in place; the lab's control planes cannot: a new cluster is the way there."""
        kept, wanted = self.active(at["name"]), str(body.get("version"))
        now = kept.shown["version"]
        if wanted != catalogue.minor_after(now):
            raise invalid(f"Unsupported Kubernetes minor version update from {now} to {wanted}", clusterName=at["name"])
        raise refused(
            f"the lab cannot upgrade {at['name']} in place: make another cluster with {wanted}", clusterName=at["name"]
        )

    def versions(self, at: At, body: Body) -> Answer:
        query = at["query"]
        default = query.get("defaultOnly", ["false"])[0] == "true"
        offered = catalogue.describe_versions(query.get("clusterVersions", []), time.strftime("%Y-%m-%d"), default)
        return {"clusterVersions": offered}

    def addon_versions(self, at: At, body: Body) -> Answer:
        query = at["query"]
        name, version = (query.get(key, [None])[0] for key in ("addonName", "kubernetesVersion"))
        return {"addons": catalogue.describe_addons(name, version)}

    def access_policies(self, at: At, body: Body) -> Answer:
        return {
            "accessPolicies": [{"name": name, "arn": catalogue.ACCESS_POLICY_ARN + name} for name in catalogue.ACCESS_POLICIES]
        }


Act = Callable[[Eks, At, Body], Answer]


def _routes() -> list[tuple[str, re.Pattern[str], Act]]:
    own: list[tuple[str, str, Act]] = [
        ("POST", "/clusters", Eks.create),
        ("GET", "/clusters", Eks.list),
        ("GET", "/cluster-versions", Eks.versions),
        ("GET", "/addons/supported-versions", Eks.addon_versions),
        ("GET", "/access-policies", Eks.access_policies),
        ("GET", "/clusters/{name}", Eks.describe),
        ("DELETE", "/clusters/{name}", Eks.delete),
        ("POST", "/clusters/{name}/update-config", Eks.update_config),
        ("POST", "/clusters/{name}/updates", Eks.update_version),
    ]
    routes = [*own, *eks_parts.ROUTES, *eks_access.ROUTES]
    return [(verb, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), act) for verb, path, act in routes]


ROUTES = _routes()
