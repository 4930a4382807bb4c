"""Reading the live record: what a cluster says, and that no cluster can hold an `up` back."""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import routing
from components.live import RECORD_PATH, BadKubeconfig, Live, newest, parse_record, read_live

INTENT = routing.Intent({"blue": "plum", "green": "fern"}, {"plum": 7500, "fern": 2500}, {"shop/catalog": 250}, 17)


@contextmanager
def server(status: int, body: bytes) -> Iterator[tuple[str, list[Any]]]:
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", asked
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def kubeconfig(url: str, user: dict[str, Any]) -> str:
    return json.dumps(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": user}],
        }
    )


def test_the_record_that_routing_writes_is_read_back() -> None:
    with server(200, json.dumps(routing.record(INTENT)).encode()) as (url, asked):
        live = read_live(kubeconfig(url, {"token": "secret"}))
    assert live == Live(17, {"shop/catalog": 250}, {"plum": 7500, "fern": 2500})
    assert asked == [(RECORD_PATH, "Bearer secret")]


def test_a_cluster_without_a_record_is_reached_and_holds_nothing() -> None:
    with server(404, b"{}") as (url, _):
        assert read_live(kubeconfig(url, {})) == Live(None, {}, {})


def test_a_cluster_that_refuses_is_as_good_as_unreachable() -> None:
    with server(403, b"{}") as (url, _):
        assert read_live(kubeconfig(url, {})) is None


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: the connection is refused
        assert read_live(kubeconfig(f"http://127.0.0.1:{taken.getsockname()[1]}", {})) is None


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert read_live(kubeconfig(f"http://127.0.0.1:{silent.getsockname()[1]}", {}), None, 0.05) is None


def test_the_credential_program_of_the_kubeconfig_is_asked() -> None:
    answer = json.dumps({"status": {"token": "from-program"}})
    plugin = {"command": sys.executable, "args": ["-c", f"print({answer!r})"], "apiVersion": "v1"}
    with server(404, b"{}") as (url, asked):
        read_live(kubeconfig(url, {"exec": plugin}))
    assert asked[0][1] == "Bearer from-program"


def test_a_credential_program_that_fails_means_unreachable() -> None:
    with server(404, b"{}") as (url, asked):
        assert read_live(kubeconfig(url, {"exec": {"command": sys.executable, "args": ["-c", "raise SystemExit(1)"]}})) is None
    assert asked == []


@pytest.mark.parametrize(
    "text", [pytest.param("a: [", id="broken"), pytest.param("{}", id="empty"), pytest.param("[]", id="list")]
)
def test_a_wrong_kubeconfig_is_a_mistake_and_is_told(text: str) -> None:
    with pytest.raises(BadKubeconfig):
        read_live(text)


def test_an_unknown_context_is_named() -> None:
    with pytest.raises(BadKubeconfig, match="other"):
        read_live(kubeconfig("http://127.0.0.1:1", {}), "other")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": null}', b'{"data": {"generation": "x"}}'])
def test_a_record_nobody_understands_counts_as_none(body: bytes) -> None:
    assert parse_record(body) == Live(None, {}, {})


def test_the_newest_record_counts() -> None:
    old, new = Live(3, {"a/b": 1}, {}), Live(4, {"a/b": 2}, {})
    assert newest({"plum": old, "fern": new}) == new
    assert newest({"plum": old, "fern": None}) == old
    assert newest({"plum": None, "fern": Live(None, {}, {})}).generation is None


def test_client_certificates_must_be_whole() -> None:
    """A kubeconfig with rubbish as certificate does not stop an `up` either."""
    rubbish = base64.b64encode(b"x").decode()
    user = {"client-certificate-data": rubbish, "client-key-data": rubbish}
    assert read_live(kubeconfig("https://127.0.0.1:1", user)) is None
