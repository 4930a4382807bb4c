"""Reads a kubeconfig: which server, how it is trusted, who we are.

Written by hand because the libraries that do it take longer to import than the whole command may take to answer
`--help`, and because a wrong file or context deserves an answer that names the file and what is in it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import signal
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from migration.errors import ConfigError, Unreachable

if TYPE_CHECKING:
    import asyncio

PLUGIN_SECONDS = 15.0  # `aws eks get-token` starts an interpreter first


@dataclass(frozen=True)
class Access:
    """Everything needed to open connections to one API server."""

    cluster: str
    server: str
    source: str
    context: str = ""
    insecure: bool = False
    ca: str | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    basic: tuple[str, str] | None = field(default=None, repr=False)
    exec_plugin: Mapping[str, Any] | None = field(default=None, repr=False)
    proxy: str | None = None
    tls_server_name: str | None = None

    @property
    def endpoint(self) -> tuple[str, int, str, str, str]:
        """What two descriptions of one cluster share, whatever they are called: where connections go to."""
        url = urlsplit(self.server)
        port = url.port or (443 if url.scheme == "https" else 80)
        return (url.hostname or "", port, url.path.rstrip("/"), self.proxy or "", self.tls_server_name or "")

    def tls(self, certificate: bytes | None = None, key: bytes | None = None) -> ssl.SSLContext | None:
        """The trust of this server; None for plain HTTP."""
        if not self.server.startswith("https"):
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca:
            try:
                context.load_verify_locations(cadata=self.ca)
            except ssl.SSLError as problem:
                raise ConfigError(
                    f"{self.source}: the certificate authority of {self.server} cannot be read ({problem.reason}): "
                    "certificate-authority-data must be PEM in base64",
                    remedy=f"mend certificate-authority-data of context {self.context} in {self.source}",
                ) from problem
        else:
            context.load_default_certs()
        certificate, key = certificate or self.certificate, key or self.key
        if certificate and key:
            _load_pair(context, certificate, key, self.source)
        return context


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes, source: str) -> None:
    # OpenSSL through Python takes a key from a file only; the folder is readable by us alone and gone at once
    with tempfile.TemporaryDirectory(prefix="bluegreen-") as folder:
        pair = Path(folder) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(certificate + b"\n" + key)
        try:
            context.load_cert_chain(pair)
        except ssl.SSLError as problem:
            raise ConfigError(
                f"{source}: the client certificate and key cannot be used ({problem.reason}); allowed: a pair in PEM",
                remedy=f"mend client-certificate and client-key of the user in {source}",
            ) from problem


def load(kubeconfig: str | Path, context: str | None = None, *, cluster: str | None = None) -> Access:
    """Reads a kubeconfig file, or its text where a stack output holds it as JSON."""
    if isinstance(kubeconfig, str) and kubeconfig.lstrip().startswith("{"):
        return _access(_parse(kubeconfig, "kubeconfig"), "kubeconfig", Path.cwd(), context, cluster)
    path = Path(kubeconfig).expanduser()
    try:
        text = path.read_text()
    except OSError as problem:
        raise ConfigError(
            f"{path}: the kubeconfig{' of ' + cluster if cluster else ''} cannot be read ({problem.strerror})",
            remedy="set `kubeconfig` of this cluster in migration.yaml",
        ) from problem
    return _access(_parse(text, str(path)), str(path), path.parent, context, cluster)


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        import yaml  # late: JSON needs no YAML

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            document = yaml.load(text, Loader=loader)
        except yaml.YAMLError as problem:
            raise ConfigError(
                f"{source}: not a kubeconfig, its YAML is broken: {str(problem)[:300]}", remedy=f"mend {source}"
            ) from problem
    if not isinstance(document, dict):
        raise ConfigError(
            f"{source}: not a kubeconfig: a mapping with clusters, users and contexts was expected", remedy=f"mend {source}"
        )
    return document


def _names(document: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    singular = key[:-1]
    return {
        entry["name"]: entry.get(singular) or {}
        for entry in document.get(key) or []
        if isinstance(entry, dict) and "name" in entry
    }


def _access(document: Mapping[str, Any], source: str, folder: Path, context: str | None, cluster: str | None) -> Access:
    contexts = _names(document, "contexts")
    chosen = context or document.get("current-context") or (next(iter(contexts)) if len(contexts) == 1 else "")
    if chosen not in contexts:
        there = ", ".join(sorted(contexts)) or "none"
        asked = f"no context {chosen!r}" if chosen else "no current-context and none was asked for"
        raise ConfigError(
            f"{source}: {asked}; contexts there: {there}", remedy=f"kubectl --kubeconfig {source} config get-contexts"
        )
    where = contexts[chosen]
    servers, users = _names(document, "clusters"), _names(document, "users")
    server = servers.get(where.get("cluster", ""))
    if server is None or not server.get("server"):
        there = ", ".join(sorted(servers)) or "none"
        raise ConfigError(
            f"{source}: context {chosen!r} names cluster {where.get('cluster')!r}, which has no server; "
            f"clusters there: {there}",
            remedy=f"kubectl --kubeconfig {source} config view",
        )
    user = users.get(where.get("user", ""), {})

    def content(owner: Mapping[str, Any], key: str) -> bytes | None:
        if data := owner.get(f"{key}-data"):
            try:
                return base64.b64decode(data, validate=False)
            except (binascii.Error, ValueError) as problem:
                raise ConfigError(
                    f"{source}: {key}-data of context {chosen!r} is not base64", remedy=f"mend {key}-data in {source}"
                ) from problem
        if name := owner.get(key):
            try:
                return (folder / Path(name).expanduser()).read_bytes()
            except OSError as problem:
                raise ConfigError(
                    f"{source}: {key} of context {chosen!r} cannot be read: {name} ({problem.strerror})",
                    remedy=f"put the file there, or correct {key} in {source}",
                ) from problem
        return None

    authority = content(server, "certificate-authority")
    basic = (user["username"], user.get("password", "")) if user.get("username") else None
    return Access(
        cluster=cluster or chosen,
        server=str(server["server"]).rstrip("/"),
        source=source,
        context=chosen,
        insecure=bool(server.get("insecure-skip-tls-verify")),
        ca=authority.decode() if authority else None,
        certificate=content(user, "client-certificate"),
        key=content(user, "client-key"),
        token=user.get("token"),
        token_file=folder / Path(user["tokenFile"]).expanduser() if user.get("tokenFile") else None,
        basic=basic,
        exec_plugin=user.get("exec"),
        proxy=server.get("proxy-url"),
        tls_server_name=server.get("tls-server-name"),
    )


async def run_exec_plugin(access: Access, timeout_seconds: float = PLUGIN_SECONDS) -> dict[str, Any]:
    """Asks the credential program that the kubeconfig names (`aws eks get-token`); returns the status of its
    ExecCredential. A program that hangs is ended.
    """
    import asyncio

    plugin = access.exec_plugin or {}
    command = [str(plugin.get("command", "")), *map(str, plugin.get("args") or [])]
    version = plugin.get("apiVersion", "client.authentication.k8s.io/v1")
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {
        **os.environ,
        **{e["name"]: e["value"] for e in plugin.get("env") or []},
        "KUBERNETES_EXEC_INFO": json.dumps(info),
    }
    shown = f"{access.source}: the credential program of {access.cluster} ({' '.join(command)})"
    remedy = f"run it by hand: {' '.join(command)}; or mend `exec` of the user in {access.source}"
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # what it starts itself ends with it
        )
    except OSError as problem:
        hint = plugin.get("installHint") or "install it or put it on PATH"
        raise ConfigError(f"{shown} cannot be run: {problem.strerror}", remedy=hint) from problem
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), timeout_seconds)
    except TimeoutError as problem:
        await _end(process)
        raise Unreachable(f"{shown} did not answer within {timeout_seconds:g} s", remedy=remedy) from problem
    except asyncio.CancelledError:
        await _end(process)
        raise
    if process.returncode != 0:
        said = complaint.decode(errors="replace").strip()[-500:]
        raise ConfigError(f"{shown} failed with {process.returncode}: {said}", remedy=remedy)
    try:
        status = json.loads(output)["status"]
    except (ValueError, KeyError, TypeError) as problem:
        raise ConfigError(f"{shown} did not answer with an ExecCredential", remedy=remedy) from problem
    return dict(status)


async def _end(process: asyncio.subprocess.Process) -> None:
    """With what it started itself; a child that left its group may hold the pipes open, and is not waited for."""
    import asyncio

    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), 1.0)
