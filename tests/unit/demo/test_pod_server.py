"""What a pod of the lab answers by HTTP/1.1 and by HTTP/2 on one port."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from lab.cluster.pod_server import Faults, PodProtocol, Voice


class Pod:
    def __init__(self) -> None:
        self.voice = Voice("plum", "shop", "cart-1", "cart")
        self.address = ""

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        connections: set[PodProtocol] = set()
        server = await asyncio.get_running_loop().create_server(lambda: PodProtocol(self.voice, connections), "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        for connection in list(connections):
            connection.transport.close()

    def call(self, message: bytes = b"", method: str = "/lab.Echo/Say") -> tuple[grpc.StatusCode, Any, dict[str, str]]:
        """Status, echo and first metadata of one unary call on a connection of its own."""
        with grpc.insecure_channel(self.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            call = channel.unary_unary(method)
            try:
                answer, done = call.with_call(message, timeout=20)
            except grpc.RpcError as problem:
                answer, done = None, problem
            told = {name: str(value) for name, value in done.initial_metadata()}
            return done.code(), answer and json.loads(answer), told

    def get(self, method: str = "GET") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            connection.request(method, "/a")
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture
def pod() -> Iterator[Pod]:
    made, ready, loop, stop = Pod(), threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: (loop.run_until_complete(made.serve(ready, stop)), loop.close()))
    thread.start()
    assert ready.wait(20)
    yield made
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def test_grpc_and_http_are_answered_on_one_port(pod: Pod) -> None:
    status, echo, told = pod.call(b"x" * 300_000)  # more than a window of flow control
    assert status is grpc.StatusCode.OK
    assert (told["x-lab-cluster"], told["x-lab-pod"]) == ("plum", "cart-1")
    assert (echo["path"], echo["method"], echo["cluster"]) == ("/lab.Echo/Say", "POST", "plum")
    assert pod.get()[0] == 200
    assert pod.get("HEAD") == (200, b"")


def test_an_answer_larger_than_a_window_arrives_whole(pod: Pod) -> None:
    pod.voice.body_start = b'{"much": "' + b"x" * 300_000 + b'"'
    assert len(pod.call()[1]["much"]) == 300_000


@pytest.mark.parametrize("faults", [Faults(errors=1.0), Faults(crash_loop=True)], ids=["errors", "crash-loop"])
def test_a_fault_is_status_14_under_http_200(pod: Pod, faults: Faults) -> None:
    pod.voice.faults = faults
    status, _, told = pod.call()
    assert status is grpc.StatusCode.UNAVAILABLE
    assert (told["x-lab-cluster"], told["x-lab-injected"]) == ("plum", "1")
    assert pod.get()[0] in (500, 503)
    pod.voice.faults = Faults()
    assert pod.call()[0] is grpc.StatusCode.OK


def test_a_late_answer_is_marked(pod: Pod) -> None:
    pod.voice.faults = Faults(latency_seconds=0.01)
    status, _, told = pod.call()
    assert (status, told["x-lab-injected"]) == (grpc.StatusCode.OK, "1")


def test_a_pod_that_ends_answers_what_it_has_accepted(pod: Pod) -> None:
    pod.voice.closing = True
    assert pod.call()[0] is grpc.StatusCode.OK
