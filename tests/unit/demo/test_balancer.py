"""The lab's balancer forgets what is idle and tells nobody, as a network load balancer does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from lab.cluster.balancer import balancing
from tests.lab.support.kit import eventually


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends back what it gets."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(taken: socket.socket) -> None:
        with taken:
            try:
                while data := taken.recv(65536):
                    taken.sendall(data)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(taken,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def said(line: socket.socket, text: bytes) -> bytes:
    line.sendall(text)
    return line.recv(1000)


def test_a_flow_that_was_forgotten_is_reset_with_its_next_data(echo: tuple[str, int]) -> None:
    with balancing(echo, "127.0.0.1", 0.2) as balancer, socket.create_connection(("127.0.0.1", balancer.port), 20) as line:
        assert said(line, b"hello") == b"hello"
        eventually(lambda: balancer.forgotten == 1, "the flow forgotten")
        assert (balancer.known, balancer.resets) == (0, 0)
        with pytest.raises(ConnectionResetError):
            said(line, b"again")
        assert balancer.resets == 1


def test_what_is_in_use_is_known(echo: tuple[str, int]) -> None:
    with balancing(echo, "127.0.0.1", 60) as balancer, socket.create_connection(("127.0.0.1", balancer.port), 20) as line:
        assert said(line, b"x" * 900) == b"x" * 900
        assert (balancer.opened, balancer.known, balancer.forgotten) == (1, 1, 0)
    assert balancer.known == 0


def test_keepalive_probes_keep_a_flow_known(echo: tuple[str, int]) -> None:
    with (
        balancing(echo, "127.0.0.1", 6) as balancer,
        socket.create_connection(("127.0.0.1", balancer.port), 20) as quiet,
        socket.create_connection(("127.0.0.1", balancer.port), 20) as line,
    ):
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            line.setsockopt(socket.IPPROTO_TCP, option, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert said(line, b"one") == b"one"
        assert said(quiet, b"one") == b"one"
        eventually(lambda: balancer.forgotten == 1, "the silent flow forgotten")
        assert said(line, b"two") == b"two"
