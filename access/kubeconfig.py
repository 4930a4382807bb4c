"""Reads a kubeconfig: which server, how it is trusted, who we are.

Written by hand because the libraries that do it take longer to import than the whole command may take to answer
`--help`, and because a wrong file or context deserves an answer that names the file and what is in it.

As client-go reads it (tools/clientcmd), but for these: `~` in paths is the home folder; the one context of a file needs
no current-context; a context without a user is anonymous; a server needs its scheme; `auth-provider` is refused, as is a
proxy that is not reached by plain HTTP (see proxy). Only the entries of the chosen context must be right.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import manifests
from access.errors import AccessError, BadKubeconfig, Unusable
from access.fields import Fields

EXEC_EXTENSION = "client.authentication.k8s.io/exec"
MODES = ("", "Never", "IfAvailable")
MOST_BYTES = 4_000_000  # of a kubeconfig, a certificate or a token: more is another file
PATHS = {
    "clusters": ("cluster", ("certificate-authority",)),
    "users": ("user", ("client-certificate", "client-key", "tokenFile")),
}


@dataclass(frozen=True)
class Exec:
    """A credential program. `command` is found on PATH unless it has a slash."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    version: str = "client.authentication.k8s.io/v1"
    hint: str = ""
    cluster: Mapping[str, Any] | None = None  # what it is told of the cluster, where it asks for that


@dataclass(frozen=True)
class Access:
    """Everything needed to open connections to one API server. `cluster` is what messages call it."""

    cluster: str
    server: str
    source: str
    context: str = ""
    namespace: str = "default"
    insecure: bool = False
    ca: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    basic: tuple[str, str] | None = field(default=None, repr=False)
    exec_plugin: Exec | None = None
    impersonate: tuple[tuple[str, str], ...] = ()  # headers
    proxy: str | None = field(default=None, repr=False)  # may have a password in it
    tls_server_name: str | None = None

    @property
    def endpoint(self) -> tuple[str, int, str, str, str]:
        """What two descriptions of one cluster share, whatever they are called: where connections go to."""
        url = urlsplit(self.server)
        return (url.hostname or "", port_of(url), url.path.rstrip("/"), self.proxy or "", self.tls_server_name or "")


def port_of(url: SplitResult) -> int:
    """The port that a URL leads to: 443 for https and 80 for anything else, unless given."""
    return url.port or (443 if url.scheme == "https" else 80)


def load(
    kubeconfig: str | Path, context: str | None = None, *, cluster: str | None = None, server_of: str | None = None
) -> Access:
    """Reads a kubeconfig file, or its text where a stack output holds it (as JSON, or YAML of several lines).

    `cluster` is the name for messages, the context's unless given; `server_of` an entry of `clusters` in place of the
    context's.

    Raises:
        BadKubeconfig: not to be read, or nothing in it leads to a server.
        Unusable: what it says of trust, user or proxy cannot be used.
    """
    if isinstance(kubeconfig, str) and (kubeconfig.lstrip().startswith("{") or "\n" in kubeconfig):
        return read(kubeconfig, context, cluster=cluster, server_of=server_of)
    text, source, folder = _text(kubeconfig, f" of {cluster}" if cluster else "")
    return _access(_parse(text, source), folder, context, cluster, server_of)


def read(text: str, context: str | None = None, *, cluster: str | None = None, server_of: str | None = None) -> Access:
    """The text of a kubeconfig; its relative paths are those of the working folder. Raises as `load` does."""
    return _access(_parse(text, "kubeconfig"), Path(), context, cluster, server_of)


def portable(path: Path) -> str:
    """The text of a kubeconfig that means the same wherever it is read: paths that are relative to its folder made whole.

    Raises:
        BadKubeconfig: not to be read.
    """
    text, source, folder = _text(path, "")
    document = _parse(text, source)
    changed = False
    for section, (inner, keys) in PATHS.items():
        for entry in document.items(section):
            values = entry.values.get(inner)
            if not isinstance(values, dict):
                continue
            program = values.get("exec")
            owners = [(values, key) for key in keys]
            if isinstance(program, dict) and isinstance(program.get("command"), str) and "/" in program["command"]:
                owners.append((program, "command"))
            for owner, key in owners:
                value = owner.get(key)
                if isinstance(value, str) and value and str(whole := _path(folder, value)) != value:
                    owner[key] = str(whole)
                    changed = True
    return json.dumps(document.values) if changed else text


def _text(kubeconfig: str | Path, whose: str) -> tuple[str, str, Path]:
    """(text, what messages call it, the folder that its paths are relative to)"""
    try:
        path = Path(kubeconfig).expanduser()
        content = _bytes(path, stdin=True)
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        return content.decode("utf-8-sig"), str(path), path.absolute().parent
    except (OSError, ValueError, RuntimeError) as problem:
        raise BadKubeconfig(
            f"{kubeconfig}: the kubeconfig{whose} cannot be read ({_why(problem)})",
            remedy="set `kubeconfig` of this cluster in migration.yaml",
        ) from problem


def _why(problem: Exception) -> str:
    if isinstance(problem, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (problem.strerror if isinstance(problem, OSError) else None) or str(problem) or type(problem).__name__


def _parse(text: str, source: str) -> Fields:
    documents = [each for each in manifests.read(text) if each.value is not None or each.problem]
    for each in documents:
        if each.problem:
            raise BadKubeconfig(
                f"{source}: not a kubeconfig, its YAML is broken: {each.problem[:300]}", remedy=f"correct {source}"
            )
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise BadKubeconfig(
            f"{source}: not a kubeconfig: a mapping with clusters, users and contexts was expected", remedy=f"correct {source}"
        )
    return Fields(documents[0].value, "", source)


def _named(document: Fields, section: str) -> dict[str, Fields]:
    entries: dict[str, Fields] = {}
    for entry in document.items(section):
        name = entry.text("name")
        if name in entries:
            raise document.wrong(section, f"has {name!r} twice", f"keep one {name} in {section} of {document.source}")
        entries[name] = entry
    return entries


def _access(document: Fields, folder: Path, context: str | None, cluster: str | None, server_of: str | None) -> Access:
    source = document.source
    contexts = _named(document, "contexts")
    chosen = context or document.text("current-context") or (next(iter(contexts)) if len(contexts) == 1 else "")
    if chosen not in contexts:
        asked = f"no context {chosen!r}" if chosen else "no current-context and none was asked for"
        raise BadKubeconfig(
            f"{source}: {asked}; contexts there: {_list(contexts)}", remedy=f"kubectl --kubeconfig {source} config get-contexts"
        )
    where = contexts[chosen].inner("context")
    clusters, users = _named(document, "clusters"), _named(document, "users")
    named = server_of or where.text("cluster")
    cluster_entry = clusters[named].inner("cluster") if named in clusters else None
    if cluster_entry is None or not cluster_entry.text("server"):
        raise BadKubeconfig(
            f"{source}: context {chosen!r} names cluster {named!r}, which has no server; clusters there: {_list(clusters)}",
            remedy=f"kubectl --kubeconfig {source} config view",
        )
    server = _server(cluster_entry)
    cluster_entry = Fields(cluster_entry.values, f"cluster {named}", source, Unusable)
    whose = where.text("user")
    if whose and whose not in users:
        raise Unusable(
            f"{source}: context {chosen!r} names user {whose!r}; users there: {_list(users)}",
            remedy=f"kubectl --kubeconfig {source} config view",
        )
    entry = (
        Fields(users[whose].values, f"user {whose}", source, Unusable).inner("user") if whose else Fields({}, "user", source)
    )
    user = Fields(entry.values, f"user {whose}", source, Unusable)
    return Access(
        cluster=cluster or chosen,
        server=server,
        source=source,
        context=chosen,
        namespace=where.text("namespace") or "default",
        proxy=cluster_entry.text("proxy-url") or None,
        tls_server_name=cluster_entry.text("tls-server-name") or None,
        **_trust(cluster_entry, folder),
        **_user(user, folder, _cluster_info(cluster_entry, server)),
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _server(cluster: Fields) -> str:
    server = cluster.text("server")
    try:
        url = urlsplit(server)
        right = url.scheme in ("http", "https") and url.hostname and url.username is None and port_of(url)
    except ValueError:
        right = None
    if not right or not server.isascii() or not server.isprintable() or " " in server:
        raise cluster.wrong("server", f"is {server!r}; allowed: https://HOST[:PORT][/PATH]")
    return url._replace(query="", fragment="").geturl().rstrip("/")


def _trust(cluster: Fields, folder: Path) -> dict[str, Any]:
    authority = _content(cluster, "certificate-authority", folder)
    insecure = cluster.flag("insecure-skip-tls-verify")
    if insecure and authority:  # client-go refuses this too, so that nobody believes in a CA that is not asked
        raise cluster.wrong(
            "insecure-skip-tls-verify",
            "is true beside certificate-authority, which would not be asked; allowed: one of them",
            f"remove insecure-skip-tls-verify of {cluster.where} in {cluster.source}",
        )
    return {"ca": authority, "insecure": insecure}


def _user(user: Fields, folder: Path, cluster: Mapping[str, Any]) -> dict[str, Any]:
    if user.values.get("auth-provider"):
        raise user.wrong(
            "auth-provider", "is not supported; allowed: exec, token, tokenFile, client-certificate, username",
            f"use the credential program of the provider as `exec` of the user in {user.source}",
        )  # fmt: skip
    certificate, key = _content(user, "client-certificate", folder), _content(user, "client-key", folder)
    if (certificate is None) != (key is None):
        missing = "client-key" if key is None else "client-certificate"
        raise user.wrong(missing, "is missing; a client certificate needs both client-certificate and client-key")
    name, password = user.text("username"), user.text("password")
    token, file = user.text("token"), user.text("tokenFile")
    if (name or password) and (token or file):
        raise user.wrong("username", "is given beside a token; allowed: one of them")
    if ":" in name:
        raise user.wrong("username", "has a colon in it, which basic authentication cannot send")
    return {
        "certificate": certificate,
        "key": key,
        "token": token or None,
        "token_file": _path(folder, file) if file else None,
        "basic": (name, password) if name or password else None,
        "exec_plugin": _exec(user, folder, cluster) if user.values.get("exec") is not None else None,
        "impersonate": _impersonate(user),
    }


def _exec(user: Fields, folder: Path, cluster: Mapping[str, Any]) -> Exec:
    plugin = user.inner("exec")
    command = plugin.text("command")
    if not command:
        raise plugin.wrong("command", "is missing; allowed: a program")
    mode = plugin.text("interactiveMode")
    if mode == "Always":
        raise plugin.wrong(
            "interactiveMode",
            "is Always, but the program would ask a person in the middle of a migration; allowed: Never, IfAvailable",
            f"use a credential program that needs no input, or a token, in {plugin.source}",
        )
    if mode not in MODES:
        raise plugin.wrong("interactiveMode", f"is {mode!r}; allowed: Never, IfAvailable")
    env: dict[str, str] = {}
    for entry in plugin.items("env"):
        name = entry.text("name")
        if not name or "=" in name:
            raise entry.wrong("name", "is no name of a variable")
        env[name] = entry.text("value")
    program = Exec(
        str(_path(folder, command)) if "/" in command else command,
        plugin.texts("args"),
        env,
        plugin.text("apiVersion") or Exec.version,
        plugin.text("installHint"),
        cluster if plugin.flag("provideClusterInfo") else None,
    )
    if any("\0" in part for part in (program.command, *program.args, *env, *env.values())):
        raise plugin.wrong("command", "has a null byte in it, in args or in env")
    return program


def _cluster_info(cluster: Fields, server: str) -> dict[str, Any]:
    """What a credential program may know: ExecCredential.spec.cluster."""
    keys = ("tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url", "disable-compression")
    info = {"server": server, **{key: cluster.values[key] for key in keys if cluster.values.get(key)}}
    extensions = cluster.values.get("extensions")
    for each in extensions if isinstance(extensions, list) else ():
        if isinstance(each, dict) and each.get("name") == EXEC_EXTENSION:
            info["config"] = each.get("extension")
    return info


def _impersonate(user: Fields) -> tuple[tuple[str, str], ...]:
    name, uid, groups, extra = user.text("as"), user.text("as-uid"), user.texts("as-groups"), user.inner("as-user-extra")
    if not name and (uid or groups or extra.values):
        raise user.wrong("as", "is missing beside as-uid, as-groups or as-user-extra")
    headers = [("Impersonate-User", name)] if name else []
    headers += [("Impersonate-Uid", uid)] if uid else []
    headers += [("Impersonate-Group", group) for group in groups]
    headers += [(f"Impersonate-Extra-{key}", value) for key in extra.values for value in extra.texts(key)]
    for header, value in headers:
        if not header.isascii() or not header.replace("-", "").isalnum() or not value.isprintable():
            raise user.wrong("as", "and what is beside it must be printable texts")
    return tuple(headers)


def _path(folder: Path, name: str) -> Path:
    try:
        return folder / Path(name).expanduser()
    except RuntimeError:  # no home folder is known
        return folder / name


def _content(owner: Fields, key: str, folder: Path) -> bytes | None:
    """What `key-data` holds, else what is in the file that `key` names."""
    if data := owner.text(f"{key}-data"):
        try:
            return base64.b64decode(data.replace("\n", "").replace("\r", ""), validate=True)
        except (binascii.Error, ValueError) as problem:
            raise owner.wrong(f"{key}-data", "is not base64") from problem
    if not (name := owner.text(key)):
        return None
    try:
        return read_file(_path(folder, name))
    except AccessError as problem:
        raise owner.wrong(
            key, f"cannot be read: {problem.message}", f"put the file there, or correct {key} in {owner.source}"
        ) from problem


def _bytes(path: Path, *, stdin: bool = False) -> bytes:
    """Of a file, and of nothing that may make us wait for ever: a pipe is opened without waiting for who writes to it.

    Raises:
        OSError, ValueError: not to be read, or no file.
    """
    waits = stdin and str(path) == "/dev/stdin"  # asked for by a person, who ends it
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if waits else os.O_NONBLOCK)), "rb") as file:
        if not waits and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        return file.read(MOST_BYTES + 1)


def read_file(path: Path) -> bytes:
    """A file that a kubeconfig names.

    Raises:
        Unusable: not to be read, or too large.
    """
    try:
        content = _bytes(path)
    except (OSError, ValueError) as problem:
        raise Unusable(f"{path} ({_why(problem)})") from problem
    if len(content) > MOST_BYTES:
        raise Unusable(f"{path} (more than {MOST_BYTES} bytes)")
    return content
