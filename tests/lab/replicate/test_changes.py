"""A second run after both clusters changed: changes of blue go over, those of green are conflicts, floors stay."""

from __future__ import annotations

import asyncio

import pytest

from migration import capacity, kinds
from migration.clients.kubernetes import Kubernetes
from tests.lab.replicate.conftest import WRITES, Bare, on, replicate

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


def test_changes_conflicts_and_floors_are_told_apart(tricky: tuple[Bare, Bare]) -> None:
    blue, green = tricky
    namespace = ("-n", "tricky")
    blue.kubectl("create", "configmap", "shrinking", "--from-literal=stays=1", "--from-literal=goes=1", *namespace)
    replicate(tricky)
    blue.kubectl("set", "image", "deployment/web", "web=example/web:2", *namespace)
    blue.kubectl("label", "configmap", "settings", "changed=yes", *namespace)
    blue.kubectl("patch", "configmap", "shrinking", "--type=merge", "-p", '{"data":{"goes":null}}', *namespace)
    green.kubectl("scale", "deployment/web", "--replicas=7", *namespace)
    green.kubectl("set", "image", "deployment/by-hand", "a=example/a:9", *namespace)

    async def hold() -> capacity.Floors:
        async with (
            Kubernetes.from_kubeconfig(blue.kubeconfig, name="plum") as one,
            Kubernetes.from_kubeconfig(green.kubeconfig, name="fern") as other,
        ):
            changes = [c for c in await capacity.plan_floors(one, other) if c.resource is kinds.HPA]
            assert {(c.side, c.before, c.after) for c in changes} == {("blue", 2, 3), ("green", 2, 3)}
            # no node here: nothing becomes ready, which must be told and not waited for without end
            return await capacity.apply_floors(changes, one, other, ready_seconds=1)

    floors = asyncio.run(hold())
    assert [change.side for change in floors.done] == ["blue"]
    assert "0 of 3 ready" in floors.failed[0][1]

    made, done, _ = replicate(tricky)
    told = {change.name: change for change in made.changes if change.action != "unchanged"}
    assert {name: change.action for name, change in told.items()} == {
        "Deployment tricky/web": "update",
        "ConfigMap tricky/settings": "update",
        "ConfigMap tricky/shrinking": "update",
        "Deployment tricky/by-hand": "conflict",
    }
    assert "kubectl-set" in told["Deployment tricky/by-hand"].reason
    assert done.failures == []
    shrinking = on(green, "configmap", "shrinking", *namespace)
    assert shrinking["data"] == {"stays": "1"}, "what was created here and is gone on blue is taken away"
    entries = [e for e in shrinking["metadata"]["managedFields"] if e["manager"] == kinds.REPLICATE]
    assert [entry["operation"] for entry in entries] == ["Apply"]
    web = on(green, "deployment", "web", *namespace)["spec"]
    assert (web["replicas"], web["template"]["spec"]["containers"][0]["image"]) == (7, "example/web:2")
    assert on(green, "hpa", "web", *namespace)["spec"]["minReplicas"] == 3
    _, _, writes = replicate(tricky)
    assert writes == dict.fromkeys(WRITES, 0)

    async def release() -> None:
        async with (
            Kubernetes.from_kubeconfig(blue.kubeconfig, name="plum") as one,
            Kubernetes.from_kubeconfig(green.kubeconfig, name="fern") as other,
        ):
            assert len(await capacity.release_floors(one, other)) == 2

    asyncio.run(release())
    assert [on(plane, "hpa", "web", *namespace)["spec"]["minReplicas"] for plane in tricky] == [2, 2]
    _, _, writes = replicate(tricky)
    assert writes == dict.fromkeys(WRITES, 0)
