"""`pulumi up` of the whole program on the lab, in the order of an upgrade.

One test: each step goes on from where the last one ended, and a failure names its step by the frame it is in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

import routing
from components.live import Live, read_live
from lab.project import EDGE, NETWORK, ZONE, Operations, Project
from lab.server import Lab

pytestmark = pytest.mark.lab

BLUE, GREEN = "plum", "fern"
SERVICE = "shop/catalog"
ROUTE: dict[str, Any] = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "catalog", "namespace": "shop"},
    "spec": {
        "hosts": [ZONE],
        "gateways": ["istio-system/public"],
        "http": [{"route": [{"destination": {"host": "catalog.shop.svc.cluster.local", "port": {"number": 8080}}}]}],
    },
}


@dataclass
class World:
    lab: Lab
    project: Project

    def kube(self, cluster: str, path: str, method: str = "GET", body: Any = None, manager: str = "kubectl") -> Any:
        """One request to the API server; None for 404. A body is applied by `manager`."""
        import ssl
        import urllib.error
        import urllib.request

        found = self.lab.client.cluster(cluster)
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
        query = f"?fieldManager={manager}&force=true" if body else ""
        request = urllib.request.Request(
            found["endpoint"] + path + query,
            json.dumps(body).encode() if body else None,
            {"Authorization": f"Bearer {found['token']}", "Content-Type": "application/apply-patch+yaml"},
            method="PATCH" if body else method,
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        try:
            with opener.open(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise AssertionError(error.read().decode()) from error

    def apply(self, cluster: str, item: dict[str, Any], manager: str = "kubectl") -> Any:
        return self.kube(cluster, path_of(item), body=item, manager=manager)

    def live(self, cluster: str) -> Live | None:
        return read_live(self.project.outputs(cluster)["kubeconfig"])

    def aws(self, service: str) -> Any:
        import boto3

        env = self.project.environment
        return boto3.client(
            service,
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name=env["AWS_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )

    def weights(self) -> dict[str, int]:
        route53 = self.aws("route53")
        zone = self.project.outputs(EDGE)["zoneId"]
        sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return {
            item["SetIdentifier"]: item["Weight"] for item in sets if item["Name"] == f"{ZONE}." and "Weight" in item
        }


def path_of(item: dict[str, Any]) -> str:
    meta, version = item["metadata"], item["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = {"VirtualService": "virtualservices", "ServiceEntry": "serviceentries", "Gateway": "gateways"}
    plural |= {"Namespace": "namespaces", "ConfigMap": "configmaps"}
    place = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{root}{place}/{plural[item['kind']]}/{meta['name']}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    os.environ.setdefault("no_proxy", "127.0.0.0/8")
    root = tmp_path_factory.mktemp("upgrade")
    with Lab.start(root / "lab") as lab:
        project = Project.create(root / "project", lab.client.environment())
        project.add_cluster(BLUE, "1.34")
        project.add_cluster(GREEN, "1.36")
        project.set_sides(BLUE)
        yield World(lab, project)


def unchanged(operations: Operations) -> bool:
    assert operations.changed == ()
    return operations.changes == 0 and operations.same > 0


def network_blue_and_edge_come_up_and_a_second_up_changes_nothing(world: World) -> None:
    for stack in (NETWORK, BLUE, EDGE):
        made = world.project.up(stack)
        assert made.create > 0
        assert (made.update, made.delete, made.replace) == (0, 0, 0)
    for stack in (NETWORK, BLUE, EDGE):
        assert unchanged(world.project.up(stack))
    outputs = world.project.outputs(BLUE)
    gateway = world.lab.client.cluster(BLUE)["gateway"]["address"]
    assert outputs["gatewayAddress"] == gateway
    assert outputs["peerAddress"] == gateway
    assert outputs["clusterName"] == BLUE
    assert world.weights() == {BLUE: 1}


def green_is_created_and_nothing_else_is_touched(world: World) -> None:
    made = world.project.up(GREEN)
    assert made.create > 0
    assert (made.update, made.delete, made.replace) == (0, 0, 0)
    for stack in (NETWORK, BLUE, EDGE):
        assert unchanged(world.project.preview(stack))
    world.project.set_sides(BLUE, GREEN)
    both = world.project.up(EDGE)
    assert (both.delete, both.replace) == (0, 0)
    assert world.weights() == {BLUE: 1, GREEN: 0}


def enroll(world: World, share: int, generation: int) -> dict[str, routing.Objects]:
    """What the command writes: the file, then the same objects directly."""
    folder = world.project.folder / "stacks" / f"{EDGE}.routes"
    folder.mkdir(exist_ok=True)
    (folder / "shop.catalog.yaml").write_text(yaml.safe_dump(ROUTE))
    world.project.configure(EDGE, {"services": {SERVICE: share}, "generation": generation})
    known = world.project.settings(EDGE)
    intent = routing.Intent(known["sides"], known["entry"], known["services"], generation)
    sides: list[tuple[routing.Side, str, str]] = [("blue", BLUE, GREEN), ("green", GREEN, BLUE)]
    made = {}
    for side, name, other in sides:
        peer = routing.Peer(world.lab.client.cluster(other)["gateway"]["address"])
        made[name] = routing.objects(intent, {SERVICE: ROUTE}, side, peer)
        for item in made[name].in_order():
            world.apply(name, item, routing.FIELD_MANAGER)
    return made


def spec(world: World, cluster: str) -> Any:
    return world.kube(cluster, path_of(ROUTE))["spec"]


def what_the_command_wrote_is_taken_over_as_it_is(world: World) -> None:
    for cluster in (BLUE, GREEN):
        world.apply(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        world.apply(cluster, ROUTE)
    wanted = enroll(world, 0, 1)
    before = {cluster: world.kube(cluster, path_of(ROUTE)) for cluster in (BLUE, GREEN)}
    taken = world.project.up(EDGE)
    assert (taken.delete, taken.replace) == (0, 0)
    assert unchanged(world.project.preview(EDGE))
    for cluster in (BLUE, GREEN):
        assert spec(world, cluster) == before[cluster]["spec"]
        assert spec(world, cluster) == wanted[cluster].routes[0]["spec"]


def after_a_step_of_the_command_an_up_changes_nothing(world: World) -> None:
    enroll(world, 2500, 2)
    assert unchanged(world.project.preview(EDGE))
    assert unchanged(world.project.up(EDGE))


def putting_the_file_back_and_up_is_a_rollback(world: World) -> None:
    world.project.configure(EDGE, {"services": {SERVICE: 0}, "generation": 1})
    back = world.project.up(EDGE)
    assert back.update > 0
    assert (back.create, back.delete, back.replace) == (0, 0, 0)
    assert spec(world, BLUE) == ROUTE["spec"]
    live = world.live(BLUE)
    assert live is not None
    assert live.services == {SERVICE: 0}


def an_old_file_never_raises_what_green_serves(world: World) -> None:
    live = world.live(BLUE)
    assert live is not None
    world.project.configure(EDGE, {"services": {SERVICE: 9000}, "generation": 1, "entry": {BLUE: 0, GREEN: 10000}})
    refused = world.project.up(EDGE)
    assert any("older than what is live" in warning for warning in refused.warnings)
    assert spec(world, BLUE) == ROUTE["spec"]
    assert world.weights() == {BLUE: 1, GREEN: 0}
    world.project.configure(EDGE, {"services": {SERVICE: 0}, "entry": {BLUE: 10000, GREEN: 0}})


def a_dead_green_does_not_hold_up_a_rollback(world: World) -> None:
    enroll(world, 5000, 10)
    assert unchanged(world.project.up(EDGE))
    world.lab.client.program(GREEN, "kube-apiserver", "killed")
    world.project.configure(EDGE, {"services": {SERVICE: 0}, "generation": 11})
    world.project.up(EDGE)
    assert spec(world, BLUE) == ROUTE["spec"]
    world.lab.client.program(GREEN, "kube-apiserver", "running")
    world.lab.client.wait_ready(GREEN)
    caught_up = world.project.up(EDGE)
    assert caught_up.update > 0
    assert unchanged(world.project.preview(EDGE))


def destroying_green_leaves_nothing_of_it_and_blue_as_it_was(world: World) -> None:
    world.project.set_sides(BLUE)
    world.project.configure(EDGE, {"services": {}, "generation": 12})
    world.project.up(EDGE)
    assert world.weights() == {BLUE: 1}
    gone = world.project.destroy(GREEN)
    assert gone.delete > 0
    assert world.aws("eks").list_clusters()["clusters"] == [BLUE]
    assert [cluster["name"] for cluster in world.lab.client.clusters()] == [BLUE]
    roles = world.aws("iam").list_roles()["Roles"]
    assert not [role["RoleName"] for role in roles if role["RoleName"].startswith(GREEN)]
    providers = world.aws("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert len(providers) == 1
    groups = world.aws("ec2").describe_security_groups()["SecurityGroups"]
    assert not [group["GroupName"] for group in groups if GREEN in group["GroupName"]]
    for stack in (NETWORK, BLUE, EDGE):
        assert unchanged(world.project.preview(stack))
    assert spec(world, BLUE) == ROUTE["spec"]


def test_an_upgrade_by_pulumi_up(world: World) -> None:
    for step in (
        network_blue_and_edge_come_up_and_a_second_up_changes_nothing,
        green_is_created_and_nothing_else_is_touched,
        what_the_command_wrote_is_taken_over_as_it_is,
        after_a_step_of_the_command_an_up_changes_nothing,
        putting_the_file_back_and_up_is_a_rollback,
        an_old_file_never_raises_what_green_serves,
        a_dead_green_does_not_hold_up_a_rollback,
        destroying_green_leaves_nothing_of_it_and_blue_as_it_was,
    ):
        print(step.__name__, flush=True)  # noqa: T201 - which step, in the captured output
        step(world)
