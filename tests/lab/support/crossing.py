"""Two services that are shared between both clusters, a recorder that sees raw requests, and a steady load."""

from __future__ import annotations

import http.client
import http.server
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import routing
from routing import Intent, Peer
from tests.lab.support.kit import LabCluster, eventually

Object = dict[str, Any]
SIDES: tuple[routing.Side, routing.Side] = ("blue", "green")


class Crossing:
    """Enrolled routes of both clusters; blue is plum, green is fern. Writes go in as the command's do."""

    def __init__(
        self,
        blue: LabCluster,
        green: LabCluster,
        originals: Sequence[Object],
        peers: Mapping[routing.Side, Peer] | None = None,
    ) -> None:
        """`peers`: how the gateway of that side reaches the other one, where that is not straight."""
        self.peers = dict(peers or {})
        self.clusters: Mapping[routing.Side, LabCluster] = {"blue": blue, "green": green}
        self.originals = {routing.service_of(original): original for original in originals}
        self.generation = 0
        self.splits = dict.fromkeys(self.originals, 0)
        for side, cluster in self.clusters.items():
            objects = routing.objects(self._intent(), self.originals, side, self._peer(side))
            cluster.api.apply(*objects.in_order(), manager=routing.FIELD_MANAGER)
        self.await_effect()

    def _peer(self, side: routing.Side) -> Peer:
        if side in self.peers:
            return self.peers[side]
        other = self.clusters["green" if side == "blue" else "blue"]
        return Peer(other.gateway, other.peer_port)

    def _intent(self) -> Intent:
        names: dict[str, str] = {side: cluster.name for side, cluster in self.clusters.items()}
        return Intent(names, {names["blue"]: 10000, names["green"]: 0}, dict(self.splits), self.generation)

    def set(self, split: int, services: Sequence[str] | None = None) -> None:
        """Writes the split on both gateways and returns when both serve it."""
        changed = list(services or self.originals)
        self.splits |= dict.fromkeys(changed, split)
        self.generation += 1
        for side, cluster in self.clusters.items():
            for service in changed:
                original = self.originals[service]
                cluster.api.apply(
                    routing.public_route(original, split, side),
                    routing.peer_route(original, split),
                    manager=routing.FIELD_MANAGER,
                )
        self.await_effect()

    def await_effect(self) -> None:
        for service, split in self.splits.items():
            for cluster in self.clusters.values():
                eventually(lambda c=cluster, s=service, b=split: probe(c, s) == str(b), f"{service} at {split}")

    def live_spec(self, side: routing.Side, service: str) -> Any:
        cluster = self.clusters[side]
        live = cluster.api.get(cluster.api.path(self.originals[service]))
        assert live is not None
        return live["spec"]


def probe(cluster: LabCluster, service: str) -> str:
    answer = cluster.send("any.test", headers={routing.PROBE_HEADER: service}, peer=True)
    return answer.text if answer.status == 200 else f"{answer.status}"


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as a workload got it; header names in small letters, repeated ones kept."""

    cluster: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Recorder:
    """A workload of both clusters that keeps every request as it came, so that one served twice is seen twice."""

    requests: list[ReceivedRequest] = field(default_factory=list)

    def of(self, number: str) -> list[ReceivedRequest]:
        return [each for each in self.requests if each.all("x-number") == [number]]


@contextmanager
def recording(clusters: Sequence[LabCluster], namespace: str, names: Sequence[str]) -> Iterator[Mapping[str, Recorder]]:
    """Workloads `names` on each cluster, as WorkloadEntries that lead here."""
    recorders = {name: Recorder() for name in names}
    servers = []
    for cluster in clusters:
        for name in names:
            address = ".".join([*cluster.gateway.split(".")[:3], "77"])
            server = http.server.ThreadingHTTPServer((address, 0), _handler(cluster.name, recorders[name]))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            servers.append(server)
            port = server.server_address[1]
            cluster.api.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {
                        "selector": {"recorder": name},
                        "ports": [{"name": "http", "port": 80, "targetPort": port}],
                    },
                },
                {
                    "apiVersion": "networking.istio.io/v1",
                    "kind": "WorkloadEntry",
                    "metadata": {"name": name, "namespace": namespace, "labels": {"recorder": name}},
                    "spec": {"address": address, "labels": {"recorder": name}},
                },
            )
    try:
        yield recorders
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def _handler(cluster: str, recorder: Recorder) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # an answer's body must not wait for word of its head

        def do_GET(self) -> None:
            headers = tuple((name.lower(), value) for name, value in self.headers.items())
            recorder.requests.append(ReceivedRequest(cluster, self.command, self.path, headers))
            body = json.dumps({"cluster": cluster}).encode()
            self.send_response(200)
            self.send_header("x-lab-cluster", cluster)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@dataclass(frozen=True)
class Got:
    status: int
    cluster: str
    workload: str


class Line:
    """One kept connection to a gateway."""

    def __init__(self, cluster: LabCluster, host: str) -> None:
        self.connection = http.client.HTTPConnection(cluster.gateway, cluster.port, timeout=30)
        self.host = host

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None) -> Got:
        """Status 0 for no answer."""
        try:
            self.connection.request("GET", path, headers={"Host": self.host, **(headers or {})})
            answer = self.connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return Got(0, "", "")
        answer_headers = {name.lower(): value for name, value in answer.getheaders()}
        return Got(answer.status, answer_headers.get("x-lab-cluster", ""), answer_headers.get("x-lab-workload", ""))


def answers(cluster: LabCluster, host: str, count: int, path: str = "/") -> Counter[Got]:
    line = Line(cluster, host)
    try:
        return Counter(line.get(path) for _ in range(count))
    finally:
        line.connection.close()


def within(count: int, total: int, share: float) -> bool:
    """Whether a count fits a share: 5.5 standard deviations, which chance exceeds once in 25 million times."""
    expected = total * share
    deviation = math.sqrt(expected * (1 - share))
    return abs(count - expected) <= 5.5 * deviation


@contextmanager
def load(lines: Sequence[tuple[LabCluster, str]], per_second: float, workers: int = 12) -> Iterator[Counter[Got]]:
    """So many requests a second for the length of the block; one that is late is sent all the same."""
    counts: Counter[Got] = Counter()
    stop, guard, began = threading.Event(), threading.Lock(), time.monotonic()

    def work(number: int) -> None:
        line = Line(*lines[number % len(lines)])
        sent = 0
        while True:
            due = began + (sent + number / workers) * workers / per_second
            if stop.wait(max(0.0, due - time.monotonic())) and due > ended[0]:
                break
            got = line.get()
            sent += 1
            with guard:
                counts[got] += 1
        line.connection.close()

    ended = [float("inf")]
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        ended[0] = time.monotonic()
        stop.set()
        for thread in threads:
            thread.join()
