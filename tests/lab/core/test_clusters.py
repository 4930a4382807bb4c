"""What a cluster of the lab is: its version, its nodes, what a cloud does for it, and how it ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.client import LabClient, LabError
from lab.cluster.cluster import CONTROLLERS
from tests.lab.support.kit import LabCluster, eventually


@pytest.mark.parametrize(("index", "minor"), [(0, "34"), (1, "36")], ids=["plum emulates 1.34", "fern is 1.36"])
def test_each_cluster_says_which_kubernetes_it_plays(two_clusters: Any, index: int, minor: str) -> None:
    version = two_clusters[index].api.get("/version")
    assert (version["major"], version["minor"], version["emulationMinor"]) == ("1", "36", minor)


def test_an_older_cluster_lacks_what_came_later(two_clusters: Any) -> None:
    """Emulation is more than a number: APIs of later minors are not served."""
    plum, fern = (
        {
            f"{group['name']}/{version['version']}/{resource['name']}"
            for group in cluster.api.get("/apis")["groups"]
            for version in group["versions"]
            for resource in cluster.api.get(f"/apis/{version['groupVersion']}")["resources"]
        }
        for cluster in two_clusters
    )
    assert "apps/v1/deployments" in plum
    assert fern - plum, "1.36 serves nothing that 1.34 does not"


def test_nodes_are_ready_in_three_zones(two_clusters: Any) -> None:
    for cluster in two_clusters:
        labels = [node["metadata"]["labels"] for node in cluster.api.items("/api/v1/nodes")]
        zones = sorted(label["topology.kubernetes.io/zone"] for label in labels)
        assert zones == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]


def test_load_balancers_get_the_gateways_address(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    path = f"/api/v1/namespaces/{namespace}/services/front"
    spec = {"type": "LoadBalancer", "selector": {"istio": "ingressgateway"}, "ports": [{"port": 80}]}
    metadata = {"name": "front", "namespace": namespace}
    plum.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    ingress = eventually(lambda: plum.api.get(path)["status"]["loadBalancer"]["ingress"], "an address")
    assert ingress[0]["ip"] == plum.gateway


@pytest.mark.parametrize("storage_class", [None, "gp3", "made-up"])
def test_claims_are_bound(two_clusters: Any, namespace: str, storage_class: str | None) -> None:
    plum, _ = two_clusters
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": spec}
    claim["metadata"] = {"name": "data", "namespace": namespace}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "user", "namespace": namespace},
        "spec": {"containers": [{"name": "app", "image": "app:1"}], "volumes": [volume]},
    }
    plum.api.apply(claim, pod)
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/data"
    eventually(lambda: plum.api.get(path)["status"].get("phase") == "Bound", "a bound claim")
    eventually(lambda: len(plum.ready_pods(namespace)) == 1, "the pod that uses it")
    name = plum.api.get(path)["spec"]["volumeName"]
    plum.api.delete(f"/api/v1/namespaces/{namespace}/pods/user")
    plum.api.delete(path)
    eventually(lambda: plum.api.get(f"/api/v1/persistentvolumes/{name}") is None, "the volume reclaimed")


def test_autoscalers_follow_the_usage_given_by_annotations(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    plum.workload(namespace, "web", replicas=1, annotations={"lab.bluegreen.io/cpu": "180m"})
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 1,
            "maxReplicas": 4,
            "metrics": [{"type": "Resource", "resource": cpu}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    }
    plum.api.apply(scaler)
    eventually(lambda: len(plum.ready_pods(namespace, "web")) == 4, "all replicas", seconds=120)
    plum.annotate_pods(namespace, "web", {"lab.bluegreen.io/cpu": "1m"})
    eventually(lambda: len(plum.ready_pods(namespace, "web")) == 1, "one replica again", seconds=180)


def test_gateway_counters_carry_the_cluster_name_as_a_label(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    host = f"web.{namespace}.test"
    plum.workload(namespace, "web", host)
    name = f"outbound|80||web.{namespace}.svc.cluster.local"
    plum.send(host)
    wanted = f'envoy_cluster_upstream_rq_xx{{cluster_name="{name}",response_code_class="2"}}'
    reversed_labels = f'envoy_cluster_upstream_rq_xx{{response_code_class="2",cluster_name="{name}"}}'
    text = plum.stats()
    assert wanted in text or reversed_labels in text


def test_an_https_server_does_not_disturb_the_others(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    host = f"web.{namespace}.test"
    plum.workload(namespace, "web", host)
    tls = {"mode": "SIMPLE", "credentialName": "nowhere"}
    server = {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": [host], "tls": tls}
    other = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [f"other.{namespace}.test"]}
    plum.api.apply(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "own", "namespace": namespace},
            "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server, other]},
        }
    )
    plum.workload(namespace, "late", f"late.{namespace}.test")  # what is written after it still takes effect
    assert plum.send(host).status == 200
    with plum.killed("envoy"):
        pass
    eventually(lambda: plum.send(host).status == 200, "the gateway, started anew")
    assert "envoy_listener_manager_total_listeners_warming{} 0" in plum.stats()


def test_after_its_api_server_was_dead_a_cluster_works_at_once(lab: Any, two_clusters: Any, namespace: str) -> None:
    """Controllers that found it dead wait longer and longer before they look again; the lab starts them anew."""
    plum, _ = two_clusters

    def controllers() -> dict[str, int]:
        records = [json.loads(path.read_text()) for path in (lab.root / "run").glob("plum.*.json")]
        return {each["name"]: each["pid"] for each in records if each["name"].removeprefix("plum/") in CONTROLLERS}

    before = controllers()
    with plum.killed("kube-apiserver"):
        assert controllers() == before
    after = controllers()
    assert len(before) == len(CONTROLLERS)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    plum.workload(namespace, "web", f"web.{namespace}.test")


def test_a_deleted_cluster_leaves_no_trace(lab: Any, two_clusters: Any) -> None:
    client: LabClient = lab.client
    client.create_cluster("third", "1.35")
    described = client.wait_ready("third")
    third = LabCluster(client, described)
    assert third.api.request("GET", "/version")["emulationMinor"] == "35"
    third.api.close()
    records = list((lab.root / "run").glob("third.*.json"))
    assert len(records) == 8
    client.delete_cluster("third")
    assert not (lab.root / "clusters" / "third").exists()
    assert not list((lab.root / "run").glob("third.*.json"))
    address = described["endpoint"].removeprefix("https://").split(":")[0].rsplit(".", 1)[0]
    assert not [line for line in listeners() if line.startswith(address + ".")]
    with pytest.raises(LabError, match="no cluster 'third'"):
        client.cluster("third")


def test_the_lab_listens_on_its_own_loopback_block_alone(lab: Any, two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    plum.workload(namespace, "web", f"web.{namespace}.test")
    mine = {json.loads(path.read_text())["pid"] for path in (lab.root / "run").glob("*.json")} | {lab.process.pid}
    inodes = {inode for pid in mine for inode in sockets(pid)}
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            listening = fields[3] == "0A" if kind.startswith("tcp") else fields[2].endswith(":0000")
            if listening and fields[9] in inodes and not kind.endswith("6"):
                raw = bytes.fromhex(fields[1].split(":")[0])[::-1]
                address = ".".join(map(str, raw))
                assert address.startswith("127."), f"{kind} {address}"
            elif listening and fields[9] in inodes:
                raise AssertionError(f"listens on IPv6: {line}")


def test_a_cluster_of_an_unknown_version_or_bad_name_is_refused(lab: Any) -> None:
    with pytest.raises(LabError, match=r"'1\.12' is not one the lab can run"):
        lab.client.create_cluster("old", "1.12")
    with pytest.raises(LabError, match="lower-case letters"):
        lab.client.create_cluster("Old_One", "1.36")


def listeners() -> list[str]:
    shown = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
    return [line.split()[3] for line in shown.splitlines()]


def sockets(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found
