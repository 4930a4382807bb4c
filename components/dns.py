"""The entry: one weighted record for each host and cluster, named by the cluster (set identifier)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True)
class EntryPoint:
    """A gateway as clients reach it: an address, or a load balancer's name with the zone that AWS has it in."""

    address: pulumi.Input[str]
    zone_id: str | None = None


@dataclass(frozen=True)
class DnsArgs:
    zone: str
    zone_id: str | None  # an existing hosted zone; None: one is made
    hosts: Sequence[str]
    ttl_seconds: int
    entries: Mapping[str, EntryPoint]
    weights: pulumi.Output[dict[str, int]]
    protect: bool


class Dns(pulumi.ComponentResource):
    zone_id: pulumi.Output[str]

    def __init__(self, name: str, args: DnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("bluegreen:index:Dns", name, None, opts)
        if args.zone_id:
            self.zone_id = pulumi.Output.from_input(args.zone_id)
        else:
            # Losing the zone loses its name servers, and with them every name below it.
            keep = pulumi.ResourceOptions(parent=self, protect=args.protect)
            self.zone_id = aws.route53.Zone(
                f"{name}-zone", name=args.zone, comment="bluegreen: entry of both clusters", opts=keep
            ).zone_id
        for host in args.hosts:
            for cluster, entry in args.entries.items():
                self._record(args, host, cluster, self._target(entry, args.ttl_seconds))
        self.register_outputs({"zoneId": self.zone_id})

    def _target(self, entry: EntryPoint, ttl_seconds: int) -> pulumi.Output[dict[str, Any]]:
        def target(address: str) -> Any:
            kind = address_kind(address)
            if kind:
                return {"type": kind, "ttl": ttl_seconds, "records": [address], "aliases": None}
            if entry.zone_id:
                return alias(address, entry.zone_id)
            zone = aws.lb.get_hosted_zone_id_output(load_balancer_type="network", opts=pulumi.InvokeOutputOptions(parent=self))
            return zone.id.apply(lambda zone_id: alias(address, zone_id))

        return pulumi.Output.from_input(entry.address).apply(target)

    def _record(self, args: DnsArgs, host: str, cluster: str, target: pulumi.Output[dict[str, Any]]) -> None:
        aws.route53.Record(
            f"{host.replace('*', 'any')}-{cluster}",
            zone_id=self.zone_id,
            name=host,
            type=target["type"],
            ttl=target["ttl"],
            records=target["records"],
            aliases=target["aliases"],
            set_identifier=cluster,
            weighted_routing_policies=[{"weight": args.weights[cluster]}],
            opts=pulumi.ResourceOptions(parent=self),
        )


def address_kind(address: str) -> str | None:
    """The type of an address's record, A or AAAA; None: it is a name."""
    try:
        return {4: "A", 6: "AAAA"}[ipaddress.ip_address(address).version]
    except ValueError:
        return None


def alias(name: str, zone_id: str) -> dict[str, Any]:
    """What an alias record to a load balancer has in place of values: not a CNAME, so that it works at the zone's apex too.

    Health is the migration's business, not Route 53's: with it on, a sick blue would push users to green whatever the
    weights say.
    """
    target = {"name": name, "zone_id": zone_id, "evaluate_target_health": False}
    return {"type": "A", "ttl": None, "records": None, "aliases": [target]}
