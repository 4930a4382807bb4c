"""Pods of the lab: who answers, how faults show, what readiness and scaling do."""

from __future__ import annotations

from typing import Any

from tests.lab.support.kit import eventually


def names(pods: list[dict[str, Any]]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


def test_requests_are_spread_over_the_ready_pods(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    host = f"web.{namespace}.test"
    plum.workload(namespace, "web", host, replicas=3)
    ready = names(plum.pods(namespace, "web"))
    served: set[str] = set()

    def asked() -> bool:
        served.add(plum.send(host).pod)
        return served == ready

    eventually(asked, "an answer of every pod")
    answer = plum.send(host, "/a/b?c=d", {"x-mine": "1"}, method="POST", body="hello")
    assert (answer.cluster, answer.workload) == ("plum", f"{namespace}/web")
    assert answer.echo["path"] == "/a/b?c=d"
    assert answer.echo["method"] == "POST"
    assert answer.echo["headers"]["x-mine"] == "1"


def test_the_gateway_has_no_pod_to_ask_without_replicas(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    host = f"web.{namespace}.test"
    plum.workload(namespace, "web", host, replicas=1)
    plum.scale(namespace, "web", 0)
    eventually(lambda: plum.send(host).status == 503, "503 of a service without pods")
    plum.scale(namespace, "web", 1)
    eventually(lambda: plum.send(host).status == 200, "an answer again")


def test_faults_last_as_long_as_their_annotations(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    host = f"web.{namespace}.test"
    plum.workload(namespace, "web", host, replicas=1)
    plum.annotate_pods(namespace, "web", {"lab.bluegreen.io/errors": "1"})
    bad = eventually(lambda: (a := plum.send(host)).status == 500 and a, "an injected error")
    assert bad.injected
    plum.annotate_pods(namespace, "web", {"lab.bluegreen.io/errors": "0.5"})
    statuses = eventually(lambda: len(s := {plum.send(host).status for _ in range(30)}) == 2 and s, "half of the errors")
    assert statuses == {200, 500}
    plum.annotate_pods(namespace, "web", {"lab.bluegreen.io/errors": None, "lab.bluegreen.io/latency-ms": "300"})
    slow = eventually(lambda: (a := plum.send(host)).seconds >= 0.3 and a, "a slow answer")
    assert slow.status == 200
    assert slow.injected
    plum.annotate_pods(namespace, "web", {"lab.bluegreen.io/latency-ms": None})
    eventually(lambda: not plum.send(host).injected, "an answer without fault")


def test_a_crash_looping_pod_gets_no_request(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    host = f"web.{namespace}.test"
    plum.workload(namespace, "web", host, replicas=2)
    victim = plum.pods(namespace, "web")[0]["metadata"]["name"]
    path = f"/api/v1/namespaces/{namespace}/pods/{victim}"
    plum.api.merge(path, {"metadata": {"annotations": {"lab.bluegreen.io/crash-loop": "true"}}})
    eventually(lambda: len(plum.ready_pods(namespace, "web")) == 1, "one pod not ready")
    state = plum.api.get(path)["status"]["containerStatuses"][0]["state"]
    assert state["waiting"]["reason"] == "CrashLoopBackOff"
    entry = f"/apis/networking.istio.io/v1/namespaces/{namespace}/workloadentries/{victim}"
    eventually(lambda: plum.api.get(entry) is None, "its entry gone")
    eventually(lambda: all(plum.send(host).pod != victim for _ in range(20)), "answers of the other pod alone")
    plum.api.merge(path, {"metadata": {"annotations": {"lab.bluegreen.io/crash-loop": None}}})
    eventually(lambda: len(plum.ready_pods(namespace, "web")) == 2, "both pods ready again")
    eventually(lambda: plum.send(host).pod == victim, "an answer of the mended pod")


def test_a_hanging_pod_never_answers(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    host = f"web.{namespace}.test"
    destination = {"host": f"web.{namespace}.svc.cluster.local", "port": {"number": 80}}
    routes = [{"route": [{"destination": destination}], "timeout": "0.3s", "retries": {"attempts": 0}}]
    plum.workload(namespace, "web", host, http_routes=routes)
    plum.annotate_pods(namespace, "web", {"lab.bluegreen.io/hang": "true"})
    eventually(lambda: plum.send(host).status == 504, "the gateway's time-out")
    plum.annotate_pods(namespace, "web", {"lab.bluegreen.io/hang": None})
    eventually(lambda: plum.send(host).status == 200, "an answer again")


def test_pods_that_end_fail_no_request(two_clusters: Any, namespace: str) -> None:
    plum, _ = two_clusters
    host = f"web.{namespace}.test"
    plum.workload(namespace, "web", host, replicas=6)
    with plum.traffic(host, workers=4) as seen:
        plum.scale(namespace, "web", 2)
        eventually(lambda: len(plum.pods(namespace, "web")) == 2, "two pods left")
        before = names(plum.pods(namespace, "web"))
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
        plum.api.merge(path, {"spec": {"template": {"metadata": {"annotations": {"restarted": "1"}}}}})
        eventually(
            lambda: len(p := plum.ready_pods(namespace, "web")) == 2 and not before & {i["metadata"]["name"] for i in p},
            "new pods in place of the old ones",
        )
        count = len(seen.answers)
        eventually(lambda: len(seen.answers) > count + 200, "answers after the change")
    assert not seen.bad


def test_ports_of_every_kind_lead_to_the_pod(two_clusters: Any, namespace: str) -> None:
    """Services by number, by name, unnamed, to a port that no container names: each answers."""
    plum, _ = two_clusters
    plum.workload(namespace, "web", replicas=1, container_port=9090)
    kinds: dict[str, dict[str, Any]] = {
        "numbered": {"name": "http", "port": 80, "targetPort": 9090},
        "named": {"name": "http", "port": 80, "targetPort": "http"},
        "unnamed": {"port": 80, "targetPort": 9090},
        "elsewhere": {"name": "http", "port": 8000, "targetPort": 3333},
        "second": {"name": "http2", "port": 80, "targetPort": "http"},
    }
    for name, port in kinds.items():
        host = f"{name}.{namespace}.test"
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"app": "web"}, "ports": [port]},
        }
        route = [{"destination": {"host": f"{name}.{namespace}.svc.cluster.local", "port": {"number": port["port"]}}}]
        bound = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"hosts": [host], "gateways": ["istio-system/public"], "http": [{"route": route}]},
        }
        plum.api.apply(service, bound)
        eventually(lambda host=host: plum.send(host).status == 200, f"an answer through the {name} port")
