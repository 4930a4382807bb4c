"""Reading the live record: what a cluster says, and that no cluster can hold an `up` back."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import routing
from access.errors import BadKubeconfig
from components.live import RECORD_PATH, Live, newest, parse_record, read_live
from stacks import edge
from stacks.config import ConfigError

NOT_FOUND = json.dumps(
    {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "NotFound",
        "message": 'configmaps "bluegreen-edge" not found',
        "details": {"name": "bluegreen-edge", "kind": "configmaps"},
        "code": 404,
    }
).encode()
FORBIDDEN = json.dumps({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}).encode()
INTENT = routing.Intent({"blue": "plum", "green": "fern"}, {"plum": 7500, "fern": 2500}, {"shop/catalog": 250}, 17)


@contextmanager
def server(status: int, body: bytes, trust: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[Any]]]:
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is what some tests want
    if trust:
        running.socket = trust.wrap_socket(running.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", asked
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def kubeconfig(url: str, user: dict[str, Any], **cluster: Any) -> str:
    return json.dumps(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": url, **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
    )


def test_the_record_that_routing_writes_is_read_back() -> None:
    with server(200, json.dumps(routing.record(INTENT)).encode()) as (url, asked):
        live = read_live(kubeconfig(url, {"token": "secret"}))
    assert live == Live(17, {"shop/catalog": 250}, {"plum": 7500, "fern": 2500})
    assert asked == [(RECORD_PATH, "Bearer secret")]


def test_a_reachable_cluster_without_a_record_has_nothing() -> None:
    with server(404, NOT_FOUND) as (url, _):
        assert read_live(kubeconfig(url, {})) == Live(None, {}, {})


def unreadable(text: str, timeout_seconds: float = 5.0) -> str:
    """Why nothing is known."""
    told: list[str] = []
    assert read_live(text, None, timeout_seconds, told.append) is None
    (why,) = told
    return why


OTHER_NOT_FOUND = NOT_FOUND.replace(b"bluegreen-edge", b"other")
NO_SUCH_PATH = json.dumps({"kind": "Status", "reason": "NotFound", "details": {}, "code": 404}).encode()
RECORD = routing.record(INTENT)
PART = json.dumps(RECORD).encode()[:-40]
DEEP = b"[" * 200_000
OTHER = json.dumps({**RECORD, "metadata": {"name": "other"}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        pytest.param(401, b"", "answers 401", id="not known"),
        pytest.param(403, FORBIDDEN, "answers 403", id="not allowed"),
        pytest.param(500, b"oops", "answers 500", id="broken"),
        pytest.param(503, b"", "answers 503", id="not ready"),
        pytest.param(302, b"", "answers 302", id="sent elsewhere"),
        pytest.param(404, b"<html>not here</html>", "404 with a page of HTML: not an API server's answer", id="404 of a proxy"),
        pytest.param(404, b"{}", "no API server's answer", id="404 of another server"),
        pytest.param(404, b"[]", "no API server's answer", id="404 with a list"),
        pytest.param(404, NO_SUCH_PATH, "answers 404", id="404 of the path"),
        pytest.param(404, OTHER_NOT_FOUND, "answers 404", id="404 of another object"),
        pytest.param(200, b"<html>sign in</html>", "200 with a page of HTML: not an API", id="a page to sign in"),
        pytest.param(200, PART, "not with the edge's record", id="a part of it"),
        pytest.param(200, OTHER, "not with the edge's record", id="another object"),
        pytest.param(200, NOT_FOUND, "not with the edge's record", id="not found by 200"),
        pytest.param(200, DEEP, "not with the edge's record", id="nested too deep"),
        pytest.param(403, DEEP, "no API server's answer", id="403 nested too deep"),
        pytest.param(404, DEEP, "no API server's answer", id="404 nested too deep"),
    ],
)
def test_only_a_record_or_the_servers_not_found_proves_anything(status: int, body: bytes, told: str) -> None:
    with server(status, body) as (url, _):
        why = unreadable(kubeconfig(url, {}))
    assert told in why
    assert url in why


def test_a_port_without_a_server_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: the connection is refused
        assert "refused" in unreadable(kubeconfig(f"http://127.0.0.1:{taken.getsockname()[1]}", {}))


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert unreadable(kubeconfig(f"http://127.0.0.1:{silent.getsockname()[1]}", {}), 0.05)


def test_a_server_that_never_ends_is_given_up() -> None:
    """Each byte comes in time, and the answer never."""
    stop = threading.Event()

    def drip(listening: socket.socket) -> None:
        with contextlib.suppress(OSError), listening.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(1000):  # for ten seconds: longer than anybody should wait
                if not stop.wait(0.01):
                    connection.sendall(b" ")

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(20)
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        try:
            why = unreadable(kubeconfig(f"http://127.0.0.1:{listening.getsockname()[1]}", {}), 0.3)
        finally:
            stop.set()
            thread.join()
    assert "within 0.3 s" in why


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
def test_a_wrong_kubeconfig_is_an_error(text: str) -> None:
    with pytest.raises(BadKubeconfig):
        read_live(text)


def test_an_unknown_context_is_named() -> None:
    with pytest.raises(BadKubeconfig, match="other"):
        read_live(kubeconfig("http://127.0.0.1:1", {}), "other")


@pytest.mark.parametrize(
    "change",
    [
        {"data": None},
        {"data": {}},
        {"data": []},
        {"data": {"generation": "x"}},
        {"data": {"generation": "1", "services": "[1]"}},
        {"data": {"generation": "1", "entry": "{"}},
        {"data": {"generation": "1", "services": "[" * 100_000}},
        {"data": {"generation": "1", "entry": '{"plum": Infinity}'}},
    ],
    ids=lambda change: str(change)[:60],
)
def test_an_unreadable_record_is_not_taken_for_none(change: dict[str, Any]) -> None:
    with server(200, json.dumps({**RECORD, **change}).encode()) as (url, _):
        assert "not with the edge's record" in unreadable(kubeconfig(url, {}))


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy that lets one tunnel through; what it was asked for."""
    asked: list[str] = []

    def forward(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def serve(listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            return  # nobody asked
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        asked.append(head.decode())
        host, port = head.split()[1].decode().rsplit(":", 1)
        with connection, socket.create_connection((host, int(port))) as upstream:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=forward, args=(upstream, connection))
            back.start()
            forward(connection, upstream)
            back.join()

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(20)
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            thread.join()


@dataclass(frozen=True)
class Secure:
    port: int
    authority: str  # base64 of PEM, as kubeconfigs have it
    names: list[str | None]  # that clients asked for by SNI


@contextmanager
def secure_server(name: str, body: bytes, folder: Path) -> Iterator[Secure]:
    """TLS on loopback with a certificate for `name` alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    pair = folder / "pair.pem"
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pair.write_bytes(certificate + key.private_bytes(pem, kind, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    names: list[str | None] = []
    context.sni_callback = lambda _, asked, __: names.append(asked)
    with server(200, body, context) as (url, _):
        yield Secure(int(url.rsplit(":", 1)[1]), base64.b64encode(certificate).decode(), names)


def test_a_server_is_asked_by_the_name_of_its_certificate(tmp_path: Path) -> None:
    with secure_server("api.plum.internal", json.dumps(RECORD).encode(), tmp_path) as there:
        url, trust = f"https://127.0.0.1:{there.port}", {"certificate-authority-data": there.authority}
        assert read_live(kubeconfig(url, {}, **trust, **{"tls-server-name": "api.plum.internal"})) == parse_record(
            json.dumps(RECORD).encode()
        )
        assert there.names == ["api.plum.internal"]
        assert "certificate" in unreadable(kubeconfig(url, {}, **trust))


@pytest.mark.parametrize("user", ["", "me:p%40ss@"], ids=["open", "with a password"])
def test_a_server_behind_a_proxy_is_asked_through_it(tmp_path: Path, user: str) -> None:
    with secure_server("localhost", json.dumps(RECORD).encode(), tmp_path) as there, proxy() as (address, asked):
        through = {"proxy-url": f"http://{user}{address}", "certificate-authority-data": there.authority}
        live = read_live(kubeconfig(f"https://localhost:{there.port}", {}, **through))
    assert live is not None
    assert live.generation == 17
    assert asked[0].startswith(f"CONNECT localhost:{there.port} ")
    assert ("Proxy-Authorization: Basic bWU6cEBzcw==" in asked[0]) == bool(user)


def test_an_unusable_proxy_proves_nothing() -> None:
    with server(200, json.dumps(RECORD).encode()) as (url, asked):
        assert "refused" in unreadable(kubeconfig(url, {}, **{"proxy-url": "http://127.0.0.1:1"}))
        assert "socks5" in unreadable(kubeconfig(url, {}, **{"proxy-url": "socks5://127.0.0.1:1"}))
        assert asked == []
    with server(403, b"") as (gate, _):
        assert "403" in unreadable(kubeconfig("https://plum.internal", {}, **{"proxy-url": gate}))


def test_the_environments_proxy_is_asked_for_other_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with server(200, json.dumps(RECORD).encode()) as (url, _):
        assert read_live(kubeconfig(url, {})) is not None
    assert "refused" in unreadable(kubeconfig("https://plum.internal", {}))  # of the proxy: no name was looked up


def test_the_newest_record_counts() -> None:
    old, new = Live(3, {"a/b": 1}, {}), Live(4, {"a/b": 2}, {})
    assert newest({"plum": old, "fern": new}) == new
    assert newest({"plum": old, "fern": None}) == old
    assert newest({"plum": None, "fern": Live(None, {}, {})}).generation is None


def test_client_certificates_must_be_whole() -> None:
    """A kubeconfig with rubbish as certificate does not stop an `up` either."""
    rubbish = base64.b64encode(b"x").decode()
    user = {"client-certificate-data": rubbish, "client-key-data": rubbish}
    assert unreadable(kubeconfig("https://127.0.0.1:1", user))
    assert unreadable(kubeconfig("https://127.0.0.1:1", {"client-certificate-data": "%%%", "client-key-data": "x"}))


def test_a_described_clusters_kubeconfig_means_the_same_to_program_and_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both get its text and neither its folder."""
    with secure_server("localhost", json.dumps(RECORD).encode(), tmp_path) as there:
        (tmp_path / "ca.pem").write_bytes(base64.b64decode(there.authority))
        file = tmp_path / "config"
        file.write_text(kubeconfig(f"https://localhost:{there.port}", {}, **{"certificate-authority": "ca.pem"}))
        monkeypatch.chdir("/")
        text = edge.text_of(file)
        assert read_live(text) == parse_record(json.dumps(RECORD).encode())
    file.write_text("a: [")
    with pytest.raises(ConfigError, match="its YAML is broken"):
        edge.text_of(file)
