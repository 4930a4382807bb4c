"""Istio's VirtualService, the first kind of route.

The public route of a gateway serves its share locally and forwards the rest to the other gateway's peer listener, which
knows local destinations alone. What the original does to a request (match, rewrite, headers, mirror, fault, time-out,
retries) the first gateway does; the peer route only picks the destination, by a rule id in a header, and gives the
workload back what the first gateway knew of the client and the second one cannot know (`CARRIED`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import gcd
from typing import Any, Literal

from routing import istio
from routing.carried import CARRIED, after_the_hop, as_without_a_hop, on_the_way, stripped, unstrip
from routing.model import (
    PEER_GATEWAY,
    PROBE_HEADER,
    PROBE_RULE,
    RULE_HEADER,
    Backend,
    Object,
    Peer,
    Refusal,
    RefusalCode,
    Request,
    Resource,
    Side,
    canonical,
    local_share_bp,
    peer_host,
    rule_id,
    service_of,
)
from routing.weights import WHOLE_BP

VIRTUAL_SERVICE = Resource(istio.GROUP, istio.VERSION, "VirtualService", "virtualservices", True)
MESH = "mesh"  # in the list of gateways: calls inside the cluster
PROTOCOLS: tuple[Literal["http", "tls", "tcp"], ...] = ("http", "tls", "tcp")
Rule = Mapping[str, Any]


class VirtualServices:
    """See `kinds.RouteKind`."""

    resource = VIRTUAL_SERVICE
    gateway = istio.GATEWAY
    supporting = (istio.SERVICE_ENTRY, istio.GATEWAY, istio.DESTINATION_RULE)
    written_paths = ("/spec", "/spec/http")
    delegates = ("spec.http[].delegate",)

    # -- how a route is read

    def refusals(self, original: Mapping[str, Any]) -> list[Refusal]:
        """Why it cannot be shifted: the mesh, other protocols, no destination, delegates, weights; empty where it can."""
        spec = _spec(original)
        gateways = spec.get("gateways") or [MESH]
        if gateways == [MESH]:
            text = "bound to no gateway, only to the mesh: no user traffic enters through it"
            return [Refusal(RefusalCode.NO_GATEWAY, text)]
        reasons: list[Refusal] = []
        if MESH in gateways:
            text = "bound to the mesh beside a gateway: calls inside the cluster would move too; make two routes of it"
            reasons.append(Refusal(RefusalCode.MESH_TOO, text))
        reasons.extend(
            Refusal(
                RefusalCode.NOT_BY_REQUEST,
                f"has {protocol} routes: connections cannot be split by request; make a route of their own of them",
            )
            for protocol in ("tcp", "tls")
            if spec.get(protocol)
        )
        if not any(rule.get("route") for rule in _rules(original)):
            text = "has no http rule with a destination: there is nothing to move"
            reasons.append(Refusal(RefusalCode.NOTHING_TO_MOVE, text))
        for index, rule in enumerate(_rules(original)):
            reasons.extend(_refusals_of(rule, f"http[{index}]"))
        return reasons

    def gateways(self, route: Mapping[str, Any]) -> list[str]:
        """`namespace/name` of `spec.gateways`, without the mesh."""
        namespace = route["metadata"].get("namespace", "")
        return [istio.whole_name(name, namespace) for name in _spec(route).get("gateways") or () if name != MESH]

    def gateways_named(self, route: Mapping[str, Any]) -> list[str]:
        """`namespace/name` of the gateways in `spec.gateways` and in each rule's matches, without the mesh; may repeat."""
        namespace = route["metadata"].get("namespace", "")
        matches = [
            match for protocol in ("http", "tcp") for rule in _each(_spec(route), protocol) for match in _each(rule, "match")
        ]
        lists = [part["gateways"] for part in (_spec(route), *matches) if isinstance(part.get("gateways"), list)]
        names = [name for each in lists for name in each if isinstance(name, str) and name != MESH]
        return [istio.whole_name(name, namespace) for name in names]

    def backends(self, route: Mapping[str, Any]) -> list[Backend]:
        """Destinations of its http, tls and tcp rules."""
        return [
            Backend(host, _part(_part(sent, "destination"), "port").get("number"), protocol)
            for protocol in PROTOCOLS
            for rule in _each(_spec(route), protocol)
            for sent in _each(rule, "route")
            if isinstance(host := _part(sent, "destination").get("host"), str) and host
        ]

    def mirrors(self, route: Mapping[str, Any]) -> list[str]:
        """Hosts of `mirror` and `mirrors` of its http rules."""
        rules = _each(_spec(route), "http")
        single = [_part(rule, "mirror") for rule in rules]
        several = [_part(each, "destination") for rule in rules for each in _each(rule, "mirrors")]
        return [to["host"] for to in (*single, *several) if isinstance(to.get("host"), str)]

    # -- what the gateways get

    def listener(self) -> list[Object]:
        """The peer Gateway, and the DestinationRule of all peer hosts."""
        return istio.peer_listener()

    def destinations(self, original: Mapping[str, Any], peer: Peer) -> list[Object]:
        """A ServiceEntry of the service's peer host."""
        return istio.peer_destinations(original, peer)

    def public_spec(self, original: Mapping[str, Any], green_bp: int, side: Side) -> Object:
        """The original's, whose rules with destinations forward what is not served on that side."""
        return _public_spec(original, green_bp, side, CARRIED)

    def peer_spec(self, original: Mapping[str, Any], green_bp: int) -> Object:
        """A rule that answers the probe with `green_bp`, and one for each rule of the original that has destinations."""
        service = service_of(original)
        probe: Object = {
            "name": PROBE_RULE,
            "match": [{"headers": {PROBE_HEADER: {"exact": service}}}],
            "directResponse": {"status": 200, "body": {"string": str(green_bp)}},
        }
        rules = [
            {
                "name": f"bluegreen-{index}",
                "match": [{"headers": {RULE_HEADER: {"exact": rule_id(service, index)}}}],
                "headers": {"request": after_the_hop(rule)},
                "route": as_without_a_hop(rule),
                "retries": {"attempts": 0},
            }
            for index, rule in enumerate(original["spec"].get("http") or [])
            if rule.get("route")
        ]
        spec: Object = {"hosts": ["*"], "gateways": [PEER_GATEWAY], "http": [probe, *rules]}
        if "exportTo" in original["spec"]:
            spec["exportTo"] = copy.deepcopy(original["spec"]["exportTo"])
        return spec

    # -- what is read back

    def live_split(self, live: Mapping[str, Any], original: Mapping[str, Any], side: Side) -> int | None:
        """Basis points at green for which `public_spec` makes the live spec, or an earlier version made it."""
        spec = canonical(live.get("spec"))
        for green_bp in _candidates(live, original, side):
            if canonical(_public_spec(original, green_bp, side, CARRIED)) == spec:
                return green_bp
            for carried in (CARRIED, {}):  # {}: before headers were carried
                if canonical(_changing_spec(original, green_bp, side, carried)) == spec:
                    return green_bp
        return None

    def probe_split(self, peer: Mapping[str, Any]) -> int | None:
        """Basis points in the answer of the probe's rule; None where the first rule is another one."""
        try:
            first = peer["spec"]["http"][0]
            return int(first["directResponse"]["body"]["string"]) if first["name"] == PROBE_RULE else None
        except (KeyError, IndexError, TypeError, ValueError):
            return None

    def has_forward(self, route: Mapping[str, Any]) -> bool:
        """Whether one of its rules has the service\'s peer host as a destination."""
        peer = peer_host(service_of(route))
        return any(_host(sent) == peer for rule in _rules(route) for sent in rule.get("route") or ())

    def forwards(self, route: Mapping[str, Any]) -> bool:
        """Whether the peer host has a weight in one of its rules."""
        peer = peer_host(service_of(route))
        return any(
            weight and _host(sent) == peer
            for rule in _rules(route)
            for sent, weight in zip(rule.get("route") or (), _weights(rule), strict=True)
        )

    def spec_of_split(self, live: Mapping[str, Any]) -> Object | None:
        """The live spec without its forwards; None where a rule's other weights are all 0."""
        forward = peer_host(service_of(live))
        spec = copy.deepcopy(live.get("spec"))
        if not isinstance(spec, dict):
            return None
        for rule in spec.get("http") or []:
            sent = rule.get("route") or []
            local = [each for each in sent if _host(each) != forward]
            if len(local) == len(sent):
                continue
            common = gcd(*(int(each.get("weight") or 0) for each in local))
            if not local or (len(local) > 1 and not common):
                return None  # nothing is served here: in which proportion it was, the route does not say
            for each in local:
                unstrip(each)
                weight = int(each.pop("weight", 0) or 0)
                if len(local) > 1:
                    each["weight"] = weight // common
            rule["route"] = local
        return spec

    # -- how a service is asked

    def request(self, route: Mapping[str, Any], gateways: Mapping[str, Object]) -> Request:
        """One that its first rule takes: host, path, method and headers as far as they are said exactly."""
        path, method, headers = "/", "GET", {}
        matches = [match for rule in _rules(route) if rule.get("route") for match in (rule.get("match") or [{}])]
        # the rule that asks for least is the one that most users meet
        matches.sort(key=lambda match: len(match.keys() - {"uri", "name"}))
        for match in matches[:1]:
            uri = match.get("uri") or {}
            path = str(uri.get("exact") or uri.get("prefix") or "/")
            method = str((match.get("method") or {}).get("exact") or "GET")
            for name, condition in (match.get("headers") or {}).items():
                value = condition.get("exact") or condition.get("prefix")
                if value:
                    headers[name] = str(value)
        host = istio.concrete_host(_spec(route).get("hosts") or (), _servers(route, gateways))
        return Request(host, path if path.startswith("/") else f"/{path}", method, headers)

    def by_https(self, route: Mapping[str, Any], gateways: Mapping[str, Object]) -> bool:
        """Whether a server of its gateways has TLS, or redirects to it."""
        return any(map(istio.serves_https, _servers(route, gateways)))

    def sent_on(self, original: Mapping[str, Any], request: Request, *, https: bool = False) -> Request | None:
        """By the first rule with a destination that takes the request."""
        service = service_of(original)
        carried = {CARRIED["x-forwarded-proto"]: "https" if https else "http"}
        for index, rule in enumerate(_rules(original)):
            if not rule.get("route"):
                continue
            for match in rule.get("match") or [{}]:
                if _takes(match, request):
                    rewrite = rule.get("rewrite") or {}
                    return replace(
                        request,
                        host=str(rewrite.get("authority") or request.host),
                        path=_rewritten(request.path, match.get("uri") or {}, rewrite.get("uri")),
                        headers={**request.headers, **carried, RULE_HEADER: rule_id(service, index)},
                    )
        return None


def _spec(route: Mapping[str, Any]) -> Mapping[str, Any]:
    return route.get("spec") or {}


def _rules(route: Mapping[str, Any]) -> list[Rule]:
    return _spec(route).get("http") or []


def _part(whole: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping in a mapping; an empty one for anything else: what was read of a cluster may be of any shape."""
    inner = whole.get(key)
    return inner if isinstance(inner, Mapping) else {}


def _each(part: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The mappings of a list; of anything else, none."""
    inner = part.get(key)
    return [each for each in inner if isinstance(each, Mapping)] if isinstance(inner, list) else []


def _host(sent: Mapping[str, Any]) -> Any:
    return (sent.get("destination") or {}).get("host")


def _servers(route: Mapping[str, Any], gateways: Mapping[str, Object]) -> list[Mapping[str, Any]]:
    namespace = route["metadata"].get("namespace", "")
    return list(istio.servers(_spec(route).get("gateways") or (), namespace, gateways))


def _weights(rule: Rule) -> list[int]:
    """Istio's reading of weights: one destination takes all, among several a missing weight is 0."""
    destinations = rule.get("route") or []
    if len(destinations) == 1:
        return [1]
    return [int(each.get("weight") or 0) for each in destinations]


def _refusals_of(rule: Rule, where: str) -> Iterator[Refusal]:
    if rule.get("delegate"):
        text = f"{where} delegates to {rule['delegate'].get('name', '?')}: put the delegate's rules here"
        yield Refusal(RefusalCode.DELEGATES, text)
    weights = _weights(rule)
    if rule.get("route") and (sum(weights) <= 0 or min(weights) < 0):
        yield Refusal(RefusalCode.WEIGHTS, f"{where} has weights {weights}: their sum must be above 0")
    if sum(weights) * WHOLE_BP >= 2**31:
        text = f"{where} has weights that add up to {sum(weights)}: Istio takes at most {2**31 // WHOLE_BP}"
        yield Refusal(RefusalCode.WEIGHTS, text)


def _public_spec(original: Mapping[str, Any], green_bp: int, side: Side, carried: Mapping[str, str]) -> Object:
    """Of one shape at every split: weights alone change (docs/architecture.md says why)."""
    local_bp, service = local_share_bp(green_bp, side), service_of(original)
    spec = copy.deepcopy(dict(original["spec"]))
    # New rules, not changed ones: YAML anchors make one object of two rules that are written alike.
    spec["http"] = [
        rule | {"route": _shared(rule, rule_id(service, index), peer_host(service), local_bp, carried)}
        if rule.get("route")
        else rule
        for index, rule in enumerate(spec["http"])
    ]
    return spec


def _changing_spec(original: Mapping[str, Any], green_bp: int, side: Side, carried: Mapping[str, str]) -> Object:
    """As earlier versions wrote it: the original where all is served here, forwards alone where nothing is."""
    local_bp, peer = local_share_bp(green_bp, side), peer_host(service_of(original))
    if local_bp == WHOLE_BP:
        return copy.deepcopy(dict(original["spec"]))
    spec = _public_spec(original, green_bp, side, carried)
    if local_bp == 0:
        for rule in _rules({"spec": spec}):
            if sent := rule.get("route"):
                sent[:] = [
                    {key: value for key, value in each.items() if key != "weight"} for each in sent if _host(each) == peer
                ]
    return spec


def _shared(rule: Rule, name: str, host: str, local_bp: int, carried: Mapping[str, str]) -> list[Object]:
    weights = _weights(rule)
    here, away = [weight * local_bp for weight in weights], sum(weights) * (WHOLE_BP - local_bp)
    common = gcd(*here, away)
    forward: Object = {
        "destination": {"host": host, "port": {"number": 80}},
        "headers": on_the_way(rule, name, carried),
    }
    ours = (RULE_HEADER, *carried.values())
    kept = [stripped(each, ours) | {"weight": weight // common} for each, weight in zip(rule["route"], here, strict=True)]
    return [*kept, forward | {"weight": away // common}]


def _candidates(live: Mapping[str, Any], original: Mapping[str, Any], side: Side) -> Iterator[int]:
    """Splits that the live weights may have been made of."""
    host = peer_host(service_of(original))
    for rule in _rules(live):
        weights = _weights(rule)
        hosts = [_host(each) for each in rule.get("route") or []]
        if host in hosts and sum(weights) > 0:
            away = sum(weight for weight, each in zip(weights, hosts, strict=True) if each == host)
            local_bp = WHOLE_BP - round(WHOLE_BP * away / sum(weights))
            yield local_bp if side == "green" else WHOLE_BP - local_bp
            return
    yield WHOLE_BP if side == "green" else 0  # it is the original


def _takes(match: Mapping[str, Any], request: Request) -> bool:
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
