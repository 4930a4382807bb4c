"""What a file may do, and what stands on a gateway for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import routing
from routing import Intent, Peer, weights

NAMES = ["shop/a", "shop/b", "shop/c"]
shares = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 10000), min_size=1)
entries = st.integers(0, 10000).map(lambda green: {"plum": 10000 - green, "fern": green})


def intent(services: dict[str, int], generation: int = 1, entry: dict[str, int] | None = None) -> Intent:
    return Intent({"blue": "plum", "green": "fern"}, entry or {"plum": 10000, "fern": 0}, services, generation)


@given(shares, shares, entries, entries)
def test_an_older_file_never_raises_greens_share(
    file: dict[str, int], live: dict[str, int], entry: dict[str, int], live_entry: dict[str, int]
) -> None:
    got, said = routing.admissible(intent(file, 3, entry), 4, live, live_entry=live_entry)
    for name, share in got.services.items():
        assert share <= live.get(name, 0)
        assert share == min(file[name], live.get(name, 0))
    assert got.entry["fern"] == min(entry["fern"], live_entry["fern"])
    assert sum(got.entry.values()) == 10000
    assert got.generation == 4
    assert bool(said) == (got.services != file or got.entry != entry)


@given(shares, shares, st.integers(4, 9))
def test_a_file_as_new_as_the_record_is_carried_out(file: dict[str, int], live: dict[str, int], age: int) -> None:
    assert routing.admissible(intent(file, age), 4, live) == (intent(file, age), [])


@given(shares, shares, entries, entries, st.integers(0, 9))
def test_what_may_be_newer_elsewhere_is_never_exceeded_whatever_the_file_calls_itself(
    file: dict[str, int], live: dict[str, int], entry: dict[str, int], live_entry: dict[str, int], age: int
) -> None:
    got, said = routing.admissible(intent(file, age, entry), 4, live, live_entry=live_entry, unread=["fern"])
    assert got.services == {name: min(share, live.get(name, 0)) for name, share in file.items()}
    assert got.entry["fern"] == min(entry["fern"], live_entry["fern"])
    assert got.generation == max(age, 4)
    assert all("fern cannot be read" in words for words in said)
    assert routing.admissible(intent(file, age, entry), 4, live, True, live_entry, ["fern"])[0].services == file


def test_what_a_file_gives_to_green() -> None:
    assert routing.at_green(intent({"shop/a": 0, "shop/b": 3}, entry={"plum": 1, "fern": 9999})) == {
        "services.shop/b": 3,
        "entry.fern": 9999,
    }
    assert routing.at_green(intent({"shop/a": 0})) == {}


def test_a_forced_write_is_carried_out() -> None:
    assert routing.admissible(intent({"shop/a": 9}, 1), 4, {}, force=True)[1] == []


def test_a_first_write_is_carried_out() -> None:
    assert routing.admissible(intent({"shop/a": 9}, 1), None, {})[1] == []


def test_the_record_is_read_back() -> None:
    record = routing.record(intent({"shop/a": 250}, 17))
    assert routing.read_record(record) == (17, {"shop/a": 250}, {"plum": 10000, "fern": 0})


@pytest.mark.parametrize("data", [{}, {"generation": "x"}, {"generation": "1", "services": "[1]"}], ids=str)
def test_what_is_no_record_is_reported(data: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="istio-system/bluegreen-edge"):
        routing.read_record({"data": data})


def test_destinations_come_before_the_routes_that_name_them() -> None:
    original: dict[str, Any] = {
        "kind": "VirtualService",
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"hosts": ["a"], "gateways": ["x"], "http": [{"route": [{"destination": {"host": "a"}}]}]},
    }
    made = routing.objects(intent({"shop/a": 250}), {"shop/a": original}, "blue", Peer("127.0.0.1")).in_order()
    kinds = [each["kind"] for each in made]
    assert kinds == ["Gateway", "DestinationRule", "ServiceEntry", "VirtualService", "VirtualService", "ConfigMap"]
    assert routing.live_split(made[4], original, "blue") == 250


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ((10000, 0), (1, 0)),
        ((5000, 5000), (1, 1)),
        ((9990, 10), (255, 1)),
        ((7500, 2500), (3, 1)),
        ((0, 10000), (0, 1)),
    ],
    ids=str,
)
def test_shares_become_route_53_weights(asked: tuple[int, int], got: tuple[int, int]) -> None:
    assert tuple(weights.route53({"b": asked[0], "g": asked[1]}).values()) == got


@given(st.integers(0, 10000))
def test_every_share_becomes_a_near_weight_in_range(green: int) -> None:
    asked = {"b": 10000 - green, "g": green}
    for made, most in ((weights.route53(asked), 255), (weights.elbv2(asked), 999)):
        assert all(0 <= weight <= most for weight in made.values())
        assert [weight == 0 for weight in made.values()] == [share == 0 for share in asked.values()]
        step = 10000 / (most + 1)
        assert abs(weights.effective_bp(made)["g"] - green) <= max(step, 1)


def test_weights_that_are_all_zero_are_an_equal_share() -> None:
    assert weights.effective_bp({"a": 0, "b": 0}) == {"a": 5000, "b": 5000}


def test_shares_must_add_up() -> None:
    for wrong in ({}, {"a": 5000}, {"a": 11000, "b": -1000}):
        with pytest.raises(ValueError, match="add up to 10000"):
            weights.route53(wrong)
