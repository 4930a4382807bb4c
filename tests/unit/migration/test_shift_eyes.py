"""What a running shift sees, and what it makes of changes by others: the loop in virtual time, on fakes of the ports."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from migration.errors import Held
from migration.model import GatewayCounters, Phase
from migration.store.journal import read
from migration.store.memory import remember
from tests.fakes.clock import run
from tests.fakes.seeds import seeds
from tests.fakes.world import FAST, FakeCounters, Universe, command, shift, until

S = "shop/catalog"
SHOP = (S, "shop/cart")


# -- classes of answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["404", "401/403", "3xx", "gRPC 12"])
def test_a_green_that_answers_every_request_so_is_rolled_back_without_an_error(tmp_path: Path, name: str):
    universe = Universe(tmp_path, green_class=name)
    result = shift(universe)
    assert f"answers {name}" in result.returned[S]
    assert universe.live(S) == (0, 0)


def test_a_service_that_always_redirects_moves_like_any_other(tmp_path: Path):
    universe = Universe(tmp_path, green_class="3xx", blue_class="3xx")
    assert shift(universe).arrived == (S,)


# -- whole steps and bakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", seeds(3))
def test_a_quiet_service_that_fails_one_in_ten_is_not_baked(tmp_path: Path, seed: int):
    universe = Universe(tmp_path, rate=0.3, seed=seed, green_errors=lambda s, n: 0.1)
    policy = replace(FAST, steps_bp=(5000, 10_000), dwell_seconds=120, bake_seconds=1200, min_requests=5)
    phases = []

    async def stop(loop, world):
        await asyncio.sleep(2500)
        phases.append(loop.state[S].phase)
        loop.stop.set()

    shift(universe, policy=policy, during=stop, limit=7000.0)
    assert phases in ([], [Phase.MOVING], [Phase.ARRIVED])  # back, or held: never baked
    assert not [event for event in read(tmp_path / ".bluegreen/journal.jsonl") if event.op == "bake"]


def test_steady_errors_of_both_sides_are_baked_though_blue_is_silent_at_the_end(tmp_path: Path):
    universe = Universe(tmp_path, rate=100.0, green_errors=lambda s, n: 0.04, blue_errors=lambda s, n: 0.04)
    policy = replace(FAST, dwell_seconds=30, bake_seconds=300)
    assert shift(universe, policy=policy, metrics=True).arrived == (S,)


def test_what_blue_showed_is_remembered_by_the_next_run(tmp_path: Path):
    universe = Universe(tmp_path, rate=100.0, green_errors=lambda s, n: 0.04, blue_errors=lambda s, n: 0.04)
    policy = replace(FAST, dwell_seconds=30, bake_seconds=300)

    async def stop(loop, world):
        await until(lambda: world.live(S)[0] == 10_000 and loop.state[S].dwell_seconds > 5)
        loop.stop.set()

    assert shift(universe, policy=policy, during=stop).arrived == (S,)
    baseline = remember(read(tmp_path / ".bluegreen/journal.jsonl"))[S].baseline
    assert baseline.answers.requests > 1000
    assert 0.02 < baseline.answers.errors / baseline.answers.requests < 0.06
    universe.answers.clear()
    assert shift(universe, policy=policy, metrics=True).arrived == (S,)  # its own clock starts anew, blue never answers


def test_latency_is_compared_with_what_blue_showed_before_it_fell_silent(tmp_path: Path):
    universe = Universe(tmp_path, latency_ms={"blue": 100.0, "green": 150.0})
    policy = replace(FAST, latency_factor=2.0)
    assert shift(universe, policy=policy, metrics=True).arrived == (S,)
    (tmp_path / "slow").mkdir()
    slow = Universe(tmp_path / "slow", latency_ms={"blue": 100.0, "green": 250.0})
    assert "latency 250 ms, allowed 200 ms" in shift(slow, policy=policy, metrics=True).returned[S]


# -- nothing from before the step ------------------------------------------------------------------------------------


def test_a_fixed_service_that_is_retried_at_once_is_not_judged_by_its_old_answers(tmp_path: Path):
    universe = Universe(tmp_path, green_errors=lambda s, n: 0.5)
    policy = replace(FAST, analysis_window_seconds=600)

    async def twice():
        first = command(universe, policy, metrics=True)
        assert list((await first.shift.run()).returned) == [S]
        first.close()
        universe.green_errors = lambda s, n: 0.0
        again = command(universe, policy, metrics=True)
        try:
            return await again.shift.run(frozenset({S}))
        finally:
            again.close()

    result = run(twice())
    assert (result.arrived, result.returned) == ((S,), {})


# -- changes by others -----------------------------------------------------------------------------------------------


def edit(world, old: str, new: str) -> None:
    text = world.edge.read_text()
    assert old in text
    world.edge.write_text(text.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [("ttl: 5", "ttl: 7"), ("# moves last", "# soon")])
def test_what_is_no_share_freezes_nothing(tmp_path: Path, old: str, new: str):
    universe = Universe(tmp_path, SHOP)

    async def meddle(loop, world):
        await until(lambda: world.live(S)[0] == 2000)
        edit(world, old, new)

    result = shift(universe, during=meddle)
    assert (sorted(result.arrived), result.frozen) == (sorted(SHOP), {})
    assert new in universe.edge.read_text()


def test_a_service_frozen_by_a_changed_share_is_still_rolled_back(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)

    async def meddle(loop, world):
        await until(lambda: world.live(S)[0] == 2000)
        edit(world, f"{S}: 2000", f"{S}: 2500")
        await until(lambda: loop.state[S].phase is Phase.FROZEN)
        await asyncio.sleep(2)
        assert world.live(S) == (2000, 2000)
        world.green_errors = lambda service, now: 0.5 if service == S else 0.0

    result = shift(universe, during=meddle)
    assert result.arrived == ("shop/cart",)
    assert "2000 -> 2500" in result.returned[S]
    assert universe.live(S) == (0, 0)
    assert f"{S}: 0" in universe.edge.read_text()


def test_a_frozen_service_is_watched_for_as_long_as_a_bake_when_all_others_are_done(tmp_path: Path):
    universe = Universe(tmp_path)
    policy = replace(FAST, bake_seconds=500)

    async def meddle(loop, world):
        await until(lambda: world.live(S)[0] == 2000)
        edit(world, f"{S}: 2000", f"{S}: 2500")
        await asyncio.sleep(400)
        world.green_errors = lambda service, now: 0.5

    assert list(shift(universe, during=meddle, policy=policy).returned) == [S]


def test_a_route_that_another_client_changed_is_overwritten_when_its_green_turns_bad(tmp_path: Path):
    universe = Universe(tmp_path)

    async def meddle(loop, world):
        await until(lambda: world.live(S)[0] == 2000)
        for side in ("blue", "green"):
            route = world.routes[side][S]
            route.split, route.version, route.manager = 9000, route.version + 1, "kubectl-edit"
        await until(lambda: loop.state[S].phase is Phase.FROZEN)
        world.green_errors = lambda service, now: 0.5

    result = shift(universe, during=meddle)
    assert "kubectl-edit" in result.returned[S]
    assert universe.live(S) == (0, 0)


def test_a_rolled_back_service_that_another_client_raises_is_set_to_zero_again(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)
    policy = replace(FAST, bake_seconds=60)
    universe.green_errors = lambda service, now: 0.5 if service == S else 0.0

    async def slow_up(loop, world):
        await until(lambda: S in loop.state and loop.state[S].phase is Phase.RETURNED and world.live(S) == (0, 0))
        for side in ("blue", "green"):  # `pulumi up` with the file as it had been
            world.routes[side][S].split, world.routes[side][S].version = 2000, world.routes[side][S].version + 1
        await until(lambda: world.live(S) == (0, 0))
        edit(world, f"{S}: 0", f"{S}: 2000")
        await until(lambda: f"{S}: 0" in world.edge.read_text())

    result = shift(universe, during=slow_up, policy=policy)
    assert (list(result.returned), result.frozen, result.arrived) == ([S], {}, ("shop/cart",))
    kept = [event.reason for event in read(tmp_path / ".bluegreen/journal.jsonl") if event.op == "keep"]
    assert len(kept) == 2
    assert "2000" in kept[1]


def test_an_owners_edit_of_blues_route_after_a_rollback_is_not_overwritten(tmp_path: Path):
    universe = Universe(tmp_path, SHOP)
    universe.green_errors = lambda service, now: 0.5 if service == S else 0.0

    async def edit_route(loop, world):
        await until(lambda: S in loop.state and loop.state[S].phase is Phase.RETURNED and world.live(S) == (0, 0))
        route = world.routes["blue"][S]
        route.split, route.version, route.manager = None, route.version + 1, "kubectl-edit"
        await until(lambda: loop.state[S].phase is Phase.FROZEN)

    result = shift(universe, during=edit_route, policy=replace(FAST, bake_seconds=60))
    assert universe.live(S) == (None, 0)
    assert (list(result.returned), "kubectl-edit" in result.frozen[S]) == ([S], True)


def test_a_held_service_that_another_client_raises_is_rolled_back_when_it_is_bad(tmp_path: Path):
    async def meddle(loop, world):
        await until(lambda: S in loop.state)
        for side in ("blue", "green"):
            world.routes[side][S].split, world.routes[side][S].version = 2000, world.routes[side][S].version + 1

    # something has to run while it is raised: another service bakes
    universe = Universe(tmp_path, SHOP, rate=2.0, green_errors=lambda s, n: 1.0 if s == S else 0.0)
    policy = replace(FAST, dwell_seconds=30, bake_seconds=900)
    result = shift(universe, during=meddle, policy=policy, held=frozenset({S}), limit=6000.0)
    assert list(result.returned) == [S]
    assert universe.live(S) == (0, 0)


def test_what_another_store_shifted_again_is_not_rolled_back_by_this_ones_old_journal(tmp_path: Path):
    universe = Universe(tmp_path, green_errors=lambda s, n: 0.5)
    assert list(shift(universe).returned) == [S]
    mine = (tmp_path / ".bluegreen").rename(tmp_path / "mine")
    universe.green_errors = lambda s, n: 0.0
    assert shift(universe, retry=frozenset({S})).arrived == (S,)
    (tmp_path / ".bluegreen").rename(tmp_path / "theirs")
    mine.rename(tmp_path / ".bluegreen")
    assert shift(universe).arrived == (S,)
    assert universe.live(S) == (10_000, 10_000)


def test_an_older_file_of_another_store_is_refused_before_anything_is_written(tmp_path: Path):
    universe = Universe(tmp_path)
    old = universe.edge.read_text()
    assert shift(universe).arrived == (S,)
    (tmp_path / ".bluegreen").rename(tmp_path / "theirs")
    universe.edge.write_text(old)
    with pytest.raises(Held, match="generation 1, live is"):
        shift(universe)
    assert universe.live(S) == (10_000, 10_000)


# -- restarts --------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("pieces", "dwell", "bake"),
    [(12, 300, 1200), (40, 600, 3600)],
    ids=["an hour", "hours"],
)
def test_a_bake_that_is_cut_into_pieces_is_judged_as_a_whole(tmp_path: Path, pieces: int, dwell: int, bake: int):
    universe = Universe(tmp_path, rate=0.3, green_errors=lambda s, n: 0.0)
    policy = replace(FAST, steps_bp=(5000, 10_000), dwell_seconds=dwell, bake_seconds=bake, min_requests=5)

    async def stop(loop, world):
        await asyncio.sleep(300)
        loop.stop.set()

    for _ in range(pieces):
        shift(universe, policy=policy, during=stop)
        if universe.live(S)[0] == 10_000:
            universe.green_errors = lambda s, n: 0.06
    events = read(tmp_path / ".bluegreen/journal.jsonl")
    assert [event for event in events if event.op == "step"]
    assert not [event for event in events if event.op == "bake"]


# -- gateway pods that are silent ------------------------------------------------------------------------------------


class Pods(FakeCounters):
    """Three pods that share the requests; those of `gone` do not answer."""

    gone: frozenset[str] = frozenset()

    async def read(self) -> GatewayCounters:
        whole = await super().read()
        pods = {pod: whole.services for pod in ("a",) if pod not in self.gone}
        pods |= {pod: {} for pod in ("b", "c") if pod not in self.gone}
        return replace(whole, pods=pods, silent={pod: f"{pod} does not answer" for pod in self.gone})


def test_a_gateway_pod_that_is_scaled_in_rolls_nothing_back(tmp_path: Path, caplog):
    universe = Universe(tmp_path)
    made = command(universe, replace(FAST, error_limit=3, bake_seconds=30))
    blue = Pods(universe, "blue")
    made.shift.world.counters = {"blue": blue, "green": Pods(universe, "green")}

    async def scale_in():
        task = asyncio.ensure_future(made.shift.run())
        await until(lambda: universe.live(S)[0] == 2000)
        blue.gone = frozenset({"c"})
        return await task

    try:
        assert run(scale_in()).arrived == (S,)
    finally:
        made.close()
    assert caplog.text.count("c does not answer; the others are counted") == 1, "it is reported"
    told = [event for event in read(tmp_path / ".bluegreen/journal.jsonl") if event.op == "silent"]
    assert [(event.target, event.after) for event in told] == [("blue", ["c"])]
