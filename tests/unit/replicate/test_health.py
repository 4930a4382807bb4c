"""How a workload is, by its status."""

from __future__ import annotations

from typing import Any

import pytest

from migration.objects.access import scale_target
from migration.objects.health import Health, condition, health, ready_addresses


def workload(kind: str = "Deployment", replicas: int | None = None, **status: int) -> dict[str, Any]:
    spec = {} if replicas is None else {"replicas": replicas}
    return {"kind": kind, "metadata": {"name": "web", "generation": 2}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (workload(replicas=3, readyReplicas=2, availableReplicas=1, observedGeneration=2), Health(3, 2, 1, True)),
        (workload(readyReplicas=1, availableReplicas=1, observedGeneration=1), Health(1, 1, 1, False)),
        (workload(replicas=0), Health(0, 0, 0, False)),
        (
            workload("DaemonSet", desiredNumberScheduled=4, numberReady=3, numberAvailable=2, observedGeneration=2),
            Health(4, 3, 2, True),
        ),
    ],
    ids=["by its spec", "one where nothing is said", "no status yet", "a DaemonSet by its nodes"],
)
def test_pods_of_a_workload_are_counted_by_its_status(obj: dict[str, Any], expected: Health) -> None:
    assert health(obj) == expected


@pytest.mark.parametrize(
    ("pods", "good"),
    [
        (Health(2, 2, 2, True), True),
        (Health(2, 2, 1, True), False),
        (Health(2, 2, 2, False), False),
        (Health(0, 0, 0, True), True),
    ],
    ids=["all available", "ready is not available yet", "numbers of an earlier spec", "none wanted"],
)
def test_a_workload_is_good_with_as_many_available_as_its_latest_spec_wants(pods: Health, good: bool) -> None:
    assert pods.good is good


def test_an_endpoint_that_does_not_say_so_counts_as_ready() -> None:
    endpoints = [
        {"addresses": ["10.0.0.1", "10.0.0.2"]},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": True}},
        {"addresses": ["10.0.0.4"], "conditions": {"ready": False}},
        {"conditions": {"ready": True}},
    ]
    assert ready_addresses({"endpoints": endpoints}) == 3


def test_a_condition_is_found_by_its_type_and_status() -> None:
    obj = {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Starting"}]}}
    assert condition(obj, "Ready", "False") == {"type": "Ready", "status": "False", "reason": "Starting"}
    assert condition(obj, "Ready", "True") is None
    assert condition({}, "Ready", "True") is None


@pytest.mark.parametrize(("kind", "means"), [("HorizontalPodAutoscaler", ""), ("ScaledObject", "Deployment")])
def test_what_an_autoscaler_scales_is_read_from_its_spec(kind: str, means: str) -> None:
    scaler = {"kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": {"scaleTargetRef": {"name": "web"}}}
    assert scale_target(scaler) == (means, "shop", "web")
