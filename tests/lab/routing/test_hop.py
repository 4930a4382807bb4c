"""The way from one gateway to the other changes nothing: the client's protocol, connections that rest, what a workload sees."""

from __future__ import annotations

import copy
import json
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

import routing
from lab.cluster.balancer import Balancer, balancing
from tests.lab.support.crossing import Crossing, Line, answers, recording, within
from tests.lab.support.encrypted import GATEWAY as ENCRYPTED
from tests.lab.support.encrypted import await_encrypted, encrypted
from tests.lab.support.encrypted import send as send_encrypted
from tests.lab.support.kit import Answer, LabCluster, deployment, eventually

Rule = dict[str, Any]
HEADER = "x-forwarded-proto"


def route(namespace: str, name: str, *rules: Rule, gateways: tuple[str, ...] = ("istio-system/public",)) -> Rule:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": [f"{name}.{namespace}.test"], "gateways": list(gateways), "http": list(rules)},
    }


def to(host: str, port: int = 80, **fields: Any) -> Rule:
    return {"destination": {"host": host, "port": {"number": port}}, **fields}


# -- the client's protocol


@pytest.fixture
def ledger(two_clusters: tuple[LabCluster, LabCluster], namespace: str) -> Crossing:
    """One workload that users reach by gRPC and by HTTP/1.1, each by a Service port of its own."""
    for cluster in two_clusters:
        workload, service = deployment(namespace, "ledger")
        service["spec"]["ports"].append({"name": "grpc", "port": 9000, "targetPort": "http"})
        cluster.api.apply(workload, service)
    for cluster in two_clusters:
        eventually(lambda c=cluster: len(c.ready_pods(namespace, "ledger")) == 1, f"ledger on {cluster.name}")
    original = route(
        namespace,
        "ledger",
        {"match": [{"uri": {"prefix": "/bank.Ledger/"}}], "route": [to("ledger", 9000)]},
        {"route": [to("ledger")]},
    )
    made = Crossing(*two_clusters, [original])
    for cluster in two_clusters:
        eventually(lambda c=cluster: c.send(f"ledger.{namespace}.test").status == 200, f"HTTP by {cluster.name}")
        eventually(lambda c=cluster: called(c, namespace, 1)[grpc.StatusCode.OK, "plum"], f"gRPC by {cluster.name}")
    return made


def called(cluster: LabCluster, namespace: str, count: int) -> Counter[tuple[grpc.StatusCode, str]]:
    """Unary calls on one connection: how each ended, and by which cluster."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.default_authority", f"ledger.{namespace}.test")]
    seen: Counter[tuple[grpc.StatusCode, str]] = Counter()
    with grpc.insecure_channel(f"{cluster.gateway}:{cluster.port}", options=options) as channel:
        call = channel.unary_unary("/bank.Ledger/Transfer")
        for _ in range(count):
            try:
                answer, done = call.with_call(b"12 to shop", timeout=20)
                assert json.loads(answer)["path"] == "/bank.Ledger/Transfer"
            except grpc.RpcError as problem:
                done = problem
            seen[done.code(), dict(done.initial_metadata() or ()).get("x-lab-cluster", "")] += 1
    return seen


def test_grpc_and_http_are_split_by_the_same_share(ledger: Crossing, namespace: str) -> None:
    total = 100
    for split in (0, 5000, 10000):
        ledger.set(split)
        for cluster in ledger.clusters.values():
            calls = called(cluster, namespace, total)
            assert {status for status, _ in calls} == {grpc.StatusCode.OK}, (split, cluster.name, calls)
            assert within(calls[grpc.StatusCode.OK, "fern"], total, split / 10000), (split, cluster.name, calls)
            got = answers(cluster, f"ledger.{namespace}.test", total)
            assert {each.status for each in got} == {200}, (split, cluster.name, got)
            assert within(sum(n for each, n in got.items() if each.cluster == "fern"), total, split / 10000), got


def test_a_grpc_status_of_the_other_cluster_comes_through(ledger: Crossing, namespace: str) -> None:
    plum, fern = ledger.clusters["blue"], ledger.clusters["green"]
    ledger.set(10000)
    fern.annotate_pods(namespace, "ledger", {"lab.bluegreen.io/errors": "1"})
    bad = (grpc.StatusCode.UNAVAILABLE, "fern")
    eventually(lambda: called(plum, namespace, 5) == {bad: 5}, "status 14 of every call")
    ledger.set(0)
    assert called(plum, namespace, 20) == {(grpc.StatusCode.OK, "plum"): 20}


# -- connections that rest


@contextmanager
def rule_of_the_hop(cluster: LabCluster, change: Callable[[Rule], Any], host: str, idle: str | None) -> Iterator[None]:
    """The rule otherwise than `routing` makes it, once Envoy has it; put back at the end."""
    (rule,) = [each for each in routing.edge_objects() if each["kind"] == "DestinationRule"]
    changed = copy.deepcopy(rule)
    change(changed["spec"]["trafficPolicy"]["connectionPool"])
    cluster.api.apply(changed, manager=routing.FIELD_MANAGER)
    try:
        eventually(lambda: idle_timeout(cluster, host) == idle, f"idle time-out {idle} in Envoy")
        yield
    finally:
        cluster.api.apply(rule, manager=routing.FIELD_MANAGER)


def idle_timeout(cluster: LabCluster, host: str) -> str | None:
    """What Envoy itself holds for connections to this host."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{cluster.admin}/config_dump?resource=dynamic_active_clusters", timeout=30) as answer:
        configs = [each["cluster"] for each in json.loads(answer.read())["configs"]]
    (found,) = [each for each in configs if each["name"].endswith(f"|{host}")]
    (options,) = found.get("typed_extension_protocol_options", {"": {}}).values()
    told = options.get("common_http_protocol_options", {}).get("idle_timeout")
    return None if told is None else str(told)


@pytest.fixture
def balanced(two_clusters: tuple[LabCluster, LabCluster], namespace: str) -> Iterator[tuple[Crossing, Balancer]]:
    """web at 100 %, and between blue's gateway and green's peer listener a balancer that forgets after 10 idle seconds."""
    plum, fern = two_clusters
    for cluster in two_clusters:
        cluster.workload(namespace, "web")
    address = ".".join([*fern.gateway.split(".")[:3], "78"])
    with balancing((fern.gateway, fern.peer_port), address, memory_seconds=10) as balancer:
        peers: dict[routing.Side, routing.Peer] = {"blue": routing.Peer(address, balancer.port)}
        made = Crossing(*two_clusters, [route(namespace, "web", {"route": [to("web")]})], peers)
        eventually(lambda: plum.send(f"web.{namespace}.test").status == 200, "an answer")
        made.set(10000)
        yield made, balancer
        made.set(0)


def ask(crossing: Crossing, namespace: str) -> tuple[int, str]:
    """Status and cluster of one request to blue's gateway."""
    line = Line(crossing.clusters["blue"], f"web.{namespace}.test")
    try:
        got = line.get()
        return got.status, got.cluster
    finally:
        line.connection.close()


def test_forwards_after_a_silence_longer_than_the_balancers_memory_are_answered(
    balanced: tuple[Crossing, Balancer], namespace: str
) -> None:
    crossing, balancer = balanced
    host = routing.peer_host(f"{namespace}/web")
    shorter = lambda pool: pool["http"].update(idleTimeout="1s")  # noqa: E731  # so that nobody waits for 240 s
    with rule_of_the_hop(crossing.clusters["blue"], shorter, host, "1s"):
        for silence in range(1, 4):
            assert {ask(crossing, namespace) for _ in range(5)} == {(200, "fern")}
            eventually(lambda: balancer.known == 0, "the gateway's own end of its connections")
            assert balancer.opened >= silence
    assert (balancer.forgotten, balancer.resets) == (0, 0)


def test_forwards_after_such_a_silence_fail_without_the_rule(balanced: tuple[Crossing, Balancer], namespace: str) -> None:
    """What the test above would see if it could see nothing."""
    crossing, balancer = balanced
    host = routing.peer_host(f"{namespace}/web")
    endless = lambda pool: (pool["http"].pop("idleTimeout"), pool.pop("tcp"))  # noqa: E731
    with rule_of_the_hop(crossing.clusters["blue"], endless, host, None):
        assert ask(crossing, namespace) == (200, "fern")
        eventually(lambda: balancer.known == 0 < balancer.forgotten, "the balancer forgets what nobody closes")
        assert ask(crossing, namespace)[0] == 503
        assert balancer.resets > 0


# -- what a workload sees

SETS = {"request": {"set": {"X-Forwarded-Proto": "https"}}}
RULES: dict[str, Rule] = {
    "plain": {"route": [to("web")]},
    "rewritten": {"rewrite": {"uri": "/elsewhere"}, "route": [to("web")]},
    "two": {"route": [to("web", weight=50), to("more", weight=50)]},
    "rule-sets": {"headers": SETS, "route": [to("web")]},
    "rule-adds": {"headers": {"request": {"add": {HEADER: "again"}}}, "route": [to("web")]},
    "rule-removes": {"headers": {"request": {"remove": [HEADER]}}, "route": [to("web")]},
    "own-sets": {"route": [to("web", headers=SETS)]},
    "own-removes": {"route": [to("web", headers={"request": {"remove": [HEADER], "set": {"host": "own.test"}}})]},
    "both-of-two": {
        "headers": {"request": {"add": {HEADER: "again"}}},
        "route": [to("web", weight=50, headers=SETS), to("more", weight=50, headers=SETS)],
    },
}
# what a workload of a request by http and by https is told before anything is enrolled
TOLD: dict[str, tuple[list[str], list[str]]] = {
    **dict.fromkeys(RULES, (["http"], ["https"])),
    "rule-sets": (["https"], ["https"]),
    "own-sets": (["https"], ["https"]),
    "rule-adds": (["http,again"], ["https,again"]),
    "both-of-two": (["https,again"], ["https,again"]),
    "rule-removes": ([], []),
    "own-removes": ([], []),
}
SPOOFED = dict.fromkeys(routing.CARRIED.values(), "spoofed") | {HEADER: "gopher", routing.RULE_HEADER: "a/b/0"}
# of the request's way: its own at each gateway, carried over the hop later
OF_THE_WAY = {"x-envoy-original-path", "x-envoy-decorator-operation"}


def test_local_and_forwarded_workloads_get_the_clients_scheme(
    two_clusters: tuple[LabCluster, LabCluster], namespace: str
) -> None:
    with encrypted(two_clusters), recording(two_clusters, namespace, ["web", "more"]) as recorders:
        rules = [{"match": [{"uri": {"prefix": f"/{path}"}}], **rule} for path, rule in RULES.items()]
        host = f"seen.{namespace}.test"
        original = route(namespace, "seen", *rules, gateways=("istio-system/public", ENCRYPTED))
        crossing = Crossing(*two_clusters, [original])
        senders: list[Callable[[LabCluster, str, dict[str, str]], Answer]] = [
            lambda cluster, path, headers: cluster.send(host, path, headers),
            lambda cluster, path, headers: send_encrypted(cluster, host, path, headers),
        ]
        for cluster in two_clusters:
            eventually(lambda c=cluster: c.send(host, "/plain").status == 200, f"an answer by {cluster.name}")
            await_encrypted(cluster, host, "/plain")
        for split in (0, 5000, 10000):
            crossing.set(split)
            for cluster in two_clusters:
                for path in RULES:
                    for way, sender in enumerate(senders):
                        names: dict[str, set[frozenset[str]]] = {}
                        for attempt in range(200):
                            if attempt >= 4 and (split != 5000 or len(names) == 2):
                                break
                            number = uuid.uuid4().hex
                            assert sender(cluster, f"/{path}", {"x-number": number, **SPOOFED}).status == 200
                            (seen,) = [each for recorder in recorders.values() for each in recorder.of(number)]
                            where = (split, cluster.name, path, way, seen.cluster)
                            assert seen.all(HEADER) == TOLD[path][way], where
                            got = frozenset(name for name, _ in seen.headers) - OF_THE_WAY
                            if split != {"plum": 0, "fern": 10000}[cluster.name]:  # there the route is as it was before us
                                assert not [name for name in got if name.startswith("x-bluegreen-")], where
                            assert ("own.test" in seen.all("host")) is (path == "own-removes"), where
                            names.setdefault(seen.cluster, set()).add(got)
                        if split == 5000:
                            assert names.keys() == {"plum", "fern"}, (split, cluster.name, path)
                            assert names["plum"] == names["fern"], (split, cluster.name, path)
