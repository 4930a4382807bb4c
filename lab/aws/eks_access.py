"""Who may do what on an EKS cluster, and its pods in AWS: access entries with their policies, Pod Identity."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from lab.aws import eks_catalogue as catalogue
from lab.aws.eks_account import Account
from lab.aws.eks_types import Answer, At, Body, gone, in_use, invalid, paged

# --- access entries ---


def first_access(eks: Account, name: str, body: Body) -> None:
    """EKS gives who creates a cluster an entry with all rights, unless the request says no or entries are off."""
    access = eks.clusters[name].shown["accessConfig"]
    if access["authenticationMode"] != "CONFIG_MAP" and access["bootstrapClusterCreatorAdminPermissions"]:
        principal = f"arn:aws:iam::{eks.account}:root"
        at = {"name": name, "principal": principal, "query": {}}
        _put_entry(eks, at, {"principalArn": principal})
        policy = catalogue.ACCESS_POLICY_ARN + "AmazonEKSClusterAdminPolicy"
        associate(eks, at, {"policyArn": policy, "accessScope": {"type": "cluster"}})


def _put_entry(eks: Account, at: At, body: Body) -> Answer:
    cluster, principal = eks.cluster(at["name"]), str(body["principalArn"])
    if principal in cluster.access:
        raise in_use("The specified access entry resource is already in use on this cluster.", clusterName=at["name"])
    entry: Body = {
        "clusterName": at["name"],
        "principalArn": principal,
        "kubernetesGroups": body.get("kubernetesGroups") or [],
        "accessEntryArn": eks.arn("access-entry", at["name"], principal.split(":")[-1], str(uuid.uuid4())),
        "createdAt": time.time(),
        "modifiedAt": time.time(),
        "tags": body.get("tags") or {},
        "username": body.get("username") or principal,
        "type": body.get("type") or "STANDARD",
    }
    cluster.access[principal] = entry
    cluster.policies[principal] = {}
    return {"accessEntry": entry}


def create_entry(eks: Account, at: At, body: Body) -> Answer:
    mode = eks.active(at["name"]).shown["accessConfig"]["authenticationMode"]
    if mode == "CONFIG_MAP":
        raise invalid(
            "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.",
            clusterName=at["name"],
        )
    return _put_entry(eks, at, body)


def _entry(eks: Account, at: At) -> Body:
    entry = eks.cluster(at["name"]).access.get(at["principal"])
    if entry is None:
        raise gone(f"The specified principalArn could not be found: {at['principal']}", clusterName=at["name"])
    return entry


def describe_entry(eks: Account, at: At, body: Body) -> Answer:
    return {"accessEntry": _entry(eks, at)}


def list_entries(eks: Account, at: At, body: Body) -> Answer:
    return paged(sorted(eks.cluster(at["name"]).access), "accessEntries", at)


def update_entry(eks: Account, at: At, body: Body) -> Answer:
    entry = _entry(eks, at)
    entry |= {key: body[key] for key in ("kubernetesGroups", "username") if body.get(key) is not None}
    entry["modifiedAt"] = time.time()
    return {"accessEntry": entry}


def delete_entry(eks: Account, at: At, body: Body) -> Answer:
    _entry(eks, at)
    cluster = eks.clusters[at["name"]]
    del cluster.access[at["principal"]], cluster.policies[at["principal"]]
    return {}


def associate(eks: Account, at: At, body: Body) -> Answer:
    _entry(eks, at)
    policy = str(body["policyArn"])
    if policy.removeprefix(catalogue.ACCESS_POLICY_ARN) not in catalogue.ACCESS_POLICIES:
        raise invalid(f"The policyArn parameter format is not valid: {policy}", clusterName=at["name"])
    association = {
        "policyArn": policy,
        "accessScope": {"namespaces": [], **body["accessScope"]},
        "associatedAt": time.time(),
        "modifiedAt": time.time(),
    }
    eks.clusters[at["name"]].policies[at["principal"]][policy] = association
    return {"clusterName": at["name"], "principalArn": at["principal"], "associatedAccessPolicy": association}


def list_associated(eks: Account, at: At, body: Body) -> Answer:
    _entry(eks, at)
    held = list(eks.clusters[at["name"]].policies[at["principal"]].values())
    return {"clusterName": at["name"], "principalArn": at["principal"], **paged(held, "associatedAccessPolicies", at)}


def disassociate(eks: Account, at: At, body: Body) -> Answer:
    _entry(eks, at)
    if eks.clusters[at["name"]].policies[at["principal"]].pop(at["policy"], None) is None:
        raise gone(f"{at['policy']} is not associated with {at['principal']}", clusterName=at["name"])
    return {}


# --- Pod Identity ---


def create_identity(eks: Account, at: At, body: Body) -> Answer:
    cluster = eks.active(at["name"])
    same = (body["namespace"], body["serviceAccount"])
    if any((each["namespace"], each["serviceAccount"]) == same for each in cluster.identities.values()):
        raise in_use(f"Association already exists: {'/'.join(same)}", clusterName=at["name"])
    id = f"a-{uuid.uuid4().hex[:17]}"
    association: Body = {
        "clusterName": at["name"],
        "namespace": body["namespace"],
        "serviceAccount": body["serviceAccount"],
        "roleArn": body["roleArn"],
        "associationArn": eks.arn("podidentityassociation", at["name"], id),
        "associationId": id,
        "tags": body.get("tags") or {},
        "createdAt": time.time(),
        "modifiedAt": time.time(),
        "disableSessionTags": bool(body.get("disableSessionTags")),
    }
    if body.get("targetRoleArn"):
        association["targetRoleArn"] = body["targetRoleArn"]
    cluster.identities[id] = association
    return {"association": association}


def _identity(eks: Account, at: At) -> Body:
    association = eks.cluster(at["name"]).identities.get(at["id"])
    if association is None:
        raise gone(f"No association found with id {at['id']}", clusterName=at["name"])
    return association


def describe_identity(eks: Account, at: At, body: Body) -> Answer:
    return {"association": _identity(eks, at)}


def list_identities(eks: Account, at: At, body: Body) -> Answer:
    query = at["query"]
    wanted = {key: query[key][0] for key in ("namespace", "serviceAccount") if key in query}
    names = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId")
    held = [
        {name: each[name] for name in names}
        for each in eks.cluster(at["name"]).identities.values()
        if all(each[key] == value for key, value in wanted.items())
    ]
    return paged(held, "associations", at)


def update_identity(eks: Account, at: At, body: Body) -> Answer:
    association = _identity(eks, at)
    names = ("roleArn", "targetRoleArn", "disableSessionTags")
    association |= {key: body[key] for key in names if body.get(key) is not None} | {"modifiedAt": time.time()}
    return {"association": association}


def delete_identity(eks: Account, at: At, body: Body) -> Answer:
    association = _identity(eks, at)
    del eks.clusters[at["name"]].identities[at["id"]]
    return {"association": association}


ENTRY, IDENTITY = "/clusters/{name}/access-entries", "/clusters/{name}/pod-identity-associations"
ROUTES: list[tuple[str, str, Callable[[Account, At, Body], Answer]]] = [
    ("POST", ENTRY, create_entry),
    ("GET", ENTRY, list_entries),
    ("GET", ENTRY + "/{principal}", describe_entry),
    ("POST", ENTRY + "/{principal}", update_entry),
    ("DELETE", ENTRY + "/{principal}", delete_entry),
    ("POST", ENTRY + "/{principal}/access-policies", associate),
    ("GET", ENTRY + "/{principal}/access-policies", list_associated),
    ("DELETE", ENTRY + "/{principal}/access-policies/{policy}", disassociate),
    ("POST", IDENTITY, create_identity),
    ("GET", IDENTITY, list_identities),
    ("GET", IDENTITY + "/{id}", describe_identity),
    ("POST", IDENTITY + "/{id}", update_identity),
    ("DELETE", IDENTITY + "/{id}", delete_identity),
]
