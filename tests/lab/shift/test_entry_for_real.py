"""The entry by Route 53 weights, with users who keep to TTLs; and the way back when green cannot be told any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import dns.message
import dns.query
import dns.rdatatype
import pytest

import routing
from tests.lab.support.kit import eventually
from tests.lab.support.shifting import ERRORS, MENDED, PATIENCE, STEPS, Project

TTL = 2


class Zone:
    """The names of both services, as simple records that lead to blue, and what users get by them."""

    def __init__(self, project: Project) -> None:
        environment = project.lab.environment()
        names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
        url, key, secret, region = (environment[name] for name in names)
        self.client: Any = boto3.client(
            "route53", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name=region
        )
        self.project, self.dns = project, environment["BLUEGREEN_DNS"]
        self.name, self.host = f"{project.namespace}.test", project.host(project.good)
        made = self.client.create_hosted_zone(Name=self.name, CallerReference=self.name)
        self.id = made["HostedZone"]["Id"]
        self.hosts = [self.host, f"*.{self.name}"]
        for host in self.hosts:
            self.change("CREATE", self.record(host, project.plum.gateway))
        text = project.edge.read_text()
        project.edge.write_text(
            f"{text}  bluegreen:zone: {self.name}\n  bluegreen:hosts: {json.dumps(self.hosts)}\n  bluegreen:ttl: {TTL}\n"
        )

    def record(self, host: str, address: str, **weighted: Any) -> dict[str, Any]:
        return {"Name": host, "Type": "A", "TTL": TTL, "ResourceRecords": [{"Value": address}], **weighted}

    def change(self, action: str, record: dict[str, Any]) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        self.client.change_resource_record_sets(HostedZoneId=self.id, ChangeBatch=batch)

    def weights(self) -> dict[tuple[str, str], int | None]:
        records = self.client.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]
        mine = [each for each in records if each["Type"] == "A"]
        names = {each["Name"]: each["Name"].rstrip(".").replace("\\052", "*") for each in mine}
        return {(names[each["Name"]], each.get("SetIdentifier", "")): each.get("Weight") for each in mine}

    def answers(self, count: int = 40) -> set[str]:
        """Addresses that the name server gives."""
        server, port = self.dns.split(":")
        question = dns.message.make_query(self.host, "A")
        found = [dns.query.udp(question, server, port=int(port), timeout=30) for _ in range(count)]
        return {str(each) for one in found for rrset in one.answer if rrset.rdtype == dns.rdatatype.A for each in rrset}

    def load(self, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
        """Many clients with DNS caches of their own."""
        output, config = folder / "requests.jsonl", folder / "load.json"
        described = {
            "dns": self.dns,
            "port": self.project.plum.port,
            "rate": 60,
            "clients": 20,
            "output": str(output),
            "targets": [{"name": self.host, "host": self.host}],
        }
        config.write_text(json.dumps(described))
        return subprocess.Popen([sys.executable, "-m", "lab.demo.load", str(config)], env=dict(os.environ)), output

    def delete(self) -> None:
        for record in self.client.list_resource_record_sets(HostedZoneId=self.id)["ResourceRecordSets"]:
            if record["Type"] == "A":
                self.change("DELETE", record)
        self.client.delete_hosted_zone(Id=self.id)


@pytest.fixture
def zone(project: Project) -> Iterator[Zone]:
    made = Zone(project)
    yield made
    made.delete()


def requests(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_text().split("\n")[:-1]] if output.exists() else []


def test_with_green_dead_a_rollback_moves_the_entry_within_the_ttl(project: Project, zone: Zone, tmp_path: Path) -> None:
    plum, fern = project.plum, project.fern
    assert project.run("entry", "adopt", "--yes")
    assert zone.weights() == {(host, "plum"): 255 for host in zone.hosts}
    eventually(lambda: zone.answers() == {plum.gateway}, "adopted records")
    _, told = project.ended(project.begin("entry", "shift", "--yes", "--force"), 1)
    assert "no weighted record for fern" in told
    assert "bluegreen:entry: {plum: 10000, fern: 0}" in project.edge.read_text().replace('"', "")  # the file says what is so
    assert "pulumi up" in told
    for host in zone.hosts:  # as `pulumi up` of the edge with green in it
        zone.change("CREATE", zone.record(host, fern.gateway, SetIdentifier="fern", Weight=0))
    _, told = project.ended(project.begin("entry", "shift", "--yes"), 3)
    assert f"{project.good} is at 0 %" in told
    assert project.run("entry", "status")["entry"] == {"plum": 10_000, "fern": 0}

    project.configure(steps_bp=[10_000], metrics=False)
    load, output = zone.load(tmp_path)
    try:
        with project.load():  # the other service moves too, and needs requests for that
            project.run("shift", "--yes")
            for number, percent in enumerate((50, 100)):
                if number:
                    settled(project)
                    project.run("shift", "--yes", "--retry", "all")
                said = project.run("entry", "shift", "--to", str(percent), "--yes")
                assert said["ttl_seconds"] == TTL
                wanted = {plum.gateway, fern.gateway} if percent == 50 else {fern.gateway}
                eventually(lambda w=wanted: zone.answers() == w, f"the entry at {percent} %")
                began = time.time()
                eventually(lambda w=wanted, b=began: addresses(output, b + TTL) == w, "users who come in by it")
                with fern.killed("kube-apiserver"):
                    rolled = project.run("rollback")
                    assert rolled["complete"]
                    assert rolled["in_effect"] == {"blue": "served", "green": "unreachable"}
                    assert f"within {TTL} s" in rolled["entry"]
                    assert project.probe(plum, project.good) == 0
                eventually(lambda: zone.answers() == {plum.gateway}, "the entry at blue")
                forgotten = time.time() + TTL
                eventually(lambda f=forgotten: sum(r["t"] > f + 0.1 for r in requests(output)) >= 100, "users after the TTL")
                late = [each for each in requests(output) if each["t"] > forgotten + 0.1]
                assert {each["cluster"] for each in late} == {"plum"}
                assert project.run("entry", "status")["entry"] == {"plum": 10_000, "fern": 0}
                assert "bluegreen:entry: {plum: 10000, fern: 0}" in project.edge.read_text().replace('"', "")
    finally:
        load.terminate()
        load.wait(30)
    done = requests(output)
    assert {each["cluster"] for each in done} == {"plum", "fern"}
    assert not [each for each in done if each["status"] != 200]


def test_a_service_that_turns_bad_while_green_is_unreachable_moves_the_entry_to_blue(project: Project, zone: Zone) -> None:
    plum, fern = project.plum, project.fern
    project.run("entry", "adopt", "--yes")
    for host in zone.hosts:
        zone.change("CREATE", zone.record(host, fern.gateway, SetIdentifier="fern", Weight=0))
    project.run("entry", "shift", "--to", "50", "--yes", "--force")
    project.configure(sample_interval_seconds=3, dwell_seconds=600)  # time to end the API server before it is seen
    with project.load() as users:
        running = project.begin("shift", "--yes")
        project.await_step(project.bad, STEPS[0])
        assert zone.answers() == {plum.gateway, fern.gateway}
        fern.annotate_pods(project.namespace, "bad", ERRORS)
        eventually(lambda: users[project.bad].injected, "an error that users get", pause=0.001)
        with fern.killed("kube-apiserver"):
            eventually(lambda: project.events("return", project.bad), "the way back", 120)
            eventually(lambda: project.probe(plum, project.bad) == 0, "blue's way back")
            eventually(lambda: zone.answers() == {plum.gateway}, "the entry at blue", 120)
            moved = eventually(lambda: project.events("entry", "fern", kind="outcome", after=0), "the journal's word")
            assert project.bad in moved[-1]["reason"]  # rolled back, or about to be and green cannot be told
            assert project.probe(fern, project.bad) == STEPS[0]
        eventually(lambda: project.split(project.bad) == (0, 0), "green's way back, when it answers again", 120)
        running.send_signal(signal.SIGINT)
        told = running.communicate(timeout=PATIENCE)[1]
        assert f"within {TTL} s" in told
    assert "bluegreen:entry: {plum: 10000, fern: 0}" in project.edge.read_text().replace('"', "")
    for cluster in (plum, fern):
        record = cluster.api.get("/api/v1/namespaces/istio-system/configmaps/bluegreen-edge")
        assert record is not None
        assert json.loads(record["data"]["entry"]) == {"plum": 10_000, "fern": 0}
    fern.annotate_pods(project.namespace, "bad", MENDED)
    project.run("rollback")


def settled(project: Project) -> None:
    """Green serves as before its API server was away; a service that answers badly for that would rightly go back."""
    names = ("good", "bad")
    eventually(lambda: all(project.fern.ready_pods(project.namespace, name) for name in names), "ready pods on green")
    rule = {f"{project.namespace}/{name}": routing.rule_id(f"{project.namespace}/{name}", 0) for name in names}

    def good() -> bool:
        headers = [{routing.RULE_HEADER: each} for each in rule.values()]
        return all(project.fern.send("any", headers=each, peer=True).status == 200 for each in headers * 50)

    eventually(good, "a hundred good answers of green in a row")


def addresses(output: Path, since: float) -> set[str]:
    return {each["address"] for each in requests(output) if each["t"] > since}
