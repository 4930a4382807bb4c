"""EKS: clusters (each a real control plane of the lab), node groups, add-ons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lab.pulumi.aws_kind import Aws, Change, Kind, missing_ok, pick, wait
from lab.pulumi.plugin import PluginError
from lab.pulumi.values import Properties


def _settled(what: str, status: Callable[[], dict[str, Any] | None]) -> None:
    """Wait until AWS says ACTIVE; what AWS gives as reason of a failure is what the user reads."""

    def done() -> bool:
        current = status()
        if current is None:
            raise PluginError(f"{what} went away while it was made")
        if current["status"] in ("FAILED", "CREATE_FAILED", "DEGRADED"):
            raise PluginError(f"{what} is {current['status']}: {current.get('health', {}).get('issues') or 'no reason given'}")
        return bool(current["status"] == "ACTIVE")

    wait(f"{what} ACTIVE", done)


def _tag(aws: Aws, id: str, outputs: Properties, added: Mapping[str, str], removed: Iterable[str]) -> None:
    if added:
        aws("eks").tag_resource(resourceArn=outputs["arn"], tags=dict(added))
    if removed:
        aws("eks").untag_resource(resourceArn=outputs["arn"], tagKeys=list(removed))


# --- clusters --------------------------------------------------------------------------------------


def _cluster(aws: Aws, name: str) -> dict[str, Any] | None:
    answer = missing_ok(aws("eks").describe_cluster, name=name)
    cluster: dict[str, Any] | None = answer and answer["cluster"]
    return cluster


def _logging(types: Iterable[str]) -> dict[str, Any]:
    on = list(types)
    off = [name for name in ("api", "audit", "authenticator", "controllerManager", "scheduler") if name not in on]
    return {"clusterLogging": [{"types": names, "enabled": enabled} for names, enabled in ((on, True), (off, False)) if names]}


def _create_cluster(aws: Aws, inputs: Properties) -> str:
    vpc = pick(
        inputs["vpcConfig"],
        "subnetIds",
        "securityGroupIds",
        "endpointPublicAccess",
        "endpointPrivateAccess",
        "publicAccessCidrs",
    )
    wanted: dict[str, Any] = {"name": inputs["name"], "roleArn": inputs["roleArn"], "resourcesVpcConfig": vpc}
    wanted |= pick(inputs, "version", "tags", "kubernetesNetworkConfig", "accessConfig", "upgradePolicy", "deletionProtection")
    wanted |= pick(inputs, "zonalShiftConfig", "computeConfig", "storageConfig")
    if inputs.get("bootstrapSelfManagedAddons") is not None:
        wanted["bootstrapSelfManagedAddons"] = inputs["bootstrapSelfManagedAddons"]
    if inputs.get("enabledClusterLogTypes"):
        wanted["logging"] = _logging(inputs["enabledClusterLogTypes"])
    if inputs.get("encryptionConfig"):
        wanted["encryptionConfig"] = [inputs["encryptionConfig"]]
    aws("eks").create_cluster(**wanted)
    _settled(f"EKS cluster {inputs['name']}", lambda: _cluster(aws, inputs["name"]))
    return str(inputs["name"])


def _read_cluster(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    cluster = _cluster(aws, id)
    if cluster is None or cluster["status"] == "DELETING":
        return None
    live = pick(
        cluster,
        "name",
        "arn",
        "version",
        "roleArn",
        "endpoint",
        "status",
        "platformVersion",
        "tags",
        "deletionProtection",
    )
    live |= pick(cluster, "accessConfig", "kubernetesNetworkConfig", "upgradePolicy", "identity")
    live["createdAt"] = cluster["createdAt"].isoformat() if cluster.get("createdAt") else ""
    live["vpcConfig"] = cluster.get("resourcesVpcConfig", {})
    live["certificateAuthority"] = {"data": cluster.get("certificateAuthority", {}).get("data", "")}
    live["certificateAuthorities"] = [live["certificateAuthority"]]
    identity = cluster.get("identity", {}).get("oidc", {})
    live["identities"] = [{"oidcs": [{"issuer": identity.get("issuer", "")}]}]
    live.pop("identity", None)
    if "enabledClusterLogTypes" in inputs:
        on = [t for group in cluster.get("logging", {}).get("clusterLogging", []) if group["enabled"] for t in group["types"]]
        wanted = inputs["enabledClusterLogTypes"]
        live["enabledClusterLogTypes"] = wanted if sorted(on) == sorted(wanted) else on
    for name in ("accessConfig", "kubernetesNetworkConfig", "upgradePolicy", "deletionProtection"):
        if name in inputs and name in live and not live[name]:
            live.pop(name)  # moto kept nothing of it: the input stands
    live["clusterId"] = cluster.get("id", "")
    return live


def _update_cluster(aws: Aws, change: Change) -> None:
    eks = aws("eks")
    new, name = change.new, change.id
    if "version" in change.changed:
        eks.update_cluster_version(name=name, version=new["version"])
        _settled(f"EKS cluster {name}", lambda: _cluster(aws, name))
    if "vpcConfig" in change.changed:
        vpc = new["vpcConfig"]
        wanted = pick(
            vpc, "subnetIds", "securityGroupIds", "endpointPublicAccess", "endpointPrivateAccess", "publicAccessCidrs"
        )
        eks.update_cluster_config(name=name, resourcesVpcConfig=wanted)
    if "enabledClusterLogTypes" in change.changed:
        eks.update_cluster_config(name=name, logging=_logging(new.get("enabledClusterLogTypes") or []))
    for property in ("accessConfig", "upgradePolicy", "deletionProtection"):
        if property in change.changed and new.get(property) is not None:
            eks.update_cluster_config(name=name, **{property: new[property]})


def _delete_cluster(aws: Aws, id: str, outputs: Properties) -> None:
    if missing_ok(aws("eks").delete_cluster, name=id) is not None:
        wait(f"EKS cluster {id} gone", lambda: _cluster(aws, id) is None)


# --- node groups -----------------------------------------------------------------------------------


def _group(aws: Aws, id: str) -> dict[str, Any] | None:
    cluster, _, name = id.partition(":")
    answer = missing_ok(aws("eks").describe_nodegroup, clusterName=cluster, nodegroupName=name)
    node_group: dict[str, Any] | None = answer and answer["nodegroup"]
    return node_group


def _create_node_group(aws: Aws, inputs: Properties) -> str:
    names = (
        "clusterName",
        "scalingConfig",
        "amiType",
        "capacityType",
        "diskSize",
        "instanceTypes",
        "labels",
        "releaseVersion",
        "version",
        "tags",
    )
    wanted = pick(inputs, *names) | {
        "nodegroupName": inputs["nodeGroupName"],
        "nodeRole": inputs["nodeRoleArn"],
        "subnets": inputs["subnetIds"],
    }
    if inputs.get("taints"):
        wanted["taints"] = inputs["taints"]
    if inputs.get("updateConfig"):
        wanted["updateConfig"] = inputs["updateConfig"]
    if inputs.get("launchTemplate"):
        wanted["launchTemplate"] = pick(inputs["launchTemplate"], "id", "name", "version")
    aws("eks").create_nodegroup(**wanted)
    id = f"{inputs['clusterName']}:{inputs['nodeGroupName']}"
    _settled(f"node group {id}", lambda: _group(aws, id))
    return id


def _read_node_group(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    node_group = _group(aws, id)
    if node_group is None or node_group["status"] == "DELETING":
        return None
    names = (
        "clusterName",
        "scalingConfig",
        "amiType",
        "capacityType",
        "diskSize",
        "instanceTypes",
        "labels",
        "releaseVersion",
        "version",
        "tags",
        "status",
    )
    live = pick(node_group, *names) | {
        "nodeGroupName": node_group["nodegroupName"],
        "nodeRoleArn": node_group["nodeRole"],
        "subnetIds": node_group["subnets"],
    }
    live["arn"] = node_group["nodegroupArn"]
    groups = node_group.get("resources", {}).get("autoScalingGroups", [])
    live["resources"] = [{"autoscalingGroups": [{"name": group.get("name", "")} for group in groups]}]
    return {name: value for name, value in live.items() if value not in ({}, None) or name in inputs}


def _update_node_group(aws: Aws, change: Change) -> None:
    cluster, _, name = change.id.partition(":")
    where = {"clusterName": cluster, "nodegroupName": name}
    wanted: dict[str, Any] = pick(change.new, "updateConfig") if "updateConfig" in change.changed else {}
    if "scalingConfig" in change.changed:
        wanted["scalingConfig"] = change.new["scalingConfig"]
    if "labels" in change.changed:
        old, new = change.old.get("labels") or {}, change.new.get("labels") or {}
        wanted["labels"] = {"addOrUpdateLabels": new, "removeLabels": [key for key in old if key not in new]}
    if "taints" in change.changed:
        old_taints, new_taints = change.old.get("taints") or [], change.new.get("taints") or []
        wanted["taints"] = {
            "addOrUpdateTaints": new_taints,
            "removeTaints": [t for t in old_taints if t not in new_taints],
        }
    if wanted:
        aws("eks").update_nodegroup_config(**where, **wanted)
    if change.changed & {"version", "releaseVersion", "launchTemplate"}:
        aws("eks").update_nodegroup_version(**where, **pick(change.new, "version", "releaseVersion"))
    _settled(f"node group {change.id}", lambda: _group(aws, change.id))


def _delete_node_group(aws: Aws, id: str, outputs: Properties) -> None:
    cluster, _, name = id.partition(":")
    if missing_ok(aws("eks").delete_nodegroup, clusterName=cluster, nodegroupName=name) is not None:
        wait(f"node group {id} gone", lambda: _group(aws, id) is None)


# --- add-ons ---------------------------------------------------------------------------------------


def _addon(aws: Aws, id: str) -> dict[str, Any] | None:
    cluster, _, name = id.partition(":")
    answer = missing_ok(aws("eks").describe_addon, clusterName=cluster, addonName=name)
    addon: dict[str, Any] | None = answer and answer["addon"]
    return addon


def _addon_arguments(inputs: Properties) -> dict[str, Any]:
    return pick(inputs, "clusterName", "addonName", "addonVersion", "serviceAccountRoleArn", "configurationValues")


def _create_addon(aws: Aws, inputs: Properties) -> str:
    conflicts = inputs.get("resolveConflictsOnCreate")
    wanted = _addon_arguments(inputs) | ({"resolveConflicts": conflicts} if conflicts else {}) | pick(inputs, "tags")
    if inputs.get("podIdentityAssociations"):
        wanted["podIdentityAssociations"] = inputs["podIdentityAssociations"]
    aws("eks").create_addon(**wanted)
    id = f"{inputs['clusterName']}:{inputs['addonName']}"
    _settled(f"add-on {id}", lambda: _addon(aws, id))
    return id


def _read_addon(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    addon = _addon(aws, id)
    if addon is None or addon["status"] == "DELETING":
        return None
    return pick(addon, "clusterName", "addonName", "addonVersion", "serviceAccountRoleArn", "configurationValues", "tags") | {
        "arn": addon["addonArn"]
    }


def _update_addon(aws: Aws, change: Change) -> None:
    if change.changed - {"tags", "tagsAll", "preserve", "resolveConflictsOnCreate", "resolveConflictsOnUpdate"}:
        conflicts = change.new.get("resolveConflictsOnUpdate")
        aws("eks").update_addon(**_addon_arguments(change.new), **({"resolveConflicts": conflicts} if conflicts else {}))
        _settled(f"add-on {change.id}", lambda: _addon(aws, change.id))


def _delete_addon(aws: Aws, id: str, outputs: Properties) -> None:
    cluster, _, name = id.partition(":")
    if missing_ok(aws("eks").delete_addon, clusterName=cluster, addonName=name) is not None:
        wait(f"add-on {id} gone", lambda: _addon(aws, id) is None)


KINDS: dict[str, Kind] = {
    "aws:eks/cluster:Cluster": Kind(
        create=_create_cluster,
        read=_read_cluster,
        update=_update_cluster,
        delete=_delete_cluster,
        tag=_tag,
        name="name",
        # Subnets and security groups can be changed in place.
        force_new=frozenset(
            {
                "name",
                "roleArn",
                "bootstrapSelfManagedAddons",
                "encryptionConfig.provider",
                "outpostConfig",
                "kubernetesNetworkConfig.ipFamily",
                "kubernetesNetworkConfig.serviceIpv4Cidr",
                "accessConfig.bootstrapClusterCreatorAdminPermissions",
            }
        ),
    ),
    "aws:eks/nodeGroup:NodeGroup": Kind(
        create=_create_node_group,
        read=_read_node_group,
        update=_update_node_group,
        delete=_delete_node_group,
        tag=_tag,
        name="nodeGroupName",
        force_new=frozenset(
            {
                "clusterName",
                "nodeGroupName",
                "nodeGroupNamePrefix",
                "nodeRoleArn",
                "subnetIds",
                "amiType",
                "capacityType",
                "diskSize",
                "instanceTypes",
                "remoteAccess",
            }
        ),
    ),
    "aws:eks/addon:Addon": Kind(
        create=_create_addon,
        read=_read_addon,
        update=_update_addon,
        delete=_delete_addon,
        tag=_tag,
        unique=True,
        force_new=frozenset({"clusterName", "addonName"}),
    ),
}
