"""An original comes back from what a cluster holds: kept whole by the peer route, or taken out of a split route."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import routing

SPLITS = [1, 2500, 9999]


def to(host: str, weight: int | None = None, **fields: Any) -> dict[str, Any]:
    return {"destination": {"host": host}} | ({} if weight is None else {"weight": weight}) | fields


def route(*rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "catalog", "namespace": "shop"},
        "spec": {"hosts": ["shop.test"], "gateways": ["istio-system/public"], "http": list(rules)},
    }


headers: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"headers": {"request": {"remove": ["x-a"], "set": {"x-b": "1"}}}}, {"headers": {"response": {"remove": ["x-c"]}}}]
)
many = st.lists(st.integers(0, 100), min_size=2, max_size=4).filter(lambda weights: sum(weights) > 0)
rules = st.one_of(
    st.tuples(many, headers).map(lambda both: {"route": [to(f"v{i}", w, **both[1]) for i, w in enumerate(both[0])]}),
    headers.map(lambda more: {"route": [to("single", **more)]}),
    st.just({"route": [to("single", 100)]}),
    st.just({"redirect": {"uri": "/elsewhere"}}),
)
originals = st.lists(rules, min_size=1, max_size=4).map(lambda all_rules: route(*all_rules))
sides = st.sampled_from(["blue", "green"])


def shape(live: dict[str, Any]) -> Any:
    """A spec with its weights up to a common factor, as Envoy reads them."""
    spec = copy.deepcopy(live["spec"])
    for rule in spec["http"]:
        there = rule.get("route") or []
        weights = [each.pop("weight", 0) for each in there]
        total = sum(weights)
        rule["parts"] = [1.0] if len(there) == 1 else [round(weight / total, 12) for weight in weights]
    return spec


@given(originals, st.sampled_from(SPLITS), st.sampled_from([0, *SPLITS, 10_000]), sides)
def test_a_split_route_gives_the_original_back_up_to_a_factor_of_its_weights(
    original: dict[str, Any], split: int, other: int, side: routing.Side
) -> None:
    live = routing.public_route(original, split, side)
    before = copy.deepcopy(live)
    found = routing.original_of_split(live)
    assert live == before
    assert found is not None
    assert shape(routing.public_route(found, other, side)) == shape(routing.public_route(original, other, side))
    assert routing.live_split(live, found, side) == split or not any("route" in rule for rule in original["spec"]["http"])


def test_a_route_that_serves_nothing_here_does_not_say_the_weights_of_several_destinations() -> None:
    original = route({"route": [to("a", 60), to("b", 40)]}, {"redirect": {"uri": "/"}})
    assert routing.original_of_split(routing.public_route(original, 10_000, "blue")) is None
    assert routing.original_of_split(routing.public_route(original, 0, "green")) is None


def test_a_route_that_serves_nothing_here_keeps_a_single_destination() -> None:
    original = route({"route": [to("a")]}, {"redirect": {"uri": "/"}})
    found = routing.original_of_split(routing.public_route(original, 10_000, "blue"))
    assert found is not None
    assert routing.canonical(found["spec"]) == routing.canonical(original["spec"])


def test_a_route_without_a_forward_is_its_own_original() -> None:
    original = route({"route": [to("a", 60), to("b", 40)]}, {"redirect": {"uri": "/"}})
    found = routing.original_of_split(original)
    assert found is not None
    assert routing.canonical(found["spec"]) == routing.canonical(original["spec"])


@given(originals, st.sampled_from([0, *SPLITS, 10_000]))
def test_the_peer_route_is_reproduced_from_the_original_that_it_keeps(original: dict[str, Any], split: int) -> None:
    peer = routing.peer_route(original, split)
    found = routing.original_of(peer)
    assert found is not None
    assert routing.canonical(found["spec"]) == routing.canonical(original["spec"])
    assert routing.service_of(found) == "shop/catalog"
    assert routing.canonical(routing.peer_route(found, split)) == routing.canonical(peer)


@pytest.mark.parametrize(
    ("annotations", "name"),
    [
        pytest.param({}, None, id="of an older enrolment"),
        pytest.param({routing.ORIGINAL_ANNOTATION: "{"}, None, id="torn"),
        pytest.param({routing.ORIGINAL_ANNOTATION: "[]"}, None, id="a list"),
        pytest.param({routing.ORIGINAL_ANNOTATION: '{"spec": 5}'}, None, id="no spec"),
        pytest.param(None, "cart-bluegreen-peer", id="copied to another service"),
        pytest.param(None, "catalog", id="on another object"),
    ],
)
def test_what_is_no_kept_original_is_none(annotations: dict[str, str] | None, name: str | None) -> None:
    peer = routing.peer_route(route({"route": [to("a")]}), 0)
    if annotations is not None:
        kept = peer["metadata"]["annotations"]
        kept.pop(routing.ORIGINAL_ANNOTATION)
        kept |= annotations
    peer["metadata"]["name"] = name or peer["metadata"]["name"]
    assert routing.original_of(peer) is None
    assert routing.original_of({}) is None


def test_an_original_that_no_annotation_can_hold_is_left_out_as_a_whole() -> None:
    def peer(size: int) -> dict[str, Any]:
        return routing.peer_route(route({"match": [{"uri": {"exact": "/" + "é" * size}}], "route": [to("a")]}), 0)

    small, large = peer(1000), peer(routing.MOST_ORIGINAL_BYTES // 2)
    assert routing.original_of(small) is not None
    assert routing.ORIGINAL_ANNOTATION not in large["metadata"]["annotations"]
    assert sum(len(k) + len(v.encode()) for k, v in small["metadata"]["annotations"].items()) < 256 * 1024


def test_the_record_has_the_sides_where_they_were_written() -> None:
    intent = routing.Intent({"blue": "plum", "green": "fern"}, {"plum": 10_000}, {"a/b": 5}, 3)
    made = routing.record(intent)
    assert routing.record_sides(made) == {"blue": "plum", "green": "fern"}
    assert routing.read_record(made) == (3, {"a/b": 5}, {"plum": 10_000})
    del made["data"]["sides"]
    assert routing.record_sides(made) == {}, "an older record"
    alone = (routing.Intent({"blue": "plum"}, {}, {}, 1), routing.Intent({"blue": "plum", "green": ""}, {}, {}, 1))
    assert routing.record(alone[0]) == routing.record(alone[1]), "the command and the program write the same"
