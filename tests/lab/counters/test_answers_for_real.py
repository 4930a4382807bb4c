"""How answers ended, by the real Envoy's page and by the real store, against what clients were answered."""

from __future__ import annotations

import asyncio
import http.server
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import pytest

from lab.client import LabClient
from migration.clients.counters import PageCounters
from migration.clients.prometheus import PrometheusMetrics
from migration.model import Tally, WindowStats
from tests.lab.support.kit import PATIENCE_SECONDS, LabCluster, Object, eventually, virtual_service

T = TypeVar("T")


class Server:
    """A workload outside of the cluster: a ServiceEntry leads to it, a VirtualService of the public gateway to that."""

    def __init__(self, cluster: LabCluster, lab: LabClient, namespace: str, name: str, port: int, protocol: str) -> None:
        self.cluster, self.lab, self.service = cluster, lab, f"{namespace}/{name}"
        self.host, inner = f"{name}.{namespace}.test", f"{name}.{namespace}.internal"
        destination = {"host": inner, "port": {"number": 80}}
        self.route = virtual_service(namespace, name, [self.host], [{"route": [{"destination": destination}]}])
        entry: Object = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "hosts": [inner],
                "ports": [{"number": 80, "name": protocol.lower(), "protocol": protocol, "targetPort": port}],
                "resolution": "STATIC",
                "location": "MESH_INTERNAL",
                "endpoints": [{"address": "127.0.0.1"}],
            },
        }
        cluster.api.apply(entry, self.route)

    def counted(self) -> Tally:
        """By the gateway's page, since it began."""

        async def read() -> Tally:
            client = PageCounters([f"{self.cluster.admin}/stats/prometheus"], "envoy", {self.service: self.route})
            try:
                return (await client.read()).services[self.service].local
            finally:
                await client.close()

        return asyncio.run(read())

    def stored(self, seconds: float) -> WindowStats | None:
        async def ask() -> WindowStats | None:
            url = self.lab.lab()["services"]["metrics"]
            store = PrometheusMetrics(url, "envoy", {"blue": "plum", "green": "fern"}, {self.service: self.route})
            try:
                return await store.window(self.service, "blue", seconds)
            finally:
                await store.close()

        return asyncio.run(ask())


class ByPath(http.server.BaseHTTPRequestHandler):
    """Answers /NUMBER with that status."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/") or 200))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def web(two_clusters: tuple[LabCluster, LabCluster], lab_client: LabClient, namespace: str) -> Iterator[Server]:
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ByPath)
    backend.daemon_threads = True
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    try:
        made = Server(two_clusters[0], lab_client, namespace, "web", backend.server_port, "HTTP")
        eventually(lambda: made.cluster.send(made.host).status == 200, "the gateway's way to the server")
        yield made
    finally:
        backend.shutdown()
        backend.server_close()


def test_classes_of_http_answers_are_those_that_clients_got(web: Server) -> None:
    eventually(lambda: web.stored(60) is not None, "the service in the store")
    before = web.counted()
    asked = Counter({"200": 9, "204": 2, "302": 3, "401": 4, "403": 1, "404": 5, "418": 2, "429": 1, "500": 6, "503": 2})
    began = time.monotonic()
    for status, times in asked.items():
        for _ in range(times):
            assert web.cluster.send(web.host, f"/{status}", timeout=30).status == int(status)
    expected = {"3xx": 3, "401/403": 5, "404": 5, "4xx": 3}
    grown = web.counted() - before
    assert (grown.requests, grown.errors, grown.classes) == (asked.total(), 8, expected)

    def told() -> WindowStats | None:
        found = web.stored(time.monotonic() - began + 30)
        return found if found and found.requests >= grown.requests else None

    found = eventually(told, "the store's word")
    assert found is not None
    assert (found.errors, found.classes) == (8, expected)


def test_errors_before_a_moment_do_not_count_in_a_window_that_begins_after_it(web: Server) -> None:
    began = time.monotonic()

    def errors_so_far() -> float | None:
        found = web.stored(time.monotonic() - began + 30)
        return found.errors if found else None

    eventually(lambda: errors_so_far() == 0, "the service in the store")
    assert web.cluster.send(web.host, "/500").status == 500
    eventually(lambda: errors_so_far() == 1, "its first error, by a series that is new")
    for _ in range(25):
        assert web.cluster.send(web.host, "/500").status == 500
    moment = time.monotonic()
    seen: list[WindowStats] = []
    while not seen or seen[-1].requests < 20:
        assert web.cluster.send(web.host).status == 200
        if found := web.stored(time.monotonic() - moment):
            seen.append(found)
        assert time.monotonic() < moment + PATIENCE_SECONDS
    assert [each.errors for each in seen] == [0] * len(seen)
    assert errors_so_far() == 26


class Calls(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Any method: ends with the status that the request has in its text, "late N": after a message."""

    def service(self, details: Any) -> Any:
        def answer(request: bytes, context: Any) -> Iterator[bytes]:
            *late, number = request.decode().split()
            if late or number == "0":
                yield b"message"
            if number != "0":
                context.abort(next(code for code in grpc.StatusCode if code.value[0] == int(number)), "as asked")

        return grpc.unary_stream_rpc_method_handler(answer)


@contextmanager
def calling(server: Server) -> Iterator[Callable[[str], int]]:
    """Calls through the gateway; each gives the status that the client got."""
    address = f"{server.cluster.gateway}:{server.cluster.port}"
    options = [("grpc.default_authority", server.host), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        method = channel.unary_stream("/bank.Ledger/Post")

        def call(text: str) -> int:
            try:
                list(method(text.encode(), timeout=30))
            except grpc.RpcError as problem:
                return int(problem.code().value[0])
            return 0

        yield call


def test_grpc_calls_that_fail_with_http_200_are_errors(
    two_clusters: tuple[LabCluster, LabCluster], lab_client: LabClient, namespace: str
) -> None:
    backend = grpc.server(futures.ThreadPoolExecutor(4))
    backend.add_generic_rpc_handlers((Calls(),))
    port = backend.add_insecure_port("127.0.0.1:0")
    backend.start()
    try:
        ledger = Server(two_clusters[0], lab_client, namespace, "ledger", port, "GRPC")
        with calling(ledger) as call:
            eventually(lambda: call("0") == 0, "the gateway's way to the server")
            before = ledger.counted()
            asked = ["0"] * 5 + ["late 0"] * 2 + ["14"] * 3 + ["2", "4", "13", "15", "late 13"] + ["5"] * 2 + ["7", "late 16"]
            assert [call(text) for text in asked] == [int(text.split()[-1]) for text in asked]
            grown = ledger.counted() - before
            assert (grown.requests, grown.errors) == (len(asked), 8)
            assert grown.classes == {"gRPC 5": 2, "gRPC 7": 1, "gRPC 16": 1}
            backend.stop(0).wait()
            before = ledger.counted()
            assert [call("0") for _ in range(4)] == [14] * 4
            gone = ledger.counted() - before
            assert (gone.requests, gone.errors, gone.classes) == (4, 4, {})  # a 503 and a status 14 at once, counted once
    finally:
        backend.stop(0).wait()
