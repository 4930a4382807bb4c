"""The entry as Route 53 weighted records, one set per host and cluster (set identifier = the cluster's name).

Records are read again just before a write and compared with what was last seen; all hosts change in one batch, so
that it is all or nothing.

The zone is the one that the stack file names by id, as `pulumi up` takes it, too. Without an id it is the one public zone
of that name. A name is no proof: a private zone may have it as well (split horizon), and so may a second public one that
no name server is asked for. Writing the wrong one is success in every answer of Route 53 and nothing to users, so none
is picked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from migration.clients import aws
from migration.errors import ConfigError, ForeignWrite, NotFound
from routing.weights import effective_bp, route53

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

T = TypeVar("T")
KINDS = ("A", "AAAA", "CNAME")


class Route53Entry:
    def __init__(self, zone: str, hosts: Sequence[str], zone_id: str = "") -> None:
        """`zone_id`: as `bluegreen:zoneId` has it, with or without `/hostedzone/`; empty: found by its name."""
        self.zone = zone.rstrip(".")
        self.hosts = tuple(host.rstrip(".") for host in hosts)
        self._client: Route53Client | None = None
        self._zone_id = zone_id.rpartition("/")[2]
        self._known_weights: Mapping[str, int] | None = None

    async def read(self) -> Mapping[str, int]:
        """Shares by cluster in basis points, as Route 53's weights give them. Raises ForeignWrite where hosts disagree."""
        self._known_weights = await asyncio.to_thread(self._call, lambda client: self._weights(self._records(client)))
        return effective_bp(self._known_weights)

    async def write(self, shares_bp: Mapping[str, int], *, force: bool = False) -> str:
        """Sets the weights of all hosts in one batch; gives the change's id. `force`: whatever others wrote since `read`.

        Raises:
            ForeignWrite: the weights are not as they were last read.
            NotFound: a cluster has no weighted record.
        """
        return await asyncio.to_thread(self._call, lambda client: self._write(client, shares_bp, force))

    async def in_effect(self, change: str) -> bool:
        """Whether a change has reached all of Route 53's name servers (INSYNC)."""
        status = await asyncio.to_thread(self._call, lambda client: client.get_change(Id=change)["ChangeInfo"]["Status"])
        return bool(status == "INSYNC")

    async def ttl_seconds(self) -> int:
        """The longest TTL of the records; 60 where none says."""
        return await asyncio.to_thread(self._call, self._ttl)

    def _ttl(self, client: Route53Client) -> int:
        return max((int(record.get("TTL", 60)) for record in self._records(client)), default=60)

    async def adopt(self, cluster: str, other: str | None) -> str:
        """Makes simple records of our hosts weighted: the old one away and the new ones there, in one batch."""
        return await asyncio.to_thread(self._call, lambda client: self._adopt(client, cluster))

    def _adopt(self, client: Route53Client, cluster: str) -> str:
        changes = []
        for record in self._all(client):
            if "SetIdentifier" not in record:
                changes.append({"Action": "DELETE", "ResourceRecordSet": record})
                weighted = {**record, "SetIdentifier": cluster, "Weight": 255}
                changes.append({"Action": "CREATE", "ResourceRecordSet": weighted})
        if not changes:
            return ""
        return self._change(client, changes, "bluegreen: simple records become weighted")

    def _write(self, client: Route53Client, shares_bp: Mapping[str, int], force: bool) -> str:
        records = self._records(client)
        now = self._weights(records, agreed=not force)
        if not force and self._known_weights is not None and now != self._known_weights:
            changed = ", ".join(
                f"{name} {self._known_weights.get(name)} -> {now.get(name)}" for name in sorted({*now, *self._known_weights})
            )
            raise ForeignWrite(
                f"the weights of {self.zone} were changed by another client: {changed}",
                target=self.zone,
                who="somebody",
                remedy="`bluegreen entry status` shows them; then the same command again, which continues from there",
            )
        weights = route53(shares_bp)
        missing = [name for name, weight in weights.items() if weight > 0 and name not in now]
        if missing:
            raise NotFound(
                f"{self.zone} has no weighted record for {', '.join(missing)}",
                remedy="`pulumi up` of the edge stack makes them",
            )
        changes = [
            {"Action": "UPSERT", "ResourceRecordSet": {**record, "Weight": weights[record["SetIdentifier"]]}}
            for record in records
            if record["SetIdentifier"] in weights  # other sets are somebody else's
        ]
        change = self._change(client, changes, "bluegreen: entry")
        self._known_weights = {**now, **{name: weight for name, weight in weights.items() if name in now}}
        return change

    def _change(self, client: Route53Client, changes: list[Any], comment: str) -> str:
        answer = client.change_resource_record_sets(
            HostedZoneId=self._zone_id, ChangeBatch={"Comment": comment, "Changes": changes}
        )
        return answer["ChangeInfo"]["Id"]

    def _records(self, client: Route53Client) -> list[Any]:
        return [record for record in self._all(client) if "SetIdentifier" in record and "Weight" in record]

    def _all(self, client: Route53Client) -> list[Any]:
        if not self._zone_id:
            self._zone_id = self._only_public(client)
        records: list[Any] = []
        for page in client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=self._zone_id):
            records += page["ResourceRecordSets"]
        named = {r["Name"].rstrip(".") for r in records if r["Type"] == "SOA"}  # every zone has one, by its own name
        if self.zone.lower() not in named:
            raise ConfigError(
                f"bluegreen:zoneId {self._zone_id} is the zone of {', '.join(sorted(named)) or 'no name'}, "
                f"bluegreen:zone is {self.zone}; allowed: the id of a hosted zone {self.zone}",
                remedy="correct bluegreen:zoneId in the edge's stack file, "
                f"or take it from `aws route53 list-hosted-zones-by-name --dns-name {self.zone}`",
            )
        wanted = {host.replace("*", "\\052") for host in self.hosts} | set(self.hosts)
        return [r for r in records if r["Type"] in KINDS and r["Name"].rstrip(".") in wanted]

    def _only_public(self, client: Route53Client) -> str:
        """The id of the zone that has our name, where there is no doubt which."""
        zones: list[Any] = []
        asked: dict[str, Any] = {"DNSName": self.zone}
        while True:  # by name, and by id within one name: ours come first
            answer = client.list_hosted_zones_by_name(**asked)
            ours = [zone for zone in answer["HostedZones"] if zone["Name"].rstrip(".") == self.zone.lower()]
            zones += ours
            more = answer.get("IsTruncated") and answer.get("NextDNSName", "").rstrip(".") == self.zone.lower()
            if not more:
                break
            asked = {"DNSName": answer["NextDNSName"], "HostedZoneId": answer["NextHostedZoneId"]}
        described = ", ".join(_described(zone) for zone in zones)
        remedy = "set bluegreen:zoneId in the edge's stack file to the one that users ask, then `pulumi preview` of the edge"
        if not zones:
            raise NotFound(f"no hosted zone {self.zone}", remedy="check bluegreen:zone in the edge's stack file")
        if len(zones) > 1:
            raise ConfigError(
                f"{len(zones)} hosted zones are named {self.zone}: {described}; nothing was changed", remedy=remedy
            )
        if zones[0].get("Config", {}).get("PrivateZone"):
            raise ConfigError(
                f"the only hosted zone {self.zone} is a private one: {described}; without an id `pulumi up` makes a public one",
                remedy=remedy,
            )
        return str(zones[0]["Id"])

    def _weights(self, records: Sequence[Mapping[str, Any]], *, agreed: bool = True) -> dict[str, int]:
        """One weight a cluster; hosts that disagree are somebody's hand, and an error where they must be `agreed`."""
        weights: dict[str, int] = {}
        for record in records:
            name, weight = str(record["SetIdentifier"]), int(record["Weight"])
            if weights.setdefault(name, weight) != weight and agreed:
                raise ForeignWrite(
                    f"the records of {self.zone} disagree on {name}: {weights[name]} and {weight} ({record['Name']})",
                    target=self.zone,
                    who="somebody",
                    remedy="`pulumi up` of the edge stack makes them equal",
                )
        return weights

    def _call(self, act: Callable[[Route53Client], T]) -> T:
        remedy = "check bluegreen:zone and bluegreen:zoneId in the edge's stack file, and whose AWS account this is"
        return aws.call("Route 53", lambda: act(self._opened()), if_gone=remedy)

    def _opened(self) -> Route53Client:
        import boto3
        from botocore.config import Config

        if self._client is None:
            self._client = boto3.client(
                "route53", config=Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 3})
            )
        return self._client


def _described(zone: Any) -> str:
    config = zone.get("Config") or {}
    comment = f", {config['Comment']!r}" if config.get("Comment") else ""
    return f"{zone['Id'].rpartition('/')[2]} ({'private' if config.get('PrivateZone') else 'public'}{comment})"
