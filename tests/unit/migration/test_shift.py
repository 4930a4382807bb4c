"""The whole loop in virtual time, on fakes of the ports."""

from __future__ import annotations

import asyncio
import errno
import fcntl
from dataclasses import replace
from pathlib import Path

import pytest

from migration.errors import Locked, LostFence, Unreachable
from migration.model import Phase
from migration.settings.stack_file import StackFile
from migration.shift.ledger import open_ledger
from migration.shift.proof import Proof
from migration.shift.rollback import Means, rollback
from migration.shift.rolled import RollbackResult
from migration.store import lock as locks
from migration.store.events import open_intents
from migration.store.journal import read
from tests.fakes.clock import FakeClock, run
from tests.fakes.disk import refusing
from tests.fakes.world import FAST, FakeEntry, FakeRouter, Killed, Universe, command, shift, until

SHORT = replace(FAST, steps_bp=(2000, 10_000), dwell_seconds=1, bake_seconds=2)
SHOP = ("shop/catalog", "shop/cart", "shop/search", "shop/pay")


def splits(universe, service):
    return [split for _, side, split in universe.history[service] if side == "blue"]


def test_healthy_services_arrive_by_every_step(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)
    result = shift(universe, metrics=True)
    assert sorted(result.arrived) == sorted(SHOP)
    assert not result.returned
    for service in SHOP:
        assert splits(universe, service) == [10, 2000, 10_000]
        assert universe.live(service) == (10_000, 10_000)
    text = universe.edge.read_text()
    assert "shop/cart: 10000" in text, "the file says so"
    assert "# moves last" in text
    assert universe.records["blue"] == universe.records["green"]
    assert f"bluegreen:generation: {universe.records['blue'][0]}" in text


def test_the_second_batch_begins_only_when_the_first_has_settled(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)
    shift(universe)
    first, second = ("shop/cart", "shop/catalog"), ("shop/pay", "shop/search")
    arrived = max(at for service in first for at, _, split in universe.history[service] if split == 10_000)
    begun = min(at for service in second for at, _, split in universe.history[service] if split == 10)
    assert begun >= arrived


def test_a_service_that_turns_bad_at_twenty_percent_is_at_zero_within_two_samples(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)
    broken_at: float | None = None

    def errors(service, now):
        nonlocal broken_at
        if service == "shop/cart" and universe.routes["blue"][service].split == 2000:
            begun = next(at for at, side, split in universe.history[service] if split == 2000)
            if now >= begun + 1.35:
                broken_at = broken_at or begun + 1.35
                return 0.5
        return 0.0

    universe.green_errors = errors
    result = shift(universe)
    assert broken_at is not None
    assert list(result.returned) == ["shop/cart"]
    assert "errors in" in result.returned["shop/cart"]
    zero = {side: at for at, side, split in universe.history["shop/cart"] if split == 0}
    write = 0.05
    assert max(zero["blue"], zero["green"]) - broken_at <= 2 * FAST.sample_interval_seconds + write
    assert sorted(result.arrived) == ["shop/catalog", "shop/pay", "shop/search"]
    assert "shop/cart: 0" in universe.edge.read_text()


def test_what_was_rolled_back_stays_back_until_it_is_retried(tmp_path: Path):
    universe = Universe(tmp_path, green_errors=lambda service, now: 0.5)
    assert list(shift(universe).returned) == ["shop/catalog"]
    universe.green_errors = lambda service, now: 0.0
    again = shift(universe)
    assert list(again.behind) == ["shop/catalog"]
    assert universe.live("shop/catalog") == (0, 0)
    assert shift(universe, retry=frozenset({"shop/catalog"})).arrived == ("shop/catalog",)


def test_a_fault_at_a_hundred_percent_is_rolled_back_while_it_bakes(tmp_path: Path):
    universe = Universe(tmp_path)
    universe.green_errors = lambda service, now: 0.5 if universe.live(service)[0] == 10_000 and now > 9 else 0.0
    result = shift(universe)
    assert list(result.returned) == ["shop/catalog"]
    assert universe.live("shop/catalog") == (0, 0)


def test_a_group_is_rolled_back_together(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)
    universe.green_errors = lambda service, now: 0.5 if service == "shop/cart" and now > 4 else 0.0
    result = shift(universe, groups=[["shop/cart", "shop/pay"]])
    assert sorted(result.returned) == ["shop/cart", "shop/pay"]
    assert "with shop/cart" in result.returned["shop/pay"]


def test_a_fault_that_both_sides_share_is_not_greens(tmp_path: Path):
    universe = Universe(tmp_path, green_errors=lambda s, n: 0.2, blue_errors=lambda s, n: 0.2)
    assert not shift(universe).returned


def test_hung_requests_are_rolled_back_without_one_answer(tmp_path: Path):
    universe = Universe(tmp_path)

    async def hang(loop, world):
        await until(lambda: world.live("shop/catalog")[0] == 2000)
        world.hang.add("shop/catalog")

    result = shift(universe, during=hang)
    assert "none finished" in result.returned["shop/catalog"]


def test_without_its_metrics_store_nothing_advances_until_it_is_back(tmp_path: Path):
    universe = Universe(tmp_path)
    universe.dead.add("store")

    async def look(loop, world):
        await asyncio.sleep(300)
        assert world.live("shop/catalog") == (10, 10)
        assert "metrics store" in loop.state["shop/catalog"].reason
        world.dead.discard("store")

    assert shift(universe, metrics=True, during=look).arrived == ("shop/catalog",)
    assert splits(universe, "shop/catalog") == [10, 2000, 10_000]
    jump = next(at for at, side, split in universe.history["shop/catalog"] if split == 2000)
    assert jump > 300


def test_a_bad_service_is_rolled_back_while_the_metrics_store_is_down(tmp_path: Path):
    universe = Universe(tmp_path, rate=20_000 / 10, green_errors=lambda s, n: 0.9 if n > 20 else 0.0)
    universe.dead.add("store")
    result = shift(universe, metrics=True)
    assert list(result.returned) == ["shop/catalog"]


def test_a_service_without_counters_is_rolled_back_at_the_limit(tmp_path: Path):
    universe = Universe(tmp_path)

    async def blind(loop, world):
        await until(lambda: world.live("shop/catalog")[0] == 2000)
        world.dead.add("blue-counters")

    result = shift(universe, during=blind)
    assert "no counters from the gateway for 10 samples" in result.returned["shop/catalog"]
    assert 10_000 not in splits(universe, "shop/catalog")


def test_too_few_requests_lengthen_a_step(tmp_path: Path):
    universe = Universe(tmp_path, rate=0.0)

    async def look(loop, world):
        await asyncio.sleep(100)
        assert world.live("shop/catalog") == (10, 10)
        assert "requests" in loop.state["shop/catalog"].reason
        world.rate = 2000.0

    assert shift(universe, during=look).arrived == ("shop/catalog",)


def test_a_foreign_weight_freezes_its_service_alone(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)

    async def meddle(loop, world):
        await until(lambda: world.live("shop/cart")[0] == 2000)
        route = world.routes["blue"]["shop/cart"]
        route.split, route.version, route.manager = 9000, route.version + 1, "kubectl-edit"

    result = shift(universe, during=meddle)
    assert list(result.frozen) == ["shop/cart"]
    assert "kubectl-edit" in result.frozen["shop/cart"]
    assert universe.live("shop/cart")[0] == 9000  # not fought
    assert len(result.arrived) == 3


def test_a_foreign_weight_is_overwritten_where_the_policy_says_so(tmp_path: Path):
    universe = Universe(tmp_path)

    async def meddle(loop, world):
        await until(lambda: world.live("shop/catalog")[0] == 2000)
        route = world.routes["blue"]["shop/catalog"]
        route.split, route.version, route.manager = 9000, route.version + 1, "kubectl-edit"

    result = shift(universe, during=meddle, reassert=True)
    assert result.arrived == ("shop/catalog",)
    assert any(
        event.op == "reassert" and "kubectl-edit" in event.reason for event in read(tmp_path / ".bluegreen/journal.jsonl")
    )


def test_a_share_that_another_client_changed_in_the_file_is_left_alone(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)

    async def meddle(loop, world):
        await until(lambda: world.live("shop/cart")[0] == 2000)
        world.edge.write_text(world.edge.read_text().replace("shop/cart: 2000", "shop/cart: 7777"))

    result = shift(universe, during=meddle)
    assert "shop/cart" in result.frozen
    assert "2000 -> 7777" in result.frozen["shop/cart"]
    assert "shop/cart: 7777" in universe.edge.read_text()
    assert universe.live("shop/cart") == (2000, 2000)


def test_keys_of_others_may_change_in_the_file(tmp_path: Path):
    universe = Universe(tmp_path)

    async def meddle(loop, world):
        await until(lambda: world.live("shop/catalog")[0] == 2000)
        world.edge.write_text("encryptionsalt: v1:abc\n" + world.edge.read_text())

    assert shift(universe, during=meddle).arrived == ("shop/catalog",)
    assert "encryptionsalt" in universe.edge.read_text()


def test_a_second_shift_at_once_is_refused_with_the_name_of_the_first(tmp_path: Path):
    universe = Universe(tmp_path)
    first = command(universe)
    fence = (tmp_path / ".bluegreen/fence").read_text()
    with pytest.raises(Locked, match=r"bluegreen shift.*pid"):
        command(universe)
    assert (tmp_path / ".bluegreen/fence").read_text() == fence
    first.close()
    command(universe).close()


def test_a_holder_that_was_taken_over_writes_nothing_more(tmp_path: Path):
    universe = Universe(tmp_path)

    async def take_over(loop, world):
        await until(lambda: world.live("shop/catalog")[0] == 2000)
        locks.raise_fence(tmp_path / ".bluegreen")

    with pytest.raises(LostFence):
        shift(universe, during=take_over)
    assert splits(universe, "shop/catalog") == [10, 2000]


def test_a_pause_holds_everything_but_a_rollback(tmp_path: Path):
    universe = Universe(tmp_path)
    paused: list[str] = []

    async def pause(loop, world):
        await until(lambda: world.live("shop/catalog")[0] == 2000)
        paused.append("ann")
        await asyncio.sleep(60)
        assert world.live("shop/catalog") == (2000, 2000)
        assert "paused by ann" in loop.state["shop/catalog"].reason
        world.green_errors = lambda service, now: 0.5

    result = shift(universe, during=pause, paused=lambda: paused[0] if paused else None)
    assert list(result.returned) == ["shop/catalog"]


def test_a_green_api_that_dies_in_mid_shift_does_not_slow_a_rollback(tmp_path: Path):
    universe = Universe(tmp_path)

    async def kill(loop, world):
        await until(lambda: world.live("shop/catalog")[0] == 2000)
        world.dead.add("green-api")
        await asyncio.sleep(1)
        world.green_errors = lambda service, now: 0.5

    result = shift(universe, during=kill)
    assert list(result.returned) == ["shop/catalog"]
    assert universe.live("shop/catalog") == (0, 2000)


@pytest.mark.parametrize("green_share", [5000, 10_000])
def test_users_who_enter_by_an_unreachable_green_leave_it_with_the_entry(tmp_path: Path, caplog, green_share):
    universe = Universe(tmp_path, ("shop/catalog", "shop/cart"))
    shares = f"{{plum: {10_000 - green_share}, fern: {green_share}}}"
    universe.edge.write_text(universe.edge.read_text().replace("{plum: 10000, fern: 0}", shares))
    universe.entry = entry = FakeEntry(universe, {"plum": 10_000 - green_share, "fern": green_share})
    made = []

    async def kill(loop, world):
        made.append(loop)
        await until(lambda: world.live("shop/catalog")[0] == 2000)
        world.dead |= {"green-api", "route53"}
        await asyncio.sleep(1)
        world.green_errors = lambda service, now: 0.5 if service == "shop/catalog" else 0.0
        await until(lambda: "could not be moved back: Route 53" in caplog.text)
        assert entry.shares["fern"] == green_share
        world.dead -= {"route53"}
        await until(lambda: entry.shares["fern"] == 0)
        assert universe.live("shop/catalog") == (0, 2000)
        world.dead.clear()

    result = shift(universe, during=kill)
    assert list(result.returned) == ["shop/catalog"]
    assert result.arrived == ("shop/cart",)
    assert universe.live("shop/catalog") == (0, 0)
    assert universe.entry.shares == {"plum": 10_000, "fern": 0}
    assert "bluegreen:entry: {plum: 10000, fern: 0}" in universe.edge.read_text()
    assert made[0].world.routers["blue"].entry == {"plum": 10_000, "fern": 0}
    assert "users follow within 5 s" in caplog.text
    moved = [event for event in read(tmp_path / ".bluegreen/journal.jsonl") if event.op == "entry"]
    assert {(event.kind, event.target, event.after) for event in moved} == {
        (kind, name, share) for kind in ("intent", "outcome") for name, share in (("plum", 10_000), ("fern", 0))
    }


def test_an_unreachable_green_leaves_an_entry_at_blue_where_it_is(tmp_path: Path):
    universe = Universe(tmp_path)
    universe.entry = FakeEntry(universe, {"plum": 10_000, "fern": 0})
    universe.entry.write = None  # type: ignore[method-assign, assignment]  # would fail if it were called

    async def kill(loop, world):
        await until(lambda: world.live("shop/catalog")[0] == 2000)
        world.dead.add("green-api")
        world.green_errors = lambda service, now: 0.5

    assert list(shift(universe, during=kill).returned) == ["shop/catalog"]
    assert universe.entry.shares == {"plum": 10_000, "fern": 0}


async def take_back(world, sides=("blue", "green")):
    """`bluegreen rollback` of everything."""
    file, ledger = StackFile(world.edge), await open_ledger(world.folder / ".bluegreen", FakeClock().wall)
    routers = {side: FakeRouter(world, side) for side in sides}
    try:
        return await rollback(file.read(), list(world.services), Means(routers, None, file, ledger, FakeClock()))
    finally:
        ledger.close()


def test_a_rollback_waits_for_no_stopped_process_that_holds_the_fence(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)
    shift(universe)
    assert {universe.live(service)[0] for service in SHOP} == {10_000}

    async def back() -> tuple[RollbackResult, float]:
        return await take_back(universe), asyncio.get_running_loop().time()

    with (tmp_path / ".bluegreen" / "fence.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        rolled, took = run(back())
    assert {universe.live(service)[0] for service in SHOP} == {0}
    assert any("is held by another process" in problem for problem in rolled.problems)
    assert rolled.seconds < took < 5, "users are back at once; what remains is one wait for the fence"


@pytest.mark.parametrize("how", ["green-api", "green-silent"])
def test_rollback_stops_a_running_shift_with_green_dead(tmp_path: Path, how: str):
    universe = Universe(tmp_path, SHOP)
    rolled = []

    async def back(loop, world):
        await until(lambda: world.live("shop/cart")[0] == 2000)
        world.dead.add(how)
        rolled.append(await take_back(world))

    made = command(universe)

    async def both():
        task = asyncio.ensure_future(made.shift.run())
        await back(made.shift, universe)
        await task

    with pytest.raises(LostFence):
        run(both())
    made.close()
    assert rolled[0].complete
    assert rolled[0].seconds < 0.5
    assert all(universe.live(service)[0] == 0 for service in SHOP)
    assert "shop/cart: 0" in universe.edge.read_text()
    universe.dead.clear()
    assert sorted(shift(universe, retry=frozenset(SHOP)).arrived) == sorted(SHOP)


def test_rollback_without_green_is_complete_on_blue_alone(tmp_path: Path):
    universe = Universe(tmp_path, SHOP, splits=dict.fromkeys(SHOP, 2000))
    rolled = run(take_back(universe, sides=("blue",)))
    assert rolled.in_effect == {"blue": Proof.SERVED, "green": Proof.UNREACHABLE}
    assert rolled.complete
    assert all(universe.live(service) == (0, 2000) for service in SHOP)


@pytest.mark.parametrize("what", ["no folder", "torn journal", "full disk"])
def test_rollback_needs_none_of_its_own_files(tmp_path: Path, monkeypatch, what: str):
    universe = Universe(tmp_path, SHOP, splits=dict.fromkeys(SHOP, 2000))
    store = tmp_path / ".bluegreen"
    if what == "no folder":
        store.write_text("not a folder")
    elif what == "torn journal":
        store.mkdir()
        (store / "journal.jsonl").write_text("by hand\n")
    else:
        full_disk(monkeypatch)
    rolled = run(take_back(universe))
    assert all(universe.live(service) == (0, 0) for service in SHOP)
    assert rolled.in_effect == {"blue": Proof.SERVED, "green": Proof.SERVED}
    assert not rolled.complete
    told = " ".join(rolled.problems)
    assert {"no folder": "a running `bluegreen shift` does not know", "torn journal": "journal.jsonl:1"}.get(
        what, "No space"
    ) in told
    if what == "full disk":
        assert "set these services to 0 there" in told


def full_disk(monkeypatch):
    """No file of the migration can be written from here on; `undo` of the patch makes room."""

    def refuse(*_: object, **__: object):
        raise OSError(errno.ENOSPC, "No space left on device")

    for where in ("migration.disk.tempfile.mkstemp", "migration.store.journal.os.write"):
        monkeypatch.setattr(where, refuse)


@pytest.mark.parametrize(
    ("lost", "seen", "complete"), [(1, Proof.SERVED, True), (10**6, Proof.ACCEPTED, True)], ids=["once", "always"]
)
def test_a_probe_that_does_not_get_through_fails_no_rollback(tmp_path: Path, monkeypatch, lost, seen, complete):
    universe = Universe(tmp_path, SHOP, splits=dict.fromkeys(SHOP, 2000))
    asked, real = [], FakeRouter.in_effect

    async def in_effect(router, service, split):
        asked.append(service)
        if len(asked) <= lost:
            raise Unreachable("the peer listener does not answer")
        return await real(router, service, split)

    monkeypatch.setattr(FakeRouter, "in_effect", in_effect)
    rolled = run(take_back(universe))
    assert rolled.in_effect["blue"] is seen
    assert rolled.complete is complete


def test_a_gateway_that_serves_the_old_split_makes_a_rollback_incomplete(tmp_path: Path, monkeypatch):
    universe = Universe(tmp_path, SHOP, splits=dict.fromkeys(SHOP, 2000))

    async def in_effect(router, service, split):
        await asyncio.sleep(0.005)
        return router.side == "green"

    monkeypatch.setattr(FakeRouter, "in_effect", in_effect)
    rolled = run(take_back(universe))
    assert rolled.in_effect == {"blue": Proof.FAILED, "green": Proof.SERVED}
    assert not rolled.complete


def test_on_a_full_disk_services_are_only_rolled_back(tmp_path: Path, monkeypatch):
    bad_from = {"shop/catalog": 1e9, "shop/cart": 1e9}
    services = tuple(bad_from)
    universe = Universe(tmp_path, services, green_errors=lambda service, now: 0.5 if now > bad_from[service] else 0.0)
    policy = replace(FAST, dwell_seconds=30)

    async def fill(loop, world):
        await until(lambda: all(world.live(service) == (2000, 2000) for service in bad_from))
        full_disk(monkeypatch)
        bad_from["shop/catalog"] = asyncio.get_running_loop().time()
        await until(lambda: world.live("shop/catalog") == (0, 0))
        await asyncio.sleep(60)
        assert world.live("shop/cart") == (2000, 2000), "a step that is nowhere written down"
        assert "No space" in loop.state["shop/cart"].reason
        bad_from["shop/cart"] = began = asyncio.get_running_loop().time()
        await until(lambda: world.live("shop/cart") == (0, 0))
        assert asyncio.get_running_loop().time() - began < 3
        await asyncio.sleep(60)
        went_well.append(True)
        monkeypatch.undo()

    went_well: list[bool] = []
    result = shift(universe, during=fill, policy=policy)
    assert went_well
    assert sorted(result.returned) == sorted(services)
    assert StackFile(universe.edge).read().services == dict.fromkeys(services, 0)
    assert not open_intents(read(tmp_path / ".bluegreen" / "journal.jsonl"))


@pytest.mark.parametrize(
    ("call", "number", "word"),
    [
        ("create", errno.EACCES, "Permission denied"),
        ("write", errno.EIO, "Input/output error"),
        ("fsync", errno.ENOSPC, "No space left on device"),
        ("rename", errno.EROFS, "Read-only file system"),
        ("read", errno.EMFILE, "Too many open files"),  # neither the fence can be told, nor who changed the file
    ],
)
def test_a_store_that_fails_under_way_ends_no_shift(tmp_path: Path, call: str, number: int, word: str):
    bad_from = {"shop/catalog": 1e9, "shop/cart": 1e9}
    universe = Universe(tmp_path, tuple(bad_from), green_errors=lambda service, now: 0.5 if now > bad_from[service] else 0.0)

    async def fail(loop, world):
        await until(lambda: all(world.live(service) == (2000, 2000) for service in bad_from))
        with refusing(tmp_path, call, number):
            await asyncio.sleep(100)
            assert all(world.live(service) == (2000, 2000) for service in bad_from), "nothing goes forward"
            assert word in loop.state["shop/cart"].reason
            bad_from["shop/catalog"] = began = asyncio.get_running_loop().time()
            await until(lambda: world.live("shop/catalog") == (0, 0))
            assert asyncio.get_running_loop().time() - began < 3
        went_well.append(True)

    went_well: list[bool] = []
    result = shift(universe, during=fail, policy=replace(FAST, dwell_seconds=30))
    assert went_well
    assert (result.arrived, list(result.returned)) == (("shop/cart",), ["shop/catalog"])
    assert StackFile(universe.edge).read().services == {"shop/catalog": 0, "shop/cart": 10_000}
    assert not open_intents(read(tmp_path / ".bluegreen" / "journal.jsonl"))


def test_a_green_that_swallows_writes_does_not_slow_a_rollback(tmp_path: Path):
    bad_from = {"shop/catalog": 1e9, "shop/cart": 1e9}
    universe = Universe(tmp_path, tuple(bad_from), green_errors=lambda s, now: 0.5 if now > bad_from[s] else 0.0)
    took = []

    async def swallow(loop, world):
        await until(lambda: all(world.live(service) == (2000, 2000) for service in bad_from))
        world.dead.add("green-silent")
        for service in bad_from:
            bad_from[service] = began = asyncio.get_running_loop().time()
            await until(lambda s=service: world.live(s)[0] == 0)
            took.append(asyncio.get_running_loop().time() - began)
        world.dead.clear()

    result = shift(universe, during=swallow, policy=replace(FAST, dwell_seconds=30))
    assert sorted(result.returned) == sorted(bad_from)
    assert max(took) < 2.5, took


def test_a_gateway_that_does_not_apply_a_split_is_reported(tmp_path: Path, monkeypatch):
    universe = Universe(tmp_path)
    real = FakeRouter.in_effect

    async def in_effect(router, service, split):
        answer = await real(router, service, split)
        return answer and not (router.side == "green" and asyncio.get_running_loop().time() < 60)

    monkeypatch.setattr(FakeRouter, "in_effect", in_effect)
    assert shift(universe).arrived == ("shop/catalog",)
    holds = [event.reason for event in read(tmp_path / ".bluegreen" / "journal.jsonl") if event.op == "hold"]
    assert holds == ["holds: green's gateway does not serve 0.1 % yet"]


def test_an_interrupted_shift_continues_with_the_dwell_it_had(tmp_path: Path):
    universe = Universe(tmp_path)

    async def interrupt(loop, world):
        await until(lambda: world.live("shop/catalog")[0] == 2000 and loop.state["shop/catalog"].dwell_seconds >= 1.9)
        loop.stop.set()

    result = shift(universe, during=interrupt)
    assert "shop/catalog" in result.behind
    assert shift(universe).arrived == ("shop/catalog",)
    assert splits(universe, "shop/catalog") == [10, 2000, 10_000]


@pytest.mark.wide(1)
@pytest.mark.parametrize("first", range(4))
def test_a_shift_killed_at_any_write_ends_as_if_nothing_had_been(tmp_path: Path, first: int):
    """Every write of a run in turn, of a service that arrives and of one that goes back: killed there, run again."""

    def universe_in(folder: Path) -> Universe:
        folder.mkdir()
        universe = Universe(folder, ("shop/catalog", "shop/cart"), rate=100)
        universe.green_errors = lambda service, now: (
            0.5 if service == "shop/cart" and (universe.live(service)[0] or 0) >= 2000 else 0.0
        )
        return universe

    undisturbed = universe_in(tmp_path / "whole")
    shift(undisturbed, policy=SHORT)
    end = {service: undisturbed.live(service) for service in undisturbed.services}
    assert end == {"shop/catalog": (10_000, 10_000), "shop/cart": (0, 0)}
    for point in range(first, undisturbed.points, 4):
        universe = universe_in(tmp_path / f"kill-{point}")
        universe.kill_at = point
        with pytest.raises(Killed):
            shift(universe, policy=SHORT)
        universe.kill_at = None
        again = shift(universe, policy=SHORT)
        assert {service: universe.live(service) for service in universe.services} == end, f"killed at write {point}"
        assert not again.frozen, f"killed at write {point}: {again.frozen}"
        for service in universe.services:
            assert f"{service}: {end[service][0]}" in universe.edge.read_text()


def test_the_journal_has_every_intent_before_its_write(tmp_path: Path):
    universe = Universe(tmp_path)
    shift(universe)
    events = read(tmp_path / ".bluegreen/journal.jsonl")
    steps = [(event.kind, event.after) for event in events if event.op == "shift" and event.kind in ("intent", "outcome")]
    assert steps == [(kind, split) for split in (10, 2000, 10_000) for kind in ("intent", "outcome")]
    assert Phase.BAKED  # the last note says so
    assert events[-1].op in ("bake", "progress", "effect")


def test_when_bakes_end_their_floors_are_put_back_beside_the_loop(tmp_path: Path):
    """What fails is tried again, keeps nobody from moving, and is done before the command ends."""
    universe = Universe(tmp_path, SHOP)
    asked, unnoted, done = [], [], set()

    async def release(baked):
        asked.append(baked)
        noted = {event.target for event in read(tmp_path / ".bluegreen/journal.jsonl") if event.op == "bake"}
        unnoted.extend(baked - noted)
        if len(asked) < 3:
            raise Unreachable("plum does not answer")
        done.update(baked)
        return {}

    made = command(universe, SHORT)
    made.shift.world.release = release
    try:
        result = run(asyncio.wait_for(made.shift.run(), 600))
    finally:
        made.close()
    assert sorted(result.arrived) == sorted(SHOP)
    assert len(asked) >= 3
    assert unnoted == []
    assert done == set(SHOP)


def test_floors_that_are_never_put_back_do_not_keep_a_shift_from_its_end(tmp_path: Path):
    universe = Universe(tmp_path)

    async def release(service):
        raise Unreachable("plum does not answer")

    made = command(universe, SHORT)
    made.shift.world.release = release
    try:
        assert run(asyncio.wait_for(made.shift.run(), 600)).arrived == ("shop/catalog",)
    finally:
        made.close()
