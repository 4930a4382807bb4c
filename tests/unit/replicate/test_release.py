"""What a shift does with floors when bakes end: of what has baked, of nothing that a service needs still, and with work
that grows like the fleet.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from migration.capacity import release as capacity
from migration.cli.session import RELEASED_AT_ONCE, Session
from migration.errors import Forbidden
from migration.objects import kinds
from migration.objects.kinds import Object, Resource
from migration.settings.stack_file import Edge
from migration.verify.run import _world, behind
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.work import counted
from tests.unit.replicate.test_capacity import BACK, FLOOR, ROUTES, minimums, named, original, raised, scaler, service, workload


def opened(blue: FakeApiServer, green: FakeApiServer, routes: Mapping[str, Object] = ROUTES) -> Session:
    edge = Edge("plum", "fern", {}, dict.fromkeys(routes, 10_000), 1)
    nothing = SimpleNamespace()
    clusters = {"blue": blue, "green": green}
    return Session(nothing, nothing, edge, clusters, routes, {}, AsyncExitStack())  # type: ignore[arg-type]


def test_floors_go_with_the_last_bake_that_needs_them() -> None:
    async def run() -> None:
        blue, green = await raised()
        release = opened(blue, green).release()
        assert await release(frozenset({"shop/web"})) == {}
        assert minimums(blue, green) == {"web": FLOOR, "cart": FLOOR, "worker": FLOOR, "gate": FLOOR}
        assert await release(frozenset({"shop/web", "shop/cart"})) == {}
        assert minimums(blue, green) == {"web": BACK, "cart": BACK, "worker": FLOOR, "gate": FLOOR}

    asyncio.run(run())


def test_what_could_not_be_put_back_is_reported_until_it_is() -> None:
    async def run() -> None:
        blue, green = await raised()

        def trouble(verb: str, resource: Resource, name: str) -> None:
            if verb == "patch":
                raise Forbidden("not yours")

        green.trouble = trouble
        release = opened(blue, green).release()
        left = await release(frozenset(ROUTES))
        assert list(left) == [f"fern: HorizontalPodAutoscaler shop/{name}" for name in ("cart", "web")]
        assert all("still a floor: not yours" in why for why in left.values())
        green.trouble = lambda *_: None
        assert await release(frozenset(ROUTES)) == {}
        assert minimums(blue, green) == {"web": BACK, "cart": BACK, "worker": FLOOR, "gate": FLOOR}

    asyncio.run(run())


def test_a_cluster_that_cannot_be_read_does_not_stop_the_other() -> None:
    async def run() -> None:
        blue, green = await raised()

        def trouble(verb: str, resource: Resource, name: str) -> None:
            raise Forbidden("not yours")

        green.trouble = trouble
        left = await opened(blue, green).release()(frozenset(ROUTES))
        assert left == {"fern": "fern: its floors cannot be read: not yours"}
        assert minimums(blue)["cart"] == BACK

    asyncio.run(run())


# -- of a fleet --------------------------------------------------------------------------------------------------------


def fleet(many: int) -> tuple[dict[str, Object], list[dict[str, Any]]]:
    """Routes, and what both clusters have: per service a Service, a workload, and an autoscaler that carries a floor. All
    pods share a label, as those of one chart do.
    """
    routes, objects = {}, []
    for name in (f"s{number}" for number in range(many)):
        routes[f"shop/{name}"] = original(name)
        made = [named(name, workload(5)), named(name, scaler(5)), service(name)]
        made[0]["spec"]["template"]["metadata"]["labels"]["team"] = "shop"
        made[2]["spec"]["selector"]["team"] = "shop"
        made[1]["metadata"]["annotations"] = {"bluegreen.io/floor-before": "2"}
        fields: dict[str, Any] = {"f:spec": {"f:minReplicas": {}}}
        made[1]["metadata"]["managedFields"] = [{"manager": kinds.CAPACITY, "operation": "Apply", "fieldsV1": fields}]
        objects += made
    return routes, objects


def work_of(many: int, most: int | None = None) -> int:
    """Calls of one release of a fleet of which half has baked; the fake servers' own are not in it."""
    routes, objects = fleet(many)
    baked = frozenset(list(routes)[::2])
    keep = {name: "has not baked" for name in routes if name not in baked}

    async def read() -> Any:
        return await capacity._held(FakeApiServer("plum", objects))

    held = asyncio.run(read())
    with counted(most) as work:
        changes = capacity.floors_to_release(held, held, "plum", "fern", routes, baked, keep)
    assert len(changes) == 2 * len(baked)
    assert {change.after for change in changes} == {2}
    return work.calls


def test_ten_times_as_many_services_are_ten_times_the_work() -> None:
    few = work_of(300)
    assert work_of(3000, most=11 * few) > few


def looks_of(many: int, most: int | None = None) -> int:
    """Calls of `verify` to read green and find what stands behind the routes of a fleet."""
    routes, objects = fleet(many)
    for name in routes:
        meta = {"namespace": "shop", "name": name[5:], "labels": {"kubernetes.io/service-name": name[5:]}}
        end = [{"addresses": ["10.0.0.1"]}]
        objects.append({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, "endpoints": end})
        spec = {"labels": {"app": name[5:], "team": "shop"}}
        entry = {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": meta, "spec": spec}
        objects.append(entry)
    green = FakeApiServer("fern", objects)
    with counted(most) as work:
        world = asyncio.run(_world(green))
        found = [behind(route, world) for route in routes.values()]
    assert all(evidence[-1].endswith(": 2 ready endpoints") for evidence, _ in found)
    return work.calls


def test_ten_times_as_many_services_are_ten_times_the_look_ups_of_verify() -> None:
    few = looks_of(300)
    assert looks_of(3000, most=11 * few) > few


def test_what_is_looked_up_is_not_looked_up_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    pure = capacity.floors_to_release

    def noted(*arguments: Any) -> Any:
        seen.append(threading.get_ident())
        return pure(*arguments)

    monkeypatch.setattr(capacity, "floors_to_release", noted)

    async def run() -> None:
        blue, green = await raised()
        await opened(blue, green).release()(frozenset(ROUTES))

    asyncio.run(run())
    assert len(seen) == 1
    assert seen[0] != threading.get_ident()


def test_a_release_leaves_places_at_an_api_server_for_a_rollback() -> None:
    """The servers would do 8 things at once, a client 32."""
    routes, objects = fleet(50)
    now, most = 0, 0

    class Watched(FakeApiServer):
        async def patch(self, *arguments: Any, **options: Any) -> Any:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            try:
                return await super().patch(*arguments, **options)
            finally:
                now -= 1

    async def run() -> None:
        blue, green = Watched("plum", objects), Watched("fern", objects)
        assert await opened(blue, green, routes).release()(frozenset(routes)) == {}
        assert sum(verb == "patch" for server in (blue, green) for verb, _ in server.requests) == 100

    asyncio.run(run())
    assert 1 < most <= RELEASED_AT_ONCE
