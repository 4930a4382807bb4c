"""What the charts of the baseline put into a cluster, as far as the lab needs it.

Workloads, autoscalers, services, accounts.

Names and labels are the charts' own, replicas and autoscaling come from the same values. Left out, since nothing in
the lab could serve them: webhooks and API services (their pods do not run), RBAC, and CRDs, which the lab brings
itself where something reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


class ChartError(Exception):
    """Values that the chart refuses."""


@dataclass(frozen=True)
class Context:
    release: str
    namespace: str
    chart: str
    version: str
    values: Mapping[str, Any]

    def value(self, path: str, default: Any = None) -> Any:
        matched: Any = self.values
        for key in path.split("."):
            if not isinstance(matched, Mapping) or matched.get(key) is None:
                return default
            matched = matched[key]
        return matched

    def fullname(self, chart: str | None = None, limit: int = 63) -> str:
        """Helm's usual rule: the release's name when it says the chart's, else both."""
        if override := self.value("fullnameOverride"):
            return str(override)[:limit].rstrip("-")
        name = self.value("nameOverride") or chart or self.chart
        full = self.release if name in self.release else f"{self.release}-{name}"
        return full[:limit].rstrip("-")


@dataclass(frozen=True)
class Chart:
    repository: str
    objects: Callable[[Context], list[Object]]


def render(chart: str, release: str, namespace: str, version: str, values: Mapping[str, Any]) -> list[Object]:
    context = Context(release, namespace, chart, version, values)
    labels = {
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/instance": release,
        "helm.sh/chart": f"{chart}-{version}",
    }
    objects = CHARTS[chart].objects(context)
    for created in objects:
        metadata = created["metadata"]
        metadata["labels"] = labels | metadata.get("labels", {})
        notes = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
        metadata["annotations"] = notes | metadata.get("annotations", {})
    return objects


# --- parts --------------------------------------------------------------------------------------------------


def _object(c: Context, api_version: str, kind: str, name: str, **rest: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": c.namespace}, **rest}


def _account(c: Context, name: str, annotations: Mapping[str, str] | None = None) -> Object:
    created = _object(c, "v1", "ServiceAccount", name)
    if annotations:
        created["metadata"]["annotations"] = dict(annotations)
    return created


def _workload(
    c: Context,
    name: str,
    labels: Mapping[str, str],
    replicas: int | None,
    account: str | None = None,
    kind: str = "Deployment",
    ports: Mapping[str, int] | None = None,
    at: str = "",
    more_labels: Mapping[str, str] | None = None,
) -> Object:
    """`at` is where in the values this workload's own settings are (resources, nodeSelector, ...)."""
    here = f"{at}." if at else ""
    container: Object = {"name": name[:63], "image": f"{c.chart}:{c.version}"}
    if resources := c.value(f"{here}resources"):
        container["resources"] = resources
    if ports:
        container["ports"] = [{"name": port, "containerPort": number} for port, number in ports.items()]
    pod: Object = {"containers": [container]}
    if account:
        pod["serviceAccountName"] = account
    for key in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName"):
        if setting := c.value(f"{here}{key}"):
            pod[key] = setting
    template: Object = {"metadata": {"labels": {**labels, **(more_labels or {})}}, "spec": pod}
    if annotations := c.value(f"{here}podAnnotations"):
        template["metadata"]["annotations"] = annotations
    spec: Object = {"selector": {"matchLabels": dict(labels)}, "template": template}
    if replicas is not None:
        spec["replicas"] = replicas
    if kind == "StatefulSet":
        spec["serviceName"] = name
    created = _object(c, "apps/v1", kind, name, spec=spec)
    created["metadata"]["labels"] = {**labels, **(more_labels or {})}
    return created


def _autoscaler(c: Context, name: str, minimum: int, maximum: int, cpu: int) -> Object:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": cpu}},
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": minimum, "maxReplicas": maximum, "metrics": [metric]}
    return _object(c, "autoscaling/v2", "HorizontalPodAutoscaler", name, spec=spec)


def _service(c: Context, name: str, labels: Mapping[str, str], ports: list[Object], **spec: Any) -> Object:
    created = _object(c, "v1", "Service", name, spec={"selector": dict(labels), "ports": ports, **spec})
    created["metadata"]["labels"] = dict(labels)
    return created


def _port(name: str, port: int, target: int | str | None = None) -> Object:
    return {"name": name, "port": port, "targetPort": port if target is None else target, "protocol": "TCP"}


def _labels(c: Context, name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": c.release}


def _account_name(c: Context, default: str, at: str = "serviceAccount") -> tuple[str, list[Object]]:
    name = c.value(f"{at}.name") or default
    created = [_account(c, name, c.value(f"{at}.annotations"))] if c.value(f"{at}.create", True) else []
    return name, created


# --- Istio --------------------------------------------------------------------------------------------------


def _base(c: Context) -> list[Object]:
    return [_account(c, "istio-reader-service-account")]


def _istiod(c: Context) -> list[Object]:
    revision = c.value("revision") or ""
    name = f"istiod-{revision}" if revision else "istiod"
    labels = {"app": "istiod", "istio": name if revision else "pilot", "istio.io/rev": revision or "default"}
    scaled = c.value("autoscaleEnabled", True)
    objects = [
        _account(c, name),
        _object(c, "v1", "ConfigMap", f"istio-{revision}" if revision else "istio", data={"mesh": ""}),
        _workload(c, name, labels, None if scaled else c.value("replicaCount", 1), name, ports={"grpc-xds": 15010}),
        _service(c, name, labels, [_port("grpc-xds", 15010), _port("https-dns", 15012), _port("http-monitoring", 15014)]),
    ]
    if scaled:
        least, most = c.value("autoscaleMin", 1), c.value("autoscaleMax", 5)
        objects.append(_autoscaler(c, name, least, most, c.value("cpu.targetAverageUtilization", 80)))
    return objects


def _gateway(c: Context) -> list[Object]:
    name = c.value("name") or c.release
    own = c.value("labels") or {}
    labels = {"app": own.get("app", name), "istio": own.get("istio", name.removeprefix("istio-"))}
    scaled = c.value("autoscaling.enabled", True)
    account = c.value("serviceAccount.name") or name
    workload = _workload(
        c,
        name,
        labels,
        None if scaled else c.value("replicaCount", 1),
        account,
        ports={"http-envoy-prom": 15090},
        more_labels=own,
    )
    objects = [*([_account(c, account)] if c.value("serviceAccount.create", True) else []), workload]
    if scaled:
        least, most = c.value("autoscaling.minReplicas", 1), c.value("autoscaling.maxReplicas", 5)
        objects.append(_autoscaler(c, name, least, most, c.value("autoscaling.targetCPUUtilizationPercentage", 80)))
    kind = c.value("service.type", "LoadBalancer")
    if kind != "None":
        ports = c.value("service.ports") or [_port("status-port", 15021), _port("http2", 80), _port("https", 443)]
        more = {"type": kind}
        for key in ("loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges", "externalTrafficPolicy"):
            if setting := c.value(f"service.{key}"):
                more[key] = setting
        service = _service(c, name, labels, ports, **more)
        service["metadata"]["labels"] |= own
        if annotations := c.value("service.annotations"):
            service["metadata"]["annotations"] = dict(annotations)
        objects.append(service)
    return objects


# --- the rest of the baseline -----------------------------------------------------------------------------------


def _load_balancer_controller(c: Context) -> list[Object]:
    if not c.value("clusterName"):
        raise ChartError("Chart cannot be installed without a valid clusterName!")
    name = c.fullname()
    labels = _labels(c, "aws-load-balancer-controller")
    account, objects = _account_name(c, name)
    scaled = c.value("autoscaling.enabled", False)
    objects.append(
        _workload(c, name, labels, None if scaled else c.value("replicaCount", 2), account, ports={"webhook-server": 9443})
    )
    objects.append(_service(c, "aws-load-balancer-webhook-service", labels, [_port("webhook-server", 443, "webhook-server")]))
    if scaled:
        cpu = c.value("autoscaling.targetCPUUtilizationPercentage", 80)
        objects.append(_autoscaler(c, name, c.value("autoscaling.minReplicas", 1), c.value("autoscaling.maxReplicas", 5), cpu))
    if c.value("createIngressClassResource", True):
        spec = {"controller": "ingress.k8s.aws/alb"}
        ingress_class: Object = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": c.value("ingressClass", "alb")},
        }
        objects.append(ingress_class | {"spec": spec})
    return objects


def _prometheus_stack(c: Context) -> list[Object]:
    full = c.fullname(limit=26)
    operator = f"{full}-operator"
    objects = [
        _account(c, operator),
        _workload(c, operator, {"app": operator, "release": c.release}, 1, operator, at="prometheusOperator"),
    ]
    if c.value("kubeStateMetrics.enabled", True):
        name = f"{c.release}-kube-state-metrics"
        labels = _labels(c, "kube-state-metrics")
        replicas = c.value("kube-state-metrics.replicas", 1)
        objects += [_account(c, name), _workload(c, name, labels, replicas, name, at="kube-state-metrics")]
        objects.append(_service(c, name, labels, [_port("http", 8080)]))
    if c.value("nodeExporter.enabled", True):
        name = f"{c.release}-prometheus-node-exporter"
        objects.append(_workload(c, name, _labels(c, "prometheus-node-exporter"), None, kind="DaemonSet"))
    if c.value("grafana.enabled", True):
        name, labels = f"{c.release}-grafana", _labels(c, "grafana")
        objects += [_account(c, name), _workload(c, name, labels, c.value("grafana.replicas", 1), name, at="grafana")]
        objects.append(_service(c, name, labels, [_port("http-web", 80, 3000)]))
    for part, port, at in (("prometheus", 9090, "prometheusSpec"), ("alertmanager", 9093, "alertmanagerSpec")):
        if not c.value(f"{part}.enabled", True):
            continue
        crd = f"{full}-{part}"  # the operator makes the set from a resource of this name
        labels = {"app.kubernetes.io/name": part, part: crd}
        replicas = c.value(f"{part}.{at}.replicas", 1)
        objects.append(_workload(c, f"{part}-{crd}", labels, replicas, kind="StatefulSet", at=f"{part}.{at}"))
        objects.append(_service(c, crd, labels, [_port("http-web", port)]))
    return objects


def _single(app: str, port: int | None, replicas: str, default_replicas: int = 1) -> Callable[[Context], list[Object]]:
    """Charts of one Deployment with an account, and a Service when it listens."""

    def objects(c: Context) -> list[Object]:
        name, labels = c.fullname(app), _labels(c, app)
        account, created = _account_name(c, name)
        created.append(_workload(c, name, labels, c.value(replicas, default_replicas), account))
        if port is not None:
            created.append(_service(c, name, labels, [_port("https" if port == 443 else "http", port)]))
        return created

    return objects


def _cert_manager(c: Context) -> list[Object]:
    objects = []
    full = c.fullname()
    for name, component, at in (
        (full, "controller", ""),
        (f"{full}-cainjector", "cainjector", "cainjector"),
        (f"{full}-webhook", "webhook", "webhook"),
    ):
        labels = {**_labels(c, component if at else "cert-manager"), "app.kubernetes.io/component": component}
        replicas = c.value(f"{at}.replicaCount" if at else "replicaCount", 1)
        objects += [_account(c, name), _workload(c, name, labels, replicas, name, at=at)]
        if component != "cainjector":
            objects.append(
                _service(c, name, labels, [_port("https", 443) if at else _port("tcp-prometheus-servicemonitor", 9402)])
            )
    return objects


_ISTIO = "https://istio-release.storage.googleapis.com/charts"

CHARTS: dict[str, Chart] = {
    "base": Chart(_ISTIO, _base),
    "istiod": Chart(_ISTIO, _istiod),
    "gateway": Chart(_ISTIO, _gateway),
    "aws-load-balancer-controller": Chart("https://aws.github.io/eks-charts", _load_balancer_controller),
    "kube-prometheus-stack": Chart("https://prometheus-community.github.io/helm-charts", _prometheus_stack),
    "metrics-server": Chart("https://kubernetes-sigs.github.io/metrics-server", _single("metrics-server", 443, "replicas")),
    "external-dns": Chart("https://kubernetes-sigs.github.io/external-dns", _single("external-dns", 7979, "replicaCount")),
    "cert-manager": Chart("https://charts.jetstack.io", _cert_manager),
    "cluster-autoscaler": Chart(
        "https://kubernetes.github.io/autoscaler", _single("aws-cluster-autoscaler", 8085, "replicaCount")
    ),
}
