"""Parts of a shift by themselves: what a changed file freezes, what the clusters are to keep of what went back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migration.model import MANAGER, Phase, RouteLive, RouterState, ServiceState, Side, Standing
from migration.settings.policy import Policy
from migration.settings.stack_file import Change, Edge
from migration.shift.begin import Beginning, beginning
from migration.shift.order import make_order
from migration.shift.services import Services
from migration.shift.world import Rules
from migration.shift.writer import Foreign, foreign_of, sides_of_entry
from migration.store.memory import Remembered

S = "shop/cart"
EDGE = Edge("plum", "fern", {"plum": 10_000, "fern": 0}, {S: 5000}, 7)
SHARE = Change("the share", {S: "its share"}, whole=False)
WHOLE = Change("the sides", {}, whole=True)


@pytest.mark.parametrize(
    ("change", "state", "file_bp", "foreign"),
    [
        pytest.param(SHARE, ServiceState(Phase.MOVING, 2500), 5000, [Foreign(S, "its share")], id="under way"),
        pytest.param(SHARE, ServiceState(Phase.WAITING, 0), 5000, [Foreign(S, "its share", 5000)], id="raised from 0"),
        pytest.param(SHARE, ServiceState(Phase.RETURNED, 0), 5000, [Foreign(S, "its share", 5000)], id="went back, raised"),
        pytest.param(SHARE, ServiceState(Phase.RETURNED, 0), 0, [], id="went back, at 0 there too"),
        pytest.param(WHOLE, ServiceState(Phase.MOVING, 2500), 2500, [Foreign(S, "the sides")], id="other sides freeze all"),
        pytest.param(WHOLE, ServiceState(Phase.RETURNED, 0), 0, [], id="but what went back"),
        pytest.param(WHOLE, ServiceState(Phase.HELD, 0), 0, [], id="and what is held"),
    ],
)
def test_what_a_changed_file_freezes(change: Change, state: ServiceState, file_bp: int, foreign: list[Foreign]) -> None:
    assert foreign_of(change, replace(EDGE, services={S: file_bp}), {S: state}) == foreign


@pytest.mark.parametrize(
    ("entry", "sides"),
    [
        pytest.param({"plum": 10_000, "fern": 0}, {"blue"}, id="all by blue"),
        pytest.param({"plum": 5000, "fern": 5000}, {"blue", "green"}, id="by both"),
        pytest.param({}, {"blue"}, id="no word of it: by blue"),
    ],
)
def test_the_entry_says_by_whose_gateways_users_enter(entry: dict[str, int], sides: set[Side]) -> None:
    assert sides_of_entry(replace(EDGE, entry=entry)) == sides


def begun(split: int, *, memory: Remembered | None = None, kept: str | None = None, retry: bool = False) -> Beginning:
    state = RouterState(7, {}, {S: RouteLive(split, "1", 0, "digest", MANAGER)}, {S: kept} if kept else {})
    rules = Rules(make_order([S], [], {}, 1, 1), Policy(), lambda service: Policy())
    edge = replace(EDGE, services={S: split})
    known = {S: memory} if memory else {}
    return beginning(edge, {"blue": state, "green": state}, known, rules, {S} if retry else (), elsewhere=False)


def test_clusters_keep_why_a_service_was_rolled_back_until_it_is_retried() -> None:
    back = Remembered(0, state=Standing.RETURNED, reason="errors")
    assert begun(0, memory=back).to_keep() == {S: "errors"}
    assert begun(0, memory=back, kept="errors").to_keep() == {}
    assert begun(0, memory=back, kept="errors", retry=True).to_keep() == {S: None}


def test_what_is_found_as_it_was_left_is_not_written() -> None:
    assert not begun(2500, memory=Remembered(2500)).moves
    moves = begun(2500, memory=Remembered(500, open_values=(500, 2500))).moves
    assert not moves, "the step was written everywhere"


def test_only_the_written_split_is_news_when_it_is_in_effect() -> None:
    services = Services()
    services.become({S: ServiceState(Phase.MOVING, 2500)})
    assert not services.in_effect(S, 500, 1.0)
    assert services.in_effect(S, 2500, 2.0)
    assert not services.in_effect(S, 2500, 3.0)
    assert services[S].in_effect_at == 2.0
