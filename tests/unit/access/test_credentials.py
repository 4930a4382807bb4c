"""Who we are: which of several ways counts, when it is asked again, and what is never sent."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from access import tls
from access.credentials import FILE_SECONDS, Credentials, can_renew, obtain
from access.errors import AccessError, NotGiven, Unanswered, Unusable
from access.kubeconfig import Access, Exec
from access.transport import get_now
from lab.cluster.control_plane import _certificate, _pem

PROGRAM = Exec("sh", ("-c", """echo '{"status": {"token": "program"}}'"""))


def access(**user: Any) -> Access:
    return Access("plum", "https://x", "the-file", "ctx", **user)


def headers(**user: Any) -> list[str]:
    return [f"{name}: {value}" for name, value in asyncio.run(obtain(access(**user))).headers]


def test_credentials_in_the_kubeconfig_come_before_a_program(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("file\n")
    assert headers(token="t", exec_plugin=PROGRAM) == ["Authorization: Bearer t"]
    assert headers(token="t", token_file=file, exec_plugin=PROGRAM) == ["Authorization: Bearer file"]
    assert headers(basic=("me", "päss"), exec_plugin=PROGRAM) == ["Authorization: Basic bWU6cMOkc3M="]
    assert headers(exec_plugin=PROGRAM) == ["Authorization: Bearer program"]
    assert headers(certificate=b"c", key=b"k", exec_plugin=PROGRAM) == []
    assert headers(impersonate=(("Impersonate-User", "x"),), token="t")[1:] == ["Impersonate-User: x"]
    renewed = [can_renew(access(**user)) for user in ({"token": "t"}, {"token_file": file}, {"exec_plugin": PROGRAM})]
    assert renewed == [False, True, True]


def test_a_token_file_is_read_again_within_a_minute(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    there = access(token_file=file)
    first = asyncio.run(obtain(there))
    assert 0 < first.until - time.time() <= FILE_SECONDS < 60
    file.write_text("two")
    assert asyncio.run(obtain(there, first)).headers == (("Authorization", "Bearer two"),)


def test_a_token_file_may_be_away_for_a_moment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    there = access(token_file=file)
    first = asyncio.run(obtain(there))
    file.unlink()
    assert asyncio.run(obtain(there, first)).headers == first.headers
    with pytest.raises(Unanswered, match=r"needs the token in .*No such file"):
        asyncio.run(obtain(there))
    assert headers(token_file=file, token="t") == ["Authorization: Bearer t"]


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff"], ids=["empty", "blank", "no text"])
def test_a_token_file_without_a_token_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(Unanswered, match="needs the token in"):
        headers(token_file=tmp_path / "token")


@pytest.mark.parametrize("token", ["secret\nX-Other: y", "secret value", "sécret"], ids=["header", "space", "letters"])
def test_a_token_that_would_be_more_than_a_token_is_refused_where_it_comes_from(tmp_path: Path, token: str) -> None:
    file, program = tmp_path / "token", tmp_path / "give"
    file.write_text(token)
    program.write_text(f"#!/bin/sh\necho '{json.dumps({'status': {'token': token}})}'\n".replace("\\n", "\\\\n"))
    program.chmod(0o700)
    ways: list[tuple[dict[str, Any], type[AccessError], str, str]] = [
        ({"token": token}, Unusable, "the-file: the token of plum", "correct the token of the user in the-file"),
        ({"token_file": file}, Unusable, f"{file}: the token of plum", f"put one token into {file}"),
        ({"exec_plugin": Exec(str(program))}, NotGiven, f"program of plum ({program})", f"run it by hand: {program}"),
    ]
    for user, kind, said, remedy in ways:
        with pytest.raises(AccessError) as caught:
            headers(**user)
        assert type(caught.value) is kind
        assert said in caught.value.message
        assert "that no token has" in caught.value.message
        assert (caught.value.remedy or "").startswith(remedy)
        assert "cret" not in caught.value.message


MINE = {
    "token": {"token": "SECRET"},
    "tokenFile": {"token_file": Path("/none")},
    "username": {"basic": ("me", "SECRET")},
    "exec": {"exec_plugin": Exec("sh", ("-c", "touch ran"))},
    "client certificate": {"certificate": b"SECRET", "key": b"SECRET"},
    "as": {"impersonate": (("Impersonate-User", "SECRET"),)},
}


@pytest.mark.parametrize("kind", MINE)
@pytest.mark.parametrize(
    ("server", "proxy", "environment"),
    [
        pytest.param("http://10.1.2.3:80", None, {}, id="direct"),
        pytest.param("http://api.plum.test", None, {"HTTP_PROXY": "http://127.0.0.1:{}"}, id="by the environment's proxy"),
        pytest.param("http://10.1.2.3:80", None, {"http_proxy": "127.0.0.1:{}"}, id="by its small letters"),
        pytest.param("http://10.1.2.3:80", "http://127.0.0.1:{}", {}, id="by proxy-url"),
        pytest.param("http://127.0.0.1:80", "http://10.1.2.3:{}", {}, id="this machine by another's proxy"),
    ],
)
def test_nothing_is_sent_in_the_clear_to_another_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, server: str, proxy: str | None, environment: dict[str, str]
) -> None:
    """No connection is tried, neither to the server nor to a proxy, no name is looked up, no program run."""
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    tried: list[Any] = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **_: tried.append(a))
    monkeypatch.setattr("socket.socket.connect", lambda *a: tried.append(a))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(port))
        there = Access("plum", server, "the-file", "ctx", proxy=proxy and proxy.format(port), **MINE[kind])  # type: ignore[arg-type]
        with pytest.raises(Unusable, match="in the clear") as caught:
            get_now(there, "/version", seconds=5)
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert tried == []
    assert list(tmp_path.iterdir()) == []
    assert all(part in caught.value.message for part in ("the-file", "ctx", "plum", server, kind))
    assert "the-file" in str(caught.value.remedy)
    assert "SECRET" not in caught.value.message


def test_this_machine_or_tls_gets_the_credentials_that_there_are() -> None:
    for server in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://x"):
        assert len(asyncio.run(obtain(Access("plum", server, "f", token="t"))).headers) == 1, server
    assert asyncio.run(obtain(Access("plum", "http://api.plum.test", "f"))) == Credentials()


def pair(name: str) -> tuple[bytes, bytes]:
    """Certificate and key."""
    key, certificate = _certificate(name, None)
    return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)


PEM, KEY = pair("me")


def test_trust_is_the_kubeconfigs_own() -> None:
    def context(**cluster: Any) -> ssl.SSLContext:
        made = tls.context(access(**cluster))
        assert made is not None
        return made

    only = context(ca="Schlüssel der Wurzel\n".encode() + PEM)
    assert [each["subject"] for each in only.get_ca_certs()] == [((("commonName", "me"),),)]
    assert only.check_hostname
    assert only.verify_mode is ssl.CERT_REQUIRED
    assert context(insecure=True).verify_mode is ssl.CERT_NONE
    assert context().verify_mode is ssl.CERT_REQUIRED
    assert context(ca=PEM, certificate=PEM, key=KEY).get_ca_certs()
    assert tls.context(Access("plum", "http://x", "f", ca=b"no matter")) is None


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param({"ca": b"rubbish"}, id="CA is rubbish"),
        pytest.param({"ca": b""}, id="CA is empty"),
        pytest.param({"ca": b"\xff\xfe"}, id="CA is no text"),
        pytest.param({"ca": KEY}, id="CA is a key"),
        pytest.param({"certificate": b"rubbish", "key": KEY}, id="certificate is rubbish"),
        pytest.param({"certificate": PEM, "key": b""}, id="key is empty"),
        pytest.param({"certificate": PEM, "key": pair("other")[1]}, id="key of another"),
    ],
)
def test_what_is_no_certificate_is_reported(cluster: dict[str, Any]) -> None:
    with pytest.raises(Unusable, match="the-file: the c") as caught:
        tls.context(access(**cluster))
    assert caught.value.remedy


ON_A_TERMINAL = """
import os, sys
os.open(sys.argv[1], os.O_RDWR)  # the first terminal of a new session is its own
from pathlib import Path
from access import errors, kubeconfig, tls
pair = Path(sys.argv[2]).read_bytes()
try:
    tls.context(kubeconfig.Access("plum", "https://x", "the-file", "ctx", certificate=pair, key=pair))
except errors.Unusable as problem:
    print(problem)
"""


def test_a_key_with_a_password_is_reported_without_asking_for_it(tmp_path: Path) -> None:
    key, certificate = _certificate("me", None)
    pem, secret = serialization.Encoding.PEM, serialization.BestAvailableEncryption(b"secret")
    pair = certificate.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, secret)
    (tmp_path / "pair.pem").write_bytes(pair)
    terminal, other = os.openpty()
    try:
        command = [sys.executable, "-c", ON_A_TERMINAL, os.ttyname(other), str(tmp_path / "pair.pem")]
        done = subprocess.run(command, stdout=subprocess.PIPE, start_new_session=True, timeout=30, check=True, text=True)
        os.set_blocking(terminal, False)
        with pytest.raises(BlockingIOError):  # nothing was written to it
            os.read(terminal, 100)
    finally:
        os.close(terminal)
        os.close(other)
    assert "the key without a password" in done.stdout


def test_a_machine_without_room_for_a_key_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(AccessError, match="No such file"):
        tls.context(access(certificate=PEM, key=KEY))
