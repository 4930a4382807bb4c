"""What goes wrong with TLS is told by its own cause, against real servers of TLS on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from access.causes import why
from access.errors import Unanswered
from access.kubeconfig import Access
from access.transport import get

PEM = serialization.Encoding.PEM
Pair = tuple[bytes, bytes]


def pair(name: str, *, days: float = 1, by: tuple[Any, x509.Certificate] | None = None) -> tuple[Pair, Any, x509.Certificate]:
    """(certificate and key in PEM, key, certificate), good until so many days from now, by itself or by an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    issuer, signer = (by[1].subject, by[0]) if by else (subject, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (made.public_bytes(PEM), private), key, made


ROOT, ROOT_KEY, ROOT_CERTIFICATE = pair("root.test")
BY_ROOT = (ROOT_KEY, ROOT_CERTIFICATE)
OTHER = pair("other.test")[0]
GOOD = pair("localhost", by=BY_ROOT)[0]
OLD = pair("localhost", days=-1, by=BY_ROOT)[0]
ALONE = pair("localhost")[0]


@contextmanager
def server(folder: Path, shown: Pair | None, *, clients: bytes = b"", at_most: ssl.TLSVersion | None = None) -> Iterator[int]:
    """`shown` None: plain HTTP. `clients`: who issues the certificates that it wants to see."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            """Quiet."""

    class Patient(ThreadingHTTPServer):
        """Lets clients read why: one that is still sending when the connection closes is told of that instead."""

        def shutdown_request(self, request: Any) -> None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(request, socket.SHUT_WR)
                while os.read(request.fileno(), 65536):
                    pass
            self.close_request(request)

    running = Patient(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    running.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are what is wanted
    if shown:
        (folder / "pair.pem").write_bytes(b"".join(shown))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "pair.pem")
        if at_most:
            context.maximum_version = at_most
        if clients:
            context.load_verify_locations(cadata=clients.decode())
            context.verify_mode = ssl.CERT_REQUIRED
        running.socket = context.wrap_socket(running.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield running.server_port
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def told(port: int, **more: Any) -> Unanswered:
    access = Access("plum", f"https://localhost:{port}", "the-file", "ctx", **{"ca": ROOT[0], **more})
    with pytest.raises(Unanswered) as caught:
        asyncio.run(get(access, "/version", seconds=20))
    assert caught.value.message.startswith(f"cluster plum: https://localhost:{port} ")
    assert "Operation not permitted" not in caught.value.message
    assert all(part in str(caught.value.remedy) for part in ("the-file", "ctx"))
    return caught.value


MISMATCH = "not trusted: Hostname mismatch, certificate is not valid for 'nope.example'"
V12 = ssl.TLSVersion.TLSv1_2
REFUSES = "refuses the client certificate, or wants one: "


@pytest.mark.parametrize(
    ("shown", "of_server", "of_client", "said", "key"),
    [
        pytest.param(GOOD, {}, {"tls_server_name": "nope.example"}, MISMATCH, "tls-server-name", id="another name"),
        pytest.param(OLD, {}, {}, "not trusted: certificate has expired", "renewed", id="expired"),
        pytest.param(
            ALONE, {}, {}, "not trusted: self-signed certificate", "certificate-authority-data", id="self-signed"
        ),
        pytest.param(
            GOOD, {}, {"ca": OTHER[0]}, "not trusted: unable to get local issuer certificate", "certificate-authority-data",
            id="another authority",
        ),
        pytest.param(None, {}, {}, "does not speak TLS on that port: wrong version number", "correct server", id="plain HTTP"),
        pytest.param(
            GOOD, {"clients": ROOT[0]}, {}, REFUSES + "tlsv13 alert certificate required", "client-certificate-data",
            id="no client certificate",
        ),
        pytest.param(
            GOOD, {"clients": ROOT[0]}, {"certificate": OTHER[0], "key": OTHER[1]}, REFUSES + "tlsv1 alert unknown ca",
            "client-certificate-data", id="a client of another authority",
        ),
        pytest.param(
            GOOD, {"clients": ROOT[0], "at_most": V12}, {}, REFUSES, "client-certificate-data", id="none by TLS 1.2",
        ),
        pytest.param(
            GOOD, {"clients": ROOT[0]}, {"certificate": OLD[0], "key": OLD[1]}, REFUSES, "client-certificate-data",
            id="an old client certificate",
        ),
    ],
)  # fmt: skip
def test_each_cause_is_reported_with_the_key_of_the_kubeconfig_that_it_is_about(
    tmp_path: Path, shown: Pair | None, of_server: dict[str, Any], of_client: dict[str, Any], said: str, key: str
) -> None:
    with server(tmp_path, shown, **of_server) as port:
        problem = told(port, **of_client)
    assert said in problem.message
    assert key in str(problem.remedy)


def test_what_is_right_is_answered(tmp_path: Path) -> None:
    client = pair("me", by=BY_ROOT)[0]
    with server(tmp_path, GOOD, clients=ROOT[0]) as port:
        access = Access("plum", f"https://localhost:{port}", "f", ca=ROOT[0], certificate=client[0], key=client[1])
        assert asyncio.run(get(access, "/version", seconds=20)).status == 200


def test_pages_say_it_in_the_same_words(tmp_path: Path) -> None:
    async def fetch(url: str) -> str:
        try:
            async with aiohttp.ClientSession() as session, session.get(url):
                return "answered"
        except aiohttp.ClientError as problem:
            return why(problem)

    with server(tmp_path, ALONE) as port:
        assert asyncio.run(fetch(f"https://localhost:{port}")) == "certificate not trusted: self-signed certificate"
    with server(tmp_path, None) as port:
        assert asyncio.run(fetch(f"https://localhost:{port}")) == "TLS failed: wrong version number"
    assert asyncio.run(fetch("http://127.0.0.1:9")) == "Connection refused"
