"""Replicate, floors and verify between two whole clusters: pods that answer, real gateways."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from migration.capacity import floors as capacity
from migration.clients.kubernetes import Kubernetes
from migration.clients.probe import ask
from migration.replicate import apply as applying
from migration.replicate import export, plan, transform
from migration.settings.choices import in_namespaces
from migration.verify import run as verify
from tests.lab.support.kit import eventually

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class At:
    address: str
    port: int


def test_only_a_service_that_works_on_green_passes_verify(two_clusters: Any, namespace: str) -> None:
    plum, fern = two_clusters
    plum.workload(namespace, "web", host=f"web.{namespace}.test", replicas=3)
    plum.workload(namespace, "sick", host=f"sick.{namespace}.test", replicas=1)
    at = {c.name: At(c.described["gateway"]["address"], c.described["gateway"]["port"]) for c in two_clusters}

    async def run() -> None:
        async with (
            Kubernetes.from_kubeconfig(Path(plum.described["kubeconfig"]), name="plum") as blue,
            Kubernetes.from_kubeconfig(Path(fern.described["kubeconfig"]), name="fern") as green,
        ):
            bundle = await export.export(blue, green, choices=in_namespaces([namespace]))
            assert not [item for item in bundle.items if item.resource.kind in ("WorkloadEntry", "Pod", "ReplicaSet")]
            broken = transform.transform(bundle)
            for item in broken.items:
                if item.resource.kind == "Deployment" and item.obj["metadata"]["name"] == "sick":
                    annotations = item.obj["spec"]["template"]["metadata"].setdefault("annotations", {})
                    annotations["lab.bluegreen.io/errors"] = "1.0"
            done = await applying.apply(await plan.plan(broken, green), green)
            assert (done.failures, done.conflicts, done.held) == ([], [], [])
            floors = await capacity.apply_floors(await _floors(blue, green, namespace), blue, green)
            assert floors.ok
            both = at["plum"], at["fern"], blue, green
            (web,) = await verify.verify([f"{namespace}/web"], *both, probe=ask, patience_seconds=60)
            eventually(lambda: fern.send(f"sick.{namespace}.test").status == 500, "a pod that is ready and answers errors")
            (sick,) = await verify.verify([f"{namespace}/sick"], *both, probe=ask, patience_seconds=1)
            assert web.problems == ()
            assert (web.ok, web.green_status, web.blue_status) == (True, 200, 200)
            assert any("on green: 200 from a workload" in text for text in web.evidence)
            assert not sick.ok
            assert any("green answers 500" in text for text in sick.problems)

            before = dict(green.requests)
            again = await applying.apply(await plan.plan(replace(broken, green=None), green), green)
            assert again.writes == 0
            assert green.requests.get("PATCH") == before.get("PATCH")

    asyncio.run(run())


async def _floors(blue: Kubernetes, green: Kubernetes, namespace: str) -> list[capacity.FloorChange]:
    return [change for change in await capacity.plan_floors(blue, green) if change.namespace == namespace]
