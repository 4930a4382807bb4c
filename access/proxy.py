"""By which proxy a server is reached: the kubeconfig's `proxy-url`, else the environment's, as kubectl takes them.

The environment's HTTPS_PROXY (HTTP_PROXY for a server of plain HTTP) is taken unless NO_PROXY excludes the server, and
never for this machine itself; both also in small letters, which come first. The rules of NO_PROXY are those of Go's
golang.org/x/net/http/httpproxy. Only proxies that are reached by plain HTTP can be used: the tunnel through them is TLS
to the API server. A proxy that is reached by TLS would need a trust of its own, which neither of the two can name.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from access.errors import Unusable
from access.kubeconfig import Access, port_of


@dataclass(frozen=True)
class Proxy:
    url: str  # http://host:port, no user in it
    authorization: str | None = field(default=None, repr=False)


def choose(access: Access, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """None: the server is reached directly.

    Raises:
        Unusable: the proxy is none that can be used.
    """
    url = urlsplit(access.server)
    if access.proxy:
        return _proxy(access.proxy, f"{access.source}: proxy-url of context {access.context}", access.source)
    name = f"{url.scheme}_proxy"
    name = name if environment.get(name) else name.upper()
    value = environment.get(name, "")
    if not value or bypassed(url.hostname or "", port_of(url), environment.get("no_proxy") or environment.get("NO_PROXY", "")):
        return None
    return _proxy(value if "://" in value else f"http://{value}", f"environment: {name}", f"the environment ({name})")


def _proxy(value: str, where: str, place: str) -> Proxy:
    remedy = f"set http://HOST:PORT of a proxy that knows CONNECT, or no proxy, in {place}"
    try:
        url = urlsplit(value)
        host, port = url.hostname, url.port or 80
    except ValueError as problem:
        raise Unusable(
            f"{where} is no URL of a proxy ({problem}); allowed: http://[USER:PASSWORD@]HOST:PORT", remedy=remedy
        ) from problem
    if url.scheme != "http" or not host or not host.isascii():
        reason = f"is a proxy by {url.scheme}" if url.scheme in ("https", "socks5", "socks5h") else "is no URL of a proxy"
        raise Unusable(f"{where} {reason}; allowed: http://[USER:PASSWORD@]HOST:PORT", remedy=remedy)
    authorization = None
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode(errors="surrogateescape")).decode()
    return Proxy(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", authorization)


def on_this_machine(host: str) -> bool:
    """Whether a host is `localhost` or a loopback address; no name is looked up."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Is a server excluded from the environment's proxy?"""
    host = host.lower().strip("[]")
    address = _address(host)
    if on_this_machine(host):
        return True
    return any(_matches(rule.strip().lower(), host, port, address) for rule in no_proxy.split(","))


def _matches(rule: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if rule == "*":
        return True
    if "/" in rule:
        try:
            return address is not None and address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    if _address(rule) is None and rule.rpartition(":")[2].isdigit() and ":" in rule:
        rule, _, only = rule.rpartition(":")
        if int(only) != port:
            return False
    rule = rule.strip("[]").removeprefix("*") if rule.startswith(("*.", "[")) else rule
    if not rule:
        return False
    if (exact := _address(rule)) is not None:
        return exact == address
    return host.endswith(rule) if rule.startswith(".") else host == rule or host.endswith(f".{rule}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
