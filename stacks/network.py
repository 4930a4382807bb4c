"""The network stack: one VPC that the clusters of all migrations share.

Blue and green side by side need addresses for both: a /16 gives each zone a private /18, room for two fleets of pods.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import pulumi

from components.cloud import aws_provider
from components.network import Network, NetworkArgs
from stacks.config import Source, check_text

ZONE = r"[a-z]{2}(-[a-z]+)+-\d[a-z]"


@dataclass(frozen=True)
class NetworkConfig:
    region: str
    cidr: str
    zones: tuple[str, ...]
    nat: str  # one | per-zone | none


def parse(source: Source) -> NetworkConfig:
    """A network stack's file; /16 and a NAT gateway per zone unless given.

    Raises:
        ConfigError: a value that is not allowed, one that is missing, or an unknown key.
    """
    cidr = source.text("cidr", "10.0.0.0/16")
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as problem:
        raise source.error("cidr", cidr, f"an IPv4 network such as 10.0.0.0/16 ({problem})") from problem
    if not 16 <= network.prefixlen <= 20:
        raise source.error("cidr", cidr, "a prefix from /16 to /20: two clusters and their pods must fit")
    allowed = "two or three zone names of one region, such as [eu-west-1a, eu-west-1b, eu-west-1c]"
    zones = source.names("zones", allowed=allowed)
    if not 2 <= len(zones) <= 3 or len(set(zones)) != len(zones) or len({zone[:-1] for zone in zones}) != 1:
        raise source.error("zones", list(zones), allowed)
    for zone in zones:
        check_text(source, "zones", zone, ZONE, allowed)
    if source.region and source.region != zones[0][:-1]:
        raise source.error("zones", list(zones), f"zones of aws:region, which is {source.region}")
    nat = source.choice("nat", {word: word for word in ("one", "per-zone", "none")}, "per-zone")
    source.finish()
    return NetworkConfig(source.region or zones[0][:-1], cidr, zones, nat)


def build(source: Source) -> None:
    """The VPC, and its id and subnets as outputs for cluster stacks."""
    config = parse(source)
    provider = aws_provider(config.region)
    network = Network(
        "network",
        NetworkArgs(config.cidr, config.zones, config.nat),
        pulumi.ResourceOptions(providers=[provider]),
    )
    pulumi.export("vpcId", network.vpc_id)
    pulumi.export("cidr", config.cidr)
    pulumi.export("privateSubnetIds", network.private_subnet_ids)
    pulumi.export("publicSubnetIds", network.public_subnet_ids)
    pulumi.export("zones", list(config.zones))
