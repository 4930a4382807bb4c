"""The kubernetes plugin, on the engine and a real API server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lab.server import Lab
from tests.lab.support.pulumi_program import Program

HEAD = """
import pulumi, pulumi_kubernetes as k8s

config = pulumi.Config()
flags = dict(enable_config_map_mutable=True, skip_update_unreachable=config.get_bool("skip"))
provider = k8s.Provider("p", kubeconfig=config.require("kubeconfig"), cluster_identifier="one", **flags)
inside = pulumi.ResourceOptions(provider=provider)
NS = config.require("ns")
"""
OBJECTS = """
named = {"name": "settings", "namespace": NS}
settings = k8s.core.v1.ConfigMap("settings", metadata=named, data={"a": config.get("a") or "1"}, opts=inside)
labels = {"app": "web"}
container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "0.01", "memory": "1024Ki"}}}
web = k8s.apps.v1.Deployment("web", metadata={"name": "web", "namespace": NS}, spec={"replicas": 2,
    "selector": {"match_labels": labels},
    "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}, opts=inside)
unnamed = k8s.core.v1.Secret("unnamed", metadata={"namespace": NS}, string_data={"a": "s"}, opts=inside)
pulumi.export("ready", web.status.ready_replicas)
"""
PATCH = """
notes = {"pulumi.com/patchFieldManager": "edge", "pulumi.com/patchForce": "true"}
owner = {"name": "owned", "namespace": NS, "annotations": notes}
k8s.core.v1.ConfigMapPatch("patch", metadata=owner, data={"ours": config.get("a") or "1"}, opts=inside)
"""
RELEASE = """
k8s.helm.v3.Release("dns", name="external-dns", chart=CHART, version="1.21.1", namespace=NS,
    repository_opts={"repo": REPO}, values={"replicaCount": 2}, opts=inside)
"""


@pytest.fixture
def cluster(two_clusters: Any) -> Any:
    return two_clusters.plum


def _program(lab: Lab, folder: Path, namespace: str, body: str) -> Program:
    environment = {**os.environ, **lab.client.environment()}
    program = Program(folder, environment, HEAD + body)
    program.configure(kubeconfig=lab.client.cluster("plum")["kubeconfig"], ns=namespace)
    return program


def test_objects_are_as_the_program_says_until_they_are_destroyed(
    lab: Lab, cluster: Any, namespace: str, tmp_path: Path
) -> None:
    program = _program(lab, tmp_path / "objects", namespace, OBJECTS)
    assert program.run("up")["created"] == 5
    assert program.outputs()["ready"] == 2  # the rollout was waited for
    assert program.run("up", "--refresh") == {"unchanged": 5}

    path = f"/api/v1/namespaces/{namespace}/configmaps/settings"
    changed = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": namespace},
        "data": {"a": "9"},
    }
    cluster.api.apply(changed)
    assert "conflict" in program.fails("up", "--refresh")  # somebody else owns the field now
    cluster.api.delete(path)
    assert program.run("up", "--refresh")["created"] == 1
    assert cluster.api.get(path)["data"] == {"a": "1"}
    assert program.run("destroy")["deleted"] == 5


def test_a_patch_owns_its_fields_until_it_is_destroyed(lab: Lab, cluster: Any, namespace: str, tmp_path: Path) -> None:
    owned = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "namespace": namespace},
        "data": {"theirs": "x"},
    }
    cluster.api.apply(owned)
    program = _program(lab, tmp_path / "patches", namespace, PATCH)
    path = f"/api/v1/namespaces/{namespace}/configmaps/owned"
    assert program.run("up")["created"] == 3
    live = cluster.api.get(path)
    assert live["data"] == {"theirs": "x", "ours": "1"}
    assert "edge" in {entry["manager"] for entry in live["metadata"]["managedFields"]}
    program.run("destroy")
    assert cluster.api.get(path)["data"] == {"theirs": "x"}


def test_an_object_that_exists_is_not_adopted_by_default(lab: Lab, cluster: Any, namespace: str, tmp_path: Path) -> None:
    there = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}, "data": {}}
    cluster.api.apply(there)
    program = _program(lab, tmp_path / "exists", namespace, OBJECTS.split("labels =")[0])
    assert "already exists" in program.fails("up")


def test_a_release_makes_its_chart_s_workloads(lab: Lab, cluster: Any, namespace: str, tmp_path: Path) -> None:
    known = 'CHART, REPO = "external-dns", "https://kubernetes-sigs.github.io/external-dns"\n'
    program = _program(lab, tmp_path / "releases", namespace, known + RELEASE)
    assert program.run("up")["created"] == 3
    deployment = cluster.api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/external-dns")
    assert deployment["spec"]["replicas"] == 2
    program.write(HEAD + known.replace('"external-dns",', '"no-such-chart",') + RELEASE)
    assert "no chart 'no-such-chart'" in program.fails("preview")
    program.write(HEAD + known.replace("kubernetes-sigs", "elsewhere") + RELEASE)
    assert "is not in" in program.fails("preview")
    assert program.run("destroy")["deleted"] == 3
    assert cluster.api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/external-dns") is None


def test_an_unreachable_cluster_is_skipped_only_when_asked(lab: Lab, cluster: Any, namespace: str, tmp_path: Path) -> None:
    program = _program(lab, tmp_path / "unreachable", namespace, OBJECTS.split("labels =")[0])
    assert program.run("up")["created"] == 3
    live = Path(lab.client.cluster("plum")["kubeconfig"]).read_text()
    gone = tmp_path / "gone"
    gone.write_text(live.replace(":6443", ":1"))
    program.configure(kubeconfig=str(gone), a="2")
    assert "unreachable" in program.fails("up", "--refresh")
    program.configure(skip="true")
    program.run("up")  # the provider learns the flag; the object is left alone
    assert program.run("up", "--refresh")["unchanged"] == 3
    program.configure(kubeconfig=lab.client.cluster("plum")["kubeconfig"])
    program.run("up", "--refresh")
    assert cluster.api.get(f"/api/v1/namespaces/{namespace}/configmaps/settings")["data"] == {"a": "2"}
