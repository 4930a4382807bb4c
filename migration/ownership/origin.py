"""Who made an object in a namespace of the baseline, told by evidence: Istio, green's baseline, a controller, or a person with
a tool. Pure.

Source: the templates of Istio's charts (`manifests/charts` of istio/istio) for labels and names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import routing
from migration.objects import kinds
from migration.objects.classes import Class, Sign
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership import releases
from migration.ownership.known import Known
from migration.ownership.mesh import (
    MESH_GROUPS,
    MESH_NAMESPACE,
    SECRETS,
    WORKLOADS,
    labels_of_pods,
    runs_istio,
    template_of,
)
from migration.ownership.releases import Release

# Istio writes these labels on what its charts and its operator make, whichever of them did.
ISTIO_LABELS = ("install.operator.istio.io/owning-resource", "operator.istio.io/component", "gateway.istio.io/managed")
PART_OF, MANAGED_BY, CHART = "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by", "helm.sh/chart"
# `gateway-1.26.0`: Istio's charts have the version of Istio; a person's chart `gateway-0.3.1` is not one of them
ISTIO_CHART = re.compile(
    r"(istiod|istio-discovery|ztunnel|base|gateway|cni|istio-ingress|istio-egress|ambient)-v?1\.\d\d\.\d.*"
)
GATEWAY_CHART = re.compile(r"(gateway|istio-ingress|istio-egress)-v?1\.\d\d\.\d.*")
# Managers that act for a cluster and not for a person; cert-manager is not among them: what it made of a Certificate is
# better brought along than ordered again.
CONTROLLERS = (
    "pilot-discovery", "istiod", "install-cni", "kube-controller-manager", "kube-scheduler", "kube-apiserver", "kubelet",
    "kubeadm", "cloud-controller-manager", "aws-cloud-controller-manager", "vpc-resource-controller", "eks",
)  # fmt: skip
# Of these somebody wrote with, or had it written by, a tool of his own.
PEOPLES_TOOLS = ("kubectl", "helm", "terraform", "HashiCorp", "pulumi", "Mozilla", "k9s", "node-fetch", "OpenAPI-Generator")


def by_person(obj: Mapping[str, Any], resource: Resource, known: Known) -> bool:
    """Whether nothing says that the baseline, a controller or the edge made this object."""
    meta = obj["metadata"]
    if any(owner.get("controller") for owner in meta.get("ownerReferences") or ()):
        return False
    if of_istio(obj) or _of_the_edge(obj):
        return False
    managers = managers_of(obj)
    if managers and all(manager.startswith(CONTROLLERS) for manager in managers):
        return False
    if resource.group in MESH_GROUPS:
        return True
    if resource.name == SECRETS and _of_istiod(obj):
        return False
    if resource.name in WORKLOADS and runs_istio(obj):
        return False
    release = release_of(obj)
    if release is not None and release in known.once(_releases_of_the_baseline):
        return False
    return kinds.full_name(obj) not in known.blue.once(_of_the_proxies).get(resource.name, frozenset())


def of_the_mesh(obj: Mapping[str, Any], known: Known) -> Sign | None:
    """What Istio's charts put outside the baseline's namespaces comes with green's baseline, but for gateways that people
    run in namespaces of their own: of a release that green's baseline has not.
    """
    meta = obj["metadata"]
    namespace, labels = meta.get("namespace"), meta.get("labels") or {}
    if not of_istio(obj):
        return None
    release = release_of(obj)
    gateway = GATEWAY_CHART.fullmatch(str(labels.get(CHART))) is not None
    if namespace and namespace not in kinds.BASELINE_NAMESPACES and gateway and release not in known.once(_greens_releases):
        return None
    return Sign(Class.BASELINE, "belongs to the baseline")


def tool_of(obj: Mapping[str, Any]) -> str | None:
    """By which of people's tools an object was written: `kubectl-client-side-apply`, `Helm release x`."""
    if release := release_of(obj):
        return f"Helm release {release[1]}"
    tools = sorted(manager for manager in managers_of(obj) if manager.startswith(PEOPLES_TOOLS))
    if tools:
        return tools[0]
    applied = "kubectl.kubernetes.io/last-applied-configuration" in (obj["metadata"].get("annotations") or {})
    return "kubectl" if applied else None


def managers_of(obj: Mapping[str, Any]) -> set[str]:
    """Who wrote it, without those who only report its state."""
    entries = obj["metadata"].get("managedFields") or ()
    return {str(entry.get("manager", "")) for entry in entries if entry.get("subresource") != "status"}


def release_of(obj: Mapping[str, Any]) -> Release | None:
    """The Helm release that an object belongs to, or is the record of."""
    return releases.release_of(obj) or releases.kept_in(obj)


def of_istio(obj: Mapping[str, Any]) -> bool:
    """By what Istio's charts and operator write on each object. `part-of: istio` alone proves nothing: a person's
    kustomization may say so.
    """
    labels = obj["metadata"].get("labels") or {}
    if any(key in labels for key in ISTIO_LABELS):
        return True
    chart = labels.get(CHART)
    if chart is not None:
        return ISTIO_CHART.fullmatch(str(chart)) is not None
    return labels.get(PART_OF) == "istio" and (labels.get(MANAGED_BY) == "Helm" or release_of(obj) is not None)


def _of_istiod(secret: Mapping[str, Any]) -> bool:
    """The CA that istiod made for itself: `istio-ca-secret`, or `cacerts` with a mark in it."""
    return secret.get("type") == "istio.io/ca-root" or "istio-generated" in (secret.get("data") or {})


def _of_the_edge(obj: Mapping[str, Any]) -> bool:
    """A public route that the edge let go is not the edge's any more; that is told apart elsewhere."""
    meta = obj["metadata"]
    if routing.is_peer(str(meta["name"])) or meta["name"] in (routing.PEER_NAME, routing.RECORD_NAME):
        return True
    return not routing.is_route(obj) and kinds.EDGE in managers_of(obj)


def _in_mesh_namespace(view: View, names: tuple[str, ...]) -> Iterator[Object]:
    for name in names:
        yield from (obj for obj in view.of(name) if obj["metadata"].get("namespace") in kinds.BASELINE_NAMESPACES)


def _proxies(view: View) -> tuple[Object, ...]:
    """Workloads of Istio itself in the baseline's namespaces: green's baseline brings its own."""
    return tuple(w for w in _in_mesh_namespace(view, WORKLOADS) if of_istio(w) or runs_istio(w))


def _releases_of_the_baseline(known: Known) -> frozenset[Release]:
    """Releases with something of Istio's in them, and those that green's baseline has too."""
    members = {release_of(workload) for workload in known.blue.once(_proxies)}
    for objects in known.blue.objects.values():
        members |= {release for obj in objects if (release := release_of(obj)) and of_istio(obj)}
    return frozenset(each for each in members if each is not None) | known.once(_greens_releases)


def of_the_baseline(release: Release, known: Known) -> bool:
    """Whether a release (namespace, name) comes with green's baseline. In the mesh's namespace people have charts of their
    own, of policies or of Kiali; in the others of the baseline nobody has.
    """
    if release[0] == MESH_NAMESPACE:
        return release in known.once(_releases_of_the_baseline)
    return release[0] in kinds.BASELINE_NAMESPACES


def _greens_releases(known: Known) -> frozenset[Release]:
    """Releases that came to green without us."""
    return known.green.once(releases.own_releases) if known.green is not None else frozenset()


def _of_the_proxies(view: View) -> dict[str, frozenset[str]]:
    """What serves Istio's own workloads, however it was made: by resource, `namespace/name`."""
    proxies = view.once(_proxies)
    targets = {(w["kind"], kinds.full_name(w)) for w in proxies}
    accounts = {
        f"{w['metadata'].get('namespace', '')}/{(template_of(w).get('spec') or {}).get('serviceAccountName', '')}"
        for w in proxies
    }
    serving: dict[str, set[str]] = {name: {kinds.full_name(w) for w in proxies} for name in WORKLOADS}
    serving["serviceaccounts"] = accounts - {f"{each.partition('/')[0]}/default" for each in accounts}
    serving["services"] = {
        kinds.full_name(s)
        for s in _in_mesh_namespace(view, ("services",))
        if _selects_one(s, (s.get("spec") or {}).get("selector"), proxies)
    }
    budgets = _in_mesh_namespace(view, ("poddisruptionbudgets.policy",))
    serving["poddisruptionbudgets.policy"] = {
        kinds.full_name(b)
        for b in budgets
        if _selects_one(b, ((b.get("spec") or {}).get("selector") or {}).get("matchLabels"), proxies)
    }
    hpa = "horizontalpodautoscalers.autoscaling"
    serving[hpa] = set()
    for scaler in _in_mesh_namespace(view, (hpa,)):
        target = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
        if (target.get("kind"), f"{scaler['metadata'].get('namespace', '')}/{target.get('name')}") in targets:
            serving[hpa].add(kinds.full_name(scaler))
    bindings, roles = "rolebindings.rbac.authorization.k8s.io", "roles.rbac.authorization.k8s.io"
    serving[bindings], serving[roles] = set(), set()
    for binding in _in_mesh_namespace(view, (bindings,)):
        namespace = binding["metadata"].get("namespace", "")
        subjects = [f"{s.get('namespace') or namespace}/{s.get('name')}" for s in binding.get("subjects") or ()]
        if subjects and all(subject in serving["serviceaccounts"] for subject in subjects):
            serving[bindings].add(kinds.full_name(binding))
            serving[roles].add(f"{namespace}/{(binding.get('roleRef') or {}).get('name')}")
    return {name: frozenset(names) for name, names in serving.items()}


def _selects_one(obj: Mapping[str, Any], selector: Any, proxies: tuple[Object, ...]) -> bool:
    namespace = obj["metadata"].get("namespace")
    return bool(selector) and any(
        w["metadata"].get("namespace") == namespace and selector.items() <= labels_of_pods(w).items() for w in proxies
    )
