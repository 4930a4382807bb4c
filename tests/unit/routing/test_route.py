"""Routes of both gateways, from one original and one number."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import routing
from routing import RULE_HEADER, Peer

Rule = dict[str, Any]


def virtual_service(*rules: Rule, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "catalog", "namespace": "shop"},
        "spec": {"hosts": ["shop.test"], "gateways": ["istio-system/public"], "http": list(rules)} | spec,
    }


def to(host: str, weight: int | None = None, **fields: Any) -> dict[str, Any]:
    return {"destination": {"host": host}} | ({} if weight is None else {"weight": weight}) | fields


weights = st.lists(st.integers(0, 100), min_size=1, max_size=4).filter(lambda many: sum(many) > 0)
rules = st.one_of(
    weights.map(lambda many: {"route": [to(f"v{i}", w) for i, w in enumerate(many)]}),
    st.just({"route": [to("single")]}),
    st.just({"redirect": {"uri": "/elsewhere"}}),
)
originals = st.lists(rules, min_size=1, max_size=4).map(lambda many: virtual_service(*many))
splits = st.integers(0, 10000)
sides = st.sampled_from(["blue", "green"])


def shares(rule: Rule) -> dict[str, Fraction]:
    """Each destination's exact part of a rule's requests, as Envoy reads the weights."""
    route = rule["route"]
    parts = [1] if len(route) == 1 else [each.get("weight", 0) for each in route]
    return {each["destination"]["host"]: Fraction(part, sum(parts)) for each, part in zip(route, parts, strict=True)}


@given(originals, splits, sides)
def test_the_split_multiplies_into_each_rules_own_weights_exactly(
    original: dict[str, Any], split: int, side: routing.Side
) -> None:
    public = routing.public_route(original, split, side)["spec"]["http"]
    here = Fraction(split if side == "green" else 10000 - split, 10000)
    for before, after in zip(original["spec"]["http"], public, strict=True):
        if "route" not in before:
            assert after == before
            continue
        got = shares(after)
        assert got.pop("catalog.shop.peer.bluegreen.internal", Fraction(0)) == 1 - here
        if here:
            assert got == {host: part * here for host, part in shares(before).items()}
        assert all(0 <= each.get("weight", 0) < 2**31 for each in after["route"])


@given(originals, splits, sides)
def test_the_live_split_is_read_back(original: dict[str, Any], split: int, side: routing.Side) -> None:
    if not any("route" in rule for rule in original["spec"]["http"]):
        return
    assert routing.live_split(routing.public_route(original, split, side), original, side) == split


@given(originals, sides)
def test_where_all_is_served_here_the_route_is_the_original(original: dict[str, Any], side: routing.Side) -> None:
    before = copy.deepcopy(original)
    made = routing.public_route(original, 10000 if side == "green" else 0, side)
    assert routing.canonical(made["spec"]) == routing.canonical(before["spec"])
    assert original == before


@given(originals, splits)
def test_the_peer_listener_never_forwards_and_each_rule_has_its_own_id(original: dict[str, Any], split: int) -> None:
    probe, *peer = routing.peer_route(original, split)["spec"]["http"]
    moved = [rule for rule in original["spec"]["http"] if "route" in rule]
    assert probe["directResponse"]["body"]["string"] == str(split)
    assert [shares(rule) for rule in peer] == [shares(rule) for rule in moved]
    ids = [rule["match"][0]["headers"][RULE_HEADER]["exact"] for rule in peer]
    assert len(set(ids)) == len(ids)
    for rule in peer:
        assert rule["retries"] == {"attempts": 0}
        assert all(RULE_HEADER in each["headers"]["request"]["remove"] for each in rule["route"])


def test_a_forward_names_the_rule_that_the_peer_listener_serves() -> None:
    original = virtual_service({"redirect": {"uri": "/"}}, {"route": [to("a")]}, {"route": [to("b")]})
    forwards = [
        rule["route"][0]["headers"]["request"]["set"][RULE_HEADER]
        for rule in routing.public_route(original, 10000, "blue")["spec"]["http"][1:]
    ]
    served = {
        rule["match"][0]["headers"][RULE_HEADER]["exact"]: rule["route"][0]["destination"]["host"]
        for rule in routing.peer_route(original, 10000)["spec"]["http"][1:]
    }
    assert [served[each] for each in forwards] == ["a", "b"]


def test_what_happens_to_a_request_happens_at_the_first_gateway_only() -> None:
    once = {
        "rewrite": {"uri": "/v2"},
        "headers": {"request": {"add": {"x-once": "1"}}},
        "mirror": {"host": "shadow"},
        "timeout": "3s",
        "fault": {"delay": {"fixedDelay": "1s"}},
        "corsPolicy": {"maxAge": "1s"},
    }
    original = virtual_service({"match": [{"uri": {"prefix": "/"}}], "route": [to("a")], **once})
    public = routing.public_route(original, 5000, "blue")["spec"]["http"][0]
    peer = routing.peer_route(original, 5000)["spec"]["http"][1]
    assert once.items() <= public.items()
    assert not once.keys() & peer.keys()


def test_a_destinations_own_headers_go_with_the_destination() -> None:
    own = {"request": {"add": {"x-a": "1"}, "remove": ["x-b"]}, "response": {"set": {"x-c": "2"}}}
    original = virtual_service({"route": [to("a", headers=own)]})
    public = routing.public_route(original, 5000, "blue")["spec"]["http"][0]["route"]
    peer = routing.peer_route(original, 5000)["spec"]["http"][1]["route"]
    for each in (public[0], peer[0]):
        assert each["headers"]["request"]["add"] == {"x-a": "1"}
        assert each["headers"]["request"]["remove"] == ["x-b", RULE_HEADER]
        assert each["headers"]["response"] == {"set": {"x-c": "2"}}
    assert "x-a" not in str(public[1])


def test_a_client_cannot_steer_by_the_rule_header() -> None:
    public = routing.public_route(virtual_service({"route": [to("a")]}), 5000, "blue")["spec"]["http"][0]
    local, forward = public["route"]
    assert RULE_HEADER in local["headers"]["request"]["remove"]
    assert RULE_HEADER in forward["headers"]["request"]["set"]  # set replaces whatever came in
    assert RULE_HEADER not in str(public.get("match"))


def test_connections_between_the_gateways_end_before_a_load_balancer_forgets_them() -> None:
    (rule,) = [each for each in routing.edge_objects() if each["kind"] == "DestinationRule"]
    (host,) = routing.destinations(virtual_service({"route": [to("a")]}), Peer("10.0.0.1"))[0]["spec"]["hosts"]
    assert host.endswith(rule["spec"]["host"].removeprefix("*"))
    pool = rule["spec"]["trafficPolicy"]["connectionPool"]
    assert pool["http"]["useClientProtocol"] is True
    seconds = {key: int(value.removesuffix("s")) for key, value in pool["tcp"]["tcpKeepalive"].items() if key != "probes"}
    assert int(pool["http"]["idleTimeout"].removesuffix("s")) <= 300  # an NLB forgets after 350 s
    assert seconds["time"] + 3 * seconds["interval"] <= 300


def test_what_a_route_forwards_to_is_seen_by_the_gateways_namespace_whatever_the_mesh_exports() -> None:
    (entry,) = routing.destinations(virtual_service({"route": [to("a")]}), Peer("10.0.0.1"))
    assert entry["spec"]["exportTo"] == [routing.GATEWAY_NAMESPACE]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tcp": [{}]}, "tcp"),
        ({"tls": [{}]}, "tls"),
        ({"gateways": ["mesh"]}, "no gateway"),
        ({"gateways": []}, "no gateway"),
        ({"gateways": ["a", "mesh"]}, "mesh beside a gateway"),
        ({"http": [{"delegate": {"name": "x"}}]}, "delegates to x"),
        ({"http": []}, "nothing to move"),
        ({"http": [{"redirect": {}}]}, "nothing to move"),
        ({"http": [{"route": [to("a", 0), to("b", 0)]}]}, "sum must be above 0"),
        ({"http": [{"route": [to("a", 10**6), to("b", 1)]}]}, "at most"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_split_by_request_is_refused_with_a_reason(change: dict[str, Any], said: str) -> None:
    reasons = routing.refusals(virtual_service({"route": [to("a")]}, **change))
    assert any(said in reason for reason in reasons)


def test_an_ordinary_route_is_not_refused() -> None:
    assert routing.refusals(virtual_service({"route": [to("a", 80), to("b", 20)]}, {"redirect": {"uri": "/"}})) == []


@pytest.mark.parametrize(
    ("address", "resolution"), [("127.0.0.1", "STATIC"), ("fd00::1", "STATIC"), ("nlb.example.com", "DNS")]
)
def test_the_other_gateway_is_reached_by_address_or_by_name(address: str, resolution: str) -> None:
    (entry,) = routing.destinations(virtual_service({"route": [to("a")]}), Peer(address, 1234))
    assert entry["spec"]["resolution"] == resolution
    assert entry["spec"]["endpoints"] == [{"address": address, "ports": {"http": 1234}}]
    assert entry["spec"]["hosts"] == ["catalog.shop.peer.bluegreen.internal"]


@pytest.mark.parametrize("split", [-1, 10001])
def test_a_split_out_of_range_is_no_route(split: int) -> None:
    with pytest.raises(ValueError, match="0 to 10000"):
        routing.public_route(virtual_service({"route": [to("a")]}), split, "blue")


@pytest.mark.parametrize("edit", ["host", "weight", "timeout"])
def test_a_route_changed_by_somebody_else_has_no_split(edit: str) -> None:
    original = virtual_service({"route": [to("a", 80), to("b", 20)]})
    live = routing.public_route(original, 2500, "blue")
    rule = live["spec"]["http"][0]
    if edit == "timeout":
        rule["timeout"] = "1s"
    elif edit == "weight":
        rule["route"][0]["weight"] += 1
    else:
        rule["route"][0]["destination"]["host"] = "c"
    assert routing.live_split(live, original, "blue") is None
