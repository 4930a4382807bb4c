"""What lab tests work with: clusters with a synchronous API client, workloads, requests through gateways.

def test_something(two_clusters, namespace):
    plum, fern = two_clusters
    plum.workload(namespace, "web", host=f"web.{namespace}.test", replicas=2)
    answer = plum.send(f"web.{namespace}.test", "/path")
    assert answer.status == 200 and answer.cluster == "plum"
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from lab.server import LabClient

Object = dict[str, Any]
T = TypeVar("T")
PATIENCE_SECONDS = 60.0


def eventually(
    condition: Callable[..., T], what: str = "condition", seconds: float = PATIENCE_SECONDS, pause: float = 0.05
) -> T:
    """The first true value of `condition`; fails the test when there is none in time. Errors of it count as not yet."""
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            last = met = condition()
            if met:
                return met
        except (ApiError, OSError, http.client.HTTPException, KeyError, IndexError, ValueError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds:.0f} s; last seen: {last!r}")
        time.sleep(pause)


class ApiError(Exception):
    """The API server refused; `status` is the HTTP status, `body` the Status object."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:500]}")
        self.status, self.text = status, text


class Api:
    """A synchronous Kubernetes client over raw JSON. Objects are given whole; paths come from discovery."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.address = described["endpoint"].removeprefix("https://")
        self.token = described["token"]
        self.context = ssl.create_default_context(cadata=base64.b64decode(described["ca"]).decode())
        self.plurals: dict[tuple[str, str], tuple[str, bool]] = {}
        self.local = threading.local()
        self.opened: list[http.client.HTTPSConnection] = []

    def close(self) -> None:
        for connection in self.opened:
            connection.close()

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", accept: str = "application/json"
    ) -> Any:
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type, "Accept": accept}
        for attempt in (1, 2):
            connection = getattr(self.local, "connection", None)
            if connection is None:
                connection = http.client.HTTPSConnection(self.address, timeout=30, context=self.context)
                self.local.connection = connection
                self.opened.append(connection)
            try:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                text = answer.read().decode()
                break
            except (OSError, http.client.HTTPException):
                connection.close()
                self.local.connection = None
                if attempt == 2:
                    raise
        if answer.status >= 300:
            raise ApiError(answer.status, text)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def get(self, path: str) -> Object | None:
        try:
            return self.request("GET", path)  # type: ignore[no-any-return]
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str) -> list[Object]:
        return list(self.request("GET", path)["items"])

    def path(self, item: Mapping[str, Any]) -> str:
        """The URL path of an object, from its apiVersion, kind, namespace and name."""
        version, kind = str(item["apiVersion"]), str(item["kind"])
        base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if (version, kind) not in self.plurals:
            for resource in self.request("GET", base)["resources"]:
                if "/" not in resource["name"]:
                    self.plurals[version, resource["kind"]] = (resource["name"], resource["namespaced"])
        plural, namespaced = self.plurals[version, kind]
        meta = item["metadata"]
        middle = f"/namespaces/{meta.get('namespace', 'default')}" if namespaced else ""
        return f"{base}{middle}/{plural}/{meta['name']}"

    def apply(self, *items: Mapping[str, Any], manager: str = "tests") -> None:
        """Server-side apply, by force, one after the other."""
        for item in items:
            path = f"{self.path(item)}?fieldManager={manager}&force=true"
            self.request("PATCH", path, item, "application/apply-patch+yaml")

    def merge(self, path: str, patch: Mapping[str, Any]) -> Object:
        return self.request("PATCH", path, patch, "application/merge-patch+json")  # type: ignore[no-any-return]

    def delete(self, item: Mapping[str, Any] | str) -> None:
        try:
            self.request("DELETE", item if isinstance(item, str) else self.path(item))
        except ApiError as error:
            if error.status != 404:
                raise


@dataclass(frozen=True)
class Answer:
    """What came back through a gateway."""

    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float

    @property
    def cluster(self) -> str:
        return self.headers.get("x-lab-cluster", "")

    @property
    def pod(self) -> str:
        return self.headers.get("x-lab-pod", "")

    @property
    def workload(self) -> str:
        return self.headers.get("x-lab-workload", "")

    @property
    def injected(self) -> bool:
        return self.headers.get("x-lab-injected") == "1"

    @property
    def echo(self) -> Any:
        """The pod's JSON echo: cluster, pod, namespace, method, path, host, headers."""
        return json.loads(self.text)


@dataclass
class Traffic:
    """What a `traffic` block saw: answers, and errors of transport."""

    answers: list[Answer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def bad(self) -> list[str]:
        return self.errors + [f"{a.status} {a.text[:80]}" for a in self.answers if a.status >= 500]


class LabCluster:
    """One ready cluster of the lab."""

    def __init__(self, client: LabClient, described: Mapping[str, Any]) -> None:
        self.client, self.described = client, described
        self.name: str = described["name"]
        self.version: str = described["version"]
        self.kubeconfig: str = described["kubeconfig"]
        self.gateway: str = described["gateway"]["address"]
        self.port: int = described["gateway"]["port"]
        self.peer_port: int = described["gateway"]["peer_port"]
        self.admin: str = described["admin"]
        self.api = Api(described)

    def send(
        self,
        host: str,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: str | None = None,
        peer: bool = False,
        timeout: float = 10,
    ) -> Answer:
        """One request through the gateway's public (or peer) listener, on a connection of its own."""
        connection = http.client.HTTPConnection(self.gateway, self.peer_port if peer else self.port, timeout=timeout)
        began = time.monotonic()
        try:
            connection.request(method, path, body, {"Host": host, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            answer_headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, answer_headers, text, time.monotonic() - began)
        finally:
            connection.close()

    @contextmanager
    def traffic(self, host: str, path: str = "/", workers: int = 2, pause: float = 0.01) -> Iterator[Traffic]:
        """Steady requests in the background for the length of the block."""
        traffic, stop = Traffic(), threading.Event()

        def work() -> None:
            while not stop.wait(pause):
                try:
                    traffic.answers.append(self.send(host, path))
                except (OSError, http.client.HTTPException) as error:
                    traffic.errors.append(repr(error))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        try:
            yield traffic
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def workload(
        self,
        namespace: str,
        name: str,
        host: str | None = None,
        replicas: int = 1,
        annotations: Mapping[str, str] | None = None,
        http_routes: list[Object] | None = None,
        container_port: int = 8080,
        wait: bool = True,
    ) -> None:
        """A Deployment with its Service (port 80) and, with a host, a VirtualService on istio-system/public.

        Returns when all replicas are Ready and, with a host, one of them answered through the gateway.
        """
        self.api.apply(*deployment(namespace, name, replicas, annotations, container_port))
        if host:
            self.api.apply(virtual_service(namespace, name, [host], http_routes))
        if wait:
            eventually(lambda: len(self.ready_pods(namespace, name)) == replicas, f"{replicas} pods of {name} ready")
            if host and replicas:
                eventually(lambda: self.send(host).status == 200, f"an answer for {host}")

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        self.api.merge(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", {"spec": {"replicas": replicas}})

    def pods(self, namespace: str, app: str | None = None) -> list[Object]:
        selector = f"?labelSelector=app%3D{app}" if app else ""
        return self.api.items(f"/api/v1/namespaces/{namespace}/pods{selector}")

    def ready_pods(self, namespace: str, app: str | None = None) -> list[Object]:
        return [pod for pod in self.pods(namespace, app) if _ready(pod)]

    def annotate_pods(self, namespace: str, app: str, annotations: Mapping[str, str | None]) -> None:
        """Faults and metrics by annotation, on the pods that live now (None removes)."""
        for pod in self.pods(namespace, app):
            path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
            self.api.merge(path, {"metadata": {"annotations": dict(annotations)}})

    def stats(self) -> str:
        """Envoy's counters as Prometheus text."""
        connection = http.client.HTTPConnection(self.admin.removeprefix("http://"), timeout=10)
        try:
            connection.request("GET", "/stats/prometheus")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    @contextmanager
    def killed(self, program: str) -> Iterator[None]:
        """The program is dead inside the block, and runs again after it."""
        self.client.program(self.name, program, "killed")
        try:
            yield
        finally:
            self.client.program(self.name, program, "running")
            if program in ("etcd", "kube-apiserver"):
                eventually(lambda: self.api.request("GET", "/readyz") == "ok", f"{self.name}'s API server")


class TwoClusters(NamedTuple):
    """plum emulates Kubernetes 1.34, fern is 1.36; both have the public and the peer Gateway."""

    plum: LabCluster
    fern: LabCluster


def _ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def deployment(
    namespace: str,
    name: str,
    replicas: int = 1,
    annotations: Mapping[str, str] | None = None,
    container_port: int = 8080,
) -> list[Object]:
    """A Deployment labelled app=NAME and its Service on port 80."""
    labels = {"app": name}
    container = {
        "name": "app",
        "image": "example.test/app:1",
        "ports": [{"name": "http", "containerPort": container_port}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    template = {
        "metadata": {"labels": labels, "annotations": dict(annotations or {})},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        },
    ]


def virtual_service(
    namespace: str, name: str, hosts: list[str], http_routes: list[Object] | None = None, gateway: str = "public"
) -> Object:
    """A VirtualService on a gateway of istio-system; without routes: everything to Service NAME, port 80."""
    destination = {"host": f"{name}.{namespace}.svc.cluster.local", "port": {"number": 80}}
    routes = http_routes or [{"route": [{"destination": destination}]}]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": hosts, "gateways": [f"istio-system/{gateway}"], "http": routes},
    }


def gateway(name: str, port: int) -> Object:
    """An HTTP Gateway for every host, as the stacks make them."""
    server = {"port": {"number": port, "name": f"http-{name}", "protocol": "HTTP"}, "hosts": ["*"]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "istio-system"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
    }
