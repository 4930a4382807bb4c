"""Who may do what: EKS access entries, their policies, and Pod Identity associations."""

from __future__ import annotations

from lab.pulumi.aws_kind import Aws, Change, Kind, missing_ok, pick
from lab.pulumi.values import Properties, like


def _create_access_entry(aws: Aws, inputs: Properties) -> str:
    wanted = pick(inputs, "clusterName", "principalArn", "kubernetesGroups", "type", "tags")
    aws("eks").create_access_entry(**wanted, **({"username": inputs["userName"]} if inputs.get("userName") else {}))
    return f"{inputs['clusterName']}:{inputs['principalArn']}"


def _entry(id: str) -> dict[str, str]:
    cluster, _, principal = id.partition(":")
    return {"clusterName": cluster, "principalArn": principal}


def _read_access_entry(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    answer = missing_ok(aws("eks").describe_access_entry, **_entry(id))
    if answer is None:
        return None
    entry = answer["accessEntry"]
    live = pick(entry, "clusterName", "principalArn", "kubernetesGroups", "type", "tags")
    return live | {"accessEntryArn": entry.get("accessEntryArn", ""), "userName": entry.get("username", "")}


def _update_access_entry(aws: Aws, change: Change) -> None:
    if change.changed & {"kubernetesGroups", "userName"}:
        name = {"username": change.new["userName"]} if change.new.get("userName") else {}
        aws("eks").update_access_entry(**_entry(change.id), kubernetesGroups=change.new.get("kubernetesGroups") or [], **name)


def _associate(aws: Aws, inputs: Properties) -> str:
    aws("eks").associate_access_policy(**pick(inputs, "clusterName", "principalArn", "policyArn", "accessScope"))
    return "#".join((inputs["clusterName"], inputs["principalArn"], inputs["policyArn"]))


def _read_association(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    cluster, principal, policy = id.split("#")
    answer = missing_ok(aws("eks").list_associated_access_policies, clusterName=cluster, principalArn=principal)
    for association in (answer or {}).get("associatedAccessPolicies", []):
        if association["policyArn"] == policy:
            scope = {key: value for key, value in association.get("accessScope", {}).items() if value}
            known = {"clusterName": cluster, "principalArn": principal, "policyArn": policy}
            return known | ({"accessScope": like(scope, inputs.get("accessScope") or scope)} if scope else {})
    return None


def _disassociate(aws: Aws, id: str, outputs: Properties) -> None:
    cluster, principal, policy = id.split("#")
    missing_ok(aws("eks").disassociate_access_policy, clusterName=cluster, principalArn=principal, policyArn=policy)


def _create_pod_identity(aws: Aws, inputs: Properties) -> str:
    wanted = pick(
        inputs, "clusterName", "namespace", "serviceAccount", "roleArn", "tags", "targetRoleArn", "disableSessionTags"
    )
    id: str = aws("eks").create_pod_identity_association(**wanted)["association"]["associationId"]
    return id


def _read_pod_identity(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    answer = missing_ok(aws("eks").describe_pod_identity_association, clusterName=inputs["clusterName"], associationId=id)
    if answer is None:
        return None
    return pick(
        answer["association"],
        "clusterName",
        "namespace",
        "serviceAccount",
        "roleArn",
        "associationArn",
        "associationId",
        "tags",
    )


def _update_pod_identity(aws: Aws, change: Change) -> None:
    if change.changed & {"roleArn", "targetRoleArn", "disableSessionTags"}:
        wanted = pick(change.new, "roleArn", "targetRoleArn", "disableSessionTags")
        aws("eks").update_pod_identity_association(clusterName=change.new["clusterName"], associationId=change.id, **wanted)


KINDS: dict[str, Kind] = {
    "aws:eks/accessEntry:AccessEntry": Kind(
        create=_create_access_entry,
        read=_read_access_entry,
        update=_update_access_entry,
        unique=True,
        delete=lambda aws, id, outputs: missing_ok(aws("eks").delete_access_entry, **_entry(id)),
        force_new=frozenset({"clusterName", "principalArn", "type"}),
    ),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": Kind(
        create=_associate,
        read=_read_association,
        delete=_disassociate,
        unique=True,
        force_new=frozenset({"clusterName", "principalArn", "policyArn", "accessScope"}),
    ),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": Kind(
        create=_create_pod_identity,
        read=_read_pod_identity,
        update=_update_pod_identity,
        unique=True,
        delete=lambda aws, id, outputs: missing_ok(
            aws("eks").delete_pod_identity_association, clusterName=outputs["clusterName"], associationId=id
        ),
        force_new=frozenset({"clusterName", "namespace", "serviceAccount"}),
    ),
}
