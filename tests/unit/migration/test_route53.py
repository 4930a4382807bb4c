"""The entry's records as Route 53 has them: compared before a write, written over on the way back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from moto import mock_aws

from migration.clients.route53 import Route53Entry
from migration.entry.move import Moved, NotMoved, entry_back
from migration.errors import BluegreenError, ConfigError, ForeignWrite, NotFound
from migration.settings.stack_file import StackFile

ZONE, HOSTS = "shop.test", ("shop.test", "*.shop.test")
BACK = {"plum": 10_000, "fern": 0}


class Zone:
    def __init__(self, name: str = ZONE, *, private: bool = False) -> None:
        self.client: Any = boto3.client("route53")
        options: dict[str, Any] = {"HostedZoneConfig": {"Comment": "of others", "PrivateZone": private}}
        if private:
            options["VPC"] = {"VPCRegion": "eu-west-1", "VPCId": "vpc-1"}
        made = self.client.create_hosted_zone(Name=name, CallerReference=uuid.uuid4().hex, **options)
        self.id = str(made["HostedZone"]["Id"])
        self.bare_id = self.id.rpartition("/")[2]

    def fill(self) -> Zone:
        for host in HOSTS:
            self.put(host, "plum", 0)
            self.put(host, "fern", 255)
        return self

    def put(self, host: str, name: str, weight: int) -> None:
        record = {"Name": host, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
        change = {"Action": "UPSERT", "ResourceRecordSet": {**record, "SetIdentifier": name, "Weight": weight}}
        self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch={"Changes": [change]})

    def weights(self) -> dict[tuple[str, str], int]:
        found = self.client.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        return {(each["Name"], each["SetIdentifier"]): each["Weight"] for each in found if "Weight" in each}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


@pytest.fixture
def zone(account: None) -> Zone:
    return Zone().fill()


def test_records_changed_by_hand_stop_a_shift_but_no_rollback(zone: Zone) -> None:
    zone.put(HOSTS[0], "plum", 128)
    zone.put(HOSTS[1], "canary-of-others", 7)
    entry = Route53Entry(ZONE, HOSTS)
    with pytest.raises(ForeignWrite, match="disagree on plum"):
        asyncio.run(entry.read())
    back = asyncio.run(entry_back(entry, BACK))
    assert isinstance(back, Moved)
    left = {(name.replace("\\052", "*").rstrip("."), cluster): weight for (name, cluster), weight in zone.weights().items()}
    assert {left[host, "fern"] for host in HOSTS} == {0}
    assert {left[host, "plum"] for host in HOSTS} == {1}
    assert left[HOSTS[1], "canary-of-others"] == 7


def test_weights_changed_since_they_were_read_are_not_written_over(zone: Zone) -> None:
    entry = Route53Entry(ZONE, HOSTS)
    assert asyncio.run(entry.read()) == {"plum": 0, "fern": 10_000}
    for host in HOSTS:
        zone.put(host, "plum", 3)
    with pytest.raises(ForeignWrite, match="changed by another client: fern 255 -> 255, plum 0 -> 3"):
        asyncio.run(entry.write(BACK))


@pytest.mark.parametrize("public_first", [True, False], ids=["the public one is older", "the private one is older"])
@pytest.mark.parametrize("form", ["{}", "/hostedzone/{}"])
def test_only_the_stack_files_zone_is_written(account: None, public_first: bool, form: str) -> None:
    one, other = Zone(private=not public_first).fill(), Zone(private=public_first).fill()
    ours, theirs = (one, other) if public_first else (other, one)
    before = theirs.weights()
    entry = Route53Entry(ZONE, HOSTS, form.format(ours.bare_id))
    assert asyncio.run(entry.read()) == {"plum": 0, "fern": 10_000}
    asyncio.run(entry.write(BACK))
    assert theirs.weights() == before
    assert {name: weight for (_, name), weight in ours.weights().items()} == {"plum": 1, "fern": 0}
    assert asyncio.run(Route53Entry(ZONE, HOSTS, ours.bare_id).read()) == BACK


@pytest.mark.parametrize("private", [True, False], ids=["a private one", "a second public one"])
def test_an_ambiguous_zone_name_is_refused_with_both_zones(zone: Zone, private: bool) -> None:
    other = Zone(private=private).fill()
    before = zone.weights(), other.weights()
    entry = Route53Entry(ZONE, HOSTS)
    acts = (entry.read, entry.ttl_seconds, lambda: entry.write(BACK), lambda: entry.adopt("plum", "fern"))
    for act in acts:
        with pytest.raises(ConfigError) as refused:
            asyncio.run(act())
        assert zone.bare_id in str(refused.value)
        assert f"{other.bare_id} ({'private' if private else 'public'}" in str(refused.value)
        assert "bluegreen:zoneId" in str(refused.value.remedy)
    assert (zone.weights(), other.weights()) == before
    back = asyncio.run(entry_back(entry, BACK))
    assert isinstance(back, NotMoved)
    assert zone.bare_id in back.problem


def test_a_private_zone_alone_is_taken_by_its_id_only(account: None) -> None:
    private = Zone(private=True).fill()
    with pytest.raises(ConfigError, match=private.bare_id):
        asyncio.run(Route53Entry(ZONE, HOSTS).read())
    assert asyncio.run(Route53Entry(ZONE, HOSTS, private.bare_id).read()) == {"plum": 0, "fern": 10_000}


def test_an_id_of_another_zone_is_refused(zone: Zone) -> None:
    other = Zone("other.test")
    with pytest.raises(ConfigError, match=rf"{other.bare_id} is the zone of other.test, bluegreen:zone is shop.test"):
        asyncio.run(Route53Entry(ZONE, HOSTS, other.bare_id).write(BACK))
    with pytest.raises(NotFound) as gone:
        asyncio.run(Route53Entry(ZONE, HOSTS, "Z0000000000000").read())
    assert "bluegreen:zoneId" in str(gone.value.remedy)


def test_a_zone_of_a_longer_name_is_another(account: None) -> None:
    Zone(f"a.{ZONE}")
    with pytest.raises(NotFound):
        asyncio.run(Route53Entry(ZONE, HOSTS).read())


@pytest.mark.parametrize(("written", "read"), [("", ""), ("  bluegreen:zoneId: Z0123\n", "Z0123")], ids=["none", "an id"])
def test_the_stack_file_names_the_zone(tmp_path: Path, written: str, read: str) -> None:
    file = tmp_path / "Pulumi.edge.yaml"
    file.write_text(f"config:\n  bluegreen:sides: {{blue: plum, green: fern}}\n  bluegreen:zone: shop.test\n{written}")
    assert StackFile(file).read().zone_id == read


PAGE = """<?xml version="1.0"?><ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/">
<HostedZones><HostedZone><Id>/hostedzone/{id}</Id><Name>shop.test.</Name><CallerReference>r</CallerReference>
<Config><PrivateZone>true</PrivateZone></Config><ResourceRecordSetCount>2</ResourceRecordSetCount></HostedZone></HostedZones>
<IsTruncated>{more}</IsTruncated>{next}<MaxItems>1</MaxItems></ListHostedZonesByNameResponse>"""
NEXT = "<NextDNSName>{name}</NextDNSName><NextHostedZoneId>{id}</NextHostedZoneId>"


@contextmanager
def pages(*answers: str) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """A Route 53 that gives its zones one by one, as AWS does with hundreds; what it was asked."""
    asked: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(parse_qs(urlsplit(self.path).query))
            body = answers[len(asked) - 1].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", asked
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("name_of_next", "named"), [("shop.test.", ["Z1", "Z2"]), ("sold.test.", ["Z1"])], ids=["one more", "others follow"]
)
def test_zones_of_the_name_are_looked_for_on_every_page(
    monkeypatch: pytest.MonkeyPatch, name_of_next: str, named: list[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    first = PAGE.format(id="Z1", more="true", next=NEXT.format(name=name_of_next, id="Z2"))
    with pages(first, PAGE.format(id="Z2", more="false", next="")) as (url, asked):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(BluegreenError) as refused:
            asyncio.run(Route53Entry(ZONE, HOSTS).read())
    assert [each for each in ("Z1", "Z2") if each in str(refused.value)] == named
    assert asked[0]["dnsname"] == ["shop.test"]
    assert asked[1:] == ([{"dnsname": ["shop.test."], "hostedzoneid": ["Z2"]}] if len(named) == 2 else [])
