"""What belongs to an EKS cluster: node groups, add-ons, insights, tags, updates."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from lab.aws import eks_access, eks_insights
from lab.aws import eks_catalogue as catalogue
from lab.aws.eks_account import Account
from lab.aws.eks_types import Answer, At, Body, gone, in_use, invalid, paged

# --- node groups ---


def create_node_group(eks: Account, at: At, body: Body) -> Answer:
    cluster, name = eks.active(at["name"]), str(body["nodegroupName"])
    if name in cluster.node_groups:
        raise in_use(
            f"NodeGroup already exists with name {name} and cluster name {at['name']}",
            clusterName=at["name"],
            nodegroupName=name,
        )
    version = body.get("version") or cluster.shown["version"]
    if version not in catalogue.CALENDAR or float(version[2:]) > float(cluster.shown["version"][2:]):
        raise invalid(f"Requested Nodegroup version {version} is invalid: the cluster has {cluster.shown['version']}")
    template = body.get("launchTemplate")
    group: Body = {
        "nodegroupName": name,
        "nodegroupArn": eks.arn("nodegroup", at["name"], name, str(uuid.uuid4())),
        "clusterName": at["name"],
        "version": version,
        "releaseVersion": body.get("releaseVersion") or f"{version}.0-20260801",
        "createdAt": time.time(),
        "modifiedAt": time.time(),
        "status": "ACTIVE",
        "capacityType": body.get("capacityType") or "ON_DEMAND",
        "scalingConfig": {"minSize": 1, "maxSize": 2, "desiredSize": 2} | (body.get("scalingConfig") or {}),
        "subnets": body["subnets"],
        "amiType": body.get("amiType") or ("CUSTOM" if template and template.get("imageId") else "AL2023_x86_64_STANDARD"),
        "nodeRole": body["nodeRole"],
        "labels": body.get("labels") or {},
        "taints": body.get("taints") or [],
        "resources": {"autoScalingGroups": [{"name": f"eks-{name}-{uuid.uuid4()}"}]},
        "health": {"issues": []},
        "updateConfig": body.get("updateConfig") or {"maxUnavailable": 1},
        "tags": body.get("tags") or {},
    }
    if template:
        group["launchTemplate"] = template
    else:
        group |= {"instanceTypes": body.get("instanceTypes") or ["t3.medium"], "diskSize": body.get("diskSize") or 20}
    for key in ("instanceTypes", "diskSize", "remoteAccess", "nodeRepairConfig"):
        if body.get(key):
            group[key] = body[key]
    cluster.node_groups[name] = group
    return {"nodegroup": group}


def _node_group(eks: Account, at: At) -> Body:
    group = eks.cluster(at["name"]).node_groups.get(at["group"])
    if group is None:
        raise gone(f"No node group found for name: {at['group']}.", clusterName=at["name"], nodegroupName=at["group"])
    return group


def describe_node_group(eks: Account, at: At, body: Body) -> Answer:
    return {"nodegroup": _node_group(eks, at)}


def list_node_groups(eks: Account, at: At, body: Body) -> Answer:
    return paged(sorted(eks.cluster(at["name"]).node_groups), "nodegroups", at)


def delete_node_group(eks: Account, at: At, body: Body) -> Answer:
    group = _node_group(eks, at)
    del eks.clusters[at["name"]].node_groups[at["group"]]
    return {"nodegroup": group | {"status": "DELETING"}}


def update_node_group(eks: Account, at: At, body: Body) -> Answer:
    group = _node_group(eks, at)
    labels, taints = body.get("labels") or {}, body.get("taints") or {}
    dropped = labels.get("removeLabels") or []
    group["labels"] = {k: v for k, v in group["labels"].items() if k not in dropped}
    group["labels"] |= labels.get("addOrUpdateLabels") or {}
    changed = [*(taints.get("removeTaints") or []), *(taints.get("addOrUpdateTaints") or [])]
    keys = {(taint.get("key"), taint.get("effect")) for taint in changed}
    group["taints"] = [taint for taint in group["taints"] if (taint.get("key"), taint.get("effect")) not in keys]
    group["taints"] += taints.get("addOrUpdateTaints") or []
    scaling = group["scalingConfig"] | (body.get("scalingConfig") or {})
    if not scaling["minSize"] <= scaling["desiredSize"] <= scaling["maxSize"]:
        raise invalid("desiredSize must lie between minSize and maxSize", clusterName=at["name"])
    group["scalingConfig"] = scaling
    for key in ("updateConfig", "nodeRepairConfig"):
        if body.get(key):
            group[key] = body[key]
    group["modifiedAt"] = time.time()
    return eks.cluster(at["name"]).update("ConfigUpdate", {k: v for k, v in body.items() if k != "clientRequestToken"})


def update_node_group_version(eks: Account, at: At, body: Body) -> Answer:
    group, cluster = _node_group(eks, at), eks.cluster(at["name"])
    group["version"] = body.get("version") or cluster.shown["version"]
    group["releaseVersion"] = body.get("releaseVersion") or f"{group['version']}.0-20260801"
    if body.get("launchTemplate"):
        group["launchTemplate"] = body["launchTemplate"]
    return cluster.update("VersionUpdate", {"version": group["version"], "releaseVersion": group["releaseVersion"]})


# --- add-ons ---


def _known_addon(name: str, version: str | None, kubernetes: str) -> str:
    if name not in catalogue.ADDONS:
        raise invalid(f"Addon {name} specified is not supported in {kubernetes} kubernetes version", addonName=name)
    chosen = version or catalogue.default_addon_version(name, kubernetes)
    if chosen is None or not catalogue.works_with(name, chosen, kubernetes):
        fitting = [each for each, minors in catalogue.ADDONS[name][1] if kubernetes in minors]
        raise invalid(
            f"Addon version {version} specified is not supported for {name} on Kubernetes {kubernetes}: "
            f"{', '.join(fitting) or 'none is'}",
            addonName=name,
        )
    return chosen


def create_addon(eks: Account, at: At, body: Body) -> Answer:
    cluster, name = eks.active(at["name"]), str(body["addonName"])
    if name in cluster.addons:
        raise in_use(f"Addon already exists: {name}", clusterName=at["name"], addonName=name)
    version = _known_addon(name, body.get("addonVersion"), cluster.shown["version"])
    addon: Body = {
        "addonName": name,
        "clusterName": at["name"],
        "status": "ACTIVE",
        "addonVersion": version,
        "health": {"issues": []},
        "addonArn": eks.arn("addon", at["name"], name, str(uuid.uuid4())),
        "createdAt": time.time(),
        "modifiedAt": time.time(),
        "tags": body.get("tags") or {},
        "publisher": "eks",
        "owner": "aws",
    }
    addon |= {key: body[key] for key in ("serviceAccountRoleArn", "configurationValues") if body.get(key)}
    wanted = body.get("podIdentityAssociations") or []
    addon["podIdentityAssociations"] = [
        eks_access.create_identity(eks, at, {"namespace": "kube-system", **each})["association"]["associationArn"]
        for each in wanted
    ]
    cluster.addons[name] = addon
    return {"addon": addon}


def _addon(eks: Account, at: At) -> Body:
    addon = eks.cluster(at["name"]).addons.get(at["addon"])
    if addon is None:
        raise gone(f"No addon: {at['addon']} found in cluster: {at['name']}", clusterName=at["name"], addonName=at["addon"])
    return addon


def describe_addon(eks: Account, at: At, body: Body) -> Answer:
    return {"addon": _addon(eks, at)}


def list_addons(eks: Account, at: At, body: Body) -> Answer:
    return paged(sorted(eks.cluster(at["name"]).addons), "addons", at)


def delete_addon(eks: Account, at: At, body: Body) -> Answer:
    addon, cluster = _addon(eks, at), eks.clusters[at["name"]]
    del cluster.addons[at["addon"]]
    for arn in addon["podIdentityAssociations"]:
        cluster.identities.pop(arn.rsplit("/", 1)[1], None)
    return {"addon": addon | {"status": "DELETING"}}


def update_addon(eks: Account, at: At, body: Body) -> Answer:
    addon, cluster = _addon(eks, at), eks.cluster(at["name"])
    if body.get("addonVersion"):
        addon["addonVersion"] = _known_addon(at["addon"], body["addonVersion"], cluster.shown["version"])
    for key in ("serviceAccountRoleArn", "configurationValues"):
        if body.get(key) is not None:
            addon[key] = body[key]
    addon["modifiedAt"] = time.time()
    return cluster.update("AddonUpdate", {k: v for k, v in body.items() if k != "clientRequestToken"})


# --- insights, updates, tags ---


def list_insights(eks: Account, at: At, body: Body) -> Answer:
    wanted = body.get("filter") or {}
    insights = [
        {key: each[key] for key in each if key not in eks_insights.DETAILS}
        for each in eks_insights.of(eks.cluster(at["name"]))
        if each["category"] in (wanted.get("categories") or [each["category"]])
        and each["insightStatus"]["status"] in (wanted.get("statuses") or [each["insightStatus"]["status"]])
    ]
    return {"insights": insights}


def describe_insight(eks: Account, at: At, body: Body) -> Answer:
    for each in eks_insights.of(eks.cluster(at["name"])):
        if each["id"] == at["id"]:
            return {"insight": each}
    raise gone(f"No insight found for id {at['id']}", clusterName=at["name"])


def list_updates(eks: Account, at: At, body: Body) -> Answer:
    return paged(list(eks.cluster(at["name"]).updates), "updateIds", at)


def describe_update(eks: Account, at: At, body: Body) -> Answer:
    update = eks.cluster(at["name"]).updates.get(at["id"])
    if update is None:
        raise gone(f"No update found for ID: {at['id']}", clusterName=at["name"])
    return {"update": update}


def _tags(eks: Account, arn: str) -> dict[str, str]:
    for cluster in eks.clusters.values():
        kinds = (
            ("arn", [cluster.shown]),
            ("nodegroupArn", cluster.node_groups.values()),
            ("addonArn", cluster.addons.values()),
            ("accessEntryArn", cluster.access.values()),
            ("associationArn", cluster.identities.values()),
        )
        for key, held in kinds:
            for each in held:
                if each[key] == arn:
                    tags: dict[str, str] = each["tags"]
                    return tags
    raise gone(f"Resource was not found: {arn}")


def list_tags(eks: Account, at: At, body: Body) -> Answer:
    return {"tags": _tags(eks, at["arn"])}


def tag(eks: Account, at: At, body: Body) -> Answer:
    _tags(eks, at["arn"]).update(body["tags"])
    return {}


def untag(eks: Account, at: At, body: Body) -> Answer:
    tags = _tags(eks, at["arn"])
    for key in at["query"].get("tagKeys", []):
        tags.pop(key, None)
    return {}


GROUP, ADDON = "/clusters/{name}/node-groups", "/clusters/{name}/addons"
ROUTES: list[tuple[str, str, Callable[[Account, At, Body], Answer]]] = [
    ("POST", GROUP, create_node_group),
    ("GET", GROUP, list_node_groups),
    ("GET", GROUP + "/{group}", describe_node_group),
    ("DELETE", GROUP + "/{group}", delete_node_group),
    ("POST", GROUP + "/{group}/update-config", update_node_group),
    ("POST", GROUP + "/{group}/update-version", update_node_group_version),
    ("POST", ADDON, create_addon),
    ("GET", ADDON, list_addons),
    ("GET", ADDON + "/{addon}", describe_addon),
    ("DELETE", ADDON + "/{addon}", delete_addon),
    ("POST", ADDON + "/{addon}/update", update_addon),
    ("POST", "/clusters/{name}/insights", list_insights),
    ("GET", "/clusters/{name}/insights/{id}", describe_insight),
    ("GET", "/clusters/{name}/updates", list_updates),
    ("GET", "/clusters/{name}/updates/{id}", describe_update),
    ("GET", "/tags/{arn}", list_tags),
    ("POST", "/tags/{arn}", tag),
    ("DELETE", "/tags/{arn}", untag),
]
