"""Objects of a shop, for what the commands before the shift print."""

from __future__ import annotations

import base64
from typing import Any

from migration.objects import kinds
from migration.objects.kinds import Object, Resource
from tests.fakes.apiserver import SERVED, served
from tests.fakes.project import Project

SECRET = Resource("", "v1", "Secret", "secrets", True)
CRON_JOB = Resource("batch", "v1", "CronJob", "cronjobs", True)
CLUSTER_ROLE = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False)
WIDGET = Resource("example.com", "v1", "Widget", "widgets", True)


def serve(project: Project, *, only_blue: tuple[Resource, ...] = ()) -> None:
    """Both clusters serve Secrets and what else the commands look at; blue `only_blue` as well."""
    known = (*SERVED, SECRET, CRON_JOB, CLUSTER_ROLE)
    project.servers["plum"].discovery = served(*known, *only_blue)
    project.servers["fern"].discovery = served(*known)


def thing(resource: Resource, name: str, namespace: str | None = "shop", **rest: Any) -> Object:
    """`namespace` None: of the whole cluster. `metadata` is added to its name and namespace."""
    where = {"namespace": namespace} if namespace else {}
    meta = {"name": name, **where, **rest.pop("metadata", {})}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **rest}


def namespace(name: str = "shop") -> Object:
    return thing(kinds.NAMESPACE, name, None)


def config(name: str, **data: str) -> Object:
    return thing(kinds.CONFIG_MAP, name, data=data)


def secret(name: str, **data: str) -> Object:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return thing(SECRET, name, type="Opaque", data=coded)


def deployment(name: str, replicas: int = 2, *, image: str = "shop:1", ready: int | None = None, **more: Any) -> Object:
    """`more`: of its container."""
    labels = {"app": name}
    container = {"name": "app", "image": image, "readinessProbe": {"tcpSocket": {"port": 80}}, **more}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    there = replicas if ready is None else ready
    return thing(
        kinds.DEPLOYMENT,
        name,
        spec={"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        status={"readyReplicas": there, "availableReplicas": there, "observedGeneration": 1},
    )


def service(name: str) -> Object:
    return thing(kinds.SERVICE, name, spec={"selector": {"app": name}, "ports": [{"port": 80}]})


def endpoints(name: str) -> Object:
    return thing(
        kinds.ENDPOINT_SLICE,
        f"{name}-1",
        metadata={"labels": {"kubernetes.io/service-name": name}},
        endpoints=[{"addresses": ["10.1.0.1"], "conditions": {"ready": True}}],
    )


def scaler(name: str, least: int, most: int = 10) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return thing(kinds.HPA, name, spec={"minReplicas": least, "maxReplicas": most, "scaleTargetRef": target})


def public() -> Object:
    return thing(
        kinds.GATEWAY,
        "public",
        "istio-system",
        spec={
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 80, "protocol": "HTTP", "name": "http"}, "hosts": ["*"]}],
        },
    )


def put(project: Project, cluster: str, *objects: Object) -> None:
    for obj in objects:
        project.servers[cluster].put(obj)


def both(project: Project, *objects: Object) -> None:
    for cluster in project.servers:
        put(project, cluster, *objects)


def take(project: Project, cluster: str, kind: str, name: str) -> None:
    objects = project.servers[cluster].objects
    for key in [key for key in objects if (key[1], "/".join(filter(None, key[2:]))) == (kind, name)]:
        del objects[key]


def unenrolled(project: Project) -> None:
    """Nothing is enrolled: the routes are the originals, the edge has made nothing."""
    text = project.edge.read_text()
    head, _, rest = text.partition("  bluegreen:services:\n")
    project.edge.write_text(head + "  bluegreen:services: {}\n" + rest[rest.index("  bluegreen:generation") :])
    for path in project.routes.iterdir():
        path.unlink()
    for server in project.servers.values():
        server.objects.clear()
    both(project, *project.originals.values())
