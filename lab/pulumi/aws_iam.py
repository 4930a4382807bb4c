"""IAM: roles, policies, what is attached, and OIDC providers, made in moto."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from lab.pulumi.aws_kind import Aws, Change, Kind, delete_by, missing_ok, pascal, tag_list, tag_map
from lab.pulumi.values import Properties


def _document(live: Any, wanted: Any) -> str:
    """A policy document as text; the program's own text when it says the same, for AWS may write it differently."""
    text = unquote(live) if isinstance(live, str) else json.dumps(live)
    try:
        if isinstance(wanted, str) and json.loads(text) == json.loads(wanted):
            return wanted
    except ValueError:
        pass
    return text


def _tag_calls(tag: str, untag: str, key: str) -> Any:
    def apply(aws: Aws, id: str, outputs: Properties, added: Mapping[str, str], removed: Iterable[str]) -> None:
        if added:
            getattr(aws("iam"), tag)(**{key: id}, Tags=tag_list(added))
        if removed:
            getattr(aws("iam"), untag)(**{key: id}, TagKeys=list(removed))

    return apply


# --- roles -----------------------------------------------------------------------------------------


def _create_role(aws: Aws, inputs: Properties) -> str:
    wanted = pascal(inputs, "description", "path", "maxSessionDuration", "permissionsBoundary")
    aws("iam").create_role(RoleName=inputs["name"], AssumeRolePolicyDocument=inputs["assumeRolePolicy"], **wanted)
    for arn in inputs.get("managedPolicyArns") or []:
        aws("iam").attach_role_policy(RoleName=inputs["name"], PolicyArn=arn)
    for policy in inputs.get("inlinePolicies") or []:
        aws("iam").put_role_policy(RoleName=inputs["name"], PolicyName=policy["name"], PolicyDocument=policy["policy"])
    return str(inputs["name"])


def _read_role(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    answer = missing_ok(aws("iam").get_role, RoleName=id)
    if answer is None:
        return None
    role = answer["Role"]
    live = {
        "name": role["RoleName"],
        "arn": role["Arn"],
        "path": role["Path"],
        "uniqueId": role["RoleId"],
        "createDate": role["CreateDate"].isoformat(),
        "tags": tag_map(role.get("Tags")),
        "assumeRolePolicy": _document(role["AssumeRolePolicyDocument"], inputs.get("assumeRolePolicy")),
        "description": role.get("Description", ""),
        "maxSessionDuration": role.get("MaxSessionDuration", 3600),
    }
    if "managedPolicyArns" in inputs:
        attached = [p["PolicyArn"] for p in aws("iam").list_attached_role_policies(RoleName=id)["AttachedPolicies"]]
        wanted = inputs["managedPolicyArns"]
        live["managedPolicyArns"] = wanted if sorted(wanted) == sorted(attached) else attached
    return live


def _update_role(aws: Aws, change: Change) -> None:
    iam = aws("iam")
    if "assumeRolePolicy" in change.changed:
        iam.update_assume_role_policy(RoleName=change.id, PolicyDocument=change.new["assumeRolePolicy"])
    if change.changed & {"description", "maxSessionDuration"}:
        iam.update_role(RoleName=change.id, **pascal(change.new, "description", "maxSessionDuration"))
    if "managedPolicyArns" in change.changed:
        old, new = set(change.old.get("managedPolicyArns") or []), set(change.new.get("managedPolicyArns") or [])
        for arn in sorted(new - old):
            iam.attach_role_policy(RoleName=change.id, PolicyArn=arn)
        for arn in sorted(old - new):
            missing_ok(iam.detach_role_policy, RoleName=change.id, PolicyArn=arn)


def _delete_role(aws: Aws, id: str, outputs: Properties) -> None:
    iam = aws("iam")
    if outputs.get("forceDetachPolicies") or outputs.get("managedPolicyArns"):
        attached = missing_ok(iam.list_attached_role_policies, RoleName=id) or {"AttachedPolicies": []}
        for policy in attached["AttachedPolicies"]:
            missing_ok(iam.detach_role_policy, RoleName=id, PolicyArn=policy["PolicyArn"])
    for policy in outputs.get("inlinePolicies") or []:
        missing_ok(iam.delete_role_policy, RoleName=id, PolicyName=policy["name"])
    missing_ok(iam.delete_role, RoleName=id)


# --- attachments and inline policies ---------------------------------------------------------------


def _attach(aws: Aws, inputs: Properties) -> str:
    aws("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
    return f"{inputs['role']}/{inputs['policyArn']}"


def _read_attachment(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    role, _, arn = id.partition("/")
    answer = missing_ok(aws("iam").list_attached_role_policies, RoleName=role)
    attached = [policy["PolicyArn"] for policy in (answer or {"AttachedPolicies": []})["AttachedPolicies"]]
    return {"role": role, "policyArn": arn} if arn in attached else None


def _detach(aws: Aws, id: str, outputs: Properties) -> None:
    role, _, arn = id.partition("/")
    missing_ok(aws("iam").detach_role_policy, RoleName=role, PolicyArn=arn)


def _put_role_policy(aws: Aws, inputs: Properties) -> str:
    aws("iam").put_role_policy(RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"])
    return f"{inputs['role']}:{inputs['name']}"


def _update_role_policy(aws: Aws, change: Change) -> None:
    _put_role_policy(aws, change.new)


def _read_role_policy(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    role, _, name = id.partition(":")
    answer = missing_ok(aws("iam").get_role_policy, RoleName=role, PolicyName=name)
    return answer and {"role": role, "name": name, "policy": _document(answer["PolicyDocument"], inputs.get("policy"))}


def _delete_role_policy(aws: Aws, id: str, outputs: Properties) -> None:
    role, _, name = id.partition(":")
    missing_ok(aws("iam").delete_role_policy, RoleName=role, PolicyName=name)


# --- managed policies ------------------------------------------------------------------------------


def _create_policy(aws: Aws, inputs: Properties) -> str:
    wanted = pascal(inputs, "description", "path")
    arn: str = aws("iam").create_policy(PolicyName=inputs["name"], PolicyDocument=inputs["policy"], **wanted)["Policy"]["Arn"]
    return arn


def _read_policy(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    answer = missing_ok(aws("iam").get_policy, PolicyArn=id)
    if answer is None:
        return None
    policy = answer["Policy"]
    version = aws("iam").get_policy_version(PolicyArn=id, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    return {
        "name": policy["PolicyName"],
        "arn": id,
        "path": policy["Path"],
        "policyId": policy["PolicyId"],
        "attachmentCount": policy.get("AttachmentCount", 0),
        "tags": tag_map(policy.get("Tags")),
        "policy": _document(version["Document"], inputs.get("policy")),
    }


def _update_policy(aws: Aws, change: Change) -> None:
    if "policy" not in change.changed:
        return
    iam = aws("iam")
    for version in iam.list_policy_versions(PolicyArn=change.id)["Versions"]:  # AWS keeps five at most
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=change.id, VersionId=version["VersionId"])
    iam.create_policy_version(PolicyArn=change.id, PolicyDocument=change.new["policy"], SetAsDefault=True)


def _delete_policy(aws: Aws, id: str, outputs: Properties) -> None:
    iam = aws("iam")
    for version in (missing_ok(iam.list_policy_versions, PolicyArn=id) or {"Versions": []})["Versions"]:
        if not version["IsDefaultVersion"]:
            missing_ok(iam.delete_policy_version, PolicyArn=id, VersionId=version["VersionId"])
    missing_ok(iam.delete_policy, PolicyArn=id)


# --- OIDC providers --------------------------------------------------------------------------------


def _create_oidc(aws: Aws, inputs: Properties) -> str:
    wanted = {"ClientIDList": inputs["clientIdLists"], "ThumbprintList": inputs.get("thumbprintLists") or ["0" * 40]}
    arn: str = aws("iam").create_open_id_connect_provider(Url=_https(inputs["url"]), **wanted)["OpenIDConnectProviderArn"]
    return arn


def _https(url: str) -> str:
    return url if "://" in url else f"https://{url}"


def _read_oidc(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    answer = missing_ok(aws("iam").get_open_id_connect_provider, OpenIDConnectProviderArn=id)
    if answer is None:
        return None
    url = inputs.get("url", "")
    live = answer["Url"]
    return {
        "arn": id,
        "url": url if url.removeprefix("https://") == live.removeprefix("https://") else live,
        "clientIdLists": answer["ClientIDList"],
        "thumbprintLists": answer["ThumbprintList"],
        "tags": tag_map(answer.get("Tags")),
    }


def _update_oidc(aws: Aws, change: Change) -> None:
    iam = aws("iam")
    if "thumbprintLists" in change.changed:
        iam.update_open_id_connect_provider_thumbprint(
            OpenIDConnectProviderArn=change.id, ThumbprintList=change.new["thumbprintLists"]
        )
    if "clientIdLists" in change.changed:
        old, new = set(change.old["clientIdLists"]), set(change.new["clientIdLists"])
        for client in sorted(new - old):
            iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=change.id, ClientID=client)
        for client in sorted(old - new):
            iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=change.id, ClientID=client)


KINDS: dict[str, Kind] = {
    "aws:iam/role:Role": Kind(
        create=_create_role,
        read=_read_role,
        update=_update_role,
        delete=_delete_role,
        name="name",
        tag=_tag_calls("tag_role", "untag_role", "RoleName"),
        force_new=frozenset({"name", "namePrefix", "path"}),
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Kind(
        create=_attach,
        read=_read_attachment,
        delete=_detach,
        force_new=frozenset({"role", "policyArn"}),
        unique=True,
    ),
    "aws:iam/rolePolicy:RolePolicy": Kind(
        create=_put_role_policy,
        read=_read_role_policy,
        delete=_delete_role_policy,
        name="name",
        update=_update_role_policy,
        force_new=frozenset({"role", "name", "namePrefix"}),
    ),
    "aws:iam/policy:Policy": Kind(
        create=_create_policy,
        read=_read_policy,
        update=_update_policy,
        delete=_delete_policy,
        name="name",
        tag=_tag_calls("tag_policy", "untag_policy", "PolicyArn"),
        force_new=frozenset({"name", "namePrefix", "path", "description"}),
    ),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": Kind(
        create=_create_oidc,
        read=_read_oidc,
        update=_update_oidc,
        unique=True,
        delete=delete_by("iam", "delete_open_id_connect_provider", "OpenIDConnectProviderArn"),
        tag=_tag_calls("tag_open_id_connect_provider", "untag_open_id_connect_provider", "OpenIDConnectProviderArn"),
        force_new=frozenset({"url"}),
    ),
}
