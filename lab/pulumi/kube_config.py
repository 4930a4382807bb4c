"""Where a kubeconfig leads: server, trust and credentials of one context.

Only what is written in it; nothing ambient is read.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.pulumi.plugin import PluginError


@dataclass(frozen=True)
class Access:
    server: str
    namespace: str = "default"
    token: str | None = None
    ca: bytes | None = None
    client: tuple[bytes, bytes] | None = None  # certificate and key
    verify: bool = True


def read(kubeconfig: str, context: str | None = None, cluster: str | None = None) -> Access:
    """Text (JSON or YAML) or the path of a file; `context` and `cluster` choose, as those inputs of the provider."""
    document = _parse(kubeconfig)
    name = context or document.get("current-context")
    chosen = _named(document, "contexts", name, "context")
    there = _named(document, "clusters", cluster or chosen.get("cluster"), "cluster")
    user = _named(document, "users", chosen.get("user"), "user") if chosen.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise PluginError(f"kubeconfig: user {chosen['user']!r} gets its credentials from a program; the lab runs none")
    certificate, key = _data(user, "client-certificate"), _data(user, "client-key")
    return Access(
        server=str(there.get("server", "")).rstrip("/"),
        namespace=chosen.get("namespace") or "default",
        token=user.get("token") or (Path(user["tokenFile"]).read_text().strip() if user.get("tokenFile") else None),
        ca=_data(there, "certificate-authority"),
        client=(certificate, key) if certificate and key else None,
        verify=not there.get("insecure-skip-tls-verify", False),
    )


def _parse(kubeconfig: str) -> dict[str, Any]:
    text = kubeconfig
    if "\n" not in text and not text.lstrip().startswith("{"):
        path = Path(text).expanduser()
        if not path.is_file():
            raise PluginError(f"kubeconfig: {text!r} is neither a file nor the text of one")
        text = path.read_text(encoding="utf-8")
    try:
        document = json.loads(text)
    except ValueError:
        import yaml

        try:
            document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise PluginError(f"kubeconfig is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise PluginError("kubeconfig: not a mapping with clusters, contexts and users")
    return document


def _named(document: dict[str, Any], kind: str, name: Any, inner: str) -> dict[str, Any]:
    known = {item.get("name"): item.get(inner) or {} for item in document.get(kind) or []}
    if name not in known:
        raise PluginError(f"kubeconfig: no {inner} {name!r}; it has {', '.join(map(str, known)) or 'none'}")
    found: dict[str, Any] = known[name]
    return found


def _data(section: dict[str, Any], name: str) -> bytes | None:
    if section.get(f"{name}-data"):
        return b64decode(section[f"{name}-data"])
    return Path(section[name]).read_bytes() if section.get(name) else None
