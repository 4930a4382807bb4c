"""The way back as a plan: what goes, what the entry does, who is written first, what is said of what came of it."""

from __future__ import annotations

import pytest

from migration.errors import Forbidden, Unreachable
from migration.model import RouteLive, RouterState
from migration.settings.stack_file import Edge
from migration.shift.proof import Proof
from migration.shift.way_back import by_problem, doubted, not_back, to_write, unwritten, way_back, worst
from migration.shift.witness import Others

SERVICES = {"shop/cart": 2500, "shop/pay": 10_000, "shop/search": 0}


def edge(green_entry_bp: int = 0) -> Edge:
    return Edge("plum", "fern", {"plum": 10_000 - green_entry_bp, "fern": green_entry_bp}, SERVICES, 7)


def route(split: int | None, probe: int | None = None) -> RouteLive:
    return RouteLive(split, "1", 0, "digest", probe_bp=split if probe is None else probe)


def live(**splits: int | None) -> RouterState:
    return RouterState(7, {}, {f"shop/{name}": route(split) for name, split in splits.items()})


@pytest.mark.parametrize(
    ("green_entry_bp", "services", "missing", "entry"),
    [
        pytest.param(0, ["shop/cart", "shop/pay"], [], {}, id="nobody enters by green"),
        pytest.param(5000, ["shop/cart", "shop/pay"], [], {"plum": 10_000, "fern": 0}, id="all that green serves"),
        pytest.param(5000, ["shop/cart"], [], {}, id="others stay on green"),
        pytest.param(5000, ["shop/cart"], ["shop/pay"], {"plum": 10_000, "fern": 0}, id="one whose original is missing counts"),
    ],
)
def test_the_entry_moves_to_blue_only_with_all_services(
    green_entry_bp: int, services: list[str], missing: list[str], entry: dict[str, int]
) -> None:
    way = way_back(edge(green_entry_bp), services, missing)
    assert way.entry == entry
    assert way.through_green is (green_entry_bp > 0)


def test_services_that_only_the_clusters_know_are_rolled_back_too() -> None:
    way = way_back(edge(), ["shop/cart"], []).along_with(Others({"shop/lost": 300}))
    assert way.services == ("shop/cart", "shop/lost")
    assert way.splits == {"shop/cart": 0, "shop/pay": 10_000, "shop/search": 0, "shop/lost": 0}
    assert way.generation == 8


@pytest.mark.parametrize(
    ("state", "order"),
    [
        pytest.param(None, ["shop/pay", "shop/cart", "shop/search"], id="not read: by the file"),
        pytest.param(live(cart=9000, pay=100, search=0), ["shop/cart", "shop/pay"], id="most users first, what is back never"),
        pytest.param(live(cart=0, pay=0, search=0), [], id="all is back"),
        pytest.param(live(cart=100, pay=None), ["shop/pay", "shop/search", "shop/cart"], id="none of ours: first"),
    ],
)
def test_what_most_users_are_on_is_written_first(state: RouterState | None, order: list[str]) -> None:
    assert to_write(list(SERVICES), SERVICES, state) == order


def test_a_route_that_is_back_with_a_peer_route_that_is_not_is_written() -> None:
    state = RouterState(7, {}, {"shop/cart": route(0, probe=2500)})
    assert to_write(["shop/cart"], SERVICES, state) == ["shop/cart"]


def test_a_live_route_that_the_file_does_not_explain_is_in_doubt() -> None:
    assert doubted(SERVICES, live(cart=None, pay=100)) == ["shop/cart"]


def test_a_gateway_is_as_good_as_its_worst_service() -> None:
    assert worst({"a": Proof.SERVED, "b": Proof.ACCEPTED}) is Proof.ACCEPTED
    assert worst({"a": Proof.FAILED, "b": Proof.UNREACHABLE}) is Proof.FAILED
    assert worst({}) is Proof.SERVED
    assert unwritten(Unreachable("gone")) is Proof.UNREACHABLE
    assert unwritten(Forbidden("no")) is Proof.FAILED


def test_what_is_not_back_has_its_reason() -> None:
    proofs = {"a": Proof.SERVED, "b": Proof.FAILED, "c": Proof.UNREACHABLE, "d": Proof.ACCEPTED}
    assert not_back(proofs, proofs, {"c": Unreachable("gone")}) == {
        "b": "blue's gateway does not serve it yet",
        "c": "gone",
    }


def test_services_with_one_problem_are_reported_together() -> None:
    assert by_problem({"a": "gone", "b": "gone", "c": "no"}) == "a, b: gone; c: no"
