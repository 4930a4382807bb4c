"""Floors on real API servers: who owns a field is theirs to say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.support import command
from tests.lab.support.bare import Bare, on

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

NAMESPACE = "floors"
NAMES = ("web", "cart", "open")  # `open` says no minimum


def objects(name: str, replicas: int) -> list[dict[str, Any]]:
    meta, labels = {"name": name, "namespace": NAMESPACE}, {"app": name}
    spec: dict[str, Any] = {"maxReplicas": 10, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "example.test/a:1"}]}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": meta,
            "spec": spec if name == "open" else {**spec, "minReplicas": 2},
        },
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": labels, "ports": [{"port": 80}]}},
    ]


class Floors:
    def __init__(self, folder: Path, pair: tuple[Bare, Bare]) -> None:
        self.folder, self.pair = folder, pair
        edge = folder / "Pulumi.edge.yaml"
        splits = {f"{NAMESPACE}/web": 10_000, f"{NAMESPACE}/cart": 2000}
        edge.write_text(
            "config:\n  bluegreen:sides: {blue: plum, green: fern}\n  bluegreen:services: " + json.dumps(splits) + "\n"
        )
        (folder / "edge.routes").mkdir()
        for name in ("web", "cart"):
            route = {
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"hosts": [f"{name}.test"], "gateways": ["g"], "http": [{"route": [{"destination": {"host": name}}]}]},
            }
            (folder / f"edge.routes/{NAMESPACE}.{name}.yaml").write_text(json.dumps(route))
        clusters = {
            bare.name: {"kubeconfig": str(bare.kubeconfig), "gateway": {"address": f"192.0.2.{number}"}}
            for number, bare in enumerate(pair, start=1)
        }
        (folder / "migration.yaml").write_text(json.dumps({"version": 1, "clusters": clusters, "edge": edge.name}))

    def run(self, *words: str, code: int = 0) -> Any:
        output, _ = command.run(self.folder / "migration.yaml", "--json", *words, codes=(code,))
        return json.loads(output) if output else None

    def minimums(self) -> dict[str, dict[str, int]]:
        """By cluster and name, as the API servers have them."""
        return {
            bare.name: {
                item["metadata"]["name"]: item["spec"]["minReplicas"] for item in on(bare, "hpa", "-n", NAMESPACE)["items"]
            }
            for bare in self.pair
        }


@pytest.fixture
def alone(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """Other tests replicate all of these clusters: what this one makes and changes does not stay."""
    yield pair
    for bare in pair:
        bare.kubectl("delete", "hpa,deployments", "--all", "-n", NAMESPACE)


def test_floors_are_released_without_overwriting_what_people_set_since(alone: tuple[Bare, Bare], tmp_path: Path) -> None:
    pair = blue, green = alone
    for bare, manager in ((blue, "helm"), (green, "bluegreen-replicate")):
        bare.kubectl("create", "namespace", NAMESPACE, check=False)
        items = {"apiVersion": "v1", "kind": "List", "items": [each for name in NAMES for each in objects(name, 5)]}
        bare.kubectl("apply", "--server-side", "--field-manager", manager, "-f", "-", given=json.dumps(items))
    floors = Floors(tmp_path, pair)
    before = {"web": 2, "cart": 2, "open": 1}
    assert floors.minimums() == {"plum": before, "fern": before}
    code = f"""
import asyncio, sys
from pathlib import Path
from migration.clients.kubernetes import Kubernetes
from migration.capacity.floors import apply_floors, plan_floors

async def act():
    one, other = (Kubernetes.from_kubeconfig(Path(p), name=n) for p, n in zip(sys.argv[1:], ("plum", "fern")))
    async with one as blue, other as green:
        chosen = [c for c in await plan_floors(blue, green) if c.namespace == "{NAMESPACE}"]
        await apply_floors(chosen, blue, green, ready_seconds=0)  # no pod ever runs here

asyncio.run(act())
"""
    subprocess.run([sys.executable, "-c", code, str(blue.kubeconfig), str(green.kubeconfig)], check=True)
    assert floors.minimums() == {"plum": dict.fromkeys(NAMES, 5), "fern": dict.fromkeys(NAMES, 5)}
    green.kubectl("patch", "hpa", "cart", "-n", NAMESPACE, "--type=merge", "-p", '{"spec":{"minReplicas":7}}')

    floors.run("capacity", "release", code=3)  # the plan alone
    came = floors.run("capacity", "release", f"{NAMESPACE}/web", "--yes")
    assert (len(came["released"]), came["kept"], came["failed"]) == (2, [], [])
    rest = {"web": 2, "cart": 5, "open": 5}
    assert floors.minimums() == {"plum": rest, "fern": rest | {"cart": 7}}

    came = floors.run("capacity", "release", "--yes")  # cart is on its way to green
    assert (len(came["released"]), len(came["kept"]), came["failed"]) == (2, 2, [])
    assert floors.minimums() == {"plum": before | {"cart": 5}, "fern": before | {"cart": 7}}

    came = floors.run("capacity", "release", f"{NAMESPACE}/cart", "--yes")
    assert ["kubectl-patch since" in floor["reason"] for floor in came["released"]] == [False, True]
    assert floors.minimums() == {"plum": before, "fern": before | {"cart": 7}}
    again = floors.run("capacity", "release", "--yes")
    assert [again[name] for name in ("floors", "released", "kept", "failed")] == [[], [], [], []]
    for bare in pair:
        for item in on(bare, "hpa", "-n", NAMESPACE)["items"]:
            assert "bluegreen.io/floor-before" not in (item["metadata"].get("annotations") or {})
    floors.run("capacity", "release", f"{NAMESPACE}/cartt", "--yes", code=2)
