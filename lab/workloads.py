"""Makes anyone's manifests a story's workloads: what can be shifted, what runs in the lab, what is held.

Pure: `prepare` finds the services that users reach (VirtualServices on a gateway), gives front ends without one a route,
sets aside what needs a program that the lab's pods are not (lab/adapt.py), and tells every change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.adapt import adapt, why_held
from lab.manifests import Object, full_name, is_a, key_of, name_of, namespace_of

PUBLIC_GATEWAY = "istio-system/public"
WORKLOAD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "CronJob", "Rollout")
# Ports of servers that do not speak HTTP: a route for one of them could only ever answer with an error.
NOT_HTTP_PORTS = frozenset({25, 53, 1433, 2181, 3306, 5432, 5672, 6379, 9042, 9092, 11211, 27017})
NOT_HTTP_NAMES = ("tcp", "tls", "udp", "mongo", "mysql", "redis", "postgres", "amqp", "kafka", "memcache")


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
    """What is applied, what is held (object, reason), whom clients ask, and what was changed and why."""

    objects: tuple[Object, ...]
    fronts: tuple[Front, ...]
    held: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    zone: str = "lab.test"
    namespaces: tuple[str, ...] = field(default=())


def prepare(objects: Iterable[Object], zone: str = "lab.test") -> Workloads:
    """Decides, without touching anything, what of `objects` the lab runs and how. The objects given are not changed."""
    everything: list[Object] = [json.loads(json.dumps(each, default=str)) for each in objects]
    notes: list[str] = []
    held = [(f"{each['kind']} {name_of(each)}", why) for each in everything if (why := why_held(each))]
    kept = [each for each in everything if not why_held(each)]
    for each in kept:
        adapt(each, notes)
    gateways = {key_of(each) for each in kept if is_a(each, "Gateway", "networking.istio.io")}
    fronts: list[Front] = []
    routed: set[tuple[str, str]] = set()
    for route in [each for each in kept if is_a(each, "VirtualService", "networking.istio.io")]:
        named = [gateway for gateway in route["spec"].get("gateways") or [] if gateway != "mesh"]
        if not named:
            continue
        for gateway in named:
            missing = _gateway_key(gateway, namespace_of(route))
            if missing not in gateways and gateway != PUBLIC_GATEWAY:
                kept.append(public_gateway(*missing))
                gateways.add(missing)
                notes.append(f"Gateway {missing[0]}/{missing[1]} is named by {full_name(route)} but not there: made")
        fronts.append(_front(route, zone))
        routed |= {(namespace_of(route), host.split(".")[0]) for host in _destinations(route)}
    for service, port, why in _front_ends(kept, routed):
        route = _route(service, port, zone, kept)
        kept.append(route)
        fronts.append(_front(route, zone))
        notes.append(
            f"Service {full_name(service)} has no route ({why}): VirtualService {full_name(route)} made for port {port}"
        )
    defined = {name_of(each) for each in kept if is_a(each, "Namespace", "")}
    missing_namespaces = sorted({namespace_of(each) for each in kept} - defined - {"default", "kube-system"})
    missing_namespaces = [name for name in missing_namespaces if name != "istio-system"]
    kept[:0] = [_namespace_object(name) for name in missing_namespaces]
    notes.extend(f"namespace {name} is used but not there: made" for name in missing_namespaces)
    namespaces = sorted({namespace_of(each) for each in kept if _is_workload(each)} | {f.service.split("/")[0] for f in fronts})
    return Workloads(tuple(kept), tuple(fronts), tuple(held), tuple(notes), zone, tuple(namespaces))


def _front(route: Object, zone: str) -> Front:
    namespace, name = namespace_of(route), name_of(route)
    own = f"{name}.{zone}" if namespace in zone.split(".") else f"{name}.{namespace}.{zone}"
    host = next((host for host in route["spec"].get("hosts") or ["*"] if host != "*"), own)
    if host.startswith("*."):
        host = f"{name}{host[1:]}"
    return Front(f"{namespace}/{name}", host if host.endswith("." + zone) else own, host, _path(route))


def _path(route: Object) -> str:
    """A path that the first rule with a destination answers."""
    for rule in route["spec"].get("http") or []:
        if not rule.get("route"):
            continue
        matches = rule.get("match") or [{}]
        for match in matches:
            if set(match) - {"uri", "name", "gateways", "ignoreUriCase", "port"}:
                continue
            uri = match.get("uri") or {}
            if "regex" not in uri:
                return str(uri.get("exact") or uri.get("prefix") or "/")
    return "/"


def _destinations(route: Object) -> Iterator[str]:
    for rule in route["spec"].get("http") or []:
        for each in rule.get("route") or []:
            yield str((each.get("destination") or {}).get("host", ""))


def _front_ends(objects: list[Object], routed: set[tuple[str, str]]) -> Iterator[tuple[Object, int, str]]:
    """Services that users reach although no VirtualService says so: (service, port, why), one per set of pods."""
    workloads = [each for each in objects if _is_workload(each)]
    backends = set(_backends(objects))
    served = {_selector(each) for each in objects if each["kind"] == "Service" and key_of(each) in routed}
    candidates: list[tuple[int, Object, str]] = []
    for service in (each for each in objects if each["kind"] == "Service" and each["apiVersion"] == "v1"):
        key, kind = key_of(service), (service.get("spec") or {}).get("type", "ClusterIP")
        own = [each for each in workloads if _selects(service, each)]
        if key in routed or not own:
            continue
        if kind in ("LoadBalancer", "NodePort"):
            candidates.append((0, service, f"type {kind}"))
        elif key in backends:
            candidates.append((1, service, "backend of an Ingress or HTTPRoute"))
        elif not _is_named(service, [each for each in objects if each not in own]):
            candidates.append((2, service, "named by no other workload"))
    for _, service, why in sorted(candidates, key=lambda c: (c[0], full_name(c[1]))):
        port = _http_port(service)
        if port is not None and _selector(service) not in served:
            served.add(_selector(service))
            yield service, port, why


def _backends(objects: list[Object]) -> Iterator[tuple[str, str]]:
    for each in objects:
        if each["kind"] == "Ingress":
            spec = each.get("spec") or {}
            paths = [p for rule in spec.get("rules") or [] for p in (rule.get("http") or {}).get("paths") or []]
            for backend in [spec.get("defaultBackend") or {}, *(path.get("backend") or {} for path in paths)]:
                if "service" in backend:
                    yield namespace_of(each), backend["service"]["name"]
        elif each["kind"] == "HTTPRoute":
            for rule in (each.get("spec") or {}).get("rules") or []:
                for reference in rule.get("backendRefs") or []:
                    yield reference.get("namespace", namespace_of(each)), reference["name"]


def _is_named(service: Object, others: list[Object]) -> bool:
    """Whether a pod template or a ConfigMap of somebody else speaks of this service as a host."""
    name = re.compile(rf"(?<![\w.-]){re.escape(name_of(service))}(?![\w-])")
    for each in others:
        if _is_workload(each):
            template = _template(each)
            containers = [*(template.get("containers") or []), *(template.get("initContainers") or [])]
            text = json.dumps([[c.get("env"), c.get("args"), c.get("command")] for c in containers])
        elif each["kind"] == "ConfigMap":
            text = json.dumps(each.get("data") or {})
        else:
            continue
        if name.search(text):
            return True
    return False


def _http_port(service: Object) -> int | None:
    ports = (service.get("spec") or {}).get("ports") or []
    speaks = [
        port
        for port in ports
        if port.get("protocol", "TCP") == "TCP"
        and port["port"] not in NOT_HTTP_PORTS
        and not str(port.get("appProtocol") or port.get("name") or "").lower().startswith((*NOT_HTTP_NAMES, "grpc"))
    ]
    speaks.sort(key=lambda port: not str(port.get("name") or "").startswith("http"))
    return int(speaks[0]["port"]) if speaks else None


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


def _is_workload(each: Object) -> bool:
    return each["kind"] in WORKLOAD_KINDS


def _template(each: Object) -> Mapping[str, Any]:
    spec = each.get("spec") or {}
    if each["kind"] == "Pod":
        return dict(spec)
    if each["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    return dict((spec.get("template") or {}).get("spec") or {})


def _selector(service: Object) -> tuple[str, tuple[tuple[str, str], ...]]:
    return namespace_of(service), tuple(sorted(((service.get("spec") or {}).get("selector") or {}).items()))


def _selects(service: Object, workload: Object) -> bool:
    wanted = (service.get("spec") or {}).get("selector") or {}
    spec = workload.get("spec") or {}
    template = workload if workload["kind"] == "Pod" else spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    return bool(wanted) and namespace_of(service) == namespace_of(workload) and wanted.items() <= labels.items()
