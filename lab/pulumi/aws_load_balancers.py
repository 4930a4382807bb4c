"""Load balancers, target groups and listeners, made in moto."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.pulumi.aws_kind import Aws, Change, Kind, camel, delete_by, first, missing_ok, pascal, pick, tag_list, tag_map
from lab.pulumi.values import Properties


def _tag_lb(aws: Aws, id: str, outputs: Properties, added: Mapping[str, str], removed: Iterable[str]) -> None:
    if added:
        aws("elbv2").add_tags(ResourceArns=[id], Tags=tag_list(added))
    if removed:
        aws("elbv2").remove_tags(ResourceArns=[id], TagKeys=list(removed))


def _lb_tags(aws: Aws, arn: str) -> dict[str, str]:
    return tag_map((first(aws("elbv2").describe_tags(ResourceArns=[arn]), "TagDescriptions") or {}).get("Tags"))


def _suffix(arn: str) -> str:
    return arn.split(":", 5)[5]


def _create_lb(aws: Aws, inputs: Properties) -> str:
    wanted = {
        "Name": inputs["name"],
        "Type": inputs.get("loadBalancerType", "application"),
        "Scheme": "internal" if inputs.get("internal") else "internet-facing",
    }
    wanted |= pascal(inputs, "securityGroups", "subnets", "ipAddressType")
    if inputs.get("subnetMappings"):
        wanted["SubnetMappings"] = [
            pascal(m, "subnetId", "allocationId", "privateIPv4Address") for m in inputs["subnetMappings"]
        ]
    arn: str = aws("elbv2").create_load_balancer(**wanted)["LoadBalancers"][0]["LoadBalancerArn"]
    return arn


def _read_lb(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    balancer = first(missing_ok(aws("elbv2").describe_load_balancers, LoadBalancerArns=[id]), "LoadBalancers")
    if balancer is None:
        return None
    subnets = [zone["SubnetId"] for zone in balancer.get("AvailabilityZones", [])]
    wanted = inputs.get("subnets") or []
    return {
        "arn": id,
        "name": balancer["LoadBalancerName"],
        "dnsName": balancer["DNSName"],
        "zoneId": balancer.get("CanonicalHostedZoneId") or "Z32O12XQLNTSW2",
        "loadBalancerType": balancer["Type"],
        "internal": balancer["Scheme"] == "internal",
        "vpcId": balancer.get("VpcId", ""),
        "securityGroups": balancer.get("SecurityGroups", []),
        "subnets": wanted if sorted(wanted) == sorted(subnets) else subnets,
        "ipAddressType": balancer.get("IpAddressType", "ipv4"),
        "arnSuffix": _suffix(id).removeprefix("loadbalancer/"),
        "tags": _lb_tags(aws, id),
    }


def _update_lb(aws: Aws, change: Change) -> None:
    if "securityGroups" in change.changed:
        aws("elbv2").set_security_groups(LoadBalancerArn=change.id, SecurityGroups=change.new.get("securityGroups") or [])
    if "subnets" in change.changed:
        aws("elbv2").set_subnets(LoadBalancerArn=change.id, Subnets=change.new["subnets"])


def _health(inputs: Properties) -> dict[str, Any]:
    check = inputs.get("healthCheck") or {}
    names = {
        "enabled": "HealthCheckEnabled",
        "interval": "HealthCheckIntervalSeconds",
        "path": "HealthCheckPath",
        "port": "HealthCheckPort",
        "protocol": "HealthCheckProtocol",
        "timeout": "HealthCheckTimeoutSeconds",
        "healthyThreshold": "HealthyThresholdCount",
        "unhealthyThreshold": "UnhealthyThresholdCount",
    }
    wanted = {theirs: check[ours] for ours, theirs in names.items() if check.get(ours) is not None}
    return wanted | ({"Matcher": {"HttpCode": check["matcher"]}} if check.get("matcher") else {})


def _create_target_group(aws: Aws, inputs: Properties) -> str:
    wanted = pascal(inputs, "name", "port", "protocol", "protocolVersion", "targetType", "vpcId", "ipAddressType")
    arn: str = aws("elbv2").create_target_group(**wanted, **_health(inputs))["TargetGroups"][0]["TargetGroupArn"]
    return arn


def _read_target_group(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    group = first(missing_ok(aws("elbv2").describe_target_groups, TargetGroupArns=[id]), "TargetGroups")
    if group is None:
        return None
    live = pick(group, "Port", "Protocol", "ProtocolVersion", "TargetType", "VpcId")
    return camel(live) | {
        "arn": id,
        "name": group["TargetGroupName"],
        "arnSuffix": _suffix(id),
        "tags": _lb_tags(aws, id),
        "loadBalancerArns": group.get("LoadBalancerArns", []),
    }


def _actions(inputs: Properties) -> list[dict[str, Any]]:
    actions = []
    for action in inputs["defaultActions"]:
        wanted: dict[str, Any] = {"Type": action["type"], **pascal(action, "targetGroupArn", "order")}
        if forward := action.get("forward"):
            groups = [{"TargetGroupArn": group["arn"], "Weight": group.get("weight", 1)} for group in forward["targetGroups"]]
            wanted["ForwardConfig"] = {"TargetGroups": groups}
            if sticky := forward.get("stickiness"):
                wanted["ForwardConfig"]["TargetGroupStickinessConfig"] = {
                    "Enabled": sticky.get("enabled", False),
                    "DurationSeconds": sticky["duration"],
                }
        if redirect := action.get("redirect"):
            wanted["RedirectConfig"] = pascal(redirect, "host", "path", "port", "protocol", "query", "statusCode")
        if fixed := action.get("fixedResponse"):
            wanted["FixedResponseConfig"] = pascal(fixed, "contentType", "messageBody", "statusCode")
        actions.append(wanted)
    return actions


def _create_listener(aws: Aws, inputs: Properties) -> str:
    wanted = pascal(inputs, "loadBalancerArn", "port", "protocol", "sslPolicy") | {"DefaultActions": _actions(inputs)}
    if inputs.get("certificateArn"):
        wanted["Certificates"] = [{"CertificateArn": inputs["certificateArn"]}]
    arn: str = aws("elbv2").create_listener(**wanted)["Listeners"][0]["ListenerArn"]
    return arn


def _read_listener(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    listener = first(missing_ok(aws("elbv2").describe_listeners, ListenerArns=[id]), "Listeners")
    if listener is None:
        return None
    live = camel(pick(listener, "LoadBalancerArn", "Port", "Protocol")) | {"arn": id, "tags": _lb_tags(aws, id)}
    if actions := inputs.get("defaultActions"):
        live["defaultActions"] = [
            _live_action(one, wanted) for one, wanted in zip(listener["DefaultActions"], actions, strict=False)
        ]
    return live


def _live_action(live: Mapping[str, Any], wanted: Properties) -> Properties:
    """The wanted action with what AWS says of its weights and targets: what a shift moves, and what drift is about."""
    action = wanted | {"type": live["Type"]}
    if "targetGroupArn" in wanted and "TargetGroupArn" in live:
        action["targetGroupArn"] = live["TargetGroupArn"]
    groups = live.get("ForwardConfig", {}).get("TargetGroups", [])
    if "forward" in wanted and groups:
        weights = {group["TargetGroupArn"]: group.get("Weight", 1) for group in groups}
        asked = [group for group in wanted["forward"]["targetGroups"] if group["arn"] in weights]
        kept = [group | ({"weight": weights[group["arn"]]} if "weight" in group else {}) for group in asked]
        known = {group["arn"] for group in asked}
        action["forward"] = wanted["forward"] | {
            "targetGroups": kept + [{"arn": arn, "weight": weight} for arn, weight in weights.items() if arn not in known]
        }
    return action


def _update_listener(aws: Aws, change: Change) -> None:
    wanted = pascal(change.new, "port", "protocol", "sslPolicy") | {"DefaultActions": _actions(change.new)}
    if change.new.get("certificateArn"):
        wanted["Certificates"] = [{"CertificateArn": change.new["certificateArn"]}]
    aws("elbv2").modify_listener(ListenerArn=change.id, **wanted)


KINDS: dict[str, Kind] = {
    "aws:lb/loadBalancer:LoadBalancer": Kind(
        create=_create_lb,
        read=_read_lb,
        update=_update_lb,
        tag=_tag_lb,
        name="name",
        delete=delete_by("elbv2", "delete_load_balancer", "LoadBalancerArn"),
        force_new=frozenset({"name", "namePrefix", "internal", "loadBalancerType"}),
    ),
    "aws:lb/targetGroup:TargetGroup": Kind(
        create=_create_target_group,
        read=_read_target_group,
        tag=_tag_lb,
        name="name",
        update=lambda aws, change: (
            aws("elbv2").modify_target_group(TargetGroupArn=change.id, **_health(change.new))
            if "healthCheck" in change.changed
            else None
        ),
        delete=delete_by("elbv2", "delete_target_group", "TargetGroupArn"),
        force_new=frozenset({"name", "namePrefix", "port", "protocol", "protocolVersion", "targetType", "vpcId"}),
    ),
    "aws:lb/listener:Listener": Kind(
        create=_create_listener,
        read=_read_listener,
        update=_update_listener,
        tag=_tag_lb,
        unique=True,
        delete=delete_by("elbv2", "delete_listener", "ListenerArn"),
        force_new=frozenset({"loadBalancerArn"}),
    ),
}
