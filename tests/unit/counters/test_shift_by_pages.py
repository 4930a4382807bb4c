"""A whole shift that sees its gateways by the pages of three pods each: pods come and go while services move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from migration.clients.counters import PageCounters, Silence
from migration.model import Side, Tally
from migration.shift.world import Result
from routing import peer_host
from tests.fakes.clock import run
from tests.fakes.world import FAST, Universe, command

SERVICE = "shop/catalog"
OWN = "catalog.shop.svc.cluster.local"
ORIGINAL = {
    "kind": "VirtualService",
    "metadata": {"name": "catalog", "namespace": "shop"},
    "spec": {"http": [{"route": [{"destination": {"host": OWN}}]}]},
}


class GatewayPods(PageCounters):
    """Three pods that share a gateway's users; `gone` are those that were scaled in: the others serve their part."""

    def __init__(self, universe: Universe, side: Side) -> None:
        super().__init__(
            [f"http://{side}-{n}" for n in range(3)], "istio", {SERVICE: ORIGINAL}, monotonic=lambda: universe.upto
        )
        self.universe, self.side = universe, side
        self.gone: set[str] = set()
        self.earlier = dict.fromkeys(self.urls, Tally())  # what a pod had forwarded before the shift
        self._served = {url: {OWN: Tally(), peer_host(SERVICE): Tally()} for url in self.urls}

    async def _page(self, url: str) -> str | Silence:
        self._share()
        if url in self.gone:
            return Silence("do not answer: no route to host")
        forwards = {peer_host(SERVICE): self.earlier[url]}
        served_by = {host: served + forwards.get(host, Tally()) for host, served in self._served[url].items()}
        lines = [
            f'istio_requests_total{{reporter="source",destination_service="{host}",response_code="{code}"}} {count}\n'
            for host, served in served_by.items()
            for code, count in (("200", served.requests - served.errors), ("503", served.errors))
        ]
        return f"envoy_server_uptime{{}} {5000 + self.universe.upto:g}\n" + "".join(lines)

    def _share(self) -> None:
        self.universe.flow()
        counted = self.universe.counted[self.side][SERVICE]
        living = [url for url in self.urls if url not in self.gone]
        for host, whole in ((OWN, counted.local), (peer_host(SERVICE), counted.forwarded)):
            new = whole - sum((served[host] for served in self._served.values()), Tally())
            for number, url in enumerate(living):
                part = Tally((new.requests + number) // len(living), (new.errors + number) // len(living))
                self._served[url][host] += part


During = Callable[[Universe, dict[Side, GatewayPods]], Coroutine[Any, Any, None]]


def shift(universe: Universe, during: During) -> Result:
    made = command(universe, FAST)
    pods: dict[Side, GatewayPods] = {side: GatewayPods(universe, side) for side in ("blue", "green")}
    made.shift.world.counters = pods

    async def both() -> Result:
        beside = asyncio.ensure_future(during(universe, pods))
        try:
            return await asyncio.wait_for(made.shift.run(), 300)
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)

    try:
        return run(both())
    finally:
        made.close()


async def at(universe: Universe, split: int) -> None:
    while universe.live(SERVICE)[0] != split:  # noqa: ASYNC110 - any state of the world, not an event
        await asyncio.sleep(0.05)


def splits(universe: Universe) -> list[int]:
    return [split for _, side, split in universe.history[SERVICE] if side == "blue"]


@pytest.mark.parametrize("last", [2, 1], ids=["one of three", "two of three"])
def test_pods_that_are_scaled_in_roll_no_service_back(tmp_path: Path, last: int) -> None:
    universe = Universe(tmp_path)

    async def scale_in(universe: Universe, pods: dict[Side, GatewayPods]) -> None:
        await at(universe, 2000)
        await asyncio.sleep(0.5)
        for gateway in pods.values():
            gateway.gone = set(gateway.urls[last:])

    result = shift(universe, scale_in)
    assert result.arrived == (SERVICE,)
    assert splits(universe) == [10, 2000, 10_000]


def test_what_turns_bad_is_rolled_back_by_the_pods_that_are_left(tmp_path: Path) -> None:
    bad_from: list[float] = []
    universe = Universe(tmp_path, green_errors=lambda service, now: 0.5 if bad_from and now >= bad_from[0] else 0.0)

    async def scale_in(universe: Universe, pods: dict[Side, GatewayPods]) -> None:
        await at(universe, 2000)
        for gateway in pods.values():
            gateway.gone = set(gateway.urls[1:])
        await asyncio.sleep(1.5)
        bad_from.append(asyncio.get_running_loop().time())

    result = shift(universe, scale_in)
    assert "errors in" in result.returned[SERVICE]
    assert universe.live(SERVICE) == (0, 0)


def test_services_of_a_gateway_without_any_page_are_rolled_back(tmp_path: Path) -> None:
    universe = Universe(tmp_path)

    async def all_gone(universe: Universe, pods: dict[Side, GatewayPods]) -> None:
        await at(universe, 2000)
        pods["blue"].gone = set(pods["blue"].urls)

    result = shift(universe, all_gone)
    assert result.returned[SERVICE].startswith("no counters from the gateway for 10 samples")
    assert all(url in result.returned[SERVICE] for url in ("http://blue-0", "http://blue-1", "http://blue-2"))
    assert universe.live(SERVICE) == (0, 0)


def test_pods_that_come_back_with_all_they_had_counted_are_no_burst_of_errors(tmp_path: Path) -> None:
    """A pod's page that is away for a while (a node that was cut off) brings its old errors with it, not new ones."""
    old = {"until": 0.0}
    universe = Universe(tmp_path, green_errors=lambda service, now: 0.004)

    async def away(universe: Universe, pods: dict[Side, GatewayPods]) -> None:
        cut_off = pods["blue"].urls[2]
        pods["blue"].earlier[cut_off] = Tally(5000, 4000)
        pods["blue"].gone = {cut_off}
        await at(universe, 2000)
        await asyncio.sleep(1.0)
        pods["blue"].gone = set()
        old["until"] = asyncio.get_running_loop().time()

    result = shift(universe, away)
    assert old["until"] > 0
    assert result.arrived == (SERVICE,)
