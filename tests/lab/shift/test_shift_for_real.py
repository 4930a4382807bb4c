"""The `bluegreen` command itself on two real clusters: moves, takes back, survives, refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kit import LabCluster, eventually

STEPS = [500, 2000, 10_000]


class Project:
    """A migration of two services in a folder of its own."""

    def __init__(self, folder: Path, plum: LabCluster, fern: LabCluster, namespace: str) -> None:
        self.folder, self.plum, self.fern, self.namespace = folder, plum, fern, namespace
        self.good, self.bad = f"{namespace}/good", f"{namespace}/bad"
        (folder / "stacks").mkdir()
        self.edge = folder / "stacks/Pulumi.edge.yaml"
        self.edge.write_text(
            "config:\n  bluegreen:kind: edge\n  bluegreen:sides: {blue: plum, green: fern}\n"
            "  bluegreen:entry: {plum: 10000, fern: 0}\n  bluegreen:services: {}\n  bluegreen:generation: 1\n"
        )
        (folder / "migration.yaml").write_text(
            json.dumps(
                {
                    "clusters": {c.name: self._cluster(c) for c in (plum, fern)},
                    "edge": "stacks/Pulumi.edge.yaml",
                    "policy": {
                        "steps_bp": STEPS,
                        "dwell_seconds": 2,
                        "bake_seconds": 2,
                        "min_requests": 1,
                        "inconclusive_limit_seconds": 3600,
                    },
                }
            )
        )

    def _cluster(self, cluster: LabCluster) -> dict[str, Any]:
        return {
            "kubeconfig": cluster.kubeconfig,
            "gateway": {"address": cluster.gateway, "port": cluster.port, "peer_port": cluster.peer_port},
            "counters": {"url": f"{cluster.admin}/stats/prometheus", "dialect": "envoy"},
        }

    def begin(self, *words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "NO_COLOR": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "migration.cli", "--json", "--config", str(self.folder / "migration.yaml"), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, *words: str, code: int = 0) -> Any:
        process = self.begin(*words)
        output, told = process.communicate(timeout=180)
        assert process.returncode == code, told
        return json.loads(output) if output else told

    def events(self) -> list[dict[str, Any]]:
        path = self.folder / ".bluegreen/journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def split(self, service: str) -> tuple[int, int]:
        """What both gateways' data planes say."""
        answers = [c.send("any", headers={"x-bluegreen-probe": service}, peer=True).text for c in (self.plum, self.fern)]
        return int(answers[0]), int(answers[1])

    def spec(self, cluster: LabCluster, service: str) -> Any:
        namespace, name = service.split("/")
        found = cluster.api.get(f"/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/{name}")
        return found and found["spec"]

    @contextmanager
    def load(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name in ("good", "bad"):
                stack.enter_context(self.plum.traffic(f"{name}.{self.namespace}.test", workers=3, pause=0.02))
            yield


@pytest.fixture
def project(tmp_path: Path, two_clusters: tuple[LabCluster, LabCluster], namespace: str) -> Project:
    plum, fern = two_clusters
    for cluster in (plum, fern):
        for name in ("good", "bad"):
            cluster.workload(namespace, name, host=f"{name}.{namespace}.test")
    made = Project(tmp_path, plum, fern, namespace)
    made.run("enroll", "--yes", made.good, made.bad)
    eventually(lambda: made.split(made.good) == (0, 0) and made.split(made.bad) == (0, 0), "probes at 0")
    return made


def test_a_bad_service_comes_back_within_two_samples_and_the_good_one_arrives_then_unenrolling_restores(project: Project):
    with project.load():
        running = project.begin("shift", "--yes")
        eventually(lambda: project.split(project.bad)[0] == 2000, "bad at 20 %")
        project.fern.annotate_pods(project.namespace, "bad", {"lab.bluegreen.io/errors": "0.5"})
        output, told = running.communicate(timeout=180)
        assert running.returncode == 4, told
        result = json.loads(output)
        assert list(result["returned"]) == [project.bad]
        assert result["arrived"] == [project.good]
        assert project.split(project.bad) == (0, 0)
        assert project.split(project.good) == (10_000, 10_000)
        project.fern.annotate_pods(project.namespace, "bad", {"lab.bluegreen.io/errors": None})
        assert project.run("shift", "--yes", "--retry", project.bad)["arrived"]
        rolled = project.run("rollback")
        assert rolled["complete"]
        assert project.split(project.good) == project.split(project.bad) == (0, 0)
    folder = project.folder / "stacks/edge.routes"
    originals = {service: (folder / f"{service.replace('/', '.')}.yaml").exists() for service in (project.good, project.bad)}
    assert all(originals.values())
    expected = project.spec(project.plum, project.good)
    project.run("unenroll", "--yes", project.good, project.bad)
    for cluster in (project.plum, project.fern):
        assert project.spec(cluster, project.good) == expected
        assert project.spec(cluster, f"{project.good}-bluegreen-peer") is None


def test_killed_in_mid_shift_it_goes_on_and_a_second_at_once_is_refused(project: Project):
    with project.load():
        running = project.begin("shift", "--yes")
        eventually(lambda: project.split(project.good)[0] >= 500, "the first step")
        before = project.edge.read_text()
        assert "locked by `bluegreen shift`" in project.run("shift", "--yes", code=5)
        assert project.edge.read_text() == before or project.split(project.good)[0] >= 500
        for kill_at in (500, 2000):
            eventually(lambda at=kill_at: project.split(project.good)[0] >= at, f"{kill_at}")
            running.send_signal(signal.SIGKILL)
            running.communicate()
            running = project.begin("shift", "--yes")
        output, told = running.communicate(timeout=180)
        assert running.returncode == 0, told
        assert sorted(json.loads(output)["arrived"]) == sorted([project.good, project.bad])
        steps = [
            e["after"]
            for e in project.events()
            if e["op"] == "shift" and e["kind"] == "outcome" and e["target"] == project.good
        ]
        assert list(dict.fromkeys(steps)) == STEPS


def test_green_api_dead_the_way_back_works_as_ever(project: Project):
    with project.load():
        running = project.begin("shift", "--yes")
        eventually(lambda: project.split(project.good)[0] == 2000, "20 %")
        with project.fern.killed("kube-apiserver"):
            rolled = project.run("rollback")
            assert rolled["complete"]
            assert rolled["in_effect"]["green"] is False
            assert int(project.plum.send("any", headers={"x-bluegreen-probe": project.good}, peer=True).text) == 0
            _, told = running.communicate(timeout=60)
            assert running.returncode == 5, told
            assert "took this migration over" in told


def test_a_weight_changed_by_somebody_else_is_frozen_and_named(project: Project):
    with project.load():
        running = project.begin("shift", "--yes")
        eventually(lambda: project.split(project.good)[0] == 500, "5 %")
        namespace, name = project.good.split("/")
        path = f"/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/{name}"
        spec = project.spec(project.plum, project.good)
        spec["http"][0]["timeout"] = "7s"
        project.plum.api.request(
            "PATCH", f"{path}?fieldManager=a-person", {"spec": {"http": spec["http"]}}, "application/merge-patch+json"
        )
        output, told = running.communicate(timeout=120)
        assert running.returncode == 3, told
        result = json.loads(output)
        assert "a-person" in result["frozen"][project.good]
        assert result["arrived"] == [project.bad]
        assert project.spec(project.plum, project.good)["http"][0]["timeout"] == "7s"
