"""Reads the edge's record from a cluster, before anything is written there.

The record (ConfigMap `istio-system/bluegreen-edge`) says which generation of intent a gateway holds. A file older than
that must not send users back to green, so the program has to know it while it runs. One GET per cluster with what the
kubeconfig says; a cluster that does not answer in time yields None, because a dead green must never stop a `pulumi up`
that takes users away from it.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import subprocess
import tempfile
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import routing

TIMEOUT_SECONDS = 2.0
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


def read_live(kubeconfig: str, context: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> Live | None:
    """None: not reachable, or not allowed to look."""
    server, cluster, user = _entries(kubeconfig, context)
    try:
        headers, certificate = _credentials(user)
        status, body = _get(server, _trust(cluster, certificate), headers, timeout_seconds)
    except (OSError, http.client.HTTPException, subprocess.SubprocessError):
        return None
    if status == 404:
        return NOTHING
    return parse_record(body) if status == 200 else None


def parse_record(body: bytes) -> Live:
    """A record that cannot be understood counts as none: it is written anew."""
    try:
        return Live(*routing.read_record(json.loads(body)))
    except (ValueError, AttributeError):
        return NOTHING


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


def _get(
    server: urllib.parse.SplitResult, trust: ssl.SSLContext, headers: dict[str, str], timeout_seconds: float
) -> tuple[int, bytes]:
    host = server.hostname or ""
    connection: http.client.HTTPConnection
    if server.scheme == "https":
        connection = http.client.HTTPSConnection(host, server.port, timeout=timeout_seconds, context=trust)
    else:
        connection = http.client.HTTPConnection(host, server.port, timeout=timeout_seconds)
    try:
        connection.request("GET", server.path.rstrip("/") + RECORD_PATH, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(LIMIT_BYTES)
    finally:
        connection.close()
