"""Floors: as many on green as blue runs now, blue's own kept for the way back, nothing lowered, all of it reversible."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from migration.capacity.floors import FloorChange, apply_floors, plan_floors
from migration.capacity.release import release_floors
from migration.errors import Conflict, Forbidden, Unreachable
from migration.objects import kinds
from migration.objects.classes import Answer
from migration.objects.kinds import Resource
from migration.settings.choices import Choices, Selection
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


def planned(blue: list[dict[str, Any]], green: list[dict[str, Any]], **said: Any) -> list[FloorChange]:
    return asyncio.run(plan_floors(*pair(blue, green), **said))


def short(changes: list[FloorChange]) -> list[tuple[str, str, str, int | None, int]]:
    return [(c.side, c.resource.kind[:10], c.field, c.before, c.after) for c in changes]


def test_both_autoscalers_get_what_blue_runs_now() -> None:
    found = planned([workload(5), scaler(2)], [workload(2), scaler(2)])
    assert short(found) == [("blue", "Horizontal", "minReplicas", 2, 5), ("green", "Horizontal", "minReplicas", 2, 5)]


def test_a_floor_is_no_higher_than_the_maximum() -> None:
    assert [c.after for c in planned([workload(9), scaler(2, 6)], [workload(2), scaler(2, 6)])] == [6, 6]


def test_a_floor_is_never_lowered() -> None:
    assert planned([workload(3), scaler(5)], [workload(5), scaler(5)]) == []


def test_without_an_autoscaler_green_runs_as_many_as_blue() -> None:
    assert short(planned([workload(4)], [workload(1)])) == [("green", "Deployment", "replicas", 1, 4)]
    assert planned([workload(4)], [workload(4)]) == []


def test_how_many_floors_wait_for_pods_is_shown_while_it_waits() -> None:
    blue, green = [workload(4), workload(4, name="api")], [workload(1, ready=4), workload(1, ready=2, name="api")]
    one, other = pair(blue, green)
    told: list[tuple[int, int, str]] = []

    async def act() -> None:
        changes = await plan_floors(one, other)
        await apply_floors(changes, one, other, ready_seconds=0, progress=lambda *each: told.append(each))

    asyncio.run(act())
    assert told[0] == (1, 2, "fern: Deployment shop/api: 2 of 4 ready")


def test_what_is_not_on_green_is_a_problem() -> None:
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
    [
        {"annotations": {"meta.helm.sh/release-name": "agent", "meta.helm.sh/release-namespace": "kube-system"}},
        {"managedFields": [{"manager": "eks"}]},
        {"deletionTimestamp": "t"},
    ],
    ids=["of the baseline", "of EKS", "being deleted"],
)
def test_what_is_never_copied_is_not_missing(meta: dict[str, Any]) -> None:
    assert planned([workload(4, **meta)], []) == []


@pytest.mark.parametrize(
    "choices",
    [
        Choices(answers={"Deployment shop/web": Answer.SKIP}),
        Choices(exclude=Selection(namespaces=("shop",))),
        Choices(include=Selection(kinds=("ConfigMap",))),
    ],
    ids=["skipped", "excluded", "not included"],
)
def test_what_a_person_left_out_is_not_missing(choices: Choices) -> None:
    assert [change.problem for change in planned([workload(4)], [])] == ["not on green: run `bluegreen replicate` first"]
    assert planned([workload(4)], [], choices=choices) == []


def test_a_singleton_stays_at_zero() -> None:
    assert planned([workload(2)], [workload(0, annotations={"bluegreen.io/replicas": "2"})]) == []


def test_the_baseline_is_raised_first() -> None:
    blue = [workload(3), scaler(1), workload(3, namespace="istio-system"), scaler(1, namespace="istio-system")]
    assert [c.namespace for c in planned(blue, blue)] == ["istio-system"] * 2 + ["shop"] * 2


def test_floors_are_put_back_to_what_was_before() -> None:
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


def test_what_does_not_become_ready_is_reported() -> None:
    blue, green = pair([workload(5), scaler(2)], [workload(5, ready=3), scaler(2)])

    async def run() -> Any:
        return await apply_floors(await plan_floors(blue, green), blue, green, ready_seconds=0)

    done = asyncio.run(run())
    assert [(c.side, text.startswith("3 of 5 ready")) for c, text in done.failed] == [("green", True)]


# -- putting back ------------------------------------------------------------------------------------------------------


def named(name: str, obj: dict[str, Any]) -> dict[str, Any]:
    """The same of a workload called otherwise, whose pods have its name as label."""
    made = copy.deepcopy(obj)
    made["metadata"]["name"] = name
    if obj["kind"] == "Deployment":
        made["spec"]["template"] = {"metadata": {"labels": {"app": name}}}
    elif obj["kind"] == "HorizontalPodAutoscaler":
        made["spec"]["scaleTargetRef"]["name"] = name
    return made


def service(name: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": {"app": name}}}


def original(*hosts: str) -> dict[str, Any]:
    """A route to these Services."""
    route = [{"destination": {"host": host}} for host in hosts]
    metadata = {"name": hosts[0], "namespace": "shop"}
    return {"kind": "VirtualService", "metadata": metadata, "spec": {"http": [{"route": route}]}}


SHOP = ("web", "cart", "worker")
ROUTES = {"shop/web": original("web"), "shop/cart": original("cart", "web")}  # web is behind both


async def raised() -> tuple[FakeApiServer, FakeApiServer]:
    """Autoscalers of three workloads of the shop and of the gateway, all with a floor of 5 instead of 2, on both clusters."""

    def objects() -> list[dict[str, Any]]:
        gate = [workload(5, namespace="istio-system"), scaler(2, namespace="istio-system")]
        return [*gate, *(made for n in SHOP for made in (named(n, workload(5)), named(n, scaler(2)), service(n)))]

    blue, green = pair(objects(), objects())
    done = await apply_floors(await plan_floors(blue, green), blue, green)
    assert (len(done.done), done.failed) == (8, [])
    return blue, green


def set_by(server: FakeApiServer, name: str, value: int, manager: str = "kubectl-edit") -> None:
    """As an API server does it: who changes a field takes it from its owner."""
    obj = server.objects["autoscaling", "HorizontalPodAutoscaler", "shop", name]
    for entry in obj["metadata"]["managedFields"]:
        entry["fieldsV1"].pop("f:spec", None)
    fields: dict[str, Any] = {"f:spec": {"f:minReplicas": {}}}
    obj["metadata"]["managedFields"].append({"manager": manager, "operation": "Update", "fieldsV1": fields})
    obj["spec"]["minReplicas"] = value


def minimum(server: FakeApiServer, name: str) -> tuple[int | None, bool]:
    """The minimum now, and whether it is a floor of ours."""
    namespace = "istio-system" if name == "gate" else "shop"
    name = "web" if name == "gate" else name
    obj = server.objects["autoscaling", "HorizontalPodAutoscaler", namespace, name]
    return obj["spec"].get("minReplicas"), "bluegreen.io/floor-before" in obj["metadata"]["annotations"]


def minimums(*servers: FakeApiServer) -> dict[str, tuple[int | None, bool]]:
    """Where both clusters have the same."""
    (one, *others) = [{name: minimum(server, name) for name in (*SHOP, "gate")} for server in servers]
    assert all(other == one for other in others)
    return one


BACK, FLOOR = (2, False), (5, True)


def test_a_floor_stays_until_the_last_service_that_needs_it_has_baked() -> None:
    async def run() -> None:
        blue, green = await raised()
        first = await release_floors(blue, green, originals=ROUTES, services=["shop/web"], keep={"shop/cart": "has not baked"})
        assert minimums(blue, green) == {"web": FLOOR, "cart": FLOOR, "worker": FLOOR, "gate": FLOOR}
        assert [change.kept for change in first] == [True, True]
        assert "shop/cart, which it serves, has not baked" in str(first[0])
        await release_floors(blue, green, originals=ROUTES, services=["shop/cart"], keep={})
        assert minimums(blue, green) == {"web": BACK, "cart": BACK, "worker": FLOOR, "gate": FLOOR}
        assert await release_floors(blue, green, originals=ROUTES, services=["shop/cart"], keep={}) == []

    asyncio.run(run())


def test_without_a_name_everything_goes_but_what_a_service_on_its_way_needs() -> None:
    async def run() -> None:
        blue, green = await raised()
        keep = {"shop/cart": "is at 20 % and has not baked"}
        await release_floors(blue, green, originals=ROUTES, keep=keep)
        assert minimums(blue, green) == {"web": FLOOR, "cart": FLOOR, "worker": BACK, "gate": FLOOR}
        await release_floors(blue, green, originals=ROUTES)
        assert minimums(blue, green) == dict.fromkeys((*SHOP, "gate"), BACK)

    asyncio.run(run())


def test_what_another_client_has_set_since_stays() -> None:
    async def run() -> None:
        blue, green = await raised()
        set_by(green, "web", 7)
        set_by(blue, "web", 5, "argocd")  # the same number, and somebody's own wish now
        came = await release_floors(blue, green)
        assert (minimum(green, "web"), minimum(blue, "web")) == ((7, False), (5, False))
        told = [str(change) for change in came if "since" in change.reason]
        assert [("argocd" in text, "kubectl-edit" in text) for text in told] == [(True, False), (False, True)]
        assert minimum(green, "cart") == minimum(blue, "cart") == BACK
        assert await release_floors(blue, green) == [], "reported once"

    asyncio.run(run())


def test_a_floor_raised_over_another_clients_change_is_put_back_to_it() -> None:
    async def run() -> None:
        blue, green = await raised()
        set_by(green, "web", 3)
        assert (await apply_floors(await plan_floors(blue, green), blue, green)).ok
        assert minimum(green, "web") == FLOOR
        # the fake keeps the other owner of what we took by force: a real server does not
        fields = green.objects["autoscaling", "HorizontalPodAutoscaler", "shop", "web"]["metadata"]["managedFields"]
        fields[:] = [entry for entry in fields if entry["manager"] != "kubectl-edit"]
        await release_floors(blue, green)
        assert minimum(green, "web") == (3, False)

    asyncio.run(run())


def test_a_failure_leaves_only_its_own_floor_for_the_next_time() -> None:
    async def run() -> None:
        blue, green = await raised()

        def trouble(verb: str, resource: Resource, name: str) -> None:
            if (verb, name) == ("patch", "cart"):
                raise Forbidden("not yours")

        green.trouble = trouble
        (failed,) = [change for change in await release_floors(blue, green) if change.problem]
        assert (failed.cluster, failed.name) == ("fern", "cart")
        assert "still a floor: not yours" in str(failed)
        assert (minimum(green, "cart"), minimum(blue, "cart"), minimum(green, "web")) == (FLOOR, BACK, BACK)
        green.trouble = lambda *_: None
        assert [(change.name, change.problem) for change in await release_floors(blue, green)] == [("cart", "")]
        assert minimum(green, "cart") == BACK

    asyncio.run(run())


def test_a_cluster_that_is_gone_does_not_keep_the_others_floors() -> None:
    async def run() -> None:
        blue, green = await raised()

        def trouble(verb: str, resource: Resource, name: str) -> None:
            raise Unreachable("does not answer")

        blue.trouble = trouble
        came = await release_floors(blue, green, originals=ROUTES, services=["shop/cart"])
        assert [str(change) for change in came if change.problem] == ["plum: its floors cannot be read: does not answer"]
        assert minimum(green, "cart") == BACK

    asyncio.run(run())


def test_what_changes_while_it_is_put_back_is_looked_at_again() -> None:
    async def run() -> None:
        blue, green = await raised()

        def trouble(verb: str, resource: Resource, name: str) -> None:
            if (verb, name) == ("patch", "web") and minimum(green, "web")[0] == 5:
                set_by(green, "web", 9)
                raise Conflict("the object has been modified")

        green.trouble = trouble
        came = await release_floors(blue, green)
        assert not [change for change in came if change.problem]
        assert minimum(green, "web") == (9, False)

    asyncio.run(run())


def test_the_write_names_the_version_that_was_looked_at() -> None:
    async def run() -> None:
        blue, green = await raised()
        bodies: list[Any] = []
        patch = green.patch

        async def kept(resource: Resource, namespace: str | None, name: str, body: Any, **options: Any) -> Any:
            bodies.append(body)
            return await patch(resource, namespace, name, body, **options)

        green.patch = kept  # type: ignore[method-assign]
        green.objects["autoscaling", "HorizontalPodAutoscaler", "shop", "web"]["metadata"]["resourceVersion"] = "17"
        await release_floors(blue, green, originals=ROUTES, services=["shop/web"])
        assert [body["metadata"]["resourceVersion"] for body in bodies] == ["17"]

    asyncio.run(run())


@pytest.mark.parametrize(("wished", "left"), [(4, 4), (3, 3), (1, 1)], ids=["as now", "less by now", "as before"])
def test_a_workload_that_nothing_would_scale_up_keeps_what_blues_has(wished: int, left: int) -> None:
    """Its users are on green: the one replica that was there before would not carry them."""

    async def run() -> None:
        blue, green = pair([workload(4)], [workload(1, ready=4)])
        assert (await apply_floors(await plan_floors(blue, green), blue, green)).ok
        blue.put(workload(wished))
        (change,) = await release_floors(blue, green)
        live = await green.get(kinds.DEPLOYMENT, "shop", "web")
        assert (live["spec"]["replicas"], live["metadata"]["annotations"]) == (left, {})
        assert ("no autoscaler" in change.reason) == (left > 1)

    asyncio.run(run())


def test_a_former_value_that_is_no_number_is_left_alone() -> None:
    async def run() -> None:
        blue, green = await raised()
        green.objects["autoscaling", "HorizontalPodAutoscaler", "shop", "web"]["metadata"]["annotations"] = {
            "bluegreen.io/floor-before": "few"
        }
        (bad,) = [change for change in await release_floors(blue, green) if change.problem]
        assert "'few'; allowed: a number, or none" in bad.problem
        assert minimum(green, "web") == FLOOR

    asyncio.run(run())
