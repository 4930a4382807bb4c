"""The metrics API (metrics.k8s.io) of a lab cluster: what HPAs and `kubectl top` ask for, from annotations of the pods.

    lab.bluegreen.io/cpu: "250m"    lab.bluegreen.io/memory: "64Mi"

A pod without them uses a tenth of what its containers request. The API server reaches this through an APIService whose
Service is an ExternalName with a loopback address: Kubernetes dials such a name as it stands.
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.cluster.control_plane import self_signed
from lab.cluster.kube import Object
from lab.cluster.pod_server import DOMAIN
from lab.layout import POD_METRICS_PORT, ClusterAddresses

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
DEFAULT_SHARE = 0.1
DEFAULT_REQUEST = {"cpu": 0.1, "memory": float(64 << 20)}
SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
            "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}  # fmt: skip


class ResourceMetrics:
    """Serves the metrics API for the pods that `pods` returns."""

    def __init__(self, pods: Callable[[], Iterable[Object]], folder: Path, addresses: ClusterAddresses) -> None:
        self.pods, self.folder, self.addresses = pods, folder, addresses

    async def run(self, synced: asyncio.Event) -> None:
        """Serves once the pods are known, so that an answer means that the pods process is ready."""
        await synced.wait()
        app = web.Application()
        base = f"/apis/{GROUP}/{VERSION}"
        app.router.add_get("/healthz", _healthy)
        app.router.add_get(f"/apis/{GROUP}", _group)
        app.router.add_get(base, _resources)
        app.router.add_get(f"{base}/pods", self._list)
        app.router.add_get(f"{base}/namespaces/{{namespace}}/pods", self._list)
        app.router.add_get(f"{base}/namespaces/{{namespace}}/pods/{{name}}", self._one)
        app.router.add_get(f"{base}/nodes", self._nodes)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        certificate, key = self_signed(self.folder, self.addresses.programs)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        await web.TCPSite(runner, self.addresses.programs, POD_METRICS_PORT, ssl_context=context).start()
        await asyncio.Event().wait()

    async def _list(self, request: web.Request) -> web.Response:
        namespace = request.match_info.get("namespace")
        selector = parse_selector(request.query.get("labelSelector", ""))
        items = [
            pod_metrics(pod)
            for pod in self._measured()
            if namespace in (None, pod["metadata"]["namespace"]) and selector(pod["metadata"].get("labels") or {})
        ]
        return web.json_response(_typed("PodMetricsList", {"metadata": {}, "items": items}))

    async def _one(self, request: web.Request) -> web.Response:
        for pod in self._measured():
            meta = pod["metadata"]
            if (meta["namespace"], meta["name"]) == (request.match_info["namespace"], request.match_info["name"]):
                return web.json_response(_typed("PodMetrics", pod_metrics(pod)))
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}, status=404)

    async def _nodes(self, _: web.Request) -> web.Response:
        usage: dict[str, dict[str, float]] = {}
        for pod in self._measured():
            node = usage.setdefault(pod["spec"].get("nodeName", ""), {"cpu": 0.0, "memory": 0.0})
            for container in pod_usage(pod):
                for name in node:
                    node[name] += container[1][name]
        items = [
            {"metadata": {"name": name}, "timestamp": _now(), "window": "10s", "usage": _quantities(used)}
            for name, used in usage.items()
        ]
        return web.json_response(_typed("NodeMetricsList", {"metadata": {}, "items": items}))

    def _measured(self) -> Iterable[Object]:
        return (pod for pod in self.pods() if pod.get("status", {}).get("phase") == "Running")


def parse_selector(text: str) -> Callable[[Mapping[str, str]], bool]:
    """A label selector as the API writes it: a=b, a==b, a!=b, a, !a, a in (b,c), a notin (b,c)."""
    tests = [_parse_requirement(part) for part in _parts(text)]
    return lambda labels: all(test(labels) for test in tests)


def _parse_requirement(part: str) -> Callable[[Mapping[str, str]], bool]:
    for word, wanted in ((" notin ", False), (" in ", True)):
        if word in part:
            name, _, rest = part.partition(word)
            values = {value.strip() for value in rest.strip().strip("()").split(",")}
            return lambda labels: (labels.get(name.strip()) in values) == wanted
    if "=" in part:
        name, _, value = part.partition("=")
        equal, key, value = not name.endswith("!"), name.rstrip("!").strip(), value.lstrip("=").strip()
        return lambda labels: (labels.get(key) == value) == equal
    absent = part.startswith("!")
    return lambda labels: (part.lstrip("!").strip() in labels) != absent


def _parts(text: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += letter
    return [part.strip() for part in [*parts, current] if part.strip()]


def parse_quantity(text: str) -> float:
    """250m -> 0.25, 64Mi -> 67108864."""
    text = text.strip()
    digits = text.rstrip("numkMGTPi")
    return float(digits) * SUFFIXES[text[len(digits) :]]


def pod_usage(pod: Object) -> list[tuple[str, dict[str, float]]]:
    """What each container uses. An annotation tells it for the pod: divided among its containers."""
    annotations = pod["metadata"].get("annotations") or {}
    containers = pod["spec"]["containers"]
    usage = []
    for container in containers:
        used = {}
        for name, fallback in DEFAULT_REQUEST.items():
            annotated = annotations.get(f"{DOMAIN}/{name}")
            requested = (container.get("resources") or {}).get("requests", {}).get(name)
            if annotated:
                used[name] = parse_quantity(annotated) / len(containers)
            else:
                used[name] = DEFAULT_SHARE * (parse_quantity(str(requested)) if requested else fallback)
        usage.append((str(container["name"]), used))
    return usage


def pod_metrics(pod: Object) -> Object:
    meta = pod["metadata"]
    return {
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "labels": meta.get("labels") or {}},
        "timestamp": _now(),
        "window": "10s",
        "containers": [{"name": name, "usage": _quantities(used)} for name, used in pod_usage(pod)],
    }


def api_objects(addresses: ClusterAddresses) -> list[tuple[str, Object]]:
    """Path and body of what registers the metrics API with the API server."""
    name = "metrics-server"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"k8s-app": name}},
        "spec": {
            "type": "ExternalName",
            "externalName": addresses.programs,
            "ports": [{"port": POD_METRICS_PORT, "name": "https"}],
        },
    }
    registration = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": name, "namespace": "kube-system", "port": POD_METRICS_PORT},
        },
    }
    return [
        (f"/api/v1/namespaces/kube-system/services/{name}", service),
        (f"/apis/apiregistration.k8s.io/v1/apiservices/{VERSION}.{GROUP}", registration),
    ]


def _quantities(used: Mapping[str, float]) -> dict[str, str]:
    return {"cpu": f"{round(used['cpu'] * 1e9)}n", "memory": f"{round(used['memory'] / 1024)}Ki"}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _typed(kind: str, body: Mapping[str, Any]) -> Object:
    return {"kind": kind, "apiVersion": f"{GROUP}/{VERSION}", **body}


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _group(_: web.Request) -> web.Response:
    version = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
    body = {"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version}
    return web.json_response(body)


async def _resources(_: web.Request) -> web.Response:
    resources = [
        {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]}
        for name, namespaced, kind in (("nodes", False, "NodeMetrics"), ("pods", True, "PodMetrics"))
    ]
    body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}", "resources": resources}
    return web.json_response(body)
