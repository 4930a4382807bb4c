"""Security groups and the SDK's three ways to write rules.

Inline, an object per list of sources, an object per source.
"""

from __future__ import annotations

from typing import Any

from lab.pulumi.aws_ec2 import _tag, in_order_of
from lab.pulumi.aws_kind import Aws, Change, Kind, delete_by, first, missing_ok, tag_map
from lab.pulumi.plugin import PluginError
from lab.pulumi.values import Properties

_DIRECTIONS = ("ingress", "egress")


def _permission(rule: Properties, group: str) -> dict[str, Any]:
    """One IpPermission of an inline rule or a SecurityGroupRule, whose names for sources are the same but for two."""
    protocol = str(rule.get("protocol", "-1"))
    permission: dict[str, Any] = {"IpProtocol": "-1" if protocol in ("all", "-1") else protocol}
    if permission["IpProtocol"] != "-1":
        permission |= {"FromPort": rule.get("fromPort"), "ToPort": rule.get("toPort")}
    note = {"Description": rule["description"]} if rule.get("description") else {}
    groups = list(rule.get("securityGroups") or [])
    if rule.get("sourceSecurityGroupId"):
        groups.append(rule["sourceSecurityGroupId"])
    if rule.get("self"):
        groups.append(group)
    for name, ours, key in (
        ("IpRanges", rule.get("cidrBlocks"), "CidrIp"),
        ("Ipv6Ranges", rule.get("ipv6CidrBlocks"), "CidrIpv6"),
        ("PrefixListIds", rule.get("prefixListIds"), "PrefixListId"),
        ("UserIdGroupPairs", groups, "GroupId"),
    ):
        if ours:
            permission[name] = [{key: value} | note for value in ours]
    return permission


def _authorize(aws: Aws, direction: str, group: str, permissions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not permissions:
        return []
    call = getattr(aws("ec2"), f"authorize_security_group_{direction}")
    rules: list[dict[str, Any]] = call(GroupId=group, IpPermissions=permissions).get("SecurityGroupRules", [])
    return rules


def _revoke(aws: Aws, direction: str, group: str, permissions: list[dict[str, Any]]) -> None:
    if permissions:
        missing_ok(getattr(aws("ec2"), f"revoke_security_group_{direction}"), GroupId=group, IpPermissions=permissions)


def _create_group(aws: Aws, inputs: Properties) -> str:
    ec2 = aws("ec2")
    wanted = {"GroupName": inputs["name"], "Description": inputs.get("description") or "Managed by Pulumi"}
    if inputs.get("vpcId"):
        wanted["VpcId"] = inputs["vpcId"]
    id: str = ec2.create_security_group(**wanted)["GroupId"]
    group = first(ec2.describe_security_groups(GroupIds=[id]), "SecurityGroups")
    # The provider takes AWS's allow-all away; programs ask for what they want.
    _revoke(aws, "egress", id, group.get("IpPermissionsEgress", []))
    for direction in _DIRECTIONS:
        _authorize(aws, direction, id, [_permission(rule, id) for rule in inputs.get(direction) or []])
    return id


def _flat(permissions: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Permissions as a set of single sources: how AWS groups them says nothing."""
    keys = {
        "IpRanges": "CidrIp",
        "Ipv6Ranges": "CidrIpv6",
        "PrefixListIds": "PrefixListId",
        "UserIdGroupPairs": "GroupId",
    }
    return {
        (
            p["IpProtocol"],
            p.get("FromPort") if p["IpProtocol"] != "-1" else None,
            p.get("ToPort") if p["IpProtocol"] != "-1" else None,
            key,
            item[key],
        )
        for p in permissions
        for name, key in keys.items()
        for item in p.get(name) or []
    }


def _inline(permissions: list[dict[str, Any]], wanted: list[Properties], group: str) -> list[Properties]:
    """Live rules in the inputs' words: equal when they grant the same, else a rule per permission as AWS tells it."""
    if _flat(permissions) == _flat([_permission(rule, group) for rule in wanted]):
        return wanted
    rules = []
    for p in permissions:
        rule: Properties = {"protocol": p["IpProtocol"], "fromPort": p.get("FromPort", 0), "toPort": p.get("ToPort", 0)}
        rule |= {"cidrBlocks": [r["CidrIp"] for r in p["IpRanges"]]} if p.get("IpRanges") else {}
        rule |= {"ipv6CidrBlocks": [r["CidrIpv6"] for r in p["Ipv6Ranges"]]} if p.get("Ipv6Ranges") else {}
        rule |= {"securityGroups": [r["GroupId"] for r in p["UserIdGroupPairs"]]} if p.get("UserIdGroupPairs") else {}
        rules.append(rule)
    return in_order_of(rules, wanted)


def _read_group(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    group = first(missing_ok(aws("ec2").describe_security_groups, GroupIds=[id]), "SecurityGroups")
    if group is None:
        return None
    live = {
        "name": group["GroupName"],
        "description": group["Description"],
        "vpcId": group.get("VpcId", ""),
        "ownerId": group.get("OwnerId", ""),
        "arn": aws.arn("ec2", f"security-group/{id}"),
        "tags": tag_map(group.get("Tags")),
    }
    for direction, name in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        if inputs.get(direction) is not None:  # not given inline: rules are objects of their own
            live[direction] = _inline(group.get(name, []), inputs[direction], id)
    return live


def _update_group(aws: Aws, change: Change) -> None:
    group = first(aws("ec2").describe_security_groups(GroupIds=[change.id]), "SecurityGroups")
    for direction, name in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        if direction in change.changed:
            _revoke(aws, direction, change.id, group.get(name, []))
            _authorize(aws, direction, change.id, [_permission(rule, change.id) for rule in change.new.get(direction) or []])


# --- SecurityGroupRule: one object, several sources ------------------------------------------------


def _create_rule(aws: Aws, inputs: Properties) -> str:
    group = inputs["securityGroupId"]
    rules = _authorize(aws, inputs["type"], group, [_permission(inputs, group)])
    rule: str = rules[0]["SecurityGroupRuleId"] if rules else group
    return f"sgrule-{rule.rsplit('-', 1)[-1]}"


def _read_rule(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    group = first(missing_ok(aws("ec2").describe_security_groups, GroupIds=[inputs["securityGroupId"]]), "SecurityGroups")
    if group is None:
        return None
    live = _flat(group["IpPermissions" if inputs["type"] == "ingress" else "IpPermissionsEgress"])
    wanted = _flat([_permission(inputs, inputs["securityGroupId"])])
    return {} if wanted and wanted <= live else None


def _delete_rule(aws: Aws, id: str, outputs: Properties) -> None:
    _revoke(aws, outputs["type"], outputs["securityGroupId"], [_permission(outputs, outputs["securityGroupId"])])


# --- vpc.SecurityGroupIngressRule and -EgressRule: one source each ---------------------------------

_SOURCES = {
    "cidrIpv4": "cidrBlocks",
    "cidrIpv6": "ipv6CidrBlocks",
    "prefixListId": "prefixListIds",
    "referencedSecurityGroupId": "securityGroups",
}


def _single(inputs: Properties) -> dict[str, Any]:
    rule: Properties = {
        "protocol": inputs.get("ipProtocol"),
        **{k: inputs.get(k) for k in ("fromPort", "toPort", "description")},
    }
    return _permission(rule | {theirs: [inputs[ours]] for ours, theirs in _SOURCES.items() if inputs.get(ours)}, "")


def _single_kind(direction: str) -> Kind:
    def create(aws: Aws, inputs: Properties) -> str:
        rules = _authorize(aws, direction, inputs["securityGroupId"], [_single(inputs)])
        if not rules:
            raise PluginError(f"security group {inputs['securityGroupId']}: no {direction} rule was made; give one source")
        id: str = rules[0]["SecurityGroupRuleId"]
        return id

    def read(aws: Aws, id: str, inputs: Properties) -> Properties | None:
        rule = first(missing_ok(aws("ec2").describe_security_group_rules, SecurityGroupRuleIds=[id]), "SecurityGroupRules")
        if rule is None:
            return None
        live = {
            "securityGroupId": rule.get("GroupId"),
            "ipProtocol": rule.get("IpProtocol"),
            "securityGroupRuleId": id,
            "cidrIpv4": rule.get("CidrIpv4"),
            "cidrIpv6": rule.get("CidrIpv6"),
            "arn": aws.arn("ec2", f"security-group-rule/{id}"),
        }
        if rule.get("IpProtocol") != "-1":
            live |= {"fromPort": rule.get("FromPort"), "toPort": rule.get("ToPort")}
        return {name: value for name, value in live.items() if value is not None}

    def delete(aws: Aws, id: str, outputs: Properties) -> None:
        missing_ok(
            getattr(aws("ec2"), f"revoke_security_group_{direction}"),
            GroupId=outputs["securityGroupId"],
            SecurityGroupRuleIds=[id],
        )

    names = {"securityGroupId", "ipProtocol", "fromPort", "toPort", *_SOURCES}
    return Kind(create=create, read=read, delete=delete, tag=_tag, force_new=frozenset(names), unique=True)


KINDS: dict[str, Kind] = {
    "aws:ec2/securityGroup:SecurityGroup": Kind(
        create=_create_group,
        read=_read_group,
        update=_update_group,
        tag=_tag,
        name="name",
        delete=delete_by("ec2", "delete_security_group", "GroupId"),
        force_new=frozenset({"name", "namePrefix", "description", "vpcId"}),
        defaults={"description": "Managed by Pulumi"},
    ),
    "aws:ec2/securityGroupRule:SecurityGroupRule": Kind(
        create=_create_rule,
        read=_read_rule,
        delete=_delete_rule,
        unique=True,
        force_new=frozenset(
            {
                "securityGroupId",
                "type",
                "protocol",
                "fromPort",
                "toPort",
                "cidrBlocks",
                "ipv6CidrBlocks",
                "prefixListIds",
                "self",
                "sourceSecurityGroupId",
            }
        ),
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _single_kind("ingress"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _single_kind("egress"),
}
