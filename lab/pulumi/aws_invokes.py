"""The aws functions that programs ask: zones, who and where we are, and policy documents (pure)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lab.pulumi.aws_kind import ACCOUNT, Aws
from lab.pulumi.values import Properties


def _zones(aws: Aws, args: Properties) -> Properties:
    zones = aws("ec2").describe_availability_zones()["AvailabilityZones"]
    names = sorted(zone["ZoneName"] for zone in zones)
    kept = [name for name in names if name not in (args.get("excludeNames") or [])]
    ids = {zone["ZoneName"]: zone["ZoneId"] for zone in zones}
    return {
        "id": aws.region,
        "names": kept,
        "zoneIds": [ids[name] for name in kept],
        "groupNames": [aws.region],
        "region": aws.region,
    }


def _identity(aws: Aws, args: Properties) -> Properties:
    caller = aws("sts").get_caller_identity()
    return {"id": caller["Account"], "accountId": caller["Account"], "arn": caller["Arn"], "userId": caller["UserId"]}


def _region(aws: Aws, args: Properties) -> Properties:
    name = args.get("region") or args.get("name") or aws.region
    return {"id": name, "name": name, "region": name, "endpoint": f"ec2.{name}.amazonaws.com", "description": name}


def _partition(aws: Aws, args: Properties) -> Properties:
    return {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}


def _default_tags(aws: Aws, args: Properties) -> Properties:
    return {"id": "default", "tags": aws.default_tags}


def _one_or_many(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else sorted(values, reverse=True)


def _principals(given: list[Properties]) -> Any:
    if any(principal["type"] == "*" for principal in given):
        return "*"
    return {principal["type"]: _one_or_many(principal["identifiers"]) for principal in given}


def _statement(given: Properties) -> Properties:
    statement: Properties = {"Effect": given.get("effect", "Allow")}
    if given.get("sid"):
        statement["Sid"] = given["sid"]
    for ours, theirs in (
        ("actions", "Action"),
        ("notActions", "NotAction"),
        ("resources", "Resource"),
        ("notResources", "NotResource"),
    ):
        if given.get(ours):
            statement[theirs] = _one_or_many(given[ours])
    for ours, theirs in (("principals", "Principal"), ("notPrincipals", "NotPrincipal")):
        if given.get(ours):
            statement[theirs] = _principals(given[ours])
    for condition in given.get("conditions") or []:
        tests = statement.setdefault("Condition", {}).setdefault(condition["test"], {})
        tests[condition["variable"]] = _one_or_many(condition["values"])
    return statement


def _policy_document(aws: Aws, args: Properties) -> Properties:
    statements: list[Properties] = []
    for source in args.get("sourcePolicyDocuments") or []:
        inherited = json.loads(source).get("Statement", [])
        statements += inherited if isinstance(inherited, list) else [inherited]
    statements += [_statement(given) for given in args.get("statements") or []]
    for override in args.get("overridePolicyDocuments") or []:
        for statement in json.loads(override).get("Statement", []):
            statements = [s for s in statements if not s.get("Sid") or s.get("Sid") != statement.get("Sid")] + [statement]
    document = {"Version": args.get("version", "2012-10-17"), "Statement": statements}
    if args.get("policyId"):
        document["Id"] = args["policyId"]
    text = json.dumps(document, indent=2)
    return args | {
        "id": str(hash(text) & 0xFFFFFFFF),
        "json": text,
        "minifiedJson": json.dumps(document, separators=(",", ":")),
    }


def _addon_version(aws: Aws, args: Properties) -> Properties:
    addons = aws("eks").describe_addon_versions(addonName=args["addonName"], kubernetesVersion=args["kubernetesVersion"])[
        "addons"
    ]
    versions = [version["addonVersion"] for addon in addons for version in addon["addonVersions"]]
    return args | {
        "id": args["addonName"],
        "version": versions[0] if versions else "",
        "mostRecent": bool(args.get("mostRecent")),
    }


def _cluster(aws: Aws, args: Properties) -> Properties:
    from lab.pulumi.aws_eks import _read_cluster
    from lab.pulumi.plugin import PluginError

    live = _read_cluster(aws, args["name"], {})
    if live is None:
        raise PluginError(f"no EKS cluster {args['name']!r} in account {ACCOUNT}, region {aws.region}")
    return args | live | {"id": args["name"]}


INVOKES: dict[str, Callable[[Aws, Properties], Properties]] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": _zones,
    "aws:index/getCallerIdentity:getCallerIdentity": _identity,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
    "aws:index/getDefaultTags:getDefaultTags": _default_tags,
    "aws:iam/getPolicyDocument:getPolicyDocument": _policy_document,
    "aws:eks/getAddonVersion:getAddonVersion": _addon_version,
    "aws:eks/getCluster:getCluster": _cluster,
}
