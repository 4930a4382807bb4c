"""At every split and every entry, both gateways serve a request exactly once and by the share set."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import routing
from migration.clients.counters import PageCounters
from migration.model import GatewayCounters, ServiceCounters, Tally
from migration.shift.samples import sides
from tests.lab.support.crossing import SIDES, Crossing, answers, load, probe, recording, within
from tests.lab.support.kit import LabCluster, deployment, eventually

SPLITS = (0, 10, 2500, 9000, 10000)


def route(namespace: str, name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": [f"{name}.{namespace}.test"], "gateways": ["istio-system/public"], "http": list(rules)},
    }


def to(host: str, **fields: Any) -> dict[str, Any]:
    return {"destination": {"host": host, "port": {"number": 80}}, **fields}


@pytest.fixture
def crossing(two_clusters: tuple[LabCluster, LabCluster], namespace: str) -> Crossing:
    """web: two versions by weight, and a rule of its own for /pay; news: another service on the same peer listener."""
    for cluster in two_clusters:
        cluster.api.apply(*(each for name in ("v1", "v2", "pay") for each in deployment(namespace, name)))
    for cluster in two_clusters:
        for name in ("v1", "v2", "pay"):
            eventually(lambda c=cluster, n=name: len(c.ready_pods(namespace, n)) == 1, f"{name} on {cluster.name}")
    full = f"v2.{namespace}.svc.cluster.local"
    web = route(
        namespace,
        "web",
        {"match": [{"uri": {"prefix": "/pay"}}], "route": [to("pay")], "timeout": "20s"},
        {"match": [{"uri": {"exact": "/old"}}], "redirect": {"uri": "/new"}},
        {"route": [to("v1", weight=75), to(full, weight=25)]},
    )
    news = route(namespace, "news", {"rewrite": {"authority": "news.internal"}, "route": [to("v2")]})
    made = Crossing(*two_clusters, [web, news])
    for cluster in two_clusters:
        for host in ("web", "news"):
            eventually(lambda c=cluster, h=host: c.send(f"{h}.{namespace}.test").status == 200, f"{host} by {cluster.name}")
    return made


def test_both_gateways_serve_each_version_by_the_share(crossing: Crossing, namespace: str) -> None:
    service, total = f"{namespace}/web", 2000
    with ThreadPoolExecutor() as pool:
        for split in SPLITS:
            crossing.set(split, [service])
            asked = {s: pool.submit(answers, crossing.clusters[s], f"web.{namespace}.test", total) for s in SIDES}
            for side, future in asked.items():
                got = future.result()
                assert {each.status for each in got} == {200}, (split, side, got)
                green = sum(count for each, count in got.items() if each.cluster == crossing.clusters["green"].name)
                second = sum(count for each, count in got.items() if each.workload.endswith("/v2"))
                assert within(green, total, split / 10000), (split, side, got)
                assert within(second, total, 0.25), (split, side, got)
                pay = answers(crossing.clusters[side], f"web.{namespace}.test", 20, "/pay/now")
                assert {each.workload for each in pay} == {f"{namespace}/pay"}
                assert crossing.clusters[side].send(f"web.{namespace}.test", "/old").headers["location"].endswith("/new")


def test_services_on_one_peer_listener_move_independently(crossing: Crossing, namespace: str) -> None:
    green = crossing.clusters["green"].name
    crossing.set(10000, [f"{namespace}/news"])
    for cluster in crossing.clusters.values():
        news, web = cluster.send(f"news.{namespace}.test"), cluster.send(f"web.{namespace}.test")
        assert (news.cluster, web.cluster) == (green, crossing.clusters["blue"].name)
        assert news.echo["host"] == "news.internal"


def test_the_peer_listener_never_forwards(crossing: Crossing, namespace: str) -> None:
    rule = {routing.RULE_HEADER: routing.rule_id(f"{namespace}/web", 2)}
    for split in SPLITS:
        crossing.set(split)
        for side, cluster in crossing.clusters.items():
            served = {cluster.send("any.test", headers=rule, peer=True).cluster for _ in range(50)}
            assert served == {cluster.name}, (split, side)
            routes = peer_routes(cluster)
            assert routing.RULE_HEADER in routes
            assert "peer.bluegreen.internal" not in routes, (split, side)


def peer_routes(cluster: LabCluster) -> str:
    """What Envoy itself holds for the peer listener."""
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{cluster.admin}/config_dump?resource=dynamic_route_configs", timeout=30) as answer:
        configs = json.loads(answer.read())["configs"]
    return json.dumps([each for each in configs if each["route_config"]["name"].endswith(f".{routing.PEER_PORT}")])


@pytest.mark.parametrize("headers", [{}, {routing.RULE_HEADER: "no/such/0"}], ids=["without a rule", "of no rule"])
def test_the_peer_listener_serves_nothing_but_rules(crossing: Crossing, headers: dict[str, str], namespace: str) -> None:
    for cluster in crossing.clusters.values():
        assert cluster.send(f"web.{namespace}.test", headers=headers, peer=True).status == 404


def test_a_clients_rule_header_is_removed_unused(crossing: Crossing, namespace: str) -> None:
    forged = {routing.RULE_HEADER: routing.rule_id(f"{namespace}/web", 0)}  # the rule of /pay
    for split in (0, 5000, 10000):
        crossing.set(split)
        for cluster in crossing.clusters.values():
            for _ in range(40):
                answer = cluster.send(f"web.{namespace}.test", "/", headers=forged)
                assert answer.status == 200
                assert answer.workload in (f"{namespace}/v1", f"{namespace}/v2")
                assert routing.RULE_HEADER not in answer.echo["headers"]


def test_what_a_route_does_to_a_request_happens_once(two_clusters: tuple[LabCluster, LabCluster], namespace: str) -> None:
    with recording(two_clusters, namespace, ["main", "shadow"]) as recorders:
        original = route(
            namespace,
            "once",
            {
                "match": [{"uri": {"prefix": "/a"}}],
                "rewrite": {"uri": "/a/a"},
                "headers": {"request": {"add": {"x-once": "yes"}}, "response": {"add": {"x-answered": "yes"}}},
                "mirror": {"host": "shadow", "port": {"number": 80}},
                "mirrorPercentage": {"value": 100},
                "retries": {"attempts": 3, "retryOn": "5xx"},
                "route": [to("main", headers={"request": {"add": {"x-own": "yes"}}})],
            },
        )
        crossing = Crossing(*two_clusters, [original])
        host = f"once.{namespace}.test"
        for cluster in two_clusters:
            eventually(lambda c=cluster: c.send(host, "/a/warm").status == 200, f"an answer by {cluster.name}")
        for split in (0, 5000, 10000):
            crossing.set(split)
            for cluster in two_clusters:
                served: Counter[str] = Counter()
                for _ in range(60):
                    number = uuid.uuid4().hex
                    answer = cluster.send(host, "/a/x", {"x-number": number})
                    assert answer.status == 200
                    assert answer.headers["x-answered"] == "yes"
                    (seen,) = recorders["main"].of(number)
                    assert seen.path == "/a/a/x"
                    assert seen.all("x-once") == ["yes"]
                    assert seen.all("x-own") == ["yes"]
                    assert seen.all(routing.RULE_HEADER) == [] or split == {"plum": 0, "fern": 10000}[cluster.name]
                    eventually(lambda n=number: recorders["shadow"].of(n), "the mirrored request", pause=0.002)
                    (mirrored,) = recorders["shadow"].of(number)
                    assert mirrored.cluster == cluster.name
                    served[seen.cluster] += 1
                assert within(served["fern"], 60, split / 10000)


def test_the_split_of_a_live_route_is_read_on_both_sides(crossing: Crossing, namespace: str) -> None:
    service = f"{namespace}/web"
    cases: list[tuple[int, routing.Side]] = [(2500, "green"), (10000, "green"), (2500, "blue"), (0, "blue")]
    for split, side in cases:
        crossing.set(split, [service])
        live = crossing.live_spec(side, service)
        assert routing.live_split({"spec": live}, crossing.originals[service], side) == split


def test_no_request_fails_while_splits_change(crossing: Crossing, namespace: str) -> None:
    lines = [(cluster, f"{name}.{namespace}.test") for cluster in crossing.clusters.values() for name in ("web", "news")]
    with load(lines, per_second=300) as seen:
        for _ in range(10):
            for split in (100, 5000, 10000, 5000, 0):
                crossing.set(split)
    bad = {got: count for got, count in seen.items() if got.status != 200}
    assert not bad
    assert {got.cluster for got in seen} == {"plum", "fern"}
    assert probe(crossing.clusters["blue"], f"{namespace}/web") == "0"


def test_the_gateways_own_counters_show_which_cluster_served(crossing: Crossing, namespace: str) -> None:
    service, each = f"{namespace}/web", 300
    crossing.set(5000)

    def read() -> dict[routing.Side, GatewayCounters]:
        async def one(cluster: LabCluster) -> GatewayCounters:
            client = PageCounters([f"{cluster.admin}/stats/prometheus"], "envoy", crossing.originals)
            try:
                return await client.read()
            finally:
                await client.close()

        return {side: asyncio.run(one(cluster)) for side, cluster in crossing.clusters.items()}

    def grown(after: ServiceCounters, start: ServiceCounters) -> ServiceCounters:
        return ServiceCounters(after.local - start.local, after.forwarded - start.forwarded)

    def growth() -> tuple[Tally, Tally]:
        now = read()
        return sides(*(grown(now[side].services[service], before[side].services[service]) for side in SIDES))

    before = read()
    got = answers(crossing.clusters["blue"], f"web.{namespace}.test", each)
    got += answers(crossing.clusters["green"], f"web.{namespace}.test", each)
    served = Counter(answer.cluster for answer in got.elements())
    # v2 is a destination of news too: nobody asks for news here, so the numbers are web's alone
    eventually(lambda: sum(side.requests for side in growth()) == 2 * each, "every request counted once", 15)
    blue, green = growth()
    assert (blue.requests, green.requests) == (served["plum"], served["fern"])
    assert blue.errors == green.errors == 0
