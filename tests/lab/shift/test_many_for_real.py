"""Many services at once on real API servers and gateways: the way back is each one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import routing
from lab.client import LabClient
from migration.clients.kubernetes import Kubernetes
from migration.model import MANAGER
from migration.objects.kinds import Object
from migration.settings.stack_file import StackFile
from tests.lab.support.kit import LabCluster, eventually, virtual_service
from tests.lab.support.shifting import PATIENCE, Project

SPLIT = 2500


class Shop(Project):
    """So many services at a split on both gateways, without workloads."""

    def fill(self, many: int) -> None:
        names = [f"s{number}" for number in range(many)]
        self.services = tuple(f"{self.namespace}/{name}" for name in names)  # type: ignore[assignment]
        self.originals = {
            f"{self.namespace}/{name}": virtual_service(self.namespace, name, [f"{name}.{self.namespace}.test"])
            for name in names
        }
        self.write_edge(services=dict.fromkeys(self.services, SPLIT))
        folder = self.edge.parent / "edge.routes"
        folder.mkdir()
        for service, route in self.originals.items():
            (folder / f"{service.replace('/', '.', 1)}.yaml").write_text(yaml.safe_dump(route))
        asyncio.run(self._apply())

    async def _apply(self) -> None:
        intent = routing.Intent(
            {"blue": "plum", "green": "fern"}, {"plum": 10_000, "fern": 0}, dict.fromkeys(self.services, SPLIT), 1
        )

        async def one(cluster: LabCluster, side: routing.Side, other: LabCluster) -> None:
            peer = routing.Peer(other.gateway, other.peer_port)
            made = routing.objects(intent, self.originals, side, peer)
            async with Kubernetes.from_kubeconfig(cluster.kubeconfig, timeout_seconds=60) as client:

                async def put(obj: Object) -> None:
                    await client.apply(routing.resource_of(obj), obj, manager=MANAGER, force=True)

                for each in (made.destinations, (*made.peer_routes, *made.routes), (made.record,)):
                    await asyncio.gather(*map(put, each))

        await asyncio.gather(one(self.plum, "blue", self.fern), one(self.fern, "green", self.plum))

    def specs(self, cluster: LabCluster) -> dict[str, Object]:
        items = cluster.api.items(f"/apis/networking.istio.io/v1/namespaces/{self.namespace}/virtualservices")
        return {routing.service_of(item): item for item in items}

    def splits(self, cluster: LabCluster, side: routing.Side) -> set[tuple[int | None, int | None]]:
        """Public and peer route of every service."""
        there = self.specs(cluster)
        return {
            (routing.live_split(there[service], route, side), routing.probe_split(there[f"{service}-bluegreen-peer"]))
            for service, route in self.originals.items()
        }


@pytest.fixture(params=[60, pytest.param(300, marks=pytest.mark.long)])
def shop(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    lab_client: LabClient,
    two_clusters: tuple[LabCluster, LabCluster],
    namespace: str,
) -> Iterator[Shop]:
    shop = Shop(tmp_path, lab_client, two_clusters, namespace)
    try:
        shop.fill(request.param)
        last = shop.services[-1]
        eventually(lambda: shop.split(last) == (SPLIT, SPLIT), "the probe of the last service at its split", PATIENCE)
        yield shop
    finally:
        shop.close()


def test_one_rollback_brings_all_services_back(shop: Shop) -> None:
    for service in shop.services[:: len(shop.services) // 3]:  # their originals are on the clusters alone
        (shop.edge.parent / f"edge.routes/{service.replace('/', '.', 1)}.yaml").unlink()
    shop.file.write_text(shop.file.read_text().replace('"policy":', '"polcy": {}, "policy":'))
    rolled, told = shop.ended(shop.begin("rollback"))
    assert rolled["complete"], rolled["problems"]
    assert told.count("taken from its peer route instead") == 3
    assert "did you mean policy" in told
    assert rolled["not_back"] == {}
    assert shop.splits(shop.plum, "blue") == {(0, 0)}
    assert shop.splits(shop.fern, "green") == {(0, 0)}
    assert StackFile(shop.edge).read().services == dict.fromkeys(shop.services, 0)
    before = {name: item["metadata"]["generation"] for name, item in shop.specs(shop.plum).items()}
    # hundreds of routes may take a busy gateway longer than a rollback waits for its proof
    eventually(lambda: shop.split(shop.services[-1]) == (0, 0), "the probe of the last service at zero", PATIENCE)
    again = shop.run("rollback")
    assert again["complete"]
    assert again["in_effect"] == {"blue": "served", "green": "served"}
    assert {name: item["metadata"]["generation"] for name, item in shop.specs(shop.plum).items()} == before, (
        "a second one writes nothing"
    )
