"""Makes anyone's manifests a story's workloads: what can be shifted, what runs in the lab, what is held.

Pure: `prepare` finds the services that users reach (VirtualServices on a gateway), gives front ends without one a route,
sets aside what needs a program that the lab's pods are not (adapt.py) and what could never answer (backends.py),
and tells every change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import routing
from lab.demo import backends
from lab.demo.adapt import adapt, why_held
from lab.demo.backends import Backends, is_workload, mapping, mappings, sequence
from lab.demo.manifests import Object, full_name, is_a, key_of, name_of, namespace_of

PUBLIC_GATEWAY = "istio-system/public"
ISTIO = "networking.istio.io"


@dataclass(frozen=True)
class Front:
    """One service of the story: `service` is `namespace/name` of its VirtualService.

    `name` is what clients resolve, `host` what they send as Host, `path` one that its route matches.
    """

    service: str
    name: str
    host: str
    path: str = "/"


@dataclass(frozen=True)
class Workloads:
    """What is applied, what is held (object, reason), whom clients ask, and what was changed and why.

    `unasked` are Services and routes that users could have asked but that could not answer: (what, reason with a remedy).
    """

    objects: tuple[Object, ...]
    fronts: tuple[Front, ...]
    held: tuple[tuple[str, str], ...] = ()
    unasked: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    zone: str = "lab.test"
    namespaces: tuple[str, ...] = field(default=())


def prepare(objects: Iterable[Object], zone: str = "lab.test") -> Workloads:
    """Decides, without touching anything, what of `objects` the lab runs and how. The objects given are not changed."""
    everything: list[Object] = [json.loads(json.dumps(each, default=str)) for each in objects]
    notes: list[str] = []
    reasons = [_taken_up(each, notes) for each in everything]
    held = [(f"{each['kind']} {name_of(each)}", why) for each, why in zip(everything, reasons, strict=True) if why]
    kept = [each for each, why in zip(everything, reasons, strict=True) if not why]
    unasked: list[tuple[str, str]] = []
    known = Backends(kept, [each for each, why in zip(everything, reasons, strict=True) if why])
    gateways = {key_of(each) for each in kept if is_a(each, "Gateway", ISTIO)}
    fronts: list[Front] = []
    routed: set[tuple[str, str]] = set()
    for route in [each for each in kept if is_a(each, "VirtualService", ISTIO)]:
        named = [gateway for gateway in sequence(mapping(route.get("spec")).get("gateways")) if gateway != "mesh"]
        if not named:
            continue
        if why := _why_unasked(route, known):
            kept.remove(route)
            unasked.append((f"VirtualService {full_name(route)}", why))
            continue
        for gateway in named:
            missing = _gateway_key(str(gateway), namespace_of(route))
            if missing not in gateways and gateway != PUBLIC_GATEWAY:
                kept.append(public_gateway(*missing))
                gateways.add(missing)
                notes.append(f"Gateway {missing[0]}/{missing[1]} is named by {full_name(route)} but not there: made")
        fronts.append(_front(route, zone, known))
        routed |= {backends.service_key(host, namespace_of(route)) for host, _ in _destinations(_rules(route))}
    for service, port, why in _front_ends(kept, known, routed, unasked):
        route = _route(service, port, zone, kept)
        kept.append(route)
        fronts.append(_front(route, zone, known))
        notes.append(
            f"Service {full_name(service)} has no route ({why}): VirtualService {full_name(route)} made for port {port}"
        )
    defined = {name_of(each) for each in kept if is_a(each, "Namespace", "")}
    missing_namespaces = sorted({namespace_of(each) for each in kept} - defined - {"default", "kube-system"})
    missing_namespaces = [name for name in missing_namespaces if name != "istio-system"]
    kept[:0] = [_namespace_object(name) for name in missing_namespaces]
    notes.extend(f"namespace {name} is used but not there: made" for name in missing_namespaces)
    namespaces = sorted({namespace_of(each) for each in kept if is_workload(each)} | {f.service.split("/")[0] for f in fronts})
    return Workloads(
        tuple(kept), tuple(fronts), tuple(held), tuple(unasked), tuple(notes), zone=zone, namespaces=tuple(namespaces)
    )


def _taken_up(each: Object, notes: list[str]) -> str | None:
    """Makes an object fit for the lab, or says why it is held. A list where a mapping belongs is nothing to stumble over."""
    try:
        if why := why_held(each):
            return why
        adapt(each, notes)
        if is_a(each, "VirtualService", ISTIO):
            routing.refusals(each)
    except (TypeError, AttributeError, KeyError, ValueError):
        return (
            f"a field of it is not of the type that {each['apiVersion']} {each['kind']} has: "
            "`kubectl apply --dry-run=server -f FILE` tells which"
        )
    return None


def _why_unasked(route: Object, known: Backends) -> str | None:
    """Why this route is no service of the story: what `bluegreen` refuses, or that none of its rules could be answered."""
    if refused := routing.refusals(route):
        return "; ".join(map(str, refused))
    silent = []
    for rule in _rules(route):
        reasons = _silent(rule, route, known)
        if not reasons:
            return None
        silent += reasons
    return silent[0]


def _silent(rule: Any, route: Object, known: Backends) -> list[str]:
    """What of a rule's destinations could not answer."""
    reasons = []
    for host, port in _destinations([rule]):
        key = backends.service_key(host, namespace_of(route))
        if why := known.why_silent(key, port):
            reasons.append(why if why.startswith("/".join(key)) else f"its destination {'/'.join(key)}: {why}")
    return reasons


def _rules(route: Object) -> list[Any]:
    """Its http rules that send somewhere."""
    return [rule for rule in mappings(mapping(route.get("spec")).get("http")) if rule.get("route")]


def _front(route: Object, zone: str, known: Backends) -> Front:
    namespace, name = namespace_of(route), name_of(route)
    own = f"{name}.{zone}" if namespace in zone.split(".") else f"{name}.{namespace}.{zone}"
    host = next((str(host) for host in sequence(route["spec"].get("hosts")) or ["*"] if host != "*"), own)
    if host.startswith("*."):
        host = f"{name}{host[1:]}"
    return Front(f"{namespace}/{name}", host if host.endswith("." + zone) else own, host, _path(route, known))


def _path(route: Object, known: Backends) -> str:
    """A path that the first rule whose destinations answer takes."""
    for rule in _rules(route):
        if _silent(rule, route, known):
            continue
        for match in list(mappings(rule.get("match"))) or [{}]:
            if set(match) - {"uri", "name", "gateways", "ignoreUriCase", "port"}:
                continue
            uri = mapping(match.get("uri"))
            if "regex" not in uri:
                return str(uri.get("exact") or uri.get("prefix") or "/")
    return "/"


def _destinations(rules: Iterable[Any]) -> Iterator[tuple[str, int | None]]:
    """(host, port) of what rules send to."""
    for rule in rules:
        for each in mappings(rule.get("route")):
            destination = mapping(each.get("destination"))
            yield str(destination.get("host", "")), mapping(destination.get("port")).get("number")


def _front_ends(
    objects: list[Object], known: Backends, routed: set[tuple[str, str]], unasked: list[tuple[str, str]]
) -> Iterator[tuple[Object, int, str]]:
    """Services that users reach although no VirtualService says so: (service, port, why), one per set of pods."""
    named = set(_backends(objects))
    served = {backends.selector(service) for key, service in known.services.items() if key in routed}
    said = [(id(each), text) for each in objects if (text := backends.hosts_told(each))]
    candidates: list[tuple[int, Object, str]] = []
    for key, service in known.services.items():
        kind = mapping(service.get("spec")).get("type", "ClusterIP")
        if key in routed:
            continue
        if kind in ("LoadBalancer", "NodePort"):
            candidates.append((0, service, f"type {kind}"))
        elif key in named:
            candidates.append((1, service, "backend of an Ingress or HTTPRoute"))
        elif not _is_named(service, said, known.behind(service)):
            candidates.append((2, service, "named by no other workload"))
    for _, service, why in sorted(candidates, key=lambda c: (c[0], full_name(c[1]))):
        if backends.selector(service) in served:
            continue
        port = backends.http_port(service)
        silent = known.why_silent(key_of(service)) or (backends.why_no_http(service) if port is None else None)
        if silent or port is None:
            unasked.append((f"Service {full_name(service)}", str(silent)))
            continue
        served.add(backends.selector(service))
        yield service, port, why


def _backends(objects: list[Object]) -> Iterator[tuple[str, str]]:
    for each in objects:
        spec = mapping(each.get("spec"))
        if each["kind"] == "Ingress":
            paths = [p for rule in mappings(spec.get("rules")) for p in mappings(mapping(rule.get("http")).get("paths"))]
            for backend in [spec.get("defaultBackend"), *(path.get("backend") for path in paths)]:
                if "name" in (service := mapping(mapping(backend).get("service"))):
                    yield namespace_of(each), str(service["name"])
        elif each["kind"] == "HTTPRoute":
            for rule in mappings(spec.get("rules")):
                for reference in mappings(rule.get("backendRefs")):
                    yield str(reference.get("namespace", namespace_of(each))), str(reference.get("name"))


def _is_named(service: Object, said: list[tuple[int, str]], own: list[Object]) -> bool:
    """Whether a pod template or a ConfigMap of somebody else speaks of this service as a host."""
    name = re.compile(rf"(?<![\w.-]){re.escape(name_of(service))}(?![\w-])")
    mine = {id(each) for each in own}
    return any(who not in mine and name.search(text) for who, text in said)


def _route(service: Object, port: int, zone: str, objects: list[Object]) -> Object:
    namespace, name = namespace_of(service), name_of(service)
    taken = {name_of(e) for e in objects if is_a(e, "VirtualService", "networking.istio.io") and namespace_of(e) == namespace}
    own = name if name not in taken else f"{name}-public"
    destination = {"host": name, "port": {"number": port}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": own, "namespace": namespace},
        "spec": {
            "hosts": [f"{own}.{namespace}.{zone}"],
            "gateways": [PUBLIC_GATEWAY],
            "http": [{"route": [{"destination": destination}]}],
        },
    }


def public_gateway(namespace: str, name: str) -> Object:
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
    }


def _namespace_object(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _gateway_key(gateway: str, namespace: str) -> tuple[str, str]:
    within, slash, name = gateway.partition("/")
    return (within, name) if slash else (namespace, gateway)
