"""The one request by which `verify` asks for a service, read from its route: what a user would send to the public listener,
and what the public gateway would send on to a peer listener. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import routing
from migration.objects.access import spec_of
from migration.objects.kinds import Object


@dataclass(frozen=True)
class Check:
    """What to ask for, where the route does not tell: from `services` of migration.yaml. `status`: exactly this one."""

    path: str | None = None
    host: str | None = None
    status: int | None = None


@dataclass(frozen=True)
class Request:
    host: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.host}{self.path}"


def request_for(route: Mapping[str, Any], gateways: Mapping[str, Object], check: Check) -> Request:
    """A request that the route's first rule takes: its host, path, method and headers as far as they are said exactly."""
    path, method, headers = "/", "GET", {}
    rules = spec_of(route).get("http") or ()
    matches = [m for rule in rules if rule.get("route") for m in (rule.get("match") or [{}])]
    # the rule that asks for least is the one that most users meet
    matches.sort(key=lambda m: len(m.keys() - {"uri", "name"}))
    for match in matches[:1]:
        uri = match.get("uri") or {}
        path = str(uri.get("exact") or uri.get("prefix") or "/")
        method = str((match.get("method") or {}).get("exact") or "GET")
        for name, condition in (match.get("headers") or {}).items():
            value = condition.get("exact") or condition.get("prefix")
            if value:
                headers[name] = str(value)
    if not path.startswith("/"):
        path = f"/{path}"
    return Request(check.host or concrete_host(route, gateways), check.path or path, method, headers)


def by_https(route: Mapping[str, Any], gateways: Mapping[str, Object]) -> bool:
    """Whether users come to this route by https: a gateway of it serves TLS, or sends them from http to there."""
    namespace = route["metadata"].get("namespace", "")
    for named in spec_of(route).get("gateways") or ():
        gateway = gateways.get(named if "/" in named else f"{namespace}/{named}")
        for server in spec_of(gateway).get("servers") or () if gateway else ():
            protocol = str((server.get("port") or {}).get("protocol", "")).upper()
            if protocol == "HTTPS" or (server.get("tls") or {}).get("httpsRedirect"):
                return True
    return False


def sent_on(original: Mapping[str, Any], request: Request, *, https: bool = False) -> Request | None:
    """What the first rule with a destination that takes this request sends to a peer listener; None: no rule does."""
    service = routing.service_of(original)
    carried = {routing.CARRIED["x-forwarded-proto"]: "https" if https else "http"}
    for index, rule in enumerate(spec_of(original).get("http") or ()):
        if not rule.get("route"):
            continue
        for match in rule.get("match") or [{}]:
            if takes(match, request):
                rewrite = rule.get("rewrite") or {}
                return replace(
                    request,
                    host=str(rewrite.get("authority") or request.host),
                    path=_rewritten(request.path, match.get("uri") or {}, rewrite.get("uri")),
                    headers={**request.headers, **carried, routing.RULE_HEADER: routing.rule_id(service, index)},
                )
    return None


def takes(match: Mapping[str, Any], request: Request) -> bool:
    """Whether a match of a rule takes the request; one that asks for what we do not send (a query, a port) does not."""
    given = {"uri": request.path.partition("?")[0], "method": request.method, "authority": request.host}
    headers = {name.lower(): value for name, value in request.headers.items()}
    return (
        not match.keys() - {*given, "headers", "name", "gateways", "ignoreUriCase", "statPrefix"}
        and all(_holds(match[key], value) for key, value in given.items() if key in match)
        and all(_holds(wanted, headers.get(name.lower())) for name, wanted in (match.get("headers") or {}).items())
    )


def _holds(wanted: Mapping[str, Any], value: str | None) -> bool:
    """Istio's StringMatch; an empty one asks only that there is a value."""
    if value is None:
        return False
    if "exact" in wanted:
        return value == str(wanted["exact"])
    if "prefix" in wanted:
        return value.startswith(str(wanted["prefix"]))
    try:
        return "regex" not in wanted or re.fullmatch(str(wanted["regex"]), value) is not None
    except re.error:  # Envoy's syntax is not Python's everywhere
        return False


def _rewritten(path: str, matched: Mapping[str, Any], uri: Any) -> str:
    """Envoy puts `rewrite.uri` where what was matched stood: a prefix (of `/` where no path is asked for) or all of it."""
    if not uri or "regex" in matched:
        return path
    return str(uri) + path[len(str(matched.get("exact") or matched.get("prefix") or "/")) :]


def concrete_host(route: Mapping[str, Any], gateways: Mapping[str, Object]) -> str:
    """The route's first host that is a name; a wildcard is given one, where even the gateway takes every host any will
    do.
    """
    hosts = [str(h) for h in spec_of(route).get("hosts") or ()]
    for host in hosts:
        if "*" not in host:
            return host
    namespace = route["metadata"].get("namespace", "")
    for host in hosts:
        if host.startswith("*."):
            return f"bluegreen-check{host[1:]}"
    for named in spec_of(route).get("gateways") or ():
        gateway = gateways.get(named if "/" in named else f"{namespace}/{named}")
        for server in spec_of(gateway).get("servers") or () if gateway else ():
            for host in server.get("hosts") or ():
                bare = str(host).rpartition("/")[2]
                if "*" not in bare:
                    return bare
                if bare.startswith("*."):
                    return f"bluegreen-check{bare[1:]}"
    return "bluegreen-check.internal"
