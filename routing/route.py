"""One service's route on both gateways, made from its original and one number.

The public route of a gateway serves its share locally and forwards the rest to the other gateway's peer listener, which
knows local destinations alone. What the original does to a request (match, rewrite, headers, mirror, fault, time-out,
retries) the first gateway does; the peer route only picks the destination, by a rule id in a header, and gives the
workload back what the first gateway knew of the client and the second one cannot know (`CARRIED`).
"""

from __future__ import annotations

import copy
import ipaddress
import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any, Literal

from routing.weights import WHOLE_BP

Object = dict[str, Any]
Side = Literal["blue", "green"]

API_VERSION = "networking.istio.io/v1"
EDGE_NAMESPACE = "istio-system"
GATEWAY_NAMESPACE = EDGE_NAMESPACE  # where the gateway's pods run: the only ones that need to know of the hop
GATEWAY_LABELS = {"istio": "ingressgateway"}
PEER_NAME = "bluegreen-peer"  # of the listener's own objects
PEER_GATEWAY = f"{EDGE_NAMESPACE}/{PEER_NAME}"
PEER_PORT = 15088
PEER_DOMAIN = "peer.bluegreen.internal"
# A network load balancer forgets a flow that was idle for 350 s and answers its next packet with a reset: at a small
# split most forwards would meet one. The gateway closes idle connections well before; those that are in use and silent
# (a stream, a WebSocket) stay known by their keepalive probes.
PEER_IDLE_SECONDS = 240
PEER_KEEPALIVE_SECONDS = 60
RULE_HEADER = "x-bluegreen-rule"
PROBE_HEADER = "x-bluegreen-probe"
# What a gateway says of its own client, so that the second one of a hop says it of the first: it crosses the hop in a
# header of ours, which the peer route turns back.
CARRIED: Mapping[str, str] = {"x-forwarded-proto": "x-bluegreen-proto"}
OURS = (RULE_HEADER, *CARRIED.values())  # reach no workload
SERVICE_ANNOTATION = "bluegreen.io/service"
# On the peer route: the original in canonical JSON, from which its routes can be made where its file is gone. Not above
# this size, since all annotations of an object end at 256 KiB.
ORIGINAL_ANNOTATION = "bluegreen.io/original"
MOST_ORIGINAL_BYTES = 200_000
PEER_SUFFIX = f"-{PEER_NAME}"
FIELD_MANAGER = "bluegreen-edge"
# By whom the edge stack's program has Pulumi write an object. Server-side apply takes away what its manager stops
# sending: were it in what the program sends alone, each write of the command would remove it and each preview want it
# back. Objects are whole here, and both send them as they are.
OWNED = {"pulumi.com/patchFieldManager": FIELD_MANAGER}


@dataclass(frozen=True)
class Peer:
    """How one gateway reaches the other's peer listener: an IP address or a host name, and a port."""

    address: str
    port: int = PEER_PORT


def service_of(route: Mapping[str, Any]) -> str:
    """`namespace/name` of a VirtualService."""
    metadata = route["metadata"]
    return f"{metadata.get('namespace') or 'default'}/{metadata['name']}"


def refusals(original: Mapping[str, Any]) -> list[str]:
    """Why this VirtualService cannot be shifted, each with what would help; empty when it can."""
    spec = original.get("spec") or {}
    gateways = spec.get("gateways") or ["mesh"]
    found: list[str] = []
    if gateways == ["mesh"]:
        return ["bound to no gateway, only to the mesh: users do not come in by it"]
    if "mesh" in gateways:
        found.append("bound to the mesh beside a gateway: calls inside the cluster would move too; make two routes of it")
    found.extend(
        f"has {kind} routes: connections cannot be split by request; make a route of their own of them"
        for kind in ("tcp", "tls")
        if spec.get(kind)
    )
    rules = spec.get("http") or []
    if not any(rule.get("route") for rule in rules):
        found.append("has no http rule with a destination: there is nothing to move")
    for index, rule in enumerate(rules):
        if rule.get("delegate"):
            found.append(f"http[{index}] delegates to {rule['delegate'].get('name', '?')}: put the delegate's rules here")
        weights = _weights(rule)
        if rule.get("route") and (sum(weights) <= 0 or min(weights) < 0):
            found.append(f"http[{index}] has weights {weights}: their sum must be above 0")
        if sum(weights) * WHOLE_BP >= 2**31:
            found.append(f"http[{index}] has weights that add up to {sum(weights)}: Istio takes at most {2**31 // WHOLE_BP}")
    return found


def peer_host(service: str) -> str:
    """By which host one gateway knows the service on the other: shop/cart -> cart.shop.peer.bluegreen.internal."""
    namespace, _, name = service.partition("/")
    return f"{name}.{namespace}.{PEER_DOMAIN}"


def local_share_bp(green_bp: int, side: Side) -> int:
    """What the gateway of that side serves itself."""
    if not 0 <= green_bp <= WHOLE_BP:
        raise ValueError(f"split {green_bp}: must be 0 to {WHOLE_BP} basis points")
    return green_bp if side == "green" else WHOLE_BP - green_bp


def rule_id(service: str, index: int) -> str:
    """Names one rule of one route; unique across services, for `/` is in no Kubernetes name."""
    return f"{service}/{index}"


def public_route(original: Mapping[str, Any], green_bp: int, side: Side) -> Object:
    """The VirtualService of that side's public gateway; its spec is the original's where everything is served here."""
    route = _like(original, original["metadata"]["name"])
    return route | {"spec": _public_spec(original, green_bp, side, CARRIED)}


def _public_spec(original: Mapping[str, Any], green_bp: int, side: Side, carried: Mapping[str, str]) -> Object:
    local_bp = local_share_bp(green_bp, side)
    spec = copy.deepcopy(dict(original["spec"]))
    if local_bp < WHOLE_BP:
        service = service_of(original)
        # New rules, not changed ones: YAML anchors make one object of two rules that are written alike.
        spec["http"] = [
            rule | {"route": _shared(rule, rule_id(service, index), peer_host(service), local_bp, carried)}
            if rule.get("route")
            else rule
            for index, rule in enumerate(spec["http"])
        ]
    return spec


def _shared(rule: Mapping[str, Any], name: str, host: str, local_bp: int, carried: Mapping[str, str]) -> list[Object]:
    weights = _weights(rule)
    here, there = [weight * local_bp for weight in weights], sum(weights) * (WHOLE_BP - local_bp)
    common = gcd(*here, there)
    # Envoy fills a destination's headers in before it treats the rule's: what the rule itself sets is carried as it is.
    sets = _requested(rule, "set")
    request: Object = {"set": {RULE_HEADER: name}}
    if carried:
        request["remove"] = [*carried.values()]  # a client's own; a `set` that finds nothing to say would leave it
        request["set"] |= {carrier: sets.get(header, f"%REQ({header})%") for header, carrier in carried.items()}
    forward: Object = {"destination": {"host": host, "port": {"number": 80}}, "headers": {"request": request}}
    if local_bp == 0:
        return [forward]
    stripped = (RULE_HEADER, *carried.values())
    kept = [_stripped(each, stripped) | {"weight": weight // common} for each, weight in zip(rule["route"], here, strict=True)]
    return [*kept, forward | {"weight": there // common}]


def _stripped(destination: Mapping[str, Any], headers: tuple[str, ...]) -> Object:
    """The destination, taking our headers off: what a client sends in them steers nothing and reaches no workload."""
    kept = copy.deepcopy(dict(destination))
    request = kept.setdefault("headers", {}).setdefault("request", {})
    request["remove"] = [*request.get("remove", []), *headers]
    return kept


def _requested(part: Mapping[str, Any], operation: Literal["set", "add"]) -> dict[str, str]:
    """What a rule or a destination does to headers of a request, by the header's name in small letters."""
    request = (part.get("headers") or {}).get("request") or {}
    return {name.lower(): value for name, value in (request.get(operation) or {}).items()}


def _removed(part: Mapping[str, Any]) -> set[str]:
    request = (part.get("headers") or {}).get("request") or {}
    return {name.lower() for name in request.get("remove") or []}


def _weights(rule: Mapping[str, Any]) -> list[int]:
    """Istio's reading of weights: one destination takes all, among several a missing weight is 0."""
    destinations = rule.get("route") or []
    if len(destinations) == 1:
        return [1]
    return [int(each.get("weight") or 0) for each in destinations]


def peer_route(original: Mapping[str, Any], green_bp: int) -> Object:
    """What the peer listener serves of this service: local destinations by rule id, and a probe telling the split.

    It keeps the original, too, where that is not too large.
    """
    service = service_of(original)
    route = _like(original, f"{original['metadata']['name']}{PEER_SUFFIX}")
    if (kept := kept_original(original)) is not None:
        route["metadata"]["annotations"][ORIGINAL_ANNOTATION] = kept
    probe: Object = {
        "name": "bluegreen-probe",
        "match": [{"headers": {PROBE_HEADER: {"exact": service}}}],
        "directResponse": {"status": 200, "body": {"string": str(green_bp)}},
    }
    rules = [
        {
            "name": f"bluegreen-{index}",
            "match": [{"headers": {RULE_HEADER: {"exact": rule_id(service, index)}}}],
            "headers": {"request": _after_the_hop(rule)},
            "route": _as_without_a_hop(rule),
            "retries": {"attempts": 0},
        }
        for index, rule in enumerate(original["spec"].get("http") or [])
        if rule.get("route")
    ]
    spec: Object = {"hosts": ["*"], "gateways": [PEER_GATEWAY], "http": [probe, *rules]}
    if "exportTo" in original["spec"]:
        spec["exportTo"] = copy.deepcopy(original["spec"]["exportTo"])
    return route | {"spec": spec}


def kept_original(original: Mapping[str, Any]) -> str | None:
    """What the peer route keeps of the original: all that its routes are made of; None where that is too large."""
    text = canonical({"spec": original["spec"]})
    return text if len(text.encode()) <= MOST_ORIGINAL_BYTES else None


def original_of(peer: Mapping[str, Any]) -> Object | None:
    """The original that a live peer route keeps; None where it keeps none, or not of this service."""
    metadata = peer.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    name = str(metadata.get("name", ""))
    try:
        spec = json.loads(annotations[ORIGINAL_ANNOTATION])["spec"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    original = _bare(metadata.get("namespace") or "default", name.removesuffix(PEER_SUFFIX), spec)
    whole = (
        isinstance(spec, dict) and name.endswith(PEER_SUFFIX) and annotations.get(SERVICE_ANNOTATION) == service_of(original)
    )
    return original if whole else None


def original_of_split(live: Mapping[str, Any]) -> Object | None:
    """The original of a live public route that serves a part here: its local destinations, their weights up to a factor.

    A route that forwards nothing is its own original. None where some rule has no local destination any more.
    """
    forward = peer_host(service_of(live))
    spec = copy.deepcopy(live.get("spec"))
    if not isinstance(spec, dict):
        return None
    for rule in spec.get("http") or []:
        there = rule.get("route") or []
        local = [each for each in there if (each.get("destination") or {}).get("host") != forward]
        if len(local) == len(there):
            continue
        if not local:
            return None
        common = gcd(*(int(each.get("weight") or 0) for each in local)) or 1
        for each in local:
            _unstrip(each)
            weight = int(each.pop("weight", 0) or 0) // common
            if len(local) > 1:
                each["weight"] = weight
        rule["route"] = local
    metadata = live["metadata"]
    return _bare(metadata.get("namespace") or "default", metadata["name"], spec)


def _unstrip(destination: Object) -> None:
    """Takes out what `_stripped` put in."""
    headers = destination.get("headers") or {}
    request = headers.get("request") or {}
    removed = request.get("remove") or []
    if removed and removed[-1] in OURS:
        while removed and removed[-1] in OURS:
            del removed[-1]
        for outer, key, inner in (
            (request, "remove", removed),
            (headers, "request", request),
            (destination, "headers", headers),
        ):
            if not inner:
                outer.pop(key, None)


def _bare(namespace: str, name: str, spec: Any) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def probe_split(peer: Mapping[str, Any]) -> int | None:
    """The split that a live peer route tells of; None where it is not one that `peer_route` makes."""
    try:
        first = peer["spec"]["http"][0]
        return int(first["directResponse"]["body"]["string"]) if first["name"] == "bluegreen-probe" else None
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _as_without_a_hop(rule: Mapping[str, Any]) -> list[Object]:
    """The rule's destinations, each with the carried headers put back before the rule takes the carriers off."""
    sets = _requested(rule, "set")
    route = [_put_back(each, sets) for each in rule["route"]]
    if len(route) > 1:
        return route
    # Beside another destination, even of weight 0 (which Envoy is not told of), a destination's headers are Envoy's first
    # step and the rule's the second. Istio makes one step for a single destination, and what is taken off in a step
    # cannot be read in it.
    return [route[0] | {"weight": 1}, {"destination": copy.deepcopy(route[0]["destination"]), "weight": 0}]


def _put_back(destination: Mapping[str, Any], rule_sets: Container[str]) -> Object:
    """Where the rule sets a carried header, its word is the last, as it is between several destinations; else the
    destination's own is.
    """
    kept = copy.deepcopy(dict(destination))
    request = kept.setdefault("headers", {}).setdefault("request", {})
    own = {*_requested(kept, "set"), *_removed(kept)}
    for header, carrier in CARRIED.items():
        if header in rule_sets:
            _forget(request, header)
        elif header in own:
            continue
        request["set"] = {**request.get("set", {}), header: f"%REQ({carrier})%"}
    return kept


def _forget(request: Object, header: str) -> None:
    for operation in ("set", "add"):
        if operation in request:
            request[operation] = {name: value for name, value in request[operation].items() if name.lower() != header}
    if "remove" in request:
        request["remove"] = [name for name in request["remove"] if name.lower() != header]


def _after_the_hop(rule: Mapping[str, Any]) -> Object:
    """What the rule does to carried headers, once more, for the second gateway has made them anew; and ours go."""
    sets, adds, removed = _requested(rule, "set"), _requested(rule, "add"), _removed(rule)
    request: Object = {"remove": [*OURS, *(header for header in CARRIED if header in removed and header not in sets)]}
    if again := {header: adds[header] for header in CARRIED if header in adds}:
        request["add"] = again
    return request


def destinations(original: Mapping[str, Any], peer: Peer) -> list[Object]:
    """What must be in effect before a route forwards: the other gateway's peer listener under the service's own name.

    A name per service lets the gateway's counters tell services apart, also for requests that never got there.
    """
    service = service_of(original)
    entry = _like(original, f"{original['metadata']['name']}{PEER_SUFFIX}") | {"kind": "ServiceEntry"}
    entry["spec"] = {
        "hosts": [peer_host(service)],
        # by name: where the mesh exports nothing by default, the gateway would not see it and answer 503 for each forward
        "exportTo": [GATEWAY_NAMESPACE],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC" if _is_address(peer.address) else "DNS",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "endpoints": [{"address": peer.address, "ports": {"http": peer.port}}],
    }
    return [entry]


def edge_objects() -> list[Object]:
    """The private listener by which the other gateway's forwards come in, and how this gateway connects to the other's."""
    server = {"port": {"number": PEER_PORT, "name": f"http-{PEER_NAME}", "protocol": "HTTP"}, "hosts": ["*"]}
    policy = {
        "connectionPool": {
            # gRPC and HTTP/2 cross as what they are; the destinations' port is HTTP/1.1 to whoever does not ask for more
            "http": {"useClientProtocol": True, "idleTimeout": f"{PEER_IDLE_SECONDS}s"},
            "tcp": {
                "connectTimeout": "2s",
                "tcpKeepalive": {"probes": 3, "time": f"{PEER_KEEPALIVE_SECONDS}s", "interval": "20s"},
            },
        }
    }
    return [
        _of_the_edge("Gateway", {"selector": dict(GATEWAY_LABELS), "servers": [server]}),
        _of_the_edge("DestinationRule", {"host": f"*.{PEER_DOMAIN}", "exportTo": ["."], "trafficPolicy": policy}),
    ]


def _of_the_edge(kind: str, spec: Object) -> Object:
    namespace, name = PEER_GATEWAY.split("/")
    metadata = {"name": name, "namespace": namespace, "annotations": dict(OWNED)}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def live_split(live: Mapping[str, Any], original: Mapping[str, Any], side: Side) -> int | None:
    """The split that a live VirtualService holds; None when it is not one that `public_route` makes."""
    spec = canonical(live.get("spec"))
    for green_bp in _candidates(live, original, side):
        for carried in (CARRIED, {}):  # {}: as it was written before headers were carried; still ours
            if canonical(_public_spec(original, green_bp, side, carried)) == spec:
                return green_bp
    return None


def _candidates(live: Mapping[str, Any], original: Mapping[str, Any], side: Side) -> Iterator[int]:
    host = peer_host(service_of(original))
    for rule in (live.get("spec") or {}).get("http") or []:
        weights = _weights(rule)
        hosts = [(each.get("destination") or {}).get("host") for each in rule.get("route") or []]
        if host in hosts and sum(weights) > 0:
            away = sum(weight for weight, each in zip(weights, hosts, strict=True) if each == host)
            local_bp = WHOLE_BP - round(WHOLE_BP * away / sum(weights))
            yield local_bp if side == "green" else WHOLE_BP - local_bp
            return
    yield WHOLE_BP if side == "green" else 0


def canonical(value: Any) -> str:
    """JSON with sorted keys: two specs are equal when their canonical forms are."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _like(original: Mapping[str, Any], name: str) -> Object:
    namespace = original["metadata"].get("namespace") or "default"
    return {
        "apiVersion": API_VERSION,
        "kind": "VirtualService",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {SERVICE_ANNOTATION: service_of(original), **OWNED},
        },
    }


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
