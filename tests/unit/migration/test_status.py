"""`status` tells which gateway pods cannot be watched, before a shift finds out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from migration.cli.status import _api, needs_eyes, status, unseen
from migration.errors import BluegreenError, Forbidden, Rejected, StoreError, Unreachable
from migration.model import Phase, Side
from migration.views.document import as_json
from migration.views.state import ApiServer, ServiceRow, Status
from tests.fakes.clock import run
from tests.fakes.world import FakeRouter, Universe, command


class FakePages:
    """`slow`: how long it takes to find out."""

    def __init__(self, urls: int, silent: Mapping[str, str], slow: float = 0.0) -> None:
        self.urls = tuple(f"http://pod-{n}/stats" for n in range(urls))
        self.told, self.slow = silent, slow

    async def silent(self) -> Mapping[str, str]:
        await asyncio.sleep(self.slow)
        return self.told


WHY = "do not answer within 0.6 s"
GONE = {"http://pod-1/stats": WHY}
ALL = {f"http://pod-{n}/stats": WHY for n in range(3)}


def looked(tmp_path: Path, pages: Mapping[Side, FakePages]) -> Status:
    universe = Universe(tmp_path)
    made = command(universe)
    made.close()

    async def look() -> Status:
        routers = {side: FakeRouter(universe, side) for side in ("blue", "green")}
        found = await status(made.shift.world.file.read(), routers, pages, tmp_path, None)  # type: ignore[arg-type]
        took.append(asyncio.get_running_loop().time())
        return found

    took: list[float] = []
    found = run(look())
    assert took[0] == pytest.approx(max([0.01, *(each.slow for each in pages.values())]))  # all at once
    return found


def about_counters(found: Status) -> list[str]:
    return [line for line in found.lines() if "counters" in line]


def test_a_pod_whose_page_is_silent_is_named_with_its_cluster(tmp_path: Path) -> None:
    found = looked(tmp_path, {"blue": FakePages(3, GONE, slow=0.6), "green": FakePages(1, {}, slow=0.5)})
    assert about_counters(found) == [
        f"plum: the gateway's counters at http://pod-1/stats {WHY}",
        "plum: 2 of 3 pages of counters answer; `shift` judges by these",
    ]
    assert as_json(found)["counters"] == {
        "blue": {"cluster": "plum", "pages": 3, "silent": GONE},
        "green": {"cluster": "fern", "pages": 1, "silent": {}},
    }


def test_a_gateway_without_any_page_is_reported_as_blind(tmp_path: Path) -> None:
    found = looked(tmp_path, {"green": FakePages(3, ALL)})
    assert about_counters(found)[-1] == "fern: no page of counters answers: `shift` would be blind and roll services back"
    assert len(about_counters(found)) == 4


def test_pages_that_all_answer_are_not_reported(tmp_path: Path) -> None:
    assert about_counters(looked(tmp_path, {"blue": FakePages(2, {}), "green": FakePages(2, {})})) == []


@pytest.mark.parametrize(
    ("file", "blue", "green", "missing", "needed"),
    [
        (2500, 0, 0, (), False),
        (0, 0, 2500, (), True),
        (0, 2500, 0, (), True),
        (2500, None, 0, (), True),  # blue was not seen, or has a route of somebody else
        (0, None, 0, (), False),
        (2500, None, 0, ("blue",), False),
        (2500, None, None, (), True),
    ],
)
def test_a_service_that_needs_watching_is_recognized_by_what_the_gateways_have(
    file: int, blue: int | None, green: int | None, missing: tuple[Side, ...], needed: bool
) -> None:
    row = ServiceRow("shop/cart", file, blue, green, Phase.MOVING, "", missing)
    assert needs_eyes(row) is needed
    assert not needs_eyes(replace(row, state=Phase.BAKED))


def test_a_slow_credential_program_is_no_silence_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ready(router: FakeRouter) -> None:
        await asyncio.sleep(10)

    monkeypatch.setattr(FakeRouter, "ready", ready)
    universe = Universe(tmp_path)
    made = command(universe)
    made.close()
    edge = made.shift.world.file.read()

    async def look() -> Status:
        return await status(edge, {"blue": FakeRouter(universe, "blue")}, {}, tmp_path, None)

    assert run(look()).gateways == {"blue": ApiServer("plum", True)}


BROKEN = StoreError("journal.jsonl:2: not a line", remedy="restore it")
DEAD = Unreachable("no answer")
CLOSED = Forbidden("may not read")


@pytest.mark.parametrize(
    ("sides", "journal", "kind", "named"),
    [
        ({}, None, None, ()),
        ({}, BROKEN, StoreError, ("journal.jsonl:2",)),
        ({"green": DEAD}, None, Unreachable, ("fern",)),
        ({"blue": DEAD, "green": DEAD}, None, Unreachable, ("plum", "fern")),
        ({"blue": CLOSED}, None, Forbidden, ("plum",)),
        ({"blue": CLOSED, "green": CLOSED}, None, Forbidden, ("plum", "fern")),
        ({"blue": CLOSED, "green": DEAD}, None, Unreachable, ("plum", "fern")),
        ({"green": Rejected("odd")}, None, Unreachable, ("fern", "odd")),
        ({"green": DEAD}, BROKEN, Unreachable, ("fern", "journal.jsonl:2")),
        ({"green": CLOSED}, BROKEN, Forbidden, ("fern", "journal.jsonl:2")),
    ],
)
def test_what_could_not_be_seen_is_an_error_that_names_all_of_it(
    sides: Mapping[Side, BluegreenError],
    journal: BluegreenError | None,
    kind: type[BluegreenError] | None,
    named: tuple[str, ...],
) -> None:
    names: dict[Side, str] = {"blue": "plum", "green": "fern"}
    gateways = {
        side: _api(name, type(sides[side])(f"cluster {name}: {sides[side]}"), f"kubectl version of {name}")
        if side in sides
        else ApiServer(name, True)
        for side, name in names.items()
    }
    problem = unseen(Status(dict(names), {}, 1, gateways, {}, None, None, None, (), ()), journal)
    assert (type(problem) if problem else None) is kind
    for word in named:
        assert word in str(problem)
    if sides:
        assert problem is not None
        assert problem.exit_code == 1
        assert str(problem.remedy).endswith("then `bluegreen status` again")
        assert all((f"of {names[side]}" in str(problem.remedy)) is (why is DEAD) for side, why in sides.items())
    if problem and journal:
        assert "restore it" in str(problem.remedy)
