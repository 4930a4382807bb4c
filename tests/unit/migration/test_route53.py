"""The entry's records as Route 53 has them: compared before a write, written over on the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from migration.clients.route53 import Route53Entry
from migration.entry import entry_back
from migration.errors import ForeignWrite

ZONE, HOSTS = "shop.test", ("shop.test", "*.shop.test")
BACK = {"plum": 10_000, "fern": 0}


class Zone:
    def __init__(self) -> None:
        self.client: Any = boto3.client("route53")
        self.id = self.client.create_hosted_zone(Name=ZONE, CallerReference="one")["HostedZone"]["Id"]

    def put(self, host: str, name: str, weight: int) -> None:
        record = {"Name": host, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
        change = {"Action": "UPSERT", "ResourceRecordSet": {**record, "SetIdentifier": name, "Weight": weight}}
        self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch={"Changes": [change]})

    def weights(self) -> dict[tuple[str, str], int]:
        found = self.client.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        return {(each["Name"], each["SetIdentifier"]): each["Weight"] for each in found if "Weight" in each}


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        made = Zone()
        for host in HOSTS:
            made.put(host, "plum", 0)
            made.put(host, "fern", 255)
        yield made


def test_records_touched_by_hand_refuse_a_shift_and_do_not_stop_the_way_back(zone: Zone) -> None:
    zone.put(HOSTS[0], "plum", 128)
    zone.put(HOSTS[1], "canary-of-others", 7)
    entry = Route53Entry(ZONE, HOSTS)
    with pytest.raises(ForeignWrite, match="disagree on plum"):
        asyncio.run(entry.read())
    back = asyncio.run(entry_back(entry, BACK))
    assert back.problem is None
    left = {(name.replace("\\052", "*").rstrip("."), cluster): weight for (name, cluster), weight in zone.weights().items()}
    assert {left[host, "fern"] for host in HOSTS} == {0}
    assert {left[host, "plum"] for host in HOSTS} == {1}
    assert left[HOSTS[1], "canary-of-others"] == 7


def test_weights_changed_since_they_were_read_are_not_written_over(zone: Zone) -> None:
    entry = Route53Entry(ZONE, HOSTS)
    assert asyncio.run(entry.read()) == {"plum": 0, "fern": 10_000}
    for host in HOSTS:
        zone.put(host, "plum", 3)
    with pytest.raises(ForeignWrite, match="changed by somebody else: fern 255 -> 255, plum 0 -> 3"):
        asyncio.run(entry.write(BACK))
