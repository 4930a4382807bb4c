"""Reads the edge's record from a cluster, before anything is written there.

The record (ConfigMap `istio-system/bluegreen-edge`) says which generation of intent a gateway holds. A file older than
that must not send users back to green, so the program has to know it while it runs. One GET per cluster with what the
kubeconfig says, its proxy and server name included, since Pulumi's provider writes by them.

Three answers are told apart: a record; an API server that says by its own Status that there is none, which is proof that
nothing was ever written there; and everything else (refused, late, another server, words that are no record), which
proves nothing and yields None. None never stops an `up` that takes users away from green, and never lets one send
more of them there (stacks/edge.py).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import routing

TIMEOUT_SECONDS = 10.0  # for the whole answer: a slow cluster that is given up too early may not be raised
GIVE_UP_AGAIN_SECONDS = 0.05
CREDENTIAL_TIMEOUT_SECONDS = 15.0  # `aws eks get-token` starts an interpreter first
RECORD_PATH = "/api/v1/namespaces/istio-system/configmaps/bluegreen-edge"
LIMIT_BYTES = 2_000_000


@dataclass(frozen=True)
class Live:
    """What a gateway holds. `generation` None: reached, and nothing was ever written there."""

    generation: int | None
    services: Mapping[str, int]
    entry: Mapping[str, int]


NOTHING = Live(None, {}, {})


class BadKubeconfig(ValueError):
    """The kubeconfig itself is wrong: that is a mistake to be told, not an unreachable cluster."""


def read_live(
    kubeconfig: str,
    context: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    tell: Callable[[str], None] = lambda why: None,
) -> Live | None:
    """None: what is live cannot be known; `tell` is told why."""
    server, cluster, user = _entries(kubeconfig, context)
    try:
        headers, certificate = _credentials(user)
        status, body = _get(server, cluster, _trust(cluster, certificate), headers, timeout_seconds)
    except (OSError, http.client.HTTPException, subprocess.SubprocessError, ValueError, KeyError, TypeError) as problem:
        tell(f"{server.geturl()}: {problem or type(problem).__name__}")
        return None
    if status == 200:
        try:
            return parse_record(body)
        except ValueError as problem:
            tell(f"{server.geturl()} answers 200, and not with the edge's record: {problem}")
    elif status == 404 and _says_there_is_none(body):
        return NOTHING
    else:
        whose = "" if _status_of(body) else ", which is no API server's answer"
        tell(f"{server.geturl()} answers {status}{whose}: {body[:200].decode(errors='replace').strip() or 'nothing more'}")
    return None


def parse_record(body: bytes) -> Live:
    """Raises ValueError: not the edge's ConfigMap, or not what `routing.record` writes into it."""
    document = json.loads(body)
    meta = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(meta, dict) or (document.get("kind"), meta.get("name")) != ("ConfigMap", routing.RECORD_NAME):
        raise ValueError(f"allowed: ConfigMap {routing.EDGE_NAMESPACE}/{routing.RECORD_NAME}")
    if not isinstance(document.get("data"), dict):
        raise ValueError("it has no data")
    return Live(*routing.read_record(document))


def _status_of(body: bytes) -> dict[str, Any] | None:
    """The Status object by which an API server refuses."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("kind") == "Status" else None


def _says_there_is_none(body: bytes) -> bool:
    """A proxy or another server answers 404 too, and a server that lacks the kind: only this one means our object."""
    status = _status_of(body) or {}
    details = status.get("details")
    return (
        status.get("reason") == "NotFound"
        and isinstance(details, dict)
        and (details.get("kind"), details.get("name")) == ("configmaps", routing.RECORD_NAME)
    )


def newest(records: Mapping[str, Live | None]) -> Live:
    """Both gateways hold the same record; where a write reached one of them only, the later one counts."""
    found = [live for live in records.values() if live is not None and live.generation is not None]
    return max(found, key=lambda live: live.generation or 0, default=NOTHING)


def _entries(kubeconfig: str, context: str | None) -> tuple[urllib.parse.SplitResult, dict[str, Any], dict[str, Any]]:
    try:
        document = yaml.safe_load(kubeconfig)  # JSON is YAML
        contexts = {item["name"]: item["context"] for item in document["contexts"]}
        chosen = contexts[context or document["current-context"]]
        cluster = {item["name"]: item["cluster"] for item in document["clusters"]}[chosen["cluster"]]
        user = {item["name"]: item["user"] for item in document["users"]}[chosen["user"]]
        return urllib.parse.urlsplit(cluster["server"]), cluster, user
    except yaml.YAMLError as problem:
        raise BadKubeconfig("the kubeconfig is neither JSON nor YAML") from problem
    except (KeyError, TypeError) as problem:
        raise BadKubeconfig(
            f"the kubeconfig has no complete context {context or '(current)'}: {problem} is missing"
        ) from problem


def _credentials(user: Mapping[str, Any]) -> tuple[dict[str, str], tuple[bytes, bytes] | None]:
    headers = {"Accept": "application/json"}
    if plugin := user.get("exec"):
        user = _run_plugin(plugin)
    token = user.get("token")
    if not token and user.get("tokenFile"):
        token = Path(user["tokenFile"]).read_text().strip()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif user.get("username"):
        headers["Authorization"] = _basic(str(user["username"]), str(user.get("password") or ""))
    pem, key = _content(user, "client-certificate"), _content(user, "client-key")
    return headers, (pem, key) if pem and key else None


def _run_plugin(plugin: Mapping[str, Any]) -> dict[str, Any]:
    """The credential program that the kubeconfig names, as client-go runs it."""
    version = plugin.get("apiVersion", "client.authentication.k8s.io/v1")
    asked = {"kind": "ExecCredential", "apiVersion": version, "spec": {"interactive": False}}
    environment = {item["name"]: item["value"] for item in plugin.get("env") or []}
    answer = subprocess.run(
        [plugin["command"], *(plugin.get("args") or [])],
        env={**os.environ, **environment, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=CREDENTIAL_TIMEOUT_SECONDS,
        check=True,
    )
    try:
        status = json.loads(answer.stdout)["status"]
    except (ValueError, KeyError, TypeError) as problem:
        raise OSError(f"{plugin['command']} gave no ExecCredential") from problem
    return {
        "token": status.get("token"),
        "client-certificate-data": _encoded(status.get("clientCertificateData")),
        "client-key-data": _encoded(status.get("clientKeyData")),
    }


def _encoded(pem: str | None) -> str | None:
    return base64.b64encode(pem.encode()).decode() if pem else None


def _content(entry: Mapping[str, Any], key: str) -> bytes | None:
    if data := entry.get(f"{key}-data"):
        return base64.b64decode(data)
    return Path(entry[key]).read_bytes() if entry.get(key) else None


def _trust(cluster: Mapping[str, Any], certificate: tuple[bytes, bytes] | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority := _content(cluster, "certificate-authority"):
        context.load_verify_locations(cadata=authority.decode())
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:  # ssl takes them from a file only
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(certificate[0] + b"\n" + certificate[1])
            file.flush()
            context.load_cert_chain(file.name)
    return context


class _Connection(http.client.HTTPConnection):
    """To an API server: through a proxy where there is one, and with TLS to the name that its certificate has."""

    def __init__(
        self, server: urllib.parse.SplitResult, proxy: str | None, trust: ssl.SSLContext, name: str, timeout_seconds: float
    ) -> None:
        secure = server.scheme == "https"
        host, port = server.hostname or "", server.port or (443 if secure else 80)
        self._trust = trust if secure else None
        self._name = name or host
        if proxy is None:
            super().__init__(host, port, timeout=timeout_seconds)
            return
        through = urllib.parse.urlsplit(proxy if "//" in proxy else f"http://{proxy}")
        if through.scheme != "http":
            raise OSError(f"a proxy by {through.scheme} cannot be used for this look; allowed: http")
        super().__init__(through.hostname or "", through.port or 80, timeout=timeout_seconds)
        user = urllib.parse.unquote(through.username or ""), urllib.parse.unquote(through.password or "")
        self.set_tunnel(f"[{host}]" if ":" in host else host, port, {"Proxy-Authorization": _basic(*user)} if user[0] else {})

    def connect(self) -> None:
        super().connect()
        if self._trust:
            self.sock = self._trust.wrap_socket(self.sock, server_hostname=self._name)


def _basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _proxy(server: urllib.parse.SplitResult, cluster: Mapping[str, Any]) -> str | None:
    """The kubeconfig's, else the environment's, as kubectl takes them: the latter never for this machine itself."""
    if own := cluster.get("proxy-url"):
        return str(own)
    host = server.hostname or ""
    if host == "localhost" or host == "::1" or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(server.scheme)


def _get(
    server: urllib.parse.SplitResult,
    cluster: Mapping[str, Any],
    trust: ssl.SSLContext,
    headers: dict[str, str],
    timeout_seconds: float,
) -> tuple[int, bytes]:
    name = str(cluster.get("tls-server-name") or "")
    connection = _Connection(server, _proxy(server, cluster), trust, name, timeout_seconds)
    late, done = threading.Event(), threading.Event()

    def give_up() -> None:  # the socket's own limit starts anew with every byte
        done.wait(timeout_seconds)
        while not done.wait(GIVE_UP_AGAIN_SECONDS):
            late.set()
            if (sock := connection.sock) is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    threading.Thread(target=give_up, daemon=True).start()
    try:
        connection.request("GET", server.path.rstrip("/") + RECORD_PATH, headers=headers)
        response = connection.getresponse()
        answer = response.status, response.read(LIMIT_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        if late.is_set():
            raise TimeoutError(f"no answer within {timeout_seconds:g} s") from problem
        raise
    finally:
        done.set()
        connection.close()
    if late.is_set():
        raise TimeoutError(f"no whole answer within {timeout_seconds:g} s")
    return answer
