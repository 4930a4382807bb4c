"""A hosted zone in a test, with short words for its changes."""

from __future__ import annotations

import uuid
from typing import Any

import dns.message
import dns.query
import dns.rdatatype
from botocore.exceptions import ClientError

from tests.lab.support.aws import Aws, until


def a(name: str, address: str, weight: int | None = None, identifier: str | None = None, ttl: int = 5) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": name, "Type": "A", "TTL": ttl, "ResourceRecords": [{"Value": address}]}
    if weight is not None:
        record["Weight"] = weight
    if identifier is not None:
        record["SetIdentifier"] = identifier
    return record


class Zone:
    def __init__(self, aws: Aws) -> None:
        self.aws, self.client = aws, aws("route53")
        self.name = f"z{uuid.uuid4().hex[:8]}.test"
        self.id = self.client.create_hosted_zone(Name=self.name, CallerReference=uuid.uuid4().hex)["HostedZone"]["Id"]

    def change(self, *changes: tuple[str, dict[str, Any]]) -> str:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": each} for action, each in changes]}
        answer = self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch=batch)
        assert answer["ChangeInfo"]["Status"] == "PENDING"
        return str(answer["ChangeInfo"]["Id"])

    def settled(self, *changes: tuple[str, dict[str, Any]]) -> None:
        change = self.change(*changes)
        until(lambda: self.status(change) == "INSYNC", f"{change} is INSYNC")

    def status(self, change: str) -> str:
        return str(self.client.get_change(Id=change)["ChangeInfo"]["Status"])

    def refused(self, *changes: tuple[str, dict[str, Any]]) -> tuple[str, str]:
        """Code and message; what was there is as before."""
        before = self.sets()
        try:
            self.change(*changes)
        except ClientError as error:
            assert self.sets() == before
            return error.response["Error"]["Code"], error.response["Error"]["Message"]
        raise AssertionError(f"not refused: {changes}")

    def sets(self) -> list[dict[str, Any]]:
        records = self.client.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        return [each for each in records if each["Type"] not in ("NS", "SOA")]

    def ask(self, name: str, kind: str = "A", tcp: bool = False) -> dns.message.Message:
        send = dns.query.tcp if tcp else dns.query.udp
        host, port = self.aws.block.dns.split(":")
        return send(dns.message.make_query(name, kind), host, port=int(port), timeout=30)

    def addresses(self, name: str) -> list[str]:
        return [str(each) for rrset in self.ask(name).answer if rrset.rdtype == dns.rdatatype.A for each in rrset]

    def delete(self) -> None:
        sets = self.sets()
        if sets:
            self.change(*(("DELETE", each) for each in sets))
        self.client.delete_hosted_zone(Id=self.id)
