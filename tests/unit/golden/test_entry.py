"""What the commands of the entry print; Route 53 is moto's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.fakes.golden import same
from tests.fakes.project import EDGE, Project

FORMS = {"txt": (), "json": ("--json",)}
ZONE, HOSTS = "example.test", ("shop.example.test", "pay.example.test")
ADDRESS = {"plum": "192.0.2.1", "fern": "192.0.2.2"}


@pytest.fixture(autouse=True)
def route53(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield boto3.client("route53")


@pytest.fixture
def zoned(project: Project, route53: Any) -> Project:
    """A zone for the project's hosts, without any record of them."""
    zone = route53.create_hosted_zone(Name=ZONE, CallerReference="1")["HostedZone"]["Id"].rpartition("/")[2]
    project.edge.write_text(f"{EDGE}  bluegreen:zone: {ZONE}\n  bluegreen:zoneId: {zone}\n  bluegreen:hosts: {list(HOSTS)}\n")
    return project


def records(project: Project, route53: Any, **weights: int) -> None:
    """Of each host; without weights simple ones."""
    zone = project.edge.read_text().partition("zoneId: ")[2].partition("\n")[0]
    changes = []
    for host in HOSTS:
        record: dict[str, Any] = {"Name": host, "Type": "A", "TTL": 30}
        sets = [{"SetIdentifier": name, "Weight": weight} for name, weight in weights.items()] or [{}]
        for each in sets:
            address = ADDRESS[str(each.get("SetIdentifier", "plum"))]
            changes.append(
                {"Action": "UPSERT", "ResourceRecordSet": {**record, **each, "ResourceRecords": [{"Value": address}]}}
            )
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def weights(project: Project, route53: Any) -> dict[str, int]:
    zone = project.edge.read_text().partition("zoneId: ")[2].partition("\n")[0]
    sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {each["SetIdentifier"]: each["Weight"] for each in sets if "SetIdentifier" in each}


def compared(name: str, form: str, project: Project, *words: str) -> None:
    same(f"entry.{name}.{form}", project.ran(*FORMS[form], "entry", *words), project, warnings=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", [("status",), ("adopt", "--yes"), ("shift", "--yes")], ids=lambda words: words[0])
def test_without_a_zone(project: Project, words: tuple[str, ...], form: str) -> None:
    compared(f"{words[0]}.no_zone", form, project, *words)


@pytest.mark.parametrize("form", FORMS)
def test_status(zoned: Project, route53: Any, form: str) -> None:
    records(zoned, route53, plum=255, fern=0)
    compared("status", form, zoned, "status")


@pytest.mark.parametrize("form", FORMS)
def test_status_with_other_weights_than_the_file_asks_for(zoned: Project, route53: Any, form: str) -> None:
    records(zoned, route53, plum=100, fern=100)
    compared("status.drift", form, zoned, "status")


@pytest.mark.parametrize("form", FORMS)
def test_adopt_is_asked_first(zoned: Project, route53: Any, form: str) -> None:
    records(zoned, route53)
    compared("adopt.plan", form, zoned, "adopt")
    assert weights(zoned, route53) == {}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["adopt", "adopt.nothing"])
def test_adopt(zoned: Project, route53: Any, name: str, form: str) -> None:
    if name == "adopt":
        records(zoned, route53)
    compared(name, form, zoned, "adopt", "--yes")
    assert weights(zoned, route53) == ({"plum": 255} if name == "adopt" else {})


@pytest.mark.parametrize("form", FORMS)
def test_shift_is_held_until_all_have_baked(zoned: Project, route53: Any, form: str) -> None:
    records(zoned, route53, plum=255, fern=0)
    compared("shift.held", form, zoned, "shift", "--yes")
    assert weights(zoned, route53) == {"plum": 255, "fern": 0}


@pytest.mark.parametrize("form", FORMS)
def test_shift_is_asked_first(zoned: Project, route53: Any, form: str) -> None:
    records(zoned, route53, plum=255, fern=0)
    compared("shift.plan", form, zoned, "shift", "--to", "25", "--force")
    assert weights(zoned, route53) == {"plum": 255, "fern": 0}


@pytest.mark.parametrize("form", FORMS)
def test_shift(zoned: Project, route53: Any, form: str) -> None:
    records(zoned, route53, plum=255, fern=0)
    compared("shift", form, zoned, "shift", "--force", "--yes")
    now = weights(zoned, route53)
    assert now["plum"] == 0
    assert now["fern"] > 0


@pytest.mark.parametrize("form", FORMS)
def test_shift_with_a_share_that_is_none(zoned: Project, form: str) -> None:
    compared("shift.usage", form, zoned, "shift", "--to", "101")


@pytest.mark.parametrize("form", FORMS)
def test_rollback_moves_the_entry_back(zoned: Project, route53: Any, form: str) -> None:
    records(zoned, route53, plum=0, fern=255)
    zoned.edge.write_text(zoned.edge.read_text().replace("{plum: 10000, fern: 0}", "{plum: 0, fern: 10000}"))
    zoned.unreachable("fern")
    same(f"rollback.entry_moved_back.{form}", zoned.ran(*FORMS[form], "rollback"), zoned)
    now = weights(zoned, route53)
    assert now["fern"] == 0
    assert now["plum"] > 0
