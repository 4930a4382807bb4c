"""Route 53, load balancers, keys, log groups and certificates, made in moto."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lab.pulumi.aws_kind import Aws, Change, Kind, camel, first, missing_ok, pascal, pick, tag_list, tag_map, wait
from lab.pulumi.values import Properties

# --- Route 53 --------------------------------------------------------------------------------------


def _insync(aws: Aws, answer: Mapping[str, Any]) -> None:
    change = answer["ChangeInfo"]["Id"]
    wait(
        f"Route 53 change {change} INSYNC",
        lambda: aws("route53").get_change(Id=change)["ChangeInfo"]["Status"] == "INSYNC",
    )


def _create_zone(aws: Aws, inputs: Properties) -> str:
    wanted: dict[str, Any] = {
        "HostedZoneConfig": {
            "Comment": inputs.get("comment") or "Managed by Pulumi",
            "PrivateZone": bool(inputs.get("vpcs")),
        }
    }
    if vpc := first(inputs, "vpcs"):
        wanted["VPC"] = {"VPCId": vpc["vpcId"], "VPCRegion": vpc.get("vpcRegion") or aws.region}
    from uuid import uuid4

    answer = aws("route53").create_hosted_zone(Name=inputs["name"], CallerReference=uuid4().hex, **wanted)
    _insync(aws, answer)
    return str(answer["HostedZone"]["Id"]).removeprefix("/hostedzone/")


def _read_zone(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    answer = missing_ok(aws("route53").get_hosted_zone, Id=id)
    if answer is None:
        return None
    tags = aws("route53").list_tags_for_resource(ResourceType="hostedzone", ResourceId=id)["ResourceTagSet"].get("Tags")
    servers = answer.get("DelegationSet", {}).get("NameServers", [])
    live = {
        "name": answer["HostedZone"]["Name"].removesuffix("."),
        "zoneId": id,
        "arn": f"arn:aws:route53:::hostedzone/{id}",
        "comment": answer["HostedZone"].get("Config", {}).get("Comment", ""),
        "tags": tag_map(tags),
        "nameServers": servers,
        "primaryNameServer": servers[0] if servers else "",
    }
    if inputs.get("name", "").endswith("."):
        live["name"] += "."
    return live


def _delete_zone(aws: Aws, id: str, outputs: Properties) -> None:
    if outputs.get("forceDestroy") and (listed := missing_ok(aws("route53").list_resource_record_sets, HostedZoneId=id)):
        for record in listed["ResourceRecordSets"]:
            if record["Type"] not in ("NS", "SOA"):
                _change(aws, id, "DELETE", record)
    missing_ok(aws("route53").delete_hosted_zone, Id=id)


def _tag_zone(aws: Aws, id: str, outputs: Properties, added: Mapping[str, str], removed: Iterable[str]) -> None:
    change = ({"AddTags": tag_list(added)} if added else {}) | ({"RemoveTagKeys": list(removed)} if removed else {})
    if change:
        aws("route53").change_tags_for_resource(ResourceType="hostedzone", ResourceId=id, **change)


def _change(aws: Aws, zone: str, action: str, record: Mapping[str, Any]) -> None:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    _insync(aws, aws("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch))


def _fqdn(aws: Aws, zone: str, name: str) -> str:
    """A record's full name: what does not end in the zone's name is relative to it, as Terraform has it."""
    domain = aws("route53").get_hosted_zone(Id=zone)["HostedZone"]["Name"].removesuffix(".")
    short = name.removesuffix(".").lower()
    return short if short == domain or short.endswith(f".{domain}") else f"{short}.{domain}" if short else domain


def _record(aws: Aws, inputs: Properties) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": _fqdn(aws, inputs["zoneId"], inputs["name"]), "Type": inputs["type"]}
    if alias := first(inputs, "aliases"):
        record["AliasTarget"] = {
            "DNSName": alias["name"],
            "HostedZoneId": alias["zoneId"],
            "EvaluateTargetHealth": alias.get("evaluateTargetHealth", False),
        }
    else:
        record |= {
            "TTL": inputs.get("ttl", 300),
            "ResourceRecords": [{"Value": _quoted(inputs["type"], v)} for v in inputs.get("records") or []],
        }
    if inputs.get("setIdentifier"):
        record["SetIdentifier"] = inputs["setIdentifier"]
    if weighted := first(inputs, "weightedRoutingPolicies"):
        record["Weight"] = weighted["weight"]
    if failover := first(inputs, "failoverRoutingPolicies"):
        record["Failover"] = failover["type"]
    if latency := first(inputs, "latencyRoutingPolicies"):
        record["Region"] = latency["region"]
    if inputs.get("multivalueAnswerRoutingPolicy"):
        record["MultiValueAnswer"] = True
    return record | pascal(inputs, "healthCheckId")


def _quoted(type: str, value: str) -> str:
    return f'"{value}"' if type in ("TXT", "SPF") and not value.startswith('"') else value


def _create_record(aws: Aws, inputs: Properties) -> str:
    _change(aws, inputs["zoneId"], "UPSERT" if inputs.get("allowOverwrite") else "CREATE", _record(aws, inputs))
    parts = [
        inputs["zoneId"],
        inputs["name"],
        inputs["type"],
        *([inputs["setIdentifier"]] if inputs.get("setIdentifier") else []),
    ]
    return "_".join(parts)


def _find_record(aws: Aws, inputs: Properties) -> dict[str, Any] | None:
    zone, type = inputs["zoneId"], inputs["type"]
    if missing_ok(aws("route53").get_hosted_zone, Id=zone) is None:
        return None
    name = _fqdn(aws, zone, inputs["name"])
    listed = aws("route53").get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    for record in (record for page in listed for record in page["ResourceRecordSets"]):
        written = record["Name"].removesuffix(".").replace("\\052", "*")
        if (written, record["Type"], record.get("SetIdentifier")) == (name, type, inputs.get("setIdentifier") or None):
            match: dict[str, Any] = record
            return match
    return None


def _read_record(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    if not inputs.get("zoneId"):  # an import: the id is all there is
        zone, name, type, *rest = id.split("_")
        inputs = {"zoneId": zone, "name": name, "type": type, **({"setIdentifier": "_".join(rest)} if rest else {})}
    record = _find_record(aws, inputs)
    if record is None:
        return None
    live = pick(inputs, "zoneId", "name", "type", "setIdentifier") | {"fqdn": _fqdn(aws, inputs["zoneId"], inputs["name"])}
    if alias := record.get("AliasTarget"):
        given = first(inputs, "aliases") or {}
        dns = alias["DNSName"].removesuffix(".")
        live["aliases"] = [
            {
                "name": given["name"] if given.get("name", "").removesuffix(".").lower() == dns.lower() else dns,
                "zoneId": alias["HostedZoneId"],
                "evaluateTargetHealth": alias["EvaluateTargetHealth"],
            }
        ]
    else:
        written = {_quoted(inputs["type"], value): value for value in inputs.get("records") or []}
        values = [written.get(item["Value"], item["Value"]) for item in record.get("ResourceRecords", [])]
        wanted = inputs.get("records") or []
        live |= {"ttl": record.get("TTL"), "records": wanted if sorted(wanted) == sorted(values) else values}
    if "Weight" in record:
        live["weightedRoutingPolicies"] = [{"weight": record["Weight"]}]
    if "Failover" in record:
        live["failoverRoutingPolicies"] = [{"type": record["Failover"]}]
    if "Region" in record:
        live["latencyRoutingPolicies"] = [{"region": record["Region"]}]
    return live | camel(pick(record, "HealthCheckId"))


def _delete_record(aws: Aws, id: str, outputs: Properties) -> None:
    record = _find_record(aws, outputs)
    if record is not None:  # what is there now, for a delete must name it exactly
        _change(aws, outputs["zoneId"], "DELETE", record)


# --- load balancers --------------------------------------------------------------------------------


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


# --- keys, logs, certificates ----------------------------------------------------------------------


def _create_key(aws: Aws, inputs: Properties) -> str:
    wanted = pascal(inputs, "description", "keyUsage", "policy", "multiRegion")
    id: str = aws("kms").create_key(**wanted)["KeyMetadata"]["KeyId"]
    if inputs.get("enableKeyRotation"):
        aws("kms").enable_key_rotation(KeyId=id)
    return id


def _read_key(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    answer = missing_ok(aws("kms").describe_key, KeyId=id)
    if answer is None or answer["KeyMetadata"]["KeyState"] == "PendingDeletion":
        return None
    tags = aws("kms").list_resource_tags(KeyId=id)["Tags"]
    live = {"arn": answer["KeyMetadata"]["Arn"], "keyId": id, "description": answer["KeyMetadata"]["Description"]}
    live["enableKeyRotation"] = aws("kms").get_key_rotation_status(KeyId=id)["KeyRotationEnabled"]
    return live | {"tags": {tag["TagKey"]: tag["TagValue"] for tag in tags}}


def _update_key(aws: Aws, change: Change) -> None:
    if "description" in change.changed:
        aws("kms").update_key_description(KeyId=change.id, Description=change.new.get("description") or "")
    if "enableKeyRotation" in change.changed:
        on = change.new.get("enableKeyRotation")
        (aws("kms").enable_key_rotation if on else aws("kms").disable_key_rotation)(KeyId=change.id)
    if "policy" in change.changed and change.new.get("policy"):
        aws("kms").put_key_policy(KeyId=change.id, PolicyName="default", Policy=change.new["policy"])


def _tag_key(aws: Aws, id: str, outputs: Properties, added: Mapping[str, str], removed: Iterable[str]) -> None:
    if added:
        aws("kms").tag_resource(KeyId=id, Tags=[{"TagKey": key, "TagValue": value} for key, value in added.items()])
    if removed:
        aws("kms").untag_resource(KeyId=id, TagKeys=list(removed))


def _create_log_group(aws: Aws, inputs: Properties) -> str:
    aws("logs").create_log_group(logGroupName=inputs["name"], **pick(inputs, "kmsKeyId"))
    if inputs.get("retentionInDays"):
        aws("logs").put_retention_policy(logGroupName=inputs["name"], retentionInDays=inputs["retentionInDays"])
    return str(inputs["name"])


def _read_log_group(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    listed = aws("logs").describe_log_groups(logGroupNamePrefix=id)["logGroups"]
    log_group = next((group for group in listed if group["logGroupName"] == id), None)
    if log_group is None:
        return None
    tags = aws("logs").list_tags_log_group(logGroupName=id)["tags"]
    return {
        "name": id,
        "arn": log_group["arn"].removesuffix(":*"),
        "retentionInDays": log_group.get("retentionInDays", 0),
        "tags": tags,
    }


def _update_log_group(aws: Aws, change: Change) -> None:
    if "retentionInDays" in change.changed:
        if days := change.new.get("retentionInDays"):
            aws("logs").put_retention_policy(logGroupName=change.id, retentionInDays=days)
        else:
            aws("logs").delete_retention_policy(logGroupName=change.id)


def _tag_log_group(aws: Aws, id: str, outputs: Properties, added: Mapping[str, str], removed: Iterable[str]) -> None:
    if added:
        aws("logs").tag_log_group(logGroupName=id, tags=dict(added))
    if removed:
        aws("logs").untag_log_group(logGroupName=id, tags=list(removed))


def _gone(service: str, call: str, key: str, **more: Any) -> Callable[[Aws, str, Properties], None]:
    return lambda aws, id, outputs: missing_ok(getattr(aws(service), call), **{key: id}, **more)


KINDS: dict[str, Kind] = {
    "aws:route53/zone:Zone": Kind(
        create=_create_zone,
        read=_read_zone,
        delete=_delete_zone,
        tag=_tag_zone,
        force_new=frozenset({"name", "delegationSetId"}),
        update=lambda aws, change: (
            aws("route53").update_hosted_zone_comment(Id=change.id, Comment=change.new.get("comment") or "")
            if "comment" in change.changed
            else None
        ),
        defaults={"comment": "Managed by Pulumi"},
    ),
    "aws:route53/record:Record": Kind(
        create=_create_record,
        read=_read_record,
        delete=_delete_record,
        update=lambda aws, change: _change(aws, change.new["zoneId"], "UPSERT", _record(aws, change.new)),
        force_new=frozenset({"zoneId", "name", "type", "setIdentifier"}),
    ),
    "aws:lb/loadBalancer:LoadBalancer": Kind(
        create=_create_lb,
        read=_read_lb,
        update=_update_lb,
        tag=_tag_lb,
        name="name",
        delete=_gone("elbv2", "delete_load_balancer", "LoadBalancerArn"),
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
        delete=_gone("elbv2", "delete_target_group", "TargetGroupArn"),
        force_new=frozenset({"name", "namePrefix", "port", "protocol", "protocolVersion", "targetType", "vpcId"}),
    ),
    "aws:lb/listener:Listener": Kind(
        create=_create_listener,
        read=_read_listener,
        update=_update_listener,
        tag=_tag_lb,
        unique=True,
        delete=_gone("elbv2", "delete_listener", "ListenerArn"),
        force_new=frozenset({"loadBalancerArn"}),
    ),
    "aws:kms/key:Key": Kind(
        create=_create_key,
        read=_read_key,
        update=_update_key,
        tag=_tag_key,
        delete=_gone("kms", "schedule_key_deletion", "KeyId", PendingWindowInDays=7),
        force_new=frozenset({"keyUsage", "customerMasterKeySpec", "multiRegion"}),
    ),
    "aws:cloudwatch/logGroup:LogGroup": Kind(
        create=_create_log_group,
        read=_read_log_group,
        update=_update_log_group,
        tag=_tag_log_group,
        name="name",
        delete=_gone("logs", "delete_log_group", "logGroupName"),
        force_new=frozenset({"name", "namePrefix"}),
    ),
}
