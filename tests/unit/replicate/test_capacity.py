"""Floors: as many on green as blue runs now, blue's own kept for the way back, nothing lowered, all of it reversible."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from migration import kinds
from migration.capacity import FloorChange, apply_floors, plan_floors, release_floors
from tests.fakes.apiserver import FakeApiServer


def workload(replicas: int, ready: int | None = None, namespace: str = "shop", **meta: Any) -> dict[str, Any]:
    status = {"readyReplicas": replicas if ready is None else ready}
    meta = {"name": "web", "namespace": namespace, **meta}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {"replicas": replicas},
        "status": status,
    }


def scaler(least: int | None, most: int = 10, namespace: str = "shop") -> dict[str, Any]:
    spec: dict[str, Any] = {"maxReplicas": most, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}
    if least is not None:
        spec["minReplicas"] = least
    meta = {"name": "web", "namespace": namespace}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": spec}


def pair(blue: list[dict[str, Any]], green: list[dict[str, Any]]) -> tuple[FakeApiServer, FakeApiServer]:
    return FakeApiServer("plum", blue), FakeApiServer("fern", green)


def planned(blue: list[dict[str, Any]], green: list[dict[str, Any]]) -> list[FloorChange]:
    return asyncio.run(plan_floors(*pair(blue, green)))


def short(changes: list[FloorChange]) -> list[tuple[str, str, str, int | None, int]]:
    return [(c.side, c.resource.kind[:10], c.field, c.before, c.after) for c in changes]


def test_both_autoscalers_get_what_blue_runs_now() -> None:
    found = planned([workload(5), scaler(2)], [workload(2), scaler(2)])
    assert short(found) == [("blue", "Horizontal", "minReplicas", 2, 5), ("green", "Horizontal", "minReplicas", 2, 5)]


def test_a_floor_is_no_higher_than_the_maximum_and_is_never_lowered() -> None:
    assert [c.after for c in planned([workload(9), scaler(2, 6)], [workload(2), scaler(2, 6)])] == [6, 6]
    assert planned([workload(3), scaler(5)], [workload(5), scaler(5)]) == []


def test_without_an_autoscaler_green_runs_as_many_as_blue() -> None:
    assert short(planned([workload(4)], [workload(1)])) == [("green", "Deployment", "replicas", 1, 4)]
    assert planned([workload(4)], [workload(4)]) == []


def test_what_is_not_on_green_is_a_problem_and_not_silence() -> None:
    (missing,) = planned([workload(4)], [])
    assert "replicate" in missing.problem
    done = asyncio.run(apply_floors([missing], *pair([], [])))
    assert not done.ok


@pytest.mark.parametrize(
    ("meta", "named"),
    [
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux"),
        ({"ownerReferences": [{"controller": True, "kind": "Rollout", "name": "web", "uid": "u"}]}, "Rollout web"),
    ],
    ids=["Argo CD", "Flux", "another object"],
)
def test_what_replicate_leaves_to_others_names_who_brings_it(meta: dict[str, Any], named: str) -> None:
    (missing,) = planned([workload(4, **meta)], [])
    assert named in missing.problem
    assert "run `bluegreen replicate`" not in missing.problem


def test_an_autoscaler_that_replicate_leaves_to_others_names_who_brings_it() -> None:
    owned = scaler(2)
    owned["metadata"]["ownerReferences"] = [{"controller": True, "kind": "ScaledObject", "name": "web", "uid": "u"}]
    missing = next(change for change in planned([workload(4), owned], [workload(4)]) if change.side == "green")
    assert "ScaledObject web" in missing.problem
    assert "run `bluegreen replicate`" not in missing.problem


@pytest.mark.parametrize(
    "meta",
    [{"labels": {"app.kubernetes.io/part-of": "istio"}}, {"deletionTimestamp": "t"}],
    ids=["of the baseline", "being deleted"],
)
def test_what_is_never_copied_is_not_missing(meta: dict[str, Any]) -> None:
    assert planned([workload(4, **meta)], []) == []


def test_a_singleton_stays_at_zero() -> None:
    assert planned([workload(2)], [workload(0, annotations={"bluegreen.io/replicas": "2"})]) == []


def test_the_baseline_is_raised_first() -> None:
    blue = [workload(3), scaler(1), workload(3, namespace="istio-system"), scaler(1, namespace="istio-system")]
    assert [c.namespace for c in planned(blue, blue)] == ["istio-system"] * 2 + ["shop"] * 2


def test_floors_are_written_with_what_was_before_and_put_back() -> None:
    blue, green = pair([workload(5), scaler(None)], [workload(5), scaler(2)])

    async def run() -> None:
        done = await apply_floors(await plan_floors(blue, green), blue, green)
        assert done.ok
        assert len(done.done) == 2
        for server, before in ((blue, "none"), (green, "2")):
            live = await server.get(kinds.HPA, "shop", "web")
            assert live["spec"]["minReplicas"] == 5
            assert live["metadata"]["annotations"] == {"bluegreen.io/floor-before": before}
            assert live["metadata"]["managedFields"][-1]["manager"] == "bluegreen-capacity"
        blue.put(workload(7))
        green.put(workload(7))
        await apply_floors(await plan_floors(blue, green), blue, green)
        live = await green.get(kinds.HPA, "shop", "web")
        assert (live["spec"]["minReplicas"], live["metadata"]["annotations"]["bluegreen.io/floor-before"]) == (7, "2")
        assert len(await release_floors(blue, green)) == 2
        assert (await green.get(kinds.HPA, "shop", "web"))["spec"]["minReplicas"] == 2
        assert "minReplicas" not in (await blue.get(kinds.HPA, "shop", "web"))["spec"]
        assert await release_floors(blue, green) == []

    asyncio.run(run())


def test_what_does_not_become_ready_is_told() -> None:
    blue, green = pair([workload(5), scaler(2)], [workload(5, ready=3), scaler(2)])

    async def run() -> Any:
        return await apply_floors(await plan_floors(blue, green), blue, green, ready_seconds=0)

    done = asyncio.run(run())
    assert [(c.side, text.startswith("3 of 5 ready")) for c, text in done.failed] == [("green", True)]
