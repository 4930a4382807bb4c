"""The VPC: a public and a private subnet in each zone, tagged so that load balancers find their place."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True)
class NetworkArgs:
    """Plain values, not outputs: they decide how many resources there are."""

    cidr: str
    zones: Sequence[str]
    nat: str  # one | per-zone | none


def subnet_plan(cidr: str, zones: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Zone to (private, public). Quarters of the VPC: one for each zone's pods, the last shared by the public subnets.

    A zone keeps its networks when another is added behind it, so adding a third zone replaces nothing.
    """
    quarters = list(ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=2))
    shared = list(quarters[3].subnets(prefixlen_diff=2))
    return {zone: (str(quarters[index]), str(shared[index])) for index, zone in enumerate(zones)}


class Network(pulumi.ComponentResource):
    vpc_id: pulumi.Output[str]
    private_subnet_ids: pulumi.Output[list[str]]
    public_subnet_ids: pulumi.Output[list[str]]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:Network", name, None, opts)
        self._opts = pulumi.ResourceOptions(parent=self)
        self._name = name
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,  # private endpoints of EKS resolve only with both
            tags={"Name": name},
            opts=self._opts,
        )
        gateway = aws.ec2.InternetGateway(f"{name}-igw", vpc_id=vpc.id, tags={"Name": name}, opts=self._opts)
        plan = subnet_plan(args.cidr, args.zones)
        # The role tags make the load balancer controller choose: internet-facing ones go public, internal ones private.
        public = {z: self._subnet(vpc, "public", z, cidr, {"kubernetes.io/role/elb": "1"}) for z, (_, cidr) in plan.items()}
        private = {
            z: self._subnet(vpc, "private", z, cidr, {"kubernetes.io/role/internal-elb": "1"}) for z, (cidr, _) in plan.items()
        }
        outside = self._routes(vpc, "public", {"gateway_id": gateway.id})
        for zone, subnet in public.items():
            self._associate("public", zone, subnet, outside)
        nats = self._nats(args, public, gateway)
        for zone, subnet in private.items():
            nat = nats.get(zone) or nats.get(args.zones[0])
            self._associate("private", zone, subnet, self._routes(vpc, f"private-{zone}", nat and {"nat_gateway_id": nat.id}))

        self.vpc_id = vpc.id
        self.private_subnet_ids = pulumi.Output.all(*[subnet.id for subnet in private.values()])
        self.public_subnet_ids = pulumi.Output.all(*[subnet.id for subnet in public.values()])
        self.register_outputs(
            {"vpcId": vpc.id, "privateSubnetIds": self.private_subnet_ids, "publicSubnetIds": self.public_subnet_ids}
        )

    def _subnet(self, vpc: aws.ec2.Vpc, kind: str, zone: str, cidr: str, tags: dict[str, str]) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            f"{self._name}-{kind}-{zone}",
            vpc_id=vpc.id,
            availability_zone=zone,
            cidr_block=cidr,
            map_public_ip_on_launch=kind == "public",
            tags={"Name": f"{self._name}-{kind}-{zone}", **tags},
            opts=self._opts,
        )

    def _nats(
        self, args: NetworkArgs, public: dict[str, aws.ec2.Subnet], gateway: aws.ec2.InternetGateway
    ) -> dict[str, aws.ec2.NatGateway]:
        """One per zone keeps a zone's failure in that zone; a single one is cheaper and is for trying things."""
        zones = {"one": args.zones[:1], "per-zone": args.zones, "none": ()}[args.nat]
        nats = {}
        for zone in zones:
            address = aws.ec2.Eip(f"{self._name}-nat-{zone}", domain="vpc", tags={"Name": self._name}, opts=self._opts)
            nats[zone] = aws.ec2.NatGateway(
                f"{self._name}-nat-{zone}",
                allocation_id=address.id,
                subnet_id=public[zone].id,
                tags={"Name": f"{self._name}-{zone}"},
                opts=pulumi.ResourceOptions(parent=self, depends_on=[gateway]),
            )
        return nats

    def _routes(self, vpc: aws.ec2.Vpc, kind: str, default: dict[str, pulumi.Output[str]] | None) -> aws.ec2.RouteTable:
        table = aws.ec2.RouteTable(
            f"{self._name}-{kind}", vpc_id=vpc.id, tags={"Name": f"{self._name}-{kind}"}, opts=self._opts
        )
        if default:
            # A resource of its own, not inline: peerings and endpoints that others add to the table stay.
            aws.ec2.Route(
                f"{self._name}-{kind}-default",
                route_table_id=table.id,
                destination_cidr_block="0.0.0.0/0",
                **default,
                opts=self._opts,
            )
        return table

    def _associate(self, kind: str, zone: str, subnet: aws.ec2.Subnet, table: aws.ec2.RouteTable) -> None:
        aws.ec2.RouteTableAssociation(
            f"{self._name}-{kind}-{zone}", subnet_id=subnet.id, route_table_id=table.id, opts=self._opts
        )
