"""`pulumi up` and the `bluegreen` command on the same world, in the order of an upgrade, on real parts.

Each test is a step that goes on from where the last one ended; after the first that fails the rest are skipped.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from dnslib import DNSRecord

import routing
from components.live import Live, read_live
from lab import programs
from lab.project import EDGE, NETWORK, ZONE, Operations, Project, ProjectError
from lab.server import Lab
from tests.lab.support import command
from tests.lab.support.kit import LabCluster, eventually

pytestmark = [pytest.mark.steps, pytest.mark.timeout(600)]  # an `up` of a cluster has the other tests' machine to share

BLUE, GREEN = "plum", "fern"
SERVICE, HOST = "shop/catalog", f"catalog.{ZONE}"
LOCAL = {"destination": {"host": "catalog.shop.svc.cluster.local", "port": {"number": 80}}}
RULES: list[dict[str, Any]] = [
    {"match": [{"uri": {"prefix": "/old/"}}], "rewrite": {"uri": "/"}, "route": [LOCAL], "timeout": "7s"},
    {"route": [LOCAL], "retries": {"attempts": 2, "retryOn": "connect-failure"}},
]
ROUTES = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
ENTRIES = "/apis/networking.istio.io/v1/namespaces/shop/serviceentries"
RECORD = "/api/v1/namespaces/istio-system/configmaps/bluegreen-edge"
HOP = "/apis/networking.istio.io/v1/namespaces/istio-system/destinationrules/bluegreen-peer"
LISTED: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("eks", "list_clusters", "clusters", {}),
    ("iam", "list_roles", "Roles", {}),
    ("iam", "list_policies", "Policies", {"Scope": "Local"}),
    ("iam", "list_instance_profiles", "InstanceProfiles", {}),
    ("iam", "list_open_id_connect_providers", "OpenIDConnectProviderList", {}),
    ("ec2", "describe_security_groups", "SecurityGroups", {}),
    ("ec2", "describe_launch_templates", "LaunchTemplates", {}),
    ("ec2", "describe_network_interfaces", "NetworkInterfaces", {}),
    ("ec2", "describe_volumes", "Volumes", {}),
    ("ec2", "describe_addresses", "Addresses", {}),
    ("ec2", "describe_tags", "Tags", {}),
    ("elbv2", "describe_load_balancers", "LoadBalancers", {}),
    ("elbv2", "describe_target_groups", "TargetGroups", {}),
    ("logs", "describe_log_groups", "logGroups", {}),
    ("sqs", "list_queues", "QueueUrls", {}),
)
PATHS = (f"{ROUTES}/catalog", f"{ROUTES}/catalog-bluegreen-peer", f"{ENTRIES}/catalog-bluegreen-peer", HOP, RECORD)


@dataclass
class World:
    lab: Lab
    project: Project
    known: dict[str, LabCluster] = field(default_factory=dict)
    before_green: dict[str, list[str]] = field(default_factory=dict)
    original: dict[str, Any] = field(default_factory=dict)

    def cluster(self, name: str) -> LabCluster:
        if name not in self.known:
            self.known[name] = LabCluster(self.lab.client, self.lab.client.cluster(name))
        return self.known[name]

    @property
    def both(self) -> list[LabCluster]:
        return [self.cluster(BLUE), self.cluster(GREEN)]

    # -- what is live

    def object(self, cluster: str, path: str) -> dict[str, Any]:
        found = self.cluster(cluster).api.get(path)
        assert found is not None, f"{cluster} has no {path}"
        return found

    def versions(self) -> dict[tuple[str, str], str]:
        """The API server gives a new version only to what changed."""
        return {
            (each.name, path): self.object(each.name, path)["metadata"]["resourceVersion"]
            for each in self.both
            for path in PATHS
        }

    def spec(self, cluster: str) -> Any:
        return self.object(cluster, f"{ROUTES}/catalog")["spec"]

    def on_blue(self) -> int | None:
        """The split that blue's public route has."""
        original = {"metadata": {"namespace": "shop", "name": "catalog"}, "spec": self.original}
        live = self.object(BLUE, f"{ROUTES}/catalog")
        return routing.live_split(live, live | original, "blue")

    def record(self, cluster: str) -> Live | None:
        return read_live(Path(self.cluster(cluster).kubeconfig).read_text())

    def splits(self) -> list[int]:
        """What both data planes say."""
        return [int(each.send("any", headers={"x-bluegreen-probe": SERVICE}, peer=True).text) for each in self.both]

    def aws(self, service: Any) -> Any:
        import boto3

        env = self.project.environment
        return boto3.client(
            service,
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name=env["AWS_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )

    def held(self) -> dict[str, list[str]]:
        """What AWS holds of all that a cluster's stack makes, as text, kind by kind."""
        listed = {}
        for service, call, key, arguments in LISTED:
            answer = getattr(self.aws(service), call)(**arguments)
            listed[call] = sorted(json.dumps(item, default=str, sort_keys=True) for item in answer.get(key, []))
        return listed

    def records(self) -> list[dict[str, Any]]:
        zone = self.project.outputs(EDGE)["zoneId"]
        return list(self.aws("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"])

    def weights(self) -> dict[str, int]:
        named = [item for item in self.records() if item["Name"] == f"{ZONE}." and "Weight" in item]
        return {item["SetIdentifier"]: item["Weight"] for item in named}

    def resolved(self) -> str:
        address, _, port = self.lab.client.lab()["services"]["dns"].rpartition(":")
        answer = DNSRecord.parse(DNSRecord.question(HOST).send(address, int(port), timeout=10))
        return str(answer.rr[0].rdata)

    # -- who acts

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return command.begin(self.project.folder / "migration.yaml", "--json", *words, environment=self.project.environment)

    def bluegreen(self, *words: str, code: int = 0) -> Any:
        output, _ = command.ended(self.begin(*words), (code,))
        return json.loads(output) if output else None

    def move_all_to_green(self) -> None:
        with self.cluster(BLUE).traffic(HOST, workers=2, pause=0.02):
            assert self.bluegreen("shift", "--yes", "--retry", "all")["arrived"] == [SERVICE]
        assert self.splits() == [10_000, 10_000]

    def edge_is_unchanged(self) -> None:
        assert unchanged(self.project.preview(EDGE))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    programs.ensure()
    root = tmp_path_factory.mktemp("upgrade")
    with Lab.start(root / "lab") as lab:
        project = Project.create(root / "project", lab.client.environment())
        project.add_cluster(BLUE, "1.34")
        project.add_cluster(GREEN, "1.36")
        project.set_sides(BLUE)
        made = World(lab, project)
        yield made
        for cluster in made.known.values():
            cluster.api.close()


def unchanged(operations: Operations) -> bool:
    assert operations.changed == ()
    return operations.changes == 0 and operations.same > 0


def test_one_up_completes_network_blue_and_edge(world: World) -> None:
    for stack in (NETWORK, BLUE, EDGE):
        made = world.project.up(stack)
        assert made.create > 0
        assert (made.update, made.delete, made.replace) == (0, 0, 0)
    for stack in (NETWORK, BLUE, EDGE):
        assert unchanged(world.project.up(stack))
    outputs = world.project.outputs(BLUE)
    gateway = world.cluster(BLUE).gateway
    assert outputs["gatewayAddress"] == outputs["peerAddress"] == gateway
    assert outputs["clusterName"] == BLUE
    assert world.weights() == {BLUE: 1}
    assert world.resolved() == gateway


def test_green_is_created_without_touching_anything_else(world: World) -> None:
    world.before_green = world.held()
    made = world.project.up(GREEN)
    assert GREEN in json.dumps(world.held())
    assert made.create > 0
    assert (made.update, made.delete, made.replace) == (0, 0, 0)
    for stack in (NETWORK, BLUE, EDGE):
        assert unchanged(world.project.preview(stack))
    world.project.set_sides(BLUE, GREEN)
    both = world.project.up(EDGE)
    assert both.create > 0
    assert (both.update, both.delete, both.replace) == (0, 0, 0)
    assert world.weights() == {BLUE: 1, GREEN: 0}


def test_what_enroll_wrote_is_taken_over_as_it_is(world: World) -> None:
    for cluster in world.both:
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        cluster.workload("shop", "catalog", host=HOST, http_routes=RULES)
    world.original = world.spec(BLUE)
    description = {
        "version": 1,
        "clusters": {
            each.name: {
                "kubeconfig": each.kubeconfig,
                "gateway": {"address": each.gateway, "port": each.port, "peer_port": each.peer_port},
                "counters": {"url": f"{each.admin}/stats/prometheus", "dialect": "envoy"},
            }
            for each in world.both
        },
        "edge": "stacks/Pulumi.edge.yaml",
        "policy": {
            "steps_bp": [2500, 10_000],
            "dwell_seconds": 3,
            "bake_seconds": 1,
            "min_requests": 1,
            "inconclusive_limit_seconds": 3600,
        },
    }
    (world.project.folder / "migration.yaml").write_text(yaml.safe_dump(description))
    world.bluegreen("enroll", "--yes", SERVICE)
    before = world.versions()
    taken = world.project.up(EDGE)
    assert taken.create == 6  # route, peer route and destination of each cluster
    assert (taken.delete, taken.replace) == (0, 0)
    assert world.versions() == before
    world.edge_is_unchanged()
    assert world.on_blue() == 0


def test_verify_asks_green_itself(world: World) -> None:
    """At 0 green's gateway would have blue answer for it."""
    green = world.cluster(GREEN)
    (good,) = world.bluegreen("verify")["verdicts"]
    assert good["ok"]
    assert any("from a workload" in told for told in good["evidence"])
    green.scale("shop", "catalog", 0)
    (bad,) = world.bluegreen("verify", "--patience", "1", code=3)["verdicts"]
    assert not bad["ok"]
    green.scale("shop", "catalog", 1)
    assert world.bluegreen("verify")["verdicts"][0]["ok"]


def test_after_each_write_of_the_command_nothing_is_left_to_do(world: World) -> None:
    with world.cluster(BLUE).traffic(HOST, workers=2, pause=0.02) as users:
        running = world.begin("shift", "--yes")
        eventually(lambda: world.splits() == [2500, 2500], "the first step", seconds=120)
        running.send_signal(signal.SIGINT)  # the state is saved: this is a person who looks around in between
        command.ended(running, (130,))
        world.edge_is_unchanged()
        assert world.splits() == [2500, 2500]

        assert world.bluegreen("shift", "--yes")["arrived"] == [SERVICE]
        world.edge_is_unchanged()
        before = world.versions()
        assert unchanged(world.project.up(EDGE))
        assert world.versions() == before
        assert world.splits() == [10_000, 10_000]

        world.bluegreen("entry", "shift", "--yes")
        world.edge_is_unchanged()
        assert world.weights() == {BLUE: 0, GREEN: 1}
        assert world.resolved() == world.cluster(GREEN).gateway

        assert world.bluegreen("rollback")["complete"]
        world.edge_is_unchanged()
        assert world.weights() == {BLUE: 1, GREEN: 0}
        assert world.splits() == [0, 0]
    assert not users.bad


def test_an_up_with_the_older_file_is_a_rollback(world: World) -> None:
    file = world.project.stack_file(EDGE)
    older = file.read_text()
    world.move_all_to_green()
    file.write_text(older)
    back = world.project.up(EDGE)
    assert back.update > 0
    assert (back.create, back.delete, back.replace) == (0, 0, 0)
    assert world.on_blue() == 0
    live = world.record(BLUE)
    assert live is not None
    assert live.services == {SERVICE: 0}
    eventually(lambda: world.splits() == [0, 0], "the way back")
    assert unchanged(world.project.preview(EDGE))


def test_an_old_file_never_raises_what_green_serves(world: World) -> None:
    file = world.project.stack_file(EDGE)
    kept = file.read_text()
    world.project.configure(EDGE, {"services": {SERVICE: 9000}, "generation": 1, "entry": {BLUE: 0, GREEN: 10000}})
    refused = world.project.up(EDGE)
    assert any("older than what is live" in warning for warning in refused.warnings)
    assert refused.changed == ()
    assert world.splits() == [0, 0]
    assert world.weights() == {BLUE: 1, GREEN: 0}
    file.write_text(kept)


def test_a_service_left_out_by_hand_is_not_cut_off(world: World) -> None:
    file = world.project.stack_file(EDGE)
    kept = file.read_text()
    before = world.versions()
    world.project.configure(EDGE, {"services": {}})
    with pytest.raises(ProjectError, match=f"missing here: {SERVICE}: 0") as refused:
        world.project.up(EDGE)
    assert f"bluegreen unenroll {SERVICE}" in " ".join(str(refused.value).split())
    assert world.versions() == before
    file.write_text(kept)


def test_a_dead_green_does_not_hold_up_a_rollback(world: World) -> None:
    live = world.record(BLUE)
    assert live is not None
    generation = live.generation or 0
    world.project.configure(EDGE, {"services": {SERVICE: 5000}, "generation": generation + 1})
    forward = world.project.up(EDGE)
    assert (forward.update, forward.create, forward.delete, forward.replace) == (6, 0, 0, 0)
    eventually(lambda: world.splits() == [5000, 5000], "a newer file's split")
    with world.cluster(GREEN).killed("kube-apiserver"):
        world.project.configure(EDGE, {"services": {SERVICE: 0}, "generation": generation + 2})
        world.project.up(EDGE)
        assert world.on_blue() == 0
        eventually(lambda: world.splits() == [0, 5000], "blue's way back")
        assert world.cluster(BLUE).send(HOST).cluster == BLUE
        world.edge_is_unchanged()  # what cannot be reached is no difference
        world.project.configure(EDGE, {"services": {SERVICE: 9000}, "generation": generation + 3})
        held = world.project.up(EDGE)
        assert any(f"{GREEN}: its live record cannot be read" in warning for warning in held.warnings)
        assert world.splits() == [0, 5000]  # nobody can say what green was last told
        with pytest.raises(ProjectError, match="skip_update_unreachable"):  # its own stack has to know what is there
            world.project.up(GREEN)
        world.project.configure(EDGE, {"services": {SERVICE: 0}, "generation": generation + 3})
    caught_up = world.project.up(EDGE)
    assert caught_up.update > 0
    eventually(lambda: world.splits() == [0, 0], "green's way back")
    world.edge_is_unchanged()


def test_unenrolling_puts_the_original_back_before_anything_is_removed(world: World) -> None:
    green = world.cluster(GREEN)
    assert world.spec(GREEN) != world.original  # at 0 green's gateway forwards all that comes in by it
    since = green.api.request("GET", ROUTES)["metadata"]["resourceVersion"]
    world.bluegreen("unenroll", "--yes", SERVICE)
    seen = []
    for path in (ROUTES, ENTRIES):
        text = green.api.request("GET", f"{path}?watch=true&resourceVersion={since}&timeoutSeconds=1")
        seen += [text] if isinstance(text, dict) else [json.loads(line) for line in text.splitlines()]
    seen = [event for event in seen if event["type"] != "BOOKMARK"]
    restored = [event for event in seen if event["object"].get("spec") == world.original]
    removed = [event for event in seen if event["type"] == "DELETED"]
    assert {event["object"]["kind"] for event in removed} == {"VirtualService", "ServiceEntry"}
    versions = [min(int(event["object"]["metadata"]["resourceVersion"]) for event in each) for each in (restored, removed)]
    assert versions[0] < versions[1]
    for cluster in (BLUE, GREEN):
        now = world.object(cluster, f"{ROUTES}/catalog")
        assert json.dumps(now["spec"], sort_keys=True) == json.dumps(world.original, sort_keys=True)
        assert not [key for key in now["metadata"].get("annotations") or {} if "bluegreen" in key or "pulumi" in key]
    forgotten = world.project.up(EDGE)
    assert (forgotten.create, forgotten.update, forgotten.replace) == (0, 0, 0)
    for cluster in (BLUE, GREEN):
        assert world.spec(cluster) == world.original
    world.edge_is_unchanged()


def test_destroying_green_removes_green_alone(world: World) -> None:
    world.project.set_sides(BLUE)
    world.project.up(EDGE)
    assert world.weights() == {BLUE: 1}
    gone = world.project.destroy(GREEN)
    assert gone.delete > 0
    assert [cluster["name"] for cluster in world.lab.client.clusters()] == [BLUE]
    assert world.held() == world.before_green
    assert GREEN not in json.dumps(world.records())
    assert world.resolved() == world.cluster(BLUE).gateway
    for stack in (NETWORK, BLUE, EDGE):
        assert unchanged(world.project.preview(stack))
    assert world.spec(BLUE) == world.original
    assert world.cluster(BLUE).send(HOST).cluster == BLUE
