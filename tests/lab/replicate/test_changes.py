"""A second run after both clusters changed: changes of blue go over, those of green are conflicts, floors stay."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from migration.capacity import floors as capacity
from migration.capacity.release import release_floors
from migration.clients.kubernetes import Kubernetes
from migration.objects import kinds
from migration.settings.choices import in_namespaces
from tests.lab.support.bare import WRITES, Bare, on, replicate

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


NAMESPACE = "changes"
OBJECTS = """
apiVersion: v1
kind: Namespace
metadata: {name: changes}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: changes}
data: {text: "a"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shrinking, namespace: changes}
data: {stays: "1", goes: "1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: changes}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example/web:1", resources: {requests: {cpu: 100m}}}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: changes}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 8
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}]
"""


@pytest.fixture
def pair_with_objects(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    pair[0].kubectl("apply", "-f", "-", given=OBJECTS)
    pair[0].kubectl("create", "deployment", "by-hand", "--image=example/a:1", "-n", NAMESPACE)
    yield pair
    for plane in pair:  # conflicts are not for other tests to find
        plane.kubectl("delete", "deployment", "--all", "-n", NAMESPACE)


def test_changes_conflicts_and_floors_are_distinguished(pair_with_objects: tuple[Bare, Bare]) -> None:
    pair = blue, green = pair_with_objects
    namespace, only = ("-n", NAMESPACE), in_namespaces([NAMESPACE])
    replicate(pair, choices=only)
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
            planned = await capacity.plan_floors(one, other)
            changes = [c for c in planned if c.resource is kinds.HPA and c.namespace == NAMESPACE]
            assert {(c.side, c.before, c.after) for c in changes} == {("blue", 2, 3), ("green", 2, 3)}
            # no node here: nothing becomes ready, which must be told and not waited for without end
            return await capacity.apply_floors(changes, one, other, ready_seconds=1)

    floors = asyncio.run(hold())
    assert [change.side for change in floors.done] == ["blue"]
    assert "0 of 3 ready" in floors.failed[0][1]

    made, done, _ = replicate(pair, choices=only)
    told = {change.name: change for change in made.changes if change.action != "unchanged"}
    assert {name: change.action for name, change in told.items()} == {
        "Deployment changes/web": "update",
        "ConfigMap changes/settings": "update",
        "ConfigMap changes/shrinking": "update",
        "Deployment changes/by-hand": "conflict",
    }
    assert "kubectl-set" in told["Deployment changes/by-hand"].reason
    assert done.failures == []
    shrinking = on(green, "configmap", "shrinking", *namespace)
    assert shrinking["data"] == {"stays": "1"}, "what was created here and is gone on blue is taken away"
    entries = [e for e in shrinking["metadata"]["managedFields"] if e["manager"] == kinds.REPLICATE]
    assert [entry["operation"] for entry in entries] == ["Apply"]
    web = on(green, "deployment", "web", *namespace)["spec"]
    assert (web["replicas"], web["template"]["spec"]["containers"][0]["image"]) == (7, "example/web:2")
    assert on(green, "hpa", "web", *namespace)["spec"]["minReplicas"] == 3
    _, _, writes = replicate(pair, choices=only)
    assert writes == dict.fromkeys(WRITES, 0)

    async def release() -> None:
        async with (
            Kubernetes.from_kubeconfig(blue.kubeconfig, name="plum") as one,
            Kubernetes.from_kubeconfig(green.kubeconfig, name="fern") as other,
        ):
            assert len(await release_floors(one, other)) == 2

    asyncio.run(release())
    assert [on(plane, "hpa", "web", *namespace)["spec"]["minReplicas"] for plane in pair] == [2, 2]
    _, _, writes = replicate(pair, choices=only)
    assert writes == dict.fromkeys(WRITES, 0)
