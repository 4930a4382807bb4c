"""Routes of both gateways, from one original and one number."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import routing
from routing import CARRIED, RULE_HEADER, Peer, RefusalCode

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
    found: dict[str, Fraction] = {}
    for each, part in zip(route, parts, strict=True):
        host = each["destination"]["host"]
        found[host] = found.get(host, Fraction(0)) + Fraction(part, sum(parts))
    return found


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


def without_weights(spec: Any) -> Any:
    """A spec whose destinations say nothing of their parts."""
    if isinstance(spec, dict):
        return {key: without_weights(value) for key, value in spec.items() if key != "weight"}
    return [without_weights(each) for each in spec] if isinstance(spec, list) else spec


@given(originals, splits, sides)
def test_weights_alone_change_with_the_split(original: dict[str, Any], split: int, side: routing.Side) -> None:
    """Pulumi's Kubernetes provider sees values of fields that its last inputs had; a list that grew is an update to it."""
    before = copy.deepcopy(original)
    whole, part = routing.public_route(original, 0, side)["spec"], routing.public_route(original, split, side)["spec"]
    assert without_weights(part) == without_weights(whole)
    assert all("weight" in each for rule in part["http"] for each in rule.get("route", ()))
    assert original == before


@given(originals, splits, sides)
def test_a_route_forwards_where_a_part_goes_to_the_other_cluster(
    original: dict[str, Any], split: int, side: routing.Side
) -> None:
    live, moved = routing.public_route(original, split, side), any("route" in rule for rule in original["spec"]["http"])
    assert routing.has_forward(live) is moved
    assert routing.forwards(live) is (moved and split != (10000 if side == "green" else 0))
    assert not routing.has_forward(original)
    assert not routing.forwards(original)


@given(originals, splits)
def test_the_peer_listener_never_forwards(original: dict[str, Any], split: int) -> None:
    probe, *peer = routing.peer_route(original, split)["spec"]["http"]
    moved = [rule for rule in original["spec"]["http"] if "route" in rule]
    assert probe["directResponse"]["body"]["string"] == str(split)
    assert [shares(rule) for rule in peer] == [shares(rule) for rule in moved]
    for rule in peer:
        assert rule["retries"] == {"attempts": 0}
        assert {RULE_HEADER, *CARRIED.values()} <= set(rule["headers"]["request"]["remove"])


@given(originals, splits)
def test_each_rule_of_the_peer_listener_has_its_own_id(original: dict[str, Any], split: int) -> None:
    _, *peer = routing.peer_route(original, split)["spec"]["http"]
    ids = [rule["match"][0]["headers"][RULE_HEADER]["exact"] for rule in peer]
    assert len(set(ids)) == len(ids)


def test_a_forward_names_the_rule_that_the_peer_listener_serves() -> None:
    original = virtual_service({"redirect": {"uri": "/"}}, {"route": [to("a")]}, {"route": [to("b")]})
    forwards = [
        rule["route"][-1]["headers"]["request"]["set"][RULE_HEADER]
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
    assert once.keys() & peer.keys() == {"headers"}
    assert "x-once" not in str(peer)


def test_a_destinations_own_headers_go_with_the_destination() -> None:
    own = {"request": {"add": {"x-a": "1"}, "remove": ["x-b"]}, "response": {"set": {"x-c": "2"}}}
    original = virtual_service({"route": [to("a", headers=own)]})
    public = routing.public_route(original, 5000, "blue")["spec"]["http"][0]["route"]
    peer = routing.peer_route(original, 5000)["spec"]["http"][1]["route"]
    for each in (public[0], peer[0]):
        assert each["headers"]["request"]["add"] == {"x-a": "1"}
        assert each["headers"]["request"]["remove"][0] == "x-b"
        assert each["headers"]["response"] == {"set": {"x-c": "2"}}
    assert "x-a" not in str(public[1])


def test_a_client_cannot_steer_by_the_rule_header() -> None:
    public = routing.public_route(virtual_service({"route": [to("a")]}), 5000, "blue")["spec"]["http"][0]
    local, forward = public["route"]
    assert RULE_HEADER in local["headers"]["request"]["remove"]
    assert RULE_HEADER in forward["headers"]["request"]["set"]  # set replaces whatever came in
    assert set(CARRIED.values()) <= set(forward["headers"]["request"]["remove"])  # a set of nothing would not
    assert RULE_HEADER not in str(public.get("match"))


HOP = "x-forwarded-proto"
Headers = dict[str, str]


def one_step(headers: Headers, *requested: Mapping[str, Any]) -> Headers:
    """Envoy's one step of header mutations: all removals, then values read from what is left, then they are written."""
    left = {name: value for name, value in headers.items() if name not in {n for r in requested for n in r.get("remove", ())}}

    def filled(template: str) -> str:
        return re.sub(r"%REQ\((.*?)\)%", lambda found: left.get(found[1], ""), template)

    done = dict(left)
    for request in requested:
        for name, template in request.get("set", {}).items():
            if value := filled(template):  # an empty one leaves what is there
                done[name.lower()] = value
        for name, template in request.get("add", {}).items():
            done[name.lower()] = ",".join(filter(None, [done.get(name.lower()), filled(template)]))
    return done


def gateway(headers: Headers, scheme: str, rule: Rule, destination: Rule) -> Headers:
    """What a gateway sends to a rule's destination: Istio makes one step of both parts where there is a single one."""
    own = [part.get("headers", {}).get("request", {}) for part in (rule, destination)]
    headers = headers | {HOP: scheme}
    if len(rule["route"]) == 1:
        return one_step(headers, *own)
    return one_step(one_step(headers, own[1]), own[0])


def workloads(
    original: dict[str, Any], split: int, sent: Headers, scheme: str = "https"
) -> tuple[list[Headers], list[Headers]]:
    """What the destinations of the first rule get of a request to blue's gateway: served there, and forwarded."""
    rule = routing.public_route(original, split, "blue")["spec"]["http"][0]
    peer = routing.peer_route(original, split)["spec"]["http"][1]
    here, there = [], []
    for each in rule["route"]:
        got = gateway(sent, scheme, rule, each)
        if not each["destination"]["host"].endswith(".peer.bluegreen.internal"):
            here.append(got)
            continue
        assert got[RULE_HEADER] == peer["match"][0]["headers"][RULE_HEADER]["exact"]
        there += [gateway(got, "http", peer, far) for far in peer["route"] if far.get("weight", 1)]
    return here, there


requests = st.fixed_dictionaries(
    {},
    optional={
        "set": st.sampled_from([{HOP: "https"}, {"X-Forwarded-Proto": "wss"}, {HOP: "%REQ(x-edge-proto)%"}, {"x-other": "1"}]),
        "add": st.sampled_from([{HOP: "added"}, {"x-more": "1"}]),
        "remove": st.sampled_from([[HOP], ["x-else"]]),
    },
)
heads: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}), requests.map(lambda request: {"headers": {"request": request}})
)
clients = st.fixed_dictionaries(
    {"x-edge-proto": st.just("quic")}, optional={"x-bluegreen-proto": st.just("spoofed"), RULE_HEADER: st.just("a/b/0")}
)


@given(heads, st.lists(heads, min_size=1, max_size=3), clients, st.sampled_from(["http", "https"]))
def test_a_forwarded_workload_sees_what_a_local_one_sees(
    of_rule: Rule, of_destinations: list[Rule], sent: Headers, scheme: str
) -> None:
    route = [to(f"v{number}", 1, **each) for number, each in enumerate(of_destinations)]
    original = virtual_service({"route": route, **of_rule})
    here, there = workloads(original, 5000, sent, scheme)
    assert [each.get(HOP) for each in there] == [each.get(HOP) for each in here]
    assert workloads(original, 10000, sent, scheme)[1] == there
    assert not [name for each in (*here, *there) for name in each if name.startswith("x-bluegreen-")]


@given(heads, clients, st.booleans())
def test_a_forwarded_workload_sees_what_it_saw_before_it_was_enrolled(own: Rule, sent: Headers, of_rule: bool) -> None:
    original = virtual_service({"route": [to("a", **({} if of_rule else own))], **(own if of_rule else {})})
    ((before,), _), (_, (after,)) = workloads(original, 0, sent), workloads(original, 10000, sent)
    assert after.get(HOP) == before.get(HOP)


FORWARD = {"host": "catalog.shop.peer.bluegreen.internal", "port": {"number": 80}}
NAMED = {"request": {"set": {RULE_HEADER: "shop/catalog/0"}}}


@pytest.mark.parametrize("side", ["blue", "green"])
@pytest.mark.parametrize(
    ("local_bp", "route"),
    [
        pytest.param(10000, [to("a", 60), to("b", 40)], id="the original where all is served here"),
        pytest.param(0, [{"destination": FORWARD, "headers": NAMED}], id="a forward alone where nothing is"),
        pytest.param(
            7500,
            [
                to("a", 9, headers={"request": {"remove": [RULE_HEADER]}}),
                to("b", 6, headers={"request": {"remove": [RULE_HEADER]}}),
                {"destination": FORWARD, "headers": NAMED, "weight": 5},
            ],
            id="before headers were carried",
        ),
    ],
)
def test_the_split_of_an_earlier_versions_route_is_read(local_bp: int, route: list[Rule], side: routing.Side) -> None:
    """The next write brings it up to date, nothing is frozen for it."""
    original = virtual_service({"route": [to("a", 60), to("b", 40)]})
    split = local_bp if side == "green" else 10000 - local_bp
    assert routing.live_split(virtual_service({"route": route}), original, side) == split


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
    ("change", "said", "code"),
    [
        ({"tcp": [{}]}, "tcp", RefusalCode.NOT_BY_REQUEST),
        ({"tls": [{}]}, "tls", RefusalCode.NOT_BY_REQUEST),
        ({"gateways": ["mesh"]}, "no gateway", RefusalCode.NO_GATEWAY),
        ({"gateways": []}, "no gateway", RefusalCode.NO_GATEWAY),
        ({"gateways": ["a", "mesh"]}, "mesh beside a gateway", RefusalCode.MESH_TOO),
        ({"http": [{"delegate": {"name": "x"}}]}, "delegates to x", RefusalCode.DELEGATES),
        ({"http": []}, "nothing to move", RefusalCode.NOTHING_TO_MOVE),
        ({"http": [{"redirect": {}}]}, "nothing to move", RefusalCode.NOTHING_TO_MOVE),
        ({"http": [{"route": [to("a", 0), to("b", 0)]}]}, "sum must be above 0", RefusalCode.WEIGHTS),
        ({"http": [{"route": [to("a", 10**6), to("b", 1)]}]}, "at most", RefusalCode.WEIGHTS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_split_by_request_is_refused_with_a_reason(change: dict[str, Any], said: str, code: RefusalCode) -> None:
    reasons = routing.refusals(virtual_service({"route": [to("a")]}, **change))
    assert any(said in reason.text and reason.code is code for reason in reasons)


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
def test_a_route_changed_by_another_client_has_no_split(edit: str) -> None:
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
