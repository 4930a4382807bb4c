"""A cluster as people have it, made up. Pure.

Applications have ten objects each, most of them healthy, some with what preflight looks for. Every seed-free choice goes by
the application's number, so the same size is the same cluster, and twice the size has twice as much of everything: routes,
workloads, findings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

Object = dict[str, Any]

PATHS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Service": "/api/v1/namespaces/{}/services",
    "VirtualService": "/apis/networking.istio.io/v1/namespaces/{}/virtualservices",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Gateway": "/apis/networking.istio.io/v1/namespaces/{}/gateways",
}
PER_APPLICATION = 10
APPLICATIONS_PER_NAMESPACE = 50
GATEWAY = "estate/unused"  # of no gateway's pods: its routes cost the lab's Envoys nothing
WORKLOADS = ("Deployment", "Deployment", "StatefulSet", "Deployment", "DaemonSet", "Deployment", "Deployment")


def namespaces(count: int) -> list[str]:
    applications = -(-count // PER_APPLICATION)
    return ["estate", *(f"estate-{number}" for number in range(-(-applications // APPLICATIONS_PER_NAMESPACE)))]


def gateway() -> Object:
    namespace, name = GATEWAY.split("/")
    servers = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
    spec = {"selector": {"estate": "none"}, "servers": servers}
    return _object("networking.istio.io/v1", "Gateway", name, namespace, spec=spec)


def objects(count: int) -> Iterator[Object]:
    """`count` objects of mixed kinds, as somebody would apply them: none of them runs a pod."""
    for number in range(count):
        application, part = divmod(number, PER_APPLICATION)
        yield _part(application, part)


def as_read(obj: Mapping[str, Any]) -> Object:
    """The same object as an API server gives it back: with identity, and who wrote which field."""
    meta = obj["metadata"]
    digest = hashlib.sha256(f"{obj['kind']} {meta.get('namespace')}/{meta['name']}".encode()).hexdigest()
    entry = {
        "manager": "kubectl-create",
        "operation": "Update",
        "apiVersion": obj["apiVersion"],
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": _fields(
            {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata")}
            | {"metadata": {k: v for k, v in meta.items() if k in ("labels", "annotations")}}
        ),
    }
    allotted = {"uid": digest[:36], "resourceVersion": str(int(digest[:8], 16)), "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**obj, "metadata": {**meta, **allotted, "managedFields": [entry]}}


def _fields(value: Any) -> Object:
    if isinstance(value, dict):
        return {f"f:{key}": _fields(inner) for key, inner in value.items()}
    return {}


def _part(application: int, part: int) -> Object:
    name, namespace = f"app-{application}", f"estate-{application // APPLICATIONS_PER_NAMESPACE}"
    kind = WORKLOADS[application % len(WORKLOADS)]

    def build(api_version: str, kind: str, suffix: str = "", **rest: Any) -> Object:
        return _object(api_version, kind, name + suffix, namespace, **rest)

    if part == 0:
        return build("apps/v1", kind, spec=_workload(kind, name, application))
    if part == 1:
        ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "admin", "port": 81, "targetPort": 8081}]
        return build("v1", "Service", spec={"selector": {"app": name}, "ports": ports})
    if part == 2:
        return build("networking.istio.io/v1", "VirtualService", spec=_route(name, namespace, application))
    if part == 3:
        text = "".join(f"key-{line}=value {line}\n" for line in range(20))
        return build("v1", "ConfigMap", data={"mode": "fast", "app.properties": text})
    if part == 4:
        return build("v1", "Secret", type="Opaque", data={"password": "c2VjcmV0" * 4})
    if part == 5:
        return build("v1", "ServiceAccount")
    if part == 6:
        rules = [{"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list", "watch"]}]
        return build("rbac.authorization.k8s.io/v1", "Role", rules=rules)
    if part == 7:
        budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}}
        return build("policy/v1", "PodDisruptionBudget", spec=budget)
    if part == 8 and application % 5 == 0:
        asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        asked["storageClassName"] = "gone" if application % 25 == 0 else "gp3"
        return build("v1", "PersistentVolumeClaim", spec=asked)
    if part == 8:
        return build("v1", "ConfigMap", "-assets", data={"logo": "x" * 400})
    spec = {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"], "ingress": [{}]}
    return build("networking.k8s.io/v1", "NetworkPolicy", spec=spec)


def _route(name: str, namespace: str, application: int) -> Object:
    here: list[Object] = [{"destination": {"host": f"{name}.{namespace}.svc.cluster.local", "port": {"number": 80}}}]
    rules: list[Object] = [
        {"match": [{"uri": {"prefix": "/api"}}], "route": here},
        {"route": [{"destination": {"host": name}}]},
    ]
    if application % 4 == 1:  # a part of this route goes to the application before it
        rules.insert(
            0, {"match": [{"uri": {"prefix": "/old"}}], "route": [{"destination": {"host": f"app-{application - 1}"}}]}
        )
    if application % 9 == 4:
        rules[0]["delegate"] = {"name": "shared"}
        del rules[0]["route"]
    gateways = ["mesh"] if application % 13 == 5 else ["estate/gone"] if application % 17 == 6 else [GATEWAY]
    return {"hosts": [f"{name}.example.com"], "gateways": gateways, "http": rules}


def _workload(kind: str, name: str, application: int) -> Object:
    container: Object = {
        "name": "main",
        "image": "example.com/app:1.2.3",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": f"SETTING_{number}", "value": str(number)} for number in range(5)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }
    if application % 10:
        container["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": "http"}}
    labels = {"app": name, "tier": "front" if application % 2 else "back"}
    pod: Object = {"containers": [container]}
    if application % 19 == 7 or kind == "DaemonSet":
        pod["nodeSelector"] = {"estate": "no-such-node"}
    spec: Object = {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if kind == "DaemonSet":
        return spec
    if kind == "StatefulSet":
        return spec | {"replicas": 0, "serviceName": name}
    return spec | {"replicas": 0, "paused": True}  # paused: its controller makes no ReplicaSet either


def _object(api_version: str, kind: str, name: str, namespace: str, **rest: Any) -> Object:
    labels = {"app": name, "app.kubernetes.io/part-of": "estate"}
    meta = {"name": name, "namespace": namespace, "labels": labels, "annotations": {"example.com/owner": "storefront"}}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **rest}
