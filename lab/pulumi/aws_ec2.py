"""The network: VPC, subnets, gateways, routes, security groups and endpoints, made in moto."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from lab.pulumi.aws_kind import Aws, Change, Kind, camel, delete_by, first, missing_ok, pascal, tag_list, tag_map, wait
from lab.pulumi.values import Properties


def _tag(aws: Aws, id: str, outputs: Properties, added: Mapping[str, str], removed: Iterable[str]) -> None:
    if added:
        aws("ec2").create_tags(Resources=[id], Tags=tag_list(added))
    if removed:
        aws("ec2").delete_tags(Resources=[id], Tags=[{"Key": key} for key in removed])


def _tagged(answer: Mapping[str, Any]) -> Properties:
    """The SDK's names for what EC2 answered, tags as a map."""
    live: Properties = camel({key: value for key, value in answer.items() if key != "Tags"})
    return live | {"tags": tag_map(answer.get("Tags"))}


# --- VPC -------------------------------------------------------------------------------------------


def _create_vpc(aws: Aws, inputs: Properties) -> str:
    wanted = pascal(inputs, "cidrBlock", "instanceTenancy")
    if inputs.get("assignGeneratedIpv6CidrBlock"):
        wanted["AmazonProvidedIpv6CidrBlock"] = True
    id: str = aws("ec2").create_vpc(**wanted)["Vpc"]["VpcId"]
    _vpc_attributes(aws, id, inputs)
    return id


def _vpc_attributes(aws: Aws, id: str, inputs: Properties) -> None:
    for name in ("enableDnsSupport", "enableDnsHostnames"):  # one call each: EC2 takes no two at once
        if inputs.get(name) is not None:
            aws("ec2").modify_vpc_attribute(VpcId=id, **pascal({name: {"Value": inputs[name]}}, name))


def _read_vpc(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    ec2 = aws("ec2")
    vpc = first(missing_ok(ec2.describe_vpcs, VpcIds=[id]), "Vpcs")
    if vpc is None:
        return None
    here = [{"Name": "vpc-id", "Values": [id]}]
    tables = ec2.describe_route_tables(Filters=[*here, {"Name": "association.main", "Values": ["true"]}])["RouteTables"]
    groups = ec2.describe_security_groups(Filters=[*here, {"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
    acls = ec2.describe_network_acls(Filters=[*here, {"Name": "default", "Values": ["true"]}])["NetworkAcls"]
    table = tables[0]["RouteTableId"] if tables else ""
    return _tagged(vpc) | {
        "enableDnsSupport": ec2.describe_vpc_attribute(VpcId=id, Attribute="enableDnsSupport")["EnableDnsSupport"]["Value"],
        "enableDnsHostnames": ec2.describe_vpc_attribute(VpcId=id, Attribute="enableDnsHostnames")["EnableDnsHostnames"][
            "Value"
        ],
        "mainRouteTableId": table,
        "defaultRouteTableId": table,
        "defaultSecurityGroupId": groups[0]["GroupId"] if groups else "",
        "defaultNetworkAclId": acls[0]["NetworkAclId"] if acls else "",
        "arn": aws.arn("ec2", f"vpc/{id}"),
    }


# --- subnets ---------------------------------------------------------------------------------------


def _create_subnet(aws: Aws, inputs: Properties) -> str:
    wanted = pascal(inputs, "vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId", "ipv6CidrBlock")
    id: str = aws("ec2").create_subnet(**wanted)["Subnet"]["SubnetId"]
    _subnet_attributes(aws, id, inputs)
    return id


def _subnet_attributes(aws: Aws, id: str, inputs: Properties) -> None:
    for name in ("mapPublicIpOnLaunch", "assignIpv6AddressOnCreation"):
        if inputs.get(name) is not None:
            aws("ec2").modify_subnet_attribute(SubnetId=id, **pascal({name: {"Value": inputs[name]}}, name))


def _read_subnet(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    subnet = first(missing_ok(aws("ec2").describe_subnets, SubnetIds=[id]), "Subnets")
    return None if subnet is None else _tagged(subnet) | {"arn": aws.arn("ec2", f"subnet/{id}")}


# --- gateways --------------------------------------------------------------------------------------


def _create_internet_gateway(aws: Aws, inputs: Properties) -> str:
    id: str = aws("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    if inputs.get("vpcId"):
        aws("ec2").attach_internet_gateway(InternetGatewayId=id, VpcId=inputs["vpcId"])
    return id


def _read_internet_gateway(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    gateway = first(missing_ok(aws("ec2").describe_internet_gateways, InternetGatewayIds=[id]), "InternetGateways")
    if gateway is None:
        return None
    attached = first(gateway, "Attachments") or {}
    return {"tags": tag_map(gateway.get("Tags")), "arn": aws.arn("ec2", f"internet-gateway/{id}")} | pascal_less(
        attached, "VpcId"
    )


def pascal_less(answer: Mapping[str, Any], *names: str) -> Properties:
    return {name[:1].lower() + name[1:]: answer[name] for name in names if name in answer}


def _update_internet_gateway(aws: Aws, change: Change) -> None:
    if "vpcId" in change.changed:
        if change.old.get("vpcId"):
            missing_ok(aws("ec2").detach_internet_gateway, InternetGatewayId=change.id, VpcId=change.old["vpcId"])
        if change.new.get("vpcId"):
            aws("ec2").attach_internet_gateway(InternetGatewayId=change.id, VpcId=change.new["vpcId"])


def _delete_internet_gateway(aws: Aws, id: str, outputs: Properties) -> None:
    live = _read_internet_gateway(aws, id, {})
    if live and live.get("vpcId"):
        missing_ok(aws("ec2").detach_internet_gateway, InternetGatewayId=id, VpcId=live["vpcId"])
    missing_ok(aws("ec2").delete_internet_gateway, InternetGatewayId=id)


def _read_eip(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    address = first(missing_ok(aws("ec2").describe_addresses, AllocationIds=[id]), "Addresses")
    if address is None:
        return None
    live = _tagged(address)
    return live | {
        "arn": aws.arn("ec2", f"elastic-ip/{id}"),
        "publicDns": f"ec2-{live['publicIp'].replace('.', '-')}.test",
    }


def _create_nat_gateway(aws: Aws, inputs: Properties) -> str:
    id: str = aws("ec2").create_nat_gateway(**pascal(inputs, "allocationId", "subnetId", "connectivityType"))["NatGateway"][
        "NatGatewayId"
    ]
    wait(f"NAT gateway {id} available", lambda: (_nat(aws, id) or {}).get("State") == "available")
    return id


def _nat(aws: Aws, id: str) -> dict[str, Any] | None:
    gateway: dict[str, Any] | None = first(missing_ok(aws("ec2").describe_nat_gateways, NatGatewayIds=[id]), "NatGateways")
    return None if gateway is None or gateway.get("State") in ("deleted", "deleting") else gateway


def _read_nat_gateway(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    gateway = _nat(aws, id)
    if gateway is None:
        return None
    address = first(gateway, "NatGatewayAddresses") or {}
    return _tagged(gateway) | pascal_less(address, "AllocationId", "PublicIp", "NetworkInterfaceId")


# --- routes ----------------------------------------------------------------------------------------

_TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "transitGatewayId": "TransitGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
    "networkInterfaceId": "NetworkInterfaceId",
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
    "vpcEndpointId": "VpcEndpointId",
}
_DESTINATIONS = {
    "destinationCidrBlock": "DestinationCidrBlock",
    "destinationIpv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
    "cidrBlock": "DestinationCidrBlock",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",  # as a table's inline routes name them
}


def _route_arguments(route: Mapping[str, Any], targets: bool = True) -> dict[str, Any]:
    names = _DESTINATIONS | (_TARGETS if targets else {})
    return {theirs: route[ours] for ours, theirs in names.items() if route.get(ours)}


def _create_route(aws: Aws, inputs: Properties) -> str:
    aws("ec2").create_route(RouteTableId=inputs["routeTableId"], **_route_arguments(inputs))
    destination = "".join(_route_arguments(inputs, targets=False).values())
    return f"r-{inputs['routeTableId']}{int(hashlib.sha256(destination.encode()).hexdigest()[:8], 16)}"


def _read_route(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    table = first(missing_ok(aws("ec2").describe_route_tables, RouteTableIds=[inputs["routeTableId"]]), "RouteTables")
    wanted = _route_arguments(inputs, targets=False)
    for route in (table or {}).get("Routes", []):
        if all(route.get(name) == value for name, value in wanted.items()):
            live = {ours: route[theirs] for ours, theirs in (_TARGETS | _DESTINATIONS).items() if route.get(theirs)}
            return {name: value for name, value in live.items() if name not in ("cidrBlock", "ipv6CidrBlock")} | {
                "state": route.get("State", "active"),
                "origin": route.get("Origin", "CreateRoute"),
            }
    return None


def _create_route_table(aws: Aws, inputs: Properties) -> str:
    id: str = aws("ec2").create_route_table(VpcId=inputs["vpcId"])["RouteTable"]["RouteTableId"]
    for route in inputs.get("routes") or []:
        aws("ec2").create_route(RouteTableId=id, **_route_arguments(route))
    return id


def _read_route_table(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    table = first(missing_ok(aws("ec2").describe_route_tables, RouteTableIds=[id]), "RouteTables")
    if table is None:
        return None
    live = _tagged(table)
    live.pop("routes", None)
    live.pop("associations", None)
    if inputs.get("routes"):  # inline routes are owned; without them, routes are objects of their own
        entries = [route for route in table["Routes"] if route.get("Origin") != "CreateRouteTable"]
        # The table's own local route and those that gateway endpoints put there are nobody's inline routes.
        entries = [route for route in entries if not str(route.get("GatewayId", "")).startswith(("local", "vpce-"))]
        short = {"cidrBlock": "DestinationCidrBlock", "ipv6CidrBlock": "DestinationIpv6CidrBlock"} | _TARGETS
        routes = [{ours: route[theirs] for ours, theirs in short.items() if route.get(theirs)} for route in entries]
        live["routes"] = in_order_of(routes, inputs["routes"])
    return live | {"arn": aws.arn("ec2", f"route-table/{id}"), "ownerId": table.get("OwnerId", "")}


def in_order_of(live: list[Any], wanted: list[Any]) -> list[Any]:
    """AWS keeps sets, programs write lists: those equal to a wanted one stand in its place, the rest follows."""
    rest, ordered = list(live), []
    for item in wanted:
        if item in rest:
            rest.remove(item)
            ordered.append(item)
    return ordered + rest


def _update_route_table(aws: Aws, change: Change) -> None:
    if "routes" not in change.changed:
        return
    old, new = change.old.get("routes") or [], change.new.get("routes") or []
    for route in old:
        if route not in new:
            missing_ok(aws("ec2").delete_route, RouteTableId=change.id, **_route_arguments(route, targets=False))
    for route in new:
        if route not in old:
            aws("ec2").create_route(RouteTableId=change.id, **_route_arguments(route))


def _read_association(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    filters = [{"Name": "association.route-table-association-id", "Values": [id]}]
    table = first(aws("ec2").describe_route_tables(Filters=filters), "RouteTables")
    for association in (table or {}).get("Associations", []):
        if association["RouteTableAssociationId"] == id:
            return pascal_less(association, "RouteTableId", "SubnetId", "GatewayId")
    return None


# --- endpoints -------------------------------------------------------------------------------------


def _create_endpoint(aws: Aws, inputs: Properties) -> str:
    names = (
        "vpcId",
        "serviceName",
        "vpcEndpointType",
        "routeTableIds",
        "subnetIds",
        "securityGroupIds",
        "privateDnsEnabled",
    )
    wanted = pascal(inputs, *names) | ({"PolicyDocument": inputs["policy"]} if inputs.get("policy") else {})
    id: str = aws("ec2").create_vpc_endpoint(**wanted)["VpcEndpoint"]["VpcEndpointId"]
    return id


def _read_endpoint(aws: Aws, id: str, inputs: Properties) -> Properties | None:
    endpoint = first(missing_ok(aws("ec2").describe_vpc_endpoints, VpcEndpointIds=[id]), "VpcEndpoints")
    if endpoint is None or endpoint.get("State") == "deleted":
        return None
    live = _tagged(endpoint) | {"arn": aws.arn("ec2", f"vpc-endpoint/{id}")}
    for name in ("routeTableIds", "subnetIds", "securityGroupIds"):
        if name in live and name in inputs:
            live[name] = in_order_of(live[name], inputs[name])
    if "groups" in live:
        groups = [group["groupId"] for group in live.pop("groups")]
        live["securityGroupIds"] = in_order_of(groups, inputs.get("securityGroupIds") or [])
    return live


def _update_endpoint(aws: Aws, change: Change) -> None:
    wanted: dict[str, Any] = {}
    for name, add, remove in (
        ("routeTableIds", "AddRouteTableIds", "RemoveRouteTableIds"),
        ("subnetIds", "AddSubnetIds", "RemoveSubnetIds"),
        ("securityGroupIds", "AddSecurityGroupIds", "RemoveSecurityGroupIds"),
    ):
        old, new = change.old.get(name) or [], change.new.get(name) or []
        if plus := [item for item in new if item not in old]:
            wanted[add] = plus
        if minus := [item for item in old if item not in new]:
            wanted[remove] = minus
    if wanted:
        aws("ec2").modify_vpc_endpoint(VpcEndpointId=change.id, **wanted)


KINDS: dict[str, Kind] = {
    "aws:ec2/vpc:Vpc": Kind(
        create=_create_vpc,
        read=_read_vpc,
        tag=_tag,
        update=lambda aws, change: _vpc_attributes(aws, change.id, change.new),
        delete=delete_by("ec2", "delete_vpc", "VpcId"),
        force_new=frozenset({"cidrBlock", "instanceTenancy"}),
        defaults={"enableDnsSupport": True},
    ),
    "aws:ec2/subnet:Subnet": Kind(
        create=_create_subnet,
        read=_read_subnet,
        tag=_tag,
        update=lambda aws, change: _subnet_attributes(aws, change.id, change.new),
        delete=delete_by("ec2", "delete_subnet", "SubnetId"),
        force_new=frozenset({"vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId"}),
        unique=True,  # two subnets of one range cannot stand side by side
    ),
    "aws:ec2/internetGateway:InternetGateway": Kind(
        create=_create_internet_gateway,
        read=_read_internet_gateway,
        tag=_tag,
        update=_update_internet_gateway,
        delete=_delete_internet_gateway,
    ),
    "aws:ec2/eip:Eip": Kind(
        create=lambda aws, inputs: aws("ec2").allocate_address(Domain="vpc")["AllocationId"],
        read=_read_eip,
        tag=_tag,
        delete=delete_by("ec2", "release_address", "AllocationId"),
        force_new=frozenset({"domain", "publicIpv4Pool", "networkBorderGroup"}),
    ),
    "aws:ec2/natGateway:NatGateway": Kind(
        create=_create_nat_gateway,
        read=_read_nat_gateway,
        tag=_tag,
        delete=delete_by("ec2", "delete_nat_gateway", "NatGatewayId"),
        force_new=frozenset({"allocationId", "subnetId", "connectivityType"}),
    ),
    "aws:ec2/routeTable:RouteTable": Kind(
        create=_create_route_table,
        read=_read_route_table,
        update=_update_route_table,
        tag=_tag,
        delete=delete_by("ec2", "delete_route_table", "RouteTableId"),
        force_new=frozenset({"vpcId"}),
    ),
    "aws:ec2/route:Route": Kind(
        create=_create_route,
        read=_read_route,
        unique=True,
        update=lambda aws, change: aws("ec2").replace_route(
            RouteTableId=change.new["routeTableId"], **_route_arguments(change.new)
        ),
        delete=lambda aws, id, outputs: missing_ok(
            aws("ec2").delete_route, RouteTableId=outputs["routeTableId"], **_route_arguments(outputs, targets=False)
        ),
        force_new=frozenset({"routeTableId", "destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId"}),
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Kind(
        create=lambda aws, inputs: aws("ec2").associate_route_table(**pascal(inputs, "routeTableId", "subnetId", "gatewayId"))[
            "AssociationId"
        ],
        read=_read_association,
        unique=True,
        delete=delete_by("ec2", "disassociate_route_table", "AssociationId"),
        force_new=frozenset({"routeTableId", "subnetId", "gatewayId"}),
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Kind(
        create=_create_endpoint,
        read=_read_endpoint,
        update=_update_endpoint,
        tag=_tag,
        delete=lambda aws, id, outputs: missing_ok(aws("ec2").delete_vpc_endpoints, VpcEndpointIds=[id]),
        force_new=frozenset({"vpcId", "serviceName", "vpcEndpointType"}),
    ),
}
