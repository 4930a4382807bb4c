"""Which Services of anyone's manifests can answer plain HTTP in the lab, and why the others cannot: pure, before anything runs.

What is found here is found at once; what only a running cluster can tell is found by settle.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.demo.manifests import Object, full_name, namespace_of

Key = tuple[str, str]
# Kinds whose pods stay; a Job's end, and pods of kinds like Rollout are made by controllers that the lab does not run.
SERVING_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")
WORKLOAD_KINDS = (*SERVING_KINDS, "Job", "CronJob", "Rollout")
# Ports of servers that do not speak plain HTTP: a route for one of them could only ever answer with an error.
NOT_HTTP_PORTS = frozenset({22, 25, 53, 443, 1433, 2181, 3306, 5432, 5672, 6379, 6443, 8443, 9042, 9092, 10250, 11211, 27017})
NOT_HTTP_NAMES = ("https", "grpc", "tcp", "tls", "udp", "mongo", "mysql", "redis", "postgres", "amqp", "kafka", "memcache")


class Backends:
    """`kept` is what the lab gets, `held` what it does not: a Service of held pods alone is silent, too."""

    def __init__(self, kept: Sequence[Object], held: Sequence[Object]) -> None:
        self.services = {(namespace_of(e), e["metadata"]["name"]): e for e in kept if is_service(e)}
        self.workloads = [each for each in kept if is_workload(each)]
        self.held = [each for each in held if is_workload(each)]

    def behind(self, service: Object) -> list[Object]:
        """The workloads whose pods it selects."""
        return [each for each in self.workloads if selects(service, each)]

    def why_silent(self, key: Key, port: int | None = None) -> str | None:
        """Why nobody would answer at this Service (at this port), and what would help; None where somebody should."""
        service = self.services.get(key)
        if service is None:
            return f"{'/'.join(key)} is no Service of these manifests: add it"
        spec = mapping(service.get("spec"))
        if spec.get("type") == "ExternalName":
            return f"is another name of {spec.get('externalName')}, which is outside (ExternalName): name a Service with pods"
        if not mapping(spec.get("selector")):
            return "has no selector, and addresses by hand lead out of the lab: give it pods by a selector"
        if why := self._why_no_pods(service):
            return why
        if spec.get("clusterIP") == "None":
            return (
                "is headless (clusterIP: None): no gateway of the lab reaches its pods; add a Service with an address for them"
            )
        numbers = [each["port"] for each in ports(service)]
        if port is not None and port not in numbers:
            return f"has no port {port}: its ports are {', '.join(map(str, numbers)) or 'none'}"
        return None

    def _why_no_pods(self, service: Object) -> str | None:
        behind = self.behind(service)
        if any(each["kind"] in SERVING_KINDS and replicas(each) > 0 for each in behind):
            return None
        asleep = next((each for each in behind if each["kind"] in SERVING_KINDS), None)
        if asleep is not None:
            return f"{asleep['kind']} {full_name(asleep)} has 0 replicas: set spec.replicas to 1 or more"
        if behind:
            return f"its pods are those of a {behind[0]['kind']}, which do not stay or are not made in the lab"
        left_out = next((each for each in self.held if selects(service, each)), None)
        if left_out is not None:
            return f"its pods are those of {left_out['kind']} {full_name(left_out)}, which is left out"
        labels = ", ".join(f"{k}={v}" for k, v in mapping(mapping(service.get("spec")).get("selector")).items())
        return f"no workload of these manifests has pods with {labels}: add it"


def http_port(service: Object) -> int | None:
    """The port to ask: one whose name says HTTP before one that may speak it."""
    candidates = sorted(
        (rank, index, each["port"]) for index, each in enumerate(ports(service)) if (rank := _rank(each)) is not None
    )
    return int(candidates[0][2]) if candidates else None


def why_no_http(service: Object) -> str:
    listed = ", ".join(f"{each.get('name') or 'unnamed'} {each['port']}" for each in ports(service))
    return f"none of its ports speaks plain HTTP ({listed or 'it has none'}): one whose name begins with http would be asked"


def _rank(port: Mapping[str, Any]) -> int | None:
    """0 for HTTP by its name, 1 for what may be, None for what is not."""
    if port.get("protocol", "TCP") != "TCP":
        return None
    said = str(port.get("appProtocol") or port.get("name") or "").lower()
    if said.startswith(NOT_HTTP_NAMES):
        return None
    if said.startswith("http"):
        return 0
    return None if port["port"] in NOT_HTTP_PORTS else 1


def ports(service: Object) -> list[Object]:
    given = mapping(service.get("spec")).get("ports")
    return [each for each in sequence(given) if isinstance(each, dict) and isinstance(each.get("port"), int)]


def replicas(workload: Object) -> int:
    """How many pods are asked for; 1 where the controller decides (a DaemonSet, a Pod)."""
    if workload["kind"] in ("DaemonSet", "Pod"):
        return 1
    wanted = mapping(workload.get("spec")).get("replicas")
    return wanted if isinstance(wanted, int) else 1


def is_service(each: Object) -> bool:
    return bool(each["kind"] == "Service" and each["apiVersion"] == "v1")


def is_workload(each: Object) -> bool:
    return each["kind"] in WORKLOAD_KINDS


def template(each: Object) -> Mapping[str, Any]:
    """The workload's pod: metadata and spec."""
    spec = mapping(each.get("spec"))
    if each["kind"] == "Pod":
        return each
    if each["kind"] == "CronJob":
        spec = mapping(mapping(spec.get("jobTemplate")).get("spec"))
    return mapping(spec.get("template"))


def selector(service: Object) -> tuple[str, tuple[tuple[str, str], ...]]:
    labels = mapping(mapping(service.get("spec")).get("selector"))
    return namespace_of(service), tuple(sorted((key, str(value)) for key, value in labels.items()))


def selects(service: Object, workload: Object) -> bool:
    wanted = mapping(mapping(service.get("spec")).get("selector"))
    labels = mapping(mapping(template(workload).get("metadata")).get("labels"))
    return bool(wanted) and namespace_of(service) == namespace_of(workload) and wanted.items() <= labels.items()


def service_key(host: str, namespace: str) -> Key:
    """Of a destination's host as Istio reads it: web, web.shop or web.shop.svc.cluster.local."""
    name, _, rest = host.partition(".")
    within = rest.partition(".")[0]
    return (within if within and (rest == within or rest.startswith(f"{within}.svc")) else namespace, name)


def mapping(value: Any) -> Mapping[str, Any]:
    """`value`, or an empty one where people wrote something else: the API server will say so in its words."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    return (each for each in sequence(value) if isinstance(each, Mapping))


def hosts_told(each: Object) -> str:
    """What a pod template or a ConfigMap says in which the name of a Service could be; nothing of other objects."""
    if is_workload(each):
        pod = mapping(template(each).get("spec"))
        containers = [*mappings(pod.get("containers")), *mappings(pod.get("initContainers"))]
        return json.dumps([[c.get("env"), c.get("args"), c.get("command")] for c in containers])
    return json.dumps(each.get("data") or {}) if each["kind"] == "ConfigMap" else ""
