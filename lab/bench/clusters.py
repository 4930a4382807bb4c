"""Both clusters between two measurements: filled, emptied, and at rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from lab.bench.ratios import MARK, at_rest, namespaces, objects
from lab.bench.session import PROGRAM_SECONDS, Bench
from lab.client import LabError
from lab.demo.story import BLUE, GREEN

if TYPE_CHECKING:
    from migration.clients.kubernetes import Kubernetes

PLURALS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Service": "/api/v1/namespaces/{}/services",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}
MADE_FROM_THEM = (  # by controllers; gone only some time after their owners
    "/apis/apps/v1/namespaces/{}/replicasets",
    "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
)


@asynccontextmanager
async def client(bench: Bench, cluster: str) -> AsyncIterator[Kubernetes]:
    from migration.clients.kubernetes import Kubernetes

    async with Kubernetes.from_kubeconfig(bench.story.kubeconfig(cluster), name=cluster) as api:
        yield api


async def fill(bench: Bench) -> None:
    """All objects on blue, written as kubectl would have; their namespaces on both."""
    for cluster in (BLUE, GREEN):
        async with client(bench, cluster) as api:
            for name in namespaces():
                await api.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
            if cluster == BLUE:
                await asyncio.gather(*(write(api, each, PLURALS) for each in objects()))


async def write(api: Kubernetes, obj: Mapping[str, Any], paths: Mapping[str, str]) -> None:
    path = paths[obj["kind"]].format(obj["metadata"]["namespace"])
    await api.request("POST", path, query={"fieldManager": "kubectl-create"}, body=obj)


def emptied(bench: Bench) -> None:
    """Green as before the first copy, and the controllers of both clusters done with it."""
    bench.in_time()

    async def empty() -> None:
        async with client(bench, GREEN) as green:
            wanted = {"labelSelector": MARK}
            for template in PLURALS.values():
                await asyncio.gather(*(green.request("DELETE", template.format(n), query=wanted) for n in namespaces()))
            deadline = time.monotonic() + PROGRAM_SECONDS
            while await _left(green):
                if time.monotonic() > deadline:
                    raise LabError(f"{GREEN} is not empty after {PROGRAM_SECONDS:.0f} s")
                await asyncio.sleep(0.2)
        await rested(bench)

    asyncio.run(empty())


async def rested(bench: Bench) -> None:
    """Waits until nobody writes to either cluster any more: what is measured next is not measured beside controllers."""
    deadline = time.monotonic() + PROGRAM_SECONDS
    async with client(bench, BLUE) as blue, client(bench, GREEN) as green:
        histories: list[list[tuple[float, int]]] = [[], []]
        while True:
            pages = await asyncio.gather(
                *(each.request("GET", "/api/v1/namespaces", query={"limit": "1"}) for each in (blue, green))
            )
            for revisions, page in zip(histories, pages, strict=True):
                revisions.append((time.monotonic(), int(page["metadata"]["resourceVersion"])))
            if all(map(at_rest, histories)):
                return
            if time.monotonic() > deadline:
                raise LabError(f"{BLUE} and {GREEN} are still written to after {PROGRAM_SECONDS:.0f} s")
            await asyncio.sleep(0.25)


async def _left(green: Kubernetes) -> bool:
    for template in (*PLURALS.values(), *MADE_FROM_THEM):
        query = {"limit": "1"} | ({"labelSelector": MARK} if template not in MADE_FROM_THEM else {})
        pages = await asyncio.gather(*(green.request("GET", template.format(n), query=query) for n in namespaces()))
        if any(each.get("items") for each in pages):
            return True
    return False
