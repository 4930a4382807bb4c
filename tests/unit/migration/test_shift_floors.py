"""Floors that are put back beside the loop: no tick waits for it, nothing is asked too often, nothing is told twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from migration.settings.policy import Policy
from migration.shift import floors as shifts
from tests.fakes.clock import run
from tests.fakes.world import FAST, Universe, command

SHOP = ("shop/cart", "shop/catalog", "shop/pay", "shop/search")
QUICK = replace(FAST, steps_bp=(10_000,), dwell_seconds=1, bake_seconds=2)
Left = Mapping[str, str]


class Releases:
    """Each try: when it began, and of what. `answer` may wait."""

    def __init__(self, answer: Callable[[frozenset[str]], Awaitable[Left]]) -> None:
        self.answer = answer
        self.tries: list[tuple[float, frozenset[str]]] = []
        self.now = self.most = 0

    async def __call__(self, baked: frozenset[str]) -> Left:
        self.tries.append((asyncio.get_running_loop().time(), baked))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self.answer(baked)
        finally:
            self.now -= 1


async def nothing_left(baked: frozenset[str]) -> Left:
    return {}


def moved(
    universe: Universe,
    releases: Releases | None,
    *,
    policy: Policy = QUICK,
    own: Mapping[str, Policy] | None = None,
    seconds: float | None = None,
) -> tuple[list[float], float]:
    """Runs a shift (for so long, or to its end): when its ticks were over, and when it ended. `own`: services' policies."""
    made = command(universe, policy)
    made.shift.world.release = releases
    made.shift.rules = replace(made.shift.rules, policy_of=lambda service: (own or {}).get(service, policy))
    ticks: list[float] = []
    made.shift.on_tick = lambda shown: ticks.append(asyncio.get_running_loop().time())

    async def all_of_it() -> float:
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, made.shift.stop.set)
        await made.shift.run()
        return asyncio.get_running_loop().time()

    try:
        return ticks, run(all_of_it())
    finally:
        made.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "floor" in record.getMessage()]


@pytest.mark.parametrize("takes", [3.0, 1e6], ids=["slow", "hangs"])
def test_no_tick_waits_for_a_release(tmp_path: Path, takes: float) -> None:
    async def slow(baked: frozenset[str]) -> Left:
        await asyncio.sleep(takes)
        return {}

    folders = [tmp_path / name for name in ("without", "with")]
    for folder in folders:
        folder.mkdir()
    undisturbed, _ = moved(Universe(folders[0], SHOP), None)
    releases = Releases(slow)
    ticks, _ = moved(Universe(folders[1], SHOP), releases)
    assert releases.tries[0][0] < undisturbed[-1]  # others are still on their way
    assert ticks == undisturbed


def test_one_try_at_a_time_is_for_all_that_has_baked(tmp_path: Path) -> None:
    async def slow(baked: frozenset[str]) -> Left:
        await asyncio.sleep(1.0)
        return {}

    universe = Universe(tmp_path, [f"shop/s{number}" for number in range(40)], rate=20)
    releases = Releases(slow)
    moved(universe, releases, policy=replace(QUICK, first_batch=4, batch=4, in_flight=4))
    assert releases.most == 1
    assert releases.tries[-1][1] == frozenset(universe.services)
    begun = [at for at, _ in releases.tries[:-1]]  # the last does not wait: the run is over
    assert all(later - earlier >= shifts.RELEASE_AGAIN_SECONDS for earlier, later in pairwise(begun))
    assert all(one < other for (_, one), (_, other) in pairwise(releases.tries))


def test_what_is_left_is_retried_ever_more_seldom(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    count = 0

    async def refused(baked: frozenset[str]) -> Left:
        nonlocal count
        count += 1
        return {name: f"{name}: refused after {count} s" for name in ("web-1", "web-2")}

    universe = Universe(tmp_path, SHOP[:2], rate=2)
    releases = Releases(refused)
    rare = replace(QUICK, sample_interval_seconds=5)
    moved(universe, releases, policy=rare, own={SHOP[1]: replace(rare, bake_seconds=1e6)}, seconds=2000.0)
    at = [at for at, _ in releases.tries]
    waits = [round(later - earlier) for earlier, later in pairwise(at)]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300][: len(waits)]
    assert len(waits) >= 9
    assert [line.partition("; trying")[0] for line in told(caplog)] == [
        "floor not put back yet: web-1: refused after 1 s",
        "floor not put back yet: web-2: refused after 1 s",
    ]


def test_what_bakes_during_a_long_wait_does_not_wait_for_its_end(tmp_path: Path) -> None:
    async def refused(baked: frozenset[str]) -> Left:
        return {"web": "web: refused"}

    universe = Universe(tmp_path, SHOP[:2])
    releases = Releases(refused)
    moved(universe, releases, own={SHOP[1]: replace(QUICK, bake_seconds=100)}, seconds=110.0)
    first = next(at for at, baked in releases.tries if len(baked) == 2)
    before = max(at for at, baked in releases.tries if len(baked) == 1)
    assert 100 <= first <= 105
    assert before < 85  # the wait in between would have been 80 s


def test_what_bakes_during_the_last_try_gets_one_more(tmp_path: Path) -> None:
    async def slow(baked: frozenset[str]) -> Left:
        await asyncio.sleep(10.0)
        return {}

    releases = Releases(slow)
    later, never = replace(QUICK, bake_seconds=6), replace(QUICK, bake_seconds=1e6)
    moved(Universe(tmp_path, SHOP[:3]), releases, own={SHOP[1]: later, SHOP[2]: never}, seconds=60.0)
    assert [sorted(baked) for _, baked in releases.tries] == [[SHOP[0]], [SHOP[0], SHOP[1]]]


def test_an_unforeseen_error_ends_no_later_release(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(baked: frozenset[str]) -> Left:
        if len(baked) < len(SHOP):
            raise KeyError("spec")
        return {}

    releases = Releases(broken)
    moved(Universe(tmp_path, SHOP), releases)
    assert releases.tries[-1][1] == frozenset(SHOP)
    assert [line.partition("; trying")[0] for line in told(caplog)] == ["floor not put back yet: KeyError('spec')"]


def test_a_run_that_ends_says_that_floors_are_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def refused(baked: frozenset[str]) -> Left:
        return {"web": "web: refused"}

    caplog.set_level(logging.WARNING)
    releases = Releases(refused)
    ticks, ended = moved(Universe(tmp_path, SHOP[:1]), releases)
    assert ended - ticks[-1] == pytest.approx(shifts.RELEASE_SECONDS, abs=1)
    assert len(releases.tries) > 4
    assert "floors are held still" in told(caplog)[-1]
    assert "bluegreen capacity release" in told(caplog)[-1]


def test_a_run_whose_floors_are_back_ends_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    releases = Releases(nothing_left)
    ticks, ended = moved(Universe(tmp_path, SHOP[:2]), releases)
    assert releases.tries[-1][1] == frozenset(SHOP[:2])
    assert ended - ticks[-1] < 1
    assert told(caplog) == []
