"""A blue made up for what is chosen of it, read as `replicate` would have."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from migration.objects import kinds
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership import judge
from migration.ownership.judge import Item
from migration.ownership.known import Known
from migration.settings import choices
from migration.settings.choices import NOTHING_SAID, Choices
from migration.settings.yaml_reader import Reader, read_yaml
from tests.fakes.apiserver import served

RBAC, KEDA, ESO = "rbac.authorization.k8s.io", "keda.sh", "external-secrets.io"
MORE = (
    Resource("", "v1", "Secret", "secrets", True),
    Resource("", "v1", "ServiceAccount", "serviceaccounts", True),
    Resource("", "v1", "PersistentVolume", "persistentvolumes", False),
    Resource("", "v1", "ResourceQuota", "resourcequotas", True),
    Resource("", "v1", "LimitRange", "limitranges", True),
    Resource("", "v1", "Endpoints", "endpoints", True),
    Resource("apps", "v1", "ReplicaSet", "replicasets", True),
    Resource("batch", "v1", "CronJob", "cronjobs", True),
    Resource("coordination.k8s.io", "v1", "Lease", "leases", True),
    Resource("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", False),
    Resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", True),
    Resource("policy.networking.k8s.io", "v1alpha1", "AdminNetworkPolicy", "adminnetworkpolicies", False),
    *(Resource(RBAC, "v1", kind, f"{kind.lower()}s", not kind.startswith("Cluster"))
      for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")),
    Resource("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False),
    *(Resource("security.istio.io", "v1", kind, plural, True) for kind, plural in (
        ("AuthorizationPolicy", "authorizationpolicies"), ("PeerAuthentication", "peerauthentications"))),
    Resource("networking.istio.io", "v1", "Sidecar", "sidecars", True),
    Resource("networking.istio.io", "v1alpha3", "EnvoyFilter", "envoyfilters", True),
    Resource("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies", True),
    Resource("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler", "verticalpodautoscalers", True),
    *(Resource(KEDA, "v1alpha1", kind, f"{kind.lower()}s", True) for kind in ("ScaledObject", "TriggerAuthentication")),
    *(Resource(ESO, "v1", kind, f"{kind.lower()}s", not kind.startswith("Cluster"))
      for kind in ("ExternalSecret", "SecretStore", "ClusterSecretStore")),
    Resource("cert-manager.io", "v1", "Certificate", "certificates", True),
    Resource("cert-manager.io", "v1", "ClusterIssuer", "clusterissuers", False),
    *(Resource("monitoring.coreos.com", "v1", kind, f"{kind.lower()}s", True) for kind in ("ServiceMonitor", "PodMonitor")),
    Resource("argoproj.io", "v1alpha1", "Rollout", "rollouts", True),
    Resource("postgresql.cnpg.io", "v1", "Cluster", "clusters", True),
)  # fmt: skip
SERVED = (*kinds.WELL_KNOWN.values(), *MORE)
BY_KIND = {(r.api_version, r.kind): r for r in SERVED}


def many(text: str) -> list[Object]:
    """Objects of YAML; `apiVersion` may be left out where the kind tells it."""
    return [whole(obj) for obj in yaml.safe_load_all(inspect.cleandoc(text)) if obj]


def whole(obj: Object) -> Object:
    if "apiVersion" in obj:
        return obj
    resource = next(r for r in SERVED if r.kind == obj["kind"] and r.group != kinds.GATEWAY_CLASS.group)
    return {"apiVersion": resource.api_version, **obj}


def blue(objects: Iterable[Object], problems: Mapping[str, str] | None = None) -> View:
    found: dict[str, list[Object]] = defaultdict(list, {r.name: [] for r in SERVED})
    for obj in objects:
        found[BY_KIND[obj["apiVersion"], obj["kind"]].name].append(obj)
    for name in problems or ():
        found.pop(name)
    return View("plum", served(*SERVED), found, problems or {}, {r.name: r for r in SERVED})


def judged(objects: Iterable[Object], said: Choices = NOTHING_SAID, **more: Any) -> dict[str, Item]:
    """Every object with its verdict, by name."""
    known = Known(blue(objects, more.pop("problems", None)), choices=said, **more)
    return {item.name: item for item in judge.everything(known)}


def asked_for(items: Mapping[str, Item]) -> dict[str, str]:
    """What is asked for, with what brought it."""
    return {name: item.verdict.brought for name, item in items.items() if item.verdict.brought}


def written(folder: Path, text: str) -> Choices:
    """`replicate` of a migration.yaml, read as the command reads it."""
    path = folder / "migration.yaml"
    path.write_text(f"replicate:\n{text}")
    document, lines = read_yaml(path, "migration.yaml")
    return choices.read(Reader(path, lines), document["replicate"] or {})
