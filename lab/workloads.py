"""Reads anyone's manifests and makes them fit to live in the lab, telling every change.

`read` parses files, `prepare` is pure: it finds what can be shifted (VirtualServices on a gateway), gives front ends
without one a route, and sets aside what needs a program that the lab's pods are not. `bring_up` applies the rest.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.faults import KUBECTL

Object = dict[str, Any]
PUBLIC_GATEWAY = "istio-system/public"
WORKLOAD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "CronJob", "Rollout")
# Ports of servers that do not speak HTTP: a route for one of them could only ever answer with an error.
NOT_HTTP_PORTS = frozenset({25, 53, 1433, 2181, 3306, 5432, 5672, 6379, 9042, 9092, 11211, 27017})
NOT_HTTP_NAMES = ("tcp", "tls", "udp", "mongo", "mysql", "redis", "postgres", "amqp", "kafka", "memcache")


class WorkloadsError(Exception):
    """The manifests cannot be read: says which file, where, and what is wrong."""


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


def read(source: Path) -> list[Object]:
    """All objects of a YAML or JSON file, or of every such file below a folder, Lists opened.

    Raises:
        WorkloadsError: no such path, no objects in it, broken YAML, or a document that is no Kubernetes object.
    """
    if not source.exists():
        raise WorkloadsError(f"WORKLOADS={source}: no such file or folder; name one with Kubernetes manifests in it")
    files = sorted(p for p in source.rglob("*") if p.suffix in (".yaml", ".yml", ".json")) if source.is_dir() else [source]
    objects = [each for file in files for each in _read_file(file)]
    if not objects:
        raise WorkloadsError(f"WORKLOADS={source}: no Kubernetes object in {len(files)} file(s)")
    return objects


def _read_file(file: Path) -> Iterator[Object]:
    try:
        documents = list(yaml.load_all(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WorkloadsError(f"{file}: not YAML: {error}") from error
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise WorkloadsError(f"{file}, document {number}: a {type(document).__name__}, not a Kubernetes object")
        if "kind" not in document or "apiVersion" not in document:
            if file.name in ("kustomization.yaml", "kustomization.yml", "values.yaml") or file.suffix == ".json":
                continue
            raise WorkloadsError(f"{file}, document {number}: no kind or apiVersion; it is not a Kubernetes object")
        if document["kind"] == "Kustomization":
            continue
        yield from _open_list(document)


def _open_list(document: Object) -> Iterator[Object]:
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _open_list(item)
    else:
        yield document


def prepare(objects: Iterable[Object], zone: str = "lab.test") -> Workloads:
    """Decides, without touching anything, what of `objects` the lab runs and how. The objects given are not changed."""
    everything: list[Object] = [json.loads(json.dumps(each, default=str)) for each in objects]
    notes: list[str] = []
    held: list[tuple[str, str]] = []
    kept = [each for each in everything if not _held(each, held)]
    for each in kept:
        _adapt(each, notes)
    gateways = {(_namespace(each), _name(each)) for each in kept if _is(each, "Gateway", "networking.istio.io")}
    fronts: list[Front] = []
    routed: set[tuple[str, str]] = set()
    for route in [each for each in kept if _is(each, "VirtualService", "networking.istio.io")]:
        named = [gateway for gateway in route["spec"].get("gateways") or [] if gateway != "mesh"]
        if not named:
            continue
        for gateway in named:
            missing = _gateway_key(gateway, _namespace(route))
            if missing not in gateways and gateway != PUBLIC_GATEWAY:
                kept.append(_gateway(*missing))
                gateways.add(missing)
                notes.append(f"Gateway {missing[0]}/{missing[1]} is named by {_id(route)} but not there: made")
        fronts.append(_front(route, zone))
        routed |= {(_namespace(route), host.split(".")[0]) for host in _destinations(route)}
    for service, port, why in _front_ends(kept, routed):
        route = _route(service, port, zone, kept)
        kept.append(route)
        fronts.append(_front(route, zone))
        notes.append(f"Service {_id(service)} has no route ({why}): VirtualService {_id(route)} made for port {port}")
    defined = {_name(each) for each in kept if _is(each, "Namespace", "")}
    missing_namespaces = sorted({_namespace(each) for each in kept} - defined - {"default", "kube-system"})
    missing_namespaces = [name for name in missing_namespaces if name != "istio-system"]
    kept[:0] = [_namespace_object(name) for name in missing_namespaces]
    notes.extend(f"namespace {name} is used but not there: made" for name in missing_namespaces)
    namespaces = sorted({_namespace(each) for each in kept if _is_workload(each)} | {f.service.split("/")[0] for f in fronts})
    return Workloads(tuple(kept), tuple(fronts), tuple(held), tuple(notes), zone, tuple(namespaces))


def _held(each: Object, held: list[tuple[str, str]]) -> bool:
    """Sets aside what would wait for a program inside a pod: pods of the lab are not machines."""
    kind = each["kind"]
    if kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        served = [w.get("name", "?") for w in each.get("webhooks") or [] if "service" in (w.get("clientConfig") or {})]
        if served:
            held.append((f"{kind} {_name(each)}", f"webhooks served by pods: {', '.join(served)}"))
            return True
    if kind == "APIService" and (each.get("spec") or {}).get("service"):
        held.append((f"APIService {_name(each)}", "its API is served by pods"))
        return True
    return False


def _adapt(each: Object, notes: list[str]) -> None:
    """Changes the few fields that cannot work in the lab, and says so."""
    if each["kind"] == "CustomResourceDefinition" and (each["spec"].get("conversion") or {}).get("strategy") == "Webhook":
        each["spec"]["conversion"] = {"strategy": "None"}
        notes.append(f"CRD {_name(each)}: conversion by a webhook in a pod, applied without")
    if _is(each, "Gateway", "networking.istio.io") and "selector" in each.get("spec", {}):
        _adapt_gateway(each, notes)
    if _is(each, "VirtualService", "networking.istio.io"):
        _adapt_route(each, notes)


def _adapt_gateway(each: Object, notes: list[str]) -> None:
    """Binds it to the lab's gateway, which has one public port, 80, and no certificates."""
    if each["spec"]["selector"].get("istio") != "ingressgateway":
        each["spec"]["selector"] = {"istio": "ingressgateway"}
        notes.append(f"Gateway {_id(each)}: selects other gateway pods; bound to the lab's gateway")
    servers = each["spec"].get("servers") or []
    plain = {host for s in servers if _speaks(s, "HTTP", "HTTP2") for host in s.get("hosts") or []}
    for server in servers:
        port = server.get("port") or {}
        if _speaks(server, "HTTP", "HTTP2") and port.get("number") != 80:
            notes.append(f"Gateway {_id(each)}: port {port.get('number')} is served as port 80, the lab's public one")
            port["number"] = 80
        if (server.get("tls") or {}).get("httpsRedirect"):
            del server["tls"]["httpsRedirect"]
            notes.append(f"Gateway {_id(each)}: clients of the lab speak plain HTTP, its redirect to HTTPS is off")
        ended_here = _speaks(server, "HTTPS") and (server.get("tls") or {}).get("mode") != "PASSTHROUGH"
        if ended_here and not plain & {"*", *(server.get("hosts") or [])}:
            notes.append(f"Gateway {_id(each)}: HTTPS at port {port.get('number')} is plain HTTP at port 80 in the lab")
            server.pop("tls", None)
            port |= {"number": 80, "protocol": "HTTP"}


def _speaks(server: Object, *protocols: str) -> bool:
    return str((server.get("port") or {}).get("protocol", "")).upper() in protocols


def _adapt_route(each: Object, notes: list[str]) -> None:
    """All requests come in by port 80: matches of other ports would never fit, a redirect to HTTPS would not end."""
    rules = (each.get("spec") or {}).get("http") or []
    served = [rule for rule in rules if (rule.get("redirect") or {}).get("scheme") != "https"]
    if served and len(served) < len(rules):
        each["spec"]["http"] = served
        notes.append(f"VirtualService {_id(each)}: clients of the lab speak plain HTTP, its redirect to HTTPS is off")
    for match in [match for rule in served for match in rule.get("match") or []]:
        if match.get("port", 80) != 80:
            notes.append(f"VirtualService {_id(each)}: what it matches at port {match['port']} comes by port 80 in the lab")
            match["port"] = 80


def _front(route: Object, zone: str) -> Front:
    namespace, name = _namespace(route), _name(route)
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
    served = {_selector(each) for each in objects if each["kind"] == "Service" and (_namespace(each), _name(each)) in routed}
    candidates: list[tuple[int, Object, str]] = []
    for service in (each for each in objects if each["kind"] == "Service" and each["apiVersion"] == "v1"):
        key, kind = (_namespace(service), _name(service)), (service.get("spec") or {}).get("type", "ClusterIP")
        own = [each for each in workloads if _selects(service, each)]
        if key in routed or not own:
            continue
        if kind in ("LoadBalancer", "NodePort"):
            candidates.append((0, service, f"type {kind}"))
        elif key in backends:
            candidates.append((1, service, "backend of an Ingress or HTTPRoute"))
        elif not _is_named(service, [each for each in objects if each not in own]):
            candidates.append((2, service, "named by no other workload"))
    for _, service, why in sorted(candidates, key=lambda c: (c[0], _id(c[1]))):
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
                    yield _namespace(each), backend["service"]["name"]
        elif each["kind"] == "HTTPRoute":
            for rule in (each.get("spec") or {}).get("rules") or []:
                for reference in rule.get("backendRefs") or []:
                    yield reference.get("namespace", _namespace(each)), reference["name"]


def _is_named(service: Object, others: list[Object]) -> bool:
    """Whether a pod template or a ConfigMap of somebody else speaks of this service as a host."""
    name = re.compile(rf"(?<![\w.-]){re.escape(_name(service))}(?![\w-])")
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
    namespace, name = _namespace(service), _name(service)
    taken = {_name(e) for e in objects if _is(e, "VirtualService", "networking.istio.io") and _namespace(e) == namespace}
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


def _gateway(namespace: str, name: str) -> Object:
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


def _name(each: Object) -> str:
    return str(each["metadata"].get("name") or each["metadata"].get("generateName", "?"))


def _namespace(each: Object) -> str:
    return str(each["metadata"].get("namespace") or "default")


def _id(each: Object) -> str:
    return f"{_namespace(each)}/{_name(each)}"


def _is(each: Object, kind: str, group: str) -> bool:
    within, slash, _ = str(each["apiVersion"]).partition("/")
    return each["kind"] == kind and (within if slash else "") == group


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
    return _namespace(service), tuple(sorted(((service.get("spec") or {}).get("selector") or {}).items()))


def _selects(service: Object, workload: Object) -> bool:
    wanted = (service.get("spec") or {}).get("selector") or {}
    spec = workload.get("spec") or {}
    template = workload if workload["kind"] == "Pod" else spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    return bool(wanted) and _namespace(service) == _namespace(workload) and wanted.items() <= labels.items()


def bring_up(kubeconfig: Path, workloads: Workloads) -> list[tuple[str, str]]:
    """Applies the workloads as their owners would, with kubectl; returns what the API server refused, in its words."""
    first = [each for each in workloads.objects if each["kind"] in ("Namespace", "CustomResourceDefinition")]
    rest = [each for each in workloads.objects if each not in first]
    refused = _apply(kubeconfig, first)
    names = [f"crd/{_name(each)}" for each in first if each["kind"] == "CustomResourceDefinition"]
    if names:
        _kubectl(kubeconfig, ["wait", "--for=condition=Established", "--timeout=60s", *names], "")
    return refused + _apply(kubeconfig, rest)


def _apply(kubeconfig: Path, objects: list[Object]) -> list[tuple[str, str]]:
    if not objects:
        return []
    arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"]
    done = _kubectl(kubeconfig, arguments, "\n---\n".join(json.dumps(each) for each in objects))
    return told_by_kubectl(done.stderr) if done.returncode else []


def told_by_kubectl(text: str) -> list[tuple[str, str]]:
    """What was refused and why, from kubectl's lines."""
    refused = []
    for line in text.splitlines():
        unknown = re.search(r'for name: "([^"]*)".*no matches for kind "([^"]*)" in version "([^"]*)"', line)
        if unknown:
            name, kind, version = unknown.groups()
            refused.append((f"{kind} {name}", f"no API {version} here"))
        elif line and not line.startswith("Warning:") and line != "ensure CRDs are installed first":
            refused.append(("kubectl apply", line))
    return refused


def _kubectl(kubeconfig: Path, arguments: list[str], text: str) -> subprocess.CompletedProcess[str]:
    command = [KUBECTL, f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=False)
