"""What a cluster says about a Service that does not answer: the reason, and how long it may stand."""

from __future__ import annotations

from typing import Any

import pytest

from lab.demo.settle import COMING_SECONDS, STILL_SECONDS, Look, explain

LABELS = {"app": "web"}
SERVICE: dict[str, Any] = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"selector": LABELS, "ports": [{"port": 80}]},
}


def workload(kind: str = "Deployment", status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}}
    metadata = {"name": "web", "namespace": "shop"}
    return {
        "kind": kind,
        "apiVersion": "apps/v1",
        "metadata": metadata,
        "spec": {"template": template, **spec},
        "status": status,
    }


def pod(**conditions: tuple[str, str]) -> dict[str, Any]:
    told = [{"type": kind, "status": status, "message": message} for kind, (status, message) in conditions.items()]
    metadata = {"name": "web-1", "namespace": "shop", "labels": LABELS}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "status": {"conditions": told}}


def event(name: str, message: str, at: str, kind: str = "Deployment", weight: str = "Warning") -> dict[str, Any]:
    about = {"kind": kind, "name": name}
    metadata = {"name": f"{name}.{at}", "namespace": "shop"}
    return {
        "kind": "Event", "metadata": metadata, "type": weight, "involvedObject": about, "message": message, "lastTimestamp": at,
    }  # fmt: skip


FAILURE = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": 'serviceaccount "x" not found'}]}


@pytest.mark.parametrize(
    ("items", "told", "seconds"),
    [
        pytest.param([], "Service web is not on the cluster: the API server refused it", STILL_SECONDS, id="no Service"),
        pytest.param([SERVICE], "no workload has pods for Service web", STILL_SECONDS, id="no workload"),
        pytest.param(
            [SERVICE, workload(status=FAILURE)],
            'pods of Deployment shop/web are refused: serviceaccount "x" not found',
            STILL_SECONDS,
            id="pods that are refused",
        ),
        pytest.param(
            [
                SERVICE,
                workload("StatefulSet"),
                event("web", "older", "2026-01-01T00:00:00Z", "StatefulSet"),
                event("web", "quota is used up", "2026-01-01T00:00:09Z", "StatefulSet"),
                event("web", "all is well", "2026-01-01T00:00:10Z", "StatefulSet", "Normal"),
                event("website", "another's", "2026-01-01T00:00:11Z", "StatefulSet"),
            ],
            "pods of StatefulSet shop/web are refused: quota is used up",
            STILL_SECONDS,
            id="told by an event alone",
        ),
        pytest.param(
            [SERVICE, workload(), pod(PodScheduled=("False", "0/3 nodes are available"))],
            "no node takes Pod shop/web-1: 0/3 nodes are available",
            STILL_SECONDS,
            id="no node",
        ),
        pytest.param(
            [SERVICE, workload(), pod(PodScheduled=("True", ""), Ready=("False", ""))],
            "no pod of Service web is Ready yet",
            COMING_SECONDS,
            id="not Ready yet",
        ),
        pytest.param([SERVICE, workload()], "Deployment shop/web has made no pod yet", COMING_SECONDS, id="no pod yet"),
        pytest.param([SERVICE, workload(replicas=0)], "Deployment shop/web has 0 replicas", STILL_SECONDS, id="scaled to zero"),
        pytest.param(
            [SERVICE, workload("DaemonSet", {"desiredNumberScheduled": 0})],
            "no node fits DaemonSet shop/web",
            STILL_SECONDS,
            id="no node fits",
        ),
    ],
)
def test_the_reason_why_a_service_is_silent_is_found(items: list[dict[str, Any]], told: str, seconds: float) -> None:
    found = explain(Look(items), "web")
    assert found is not None
    assert found[0].startswith(told)
    assert found[1] == seconds


def test_a_service_with_a_ready_pod_is_not_silent() -> None:
    waiting = pod(PodScheduled=("False", "0/3 nodes are available"))
    assert explain(Look([SERVICE, workload(), waiting, pod(Ready=("True", ""))]), "web") is None
