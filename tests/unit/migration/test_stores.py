"""Two stores meet on the clusters: a fence only grows there, and who went back stays back until somebody asks."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import routing
from migration.cli.status import status
from migration.errors import LostFence, Unreachable
from migration.model import FENCE, LOCK_MANAGER, MANAGER, Phase, RouteLive
from migration.objects.kinds import CONFIG_MAP, Object
from migration.settings.stack_file import StackFile
from migration.shift.ledger import open_ledger
from migration.shift.recover import Traces, Wish, recover
from migration.shift.rollback import Means, rollback
from migration.store import returned
from migration.store.lock import raise_fence, read_fence, take, take_over
from migration.store.memory import Remembered
from tests.fakes.clock import FakeClock, run
from tests.fakes.world import FAST, FakeRouter, Universe, command, until
from tests.unit.migration.test_many import Pair

SHOP = ("shop/catalog", "shop/cart")
SIDES: tuple[routing.Side, routing.Side] = ("blue", "green")


def shift(universe: Universe, *, retry: frozenset[str] = frozenset()) -> Any:
    made = command(universe)
    try:
        return run(made.shift.run(retry))
    finally:
        made.close()


def fences(universe: Universe) -> set[int]:
    return {route.fence for routes in universe.routes.values() for route in routes.values()}


def fresh(universe: Universe) -> None:
    """Another clone of the repository: the files, and no journal."""
    shutil.rmtree(universe.folder / ".bluegreen", ignore_errors=True)


def elsewhere(universe: Universe) -> None:
    """From here on commands run in another clone, with a stack file and a store of their own."""
    universe.folder = universe.folder / "elsewhere"
    universe.folder.mkdir()
    universe.edge = Path(shutil.copy(universe.edge, universe.folder))


@pytest.fixture
def went_back(tmp_path: Path) -> Universe:
    """One service arrived, one went back, by a store that had begun six times."""
    universe = Universe(tmp_path, SHOP, green_errors=lambda service, now: 0.5 if service == "shop/cart" else 0.0)
    for _ in range(5):
        run(take_over(tmp_path / ".bluegreen"))
    result = shift(universe)
    assert (result.arrived, list(result.returned)) == (("shop/catalog",), ["shop/cart"])
    assert fences(universe) == {6}
    # what `shift` does when a service goes back
    run(returned.keep({side: FakeRouter(universe, side) for side in SIDES}, dict(result.returned)))
    universe.green_errors = lambda service, now: 0.0
    return universe


def test_a_fresh_store_rises_above_the_live_fence_with_a_warning(went_back: Universe, caplog: pytest.LogCaptureFixture) -> None:
    fresh(went_back)
    shift(went_back)
    assert fences(went_back) == {7}
    assert read_fence(went_back.folder / ".bluegreen") == 7
    assert "another store has written here: fence 6; its journal is not here" in caplog.text
    caplog.clear()
    shift(went_back)
    assert fences(went_back) == {8}
    assert "another store" not in caplog.text


def test_a_fresh_store_shifts_what_was_rolled_back_only_on_retry(went_back: Universe) -> None:
    fresh(went_back)
    result = shift(went_back)
    assert result.arrived == ("shop/catalog",)
    assert "errors" in result.behind["shop/cart"], "with the reason that the other store saw"
    assert went_back.live("shop/cart") == (0, 0)
    fresh(went_back)
    assert shift(went_back, retry=frozenset({"shop/cart"})).arrived == SHOP
    assert went_back.returned == {"blue": {}, "green": {}}
    fresh(went_back)
    assert shift(went_back).arrived == SHOP


def test_status_of_a_fresh_store_shows_what_was_rolled_back(went_back: Universe) -> None:
    fresh(went_back)
    routers = {side: FakeRouter(went_back, side) for side in SIDES}
    rows = run(status(StackFile(went_back.edge).read(), routers, {}, went_back.folder / ".bluegreen", None)).services
    told = {row.service: (row.state, row.reason) for row in rows}
    assert told["shop/cart"][0] == "returned"
    assert "errors" in told["shop/cart"][1]
    assert told["shop/catalog"] == ("arrived", "")


def test_what_only_this_stores_journal_knows_is_kept_on_the_clusters_with_the_next_run(went_back: Universe) -> None:
    went_back.returned = {"blue": {}, "green": {}}
    shift(went_back)
    assert list(went_back.returned["blue"]) == list(went_back.returned["green"]) == ["shop/cart"]


def test_one_cluster_that_knows_of_a_rollback_is_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    universe = Universe(tmp_path, SHOP)
    routers = {side: FakeRouter(universe, side) for side in SIDES}

    async def act() -> None:
        universe.dead.add("green-api")
        await returned.keep(routers, {"shop/cart": "too slow"})
        universe.dead.clear()
        live = {side: await router.read() for side, router in routers.items()}
        assert returned.kept(live) == {"shop/cart": "too slow"}

    run(act())
    assert "fern does not know which services were rolled back" in caplog.text


def test_a_shift_stops_when_one_of_another_store_takes_over(tmp_path: Path) -> None:
    universe = Universe(tmp_path, SHOP)
    first = command(universe, replace(FAST, dwell_seconds=30))  # long enough for both to be at one step

    async def both() -> None:
        running = asyncio.ensure_future(first.shift.run())
        await until(lambda: all(universe.live(service) == (2000, 2000) for service in SHOP))
        elsewhere(universe)
        second = command(universe)
        try:
            result = await second.shift.run()
        finally:
            second.close()
        with pytest.raises(LostFence):
            await running
        assert sorted(result.arrived) == sorted(SHOP)

    run(both())
    first.close()
    assert fences(universe) == {2}


def test_a_shift_that_has_nothing_to_write_sees_a_higher_fence_all_the_same(tmp_path: Path) -> None:
    universe = Universe(tmp_path, SHOP)
    dwelling = command(universe, replace(FAST, dwell_seconds=1000))

    async def act() -> None:
        running = asyncio.ensure_future(dwelling.shift.run())
        await until(lambda: universe.live("shop/catalog") == (10, 10))
        await FakeRouter(universe, "green").raise_fence(9)
        began = asyncio.get_running_loop().time()
        with pytest.raises(LostFence, match="carries fence 9"):
            await running
        assert asyncio.get_running_loop().time() - began < 10

    run(act())
    dwelling.close()


def test_a_rollback_from_elsewhere_stops_a_running_shift_for_good(tmp_path: Path) -> None:
    universe = Universe(tmp_path, SHOP)
    first = command(universe)

    async def both() -> None:
        running = asyncio.ensure_future(first.shift.run())
        await until(lambda: universe.live("shop/catalog")[0] == 2000)
        elsewhere(universe)
        file, ledger = StackFile(universe.edge), await open_ledger(universe.folder / ".bluegreen", FakeClock().wall)
        routers = {side: FakeRouter(universe, side) for side in SIDES}
        rolled = await rollback(file.read(), list(SHOP), Means(routers, None, file, ledger, FakeClock()), reason="a hunch")
        assert rolled.complete
        with pytest.raises(LostFence):
            await running
        ledger.close()

    run(both())
    first.close()
    assert [universe.live(service) for service in SHOP] == [(0, 0), (0, 0)]
    assert universe.returned["blue"]["shop/catalog"] == "manual rollback: a hunch"
    fresh(universe)
    result = shift(universe)
    assert result.arrived == ()
    assert result.behind["shop/catalog"] == "manual rollback: a hunch"


AT = RouteLive(2500, "1", 1, "d", MANAGER)
BACK = RouteLive(0, "1", 1, "d", MANAGER)


@pytest.mark.parametrize(
    ("file", "live", "memory", "retry", "phase", "split"),
    [
        pytest.param(0, BACK, None, False, Phase.RETURNED, 0, id="a fresh store"),
        pytest.param(2500, AT, None, False, Phase.RETURNED, 0, id="raised by somebody since"),
        pytest.param(0, BACK, None, True, Phase.WAITING, 0, id="asked for again"),
        pytest.param(0, BACK, Remembered(0), False, Phase.RETURNED, 0, id="not yet moved by this store"),
        pytest.param(2500, AT, Remembered(2500), False, Phase.MOVING, 2500, id="moved on by this store since"),
        pytest.param(0, None, None, False, Phase.FROZEN, 0, id="its route is gone"),
    ],
)
def test_what_the_clusters_keep_counts_until_a_retry(file, live, memory, retry, phase, split):
    start = recover(Traces(file, {"blue": live, "green": live}, memory or Remembered(), "too slow"), Wish(retry=retry))
    assert (start.state.phase, start.state.split_bp) == (phase, split)
    if phase is Phase.RETURNED:
        assert start.state.reason == "too slow"
        assert start.write is (file != 0)


def test_a_fence_rises_above_the_clusters_but_not_over_whoever_took_over_meanwhile(tmp_path: Path) -> None:
    lock = take(tmp_path, "bluegreen shift")
    assert not run(lock.rise_above(0))
    assert run(lock.rise_above(1)), "the same number is another store's"
    assert (lock.fence, read_fence(tmp_path)) == (2, 2)
    raise_fence(tmp_path)
    with pytest.raises(LostFence):
        run(lock.rise_above(6))
    assert read_fence(tmp_path) == 3
    lock.release()


# -- on an API server ----------------------------------------------------------------------------------------------------


def carried(pair: Pair) -> dict[str, int]:
    live = pair.servers["blue"].objects
    return {
        name: int(obj["metadata"]["annotations"].get(FENCE, 0))
        for (_, kind, _, name), obj in live.items()
        if kind == "VirtualService" and not name.endswith(routing.PEER_SUFFIX)
    }


def test_a_mark_never_lowers_a_fence() -> None:
    async def act() -> None:
        pair = Pair(3, fences=6)
        router = pair.routers["blue"]
        for fence in (1, 6):
            with pytest.raises(LostFence, match="carries fence 6"):
                await router.raise_fence(fence)
        assert set(carried(pair).values()) == {6}
        await router.read()
        assert await router.raise_fence(7) == []
        assert set(carried(pair).values()) == {7}
        # another store raises one of them between our look and our mark, and somebody touches another
        server = pair.servers["blue"]
        other = server.objects["networking.istio.io", "VirtualService", "shop", "s1"]
        other["metadata"]["annotations"][FENCE] = "9"
        other["metadata"]["resourceVersion"] = "x"
        with pytest.raises(LostFence, match=r"s1.*carries fence 9"):
            await router.raise_fence(8)
        assert carried(pair)["s1"] == 9

    run(act())


def test_a_mark_only_writes_to_routes_that_are_still_there() -> None:
    async def act() -> None:
        pair = Pair(3)
        router, live = pair.routers["blue"], pair.servers["blue"].objects
        await router.read()
        changed = live["networking.istio.io", "VirtualService", "shop", "s2"]
        changed["spec"]["hosts"], changed["metadata"]["resourceVersion"] = ["other.test"], "x"
        del live["networking.istio.io", "VirtualService", "shop", "s0"]
        assert await router.raise_fence(5) == ["shop/s2"]
        assert carried(pair) == {"s1": 5, "s2": 5}

    run(act())


def test_a_dead_api_server_is_not_asked_for_every_route() -> None:
    async def act() -> int:
        pair = Pair(300, seconds=1e6, at_once=32)
        with pytest.raises(Unreachable):
            await pair.routers["blue"].raise_fence(5)
        return len(pair.servers["blue"].requests)

    assert run(act()) < 100


def test_the_program_neither_removes_nor_sees_what_was_rolled_back() -> None:
    intent = routing.Intent({"blue": "plum", "green": "fern"}, {"plum": 10_000, "fern": 0}, {"shop/s0": 2500}, 7)

    async def act() -> None:
        pair = Pair(1)
        router, server = pair.routers["blue"], pair.servers["blue"]

        def record() -> Object:
            return server.objects["", "ConfigMap", "istio-system", "bluegreen-edge"]

        await router.keep_returned({"shop/s0": "no record is there yet"})
        await server.apply(CONFIG_MAP, routing.record(intent), manager=MANAGER, force=True)
        await router.keep_returned({"shop/s0": "5 errors in 10", "shop/s9": "slow"})
        assert (await router.read()).returned == {"shop/s0": "5 errors in 10", "shop/s9": "slow"}
        assert routing.read_record(record())[0] == 7
        version = record()["metadata"]["resourceVersion"]
        await server.apply(CONFIG_MAP, routing.record(intent), manager=MANAGER, force=True)
        assert record()["metadata"]["resourceVersion"] == version, "the program has nothing to write"
        await router.keep_returned({"shop/s0": "5 errors in 10"})
        assert record()["metadata"]["resourceVersion"] == version, "nor have we"
        await router.write({"shop/s0": 0}, changed=["shop/s0"], generation=8, fence=1, force=True)
        assert (await router.read()).returned == {"shop/s0": "5 errors in 10", "shop/s9": "slow"}
        await router.keep_returned({"shop/s0": None, "shop/s9": None, "shop/s5": None})
        assert (await router.read()).returned == {}
        assert set(record()["data"]) == set(routing.record(intent)["data"])
        owners = {entry["manager"] for entry in record()["metadata"]["managedFields"] if "f:data" in entry["fieldsV1"]}
        assert owners == {MANAGER}
        assert LOCK_MANAGER not in owners

    run(act())
