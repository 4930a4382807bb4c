"""Hosted zones and records of Route 53, made in moto."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.pulumi.aws_kind import Aws, Kind, camel, first, missing_ok, pascal, pick, tag_list, tag_map, wait
from lab.pulumi.values import Properties


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
}
