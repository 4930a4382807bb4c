"""Whose an object is: what every cluster makes for itself, what the baseline, EKS, the edge, a controller or GitOps brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import routing
from migration import kinds
from migration.kinds import Resource
from migration.ports import Discovery
from migration.replicate import baseline
from migration.replicate.classes import Class, Sign
from migration.replicate.known import Known
from migration.view import View

GITOPS_LABELS = {
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "argocd.argoproj.io/instance": "Argo CD",
}
GITOPS_ANNOTATIONS = {"argocd.argoproj.io/tracking-id": "Argo CD"}
BASELINE_GROUPS = (
    "istio.io",
    "projectcalico.org",
    "cilium.io",
    "karpenter.sh",
    "karpenter.k8s.aws",
    "vpcresources.k8s.aws",
    "elbv2.k8s.aws",
)  # their CRDs come with green's own baseline


def sign(obj: Mapping[str, Any], resource: Resource, known: Known) -> Sign | None:
    """Why an object stays on blue, by whose it is."""
    meta = obj["metadata"]
    namespace = meta.get("namespace") or (meta["name"] if resource.name == "namespaces" else None)
    if namespace in kinds.BASELINE_NAMESPACES and not baseline.comes_along(obj, resource, known):
        return Sign(Class.BASELINE, f"namespace {namespace} belongs to the baseline")
    if meta.get("deletionTimestamp"):
        return Sign(Class.GOING, "being deleted")
    if maker := controller_of(obj):
        return Sign(Class.CONTROLLER, f"made by its {maker.get('kind')}")
    if resource.name == kinds.VIRTUAL_SERVICE.name and _name(obj) in known.enrolled:
        return Sign(Class.EDGE, "an enrolled route, written by the edge")
    managers = managers_of(obj)
    if kinds.EDGE in managers and written_by_edge(obj):
        return Sign(Class.EDGE, "written by the edge")
    if "eks" in managers:
        return Sign(Class.EKS, "managed by EKS")
    return _bootstrap(obj, resource) or baseline.of_the_mesh(obj, known) or _by_controller(obj, resource, known) or _gitops(obj)


def controller_of(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The reference to the object that controls this one, whether or not that could be read."""
    return next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None)


def _selectorless(view: View) -> frozenset[str]:
    return frozenset(_name(s) for s in view.of("services") if not (s.get("spec") or {}).get("selector"))


def _pods(view: View) -> frozenset[str]:
    return frozenset(_name(pod) for pod in view.of("pods"))


def _newest_releases(view: View) -> frozenset[str]:
    """Of each Helm release the newest revision; older ones hold manifests with APIs that are gone."""
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for secret in view.of("secrets"):
        labels = secret["metadata"].get("labels") or {}
        if secret.get("type") == "helm.sh/release.v1" and labels.get("version", "").isdigit():
            key = (secret["metadata"]["namespace"], labels.get("name", ""))
            newest[key] = max(newest.get(key, (0, "")), (int(labels["version"]), _name(secret)))
    return frozenset(name for _, name in newest.values())


def _name(obj: Mapping[str, Any]) -> str:
    meta = obj["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def managers_of(obj: Mapping[str, Any]) -> set[str | None]:
    return {entry.get("manager") for entry in obj["metadata"].get("managedFields") or ()}


def written_by_edge(obj: Mapping[str, Any]) -> bool:
    """Whether the edge still keeps this object. It goes on owning the spec of a route that was let go (`unenroll`), so
    of routes the owner alone tells nothing: the edge keeps its peer routes, and a public one that forwards.
    """
    return kinds.EDGE in managers_of(obj) and not _serves_all_here(obj)


def _serves_all_here(obj: Mapping[str, Any]) -> bool:
    """A public route in its original form."""
    if obj.get("kind") != kinds.VIRTUAL_SERVICE.kind or obj["metadata"]["name"].endswith("-bluegreen-peer"):
        return False
    return not forwards(obj)


def forwards(route: Mapping[str, Any]) -> bool:
    """Whether a public route sends a part of its requests to the other cluster."""
    peer = routing.peer_host(_name(route))
    rules = (route.get("spec") or {}).get("http") or ()
    return any((each.get("destination") or {}).get("host") == peer for rule in rules for each in rule.get("route") or ())


def never_copied(obj: Mapping[str, Any], resource: Resource) -> str | None:
    """The reason for which every `replicate` leaves this object alone, whatever else is on blue."""
    found = sign(obj, resource, Known(View("", Discovery((), {}), {})))
    return found.reason if found else None


def made_by(obj: Mapping[str, Any]) -> str | None:
    """Who else brings this object to green, in words: the object that controls it, or Argo CD or Flux."""
    if owner := controller_of(obj):
        return f"made by its {owner.get('kind')} {owner.get('name', '')}".rstrip()
    found = _gitops(obj)
    return found.reason if found else None


CLUSTERS_OWN = Sign(Class.CLUSTER, "made by every cluster")


def _bootstrap(obj: Mapping[str, Any], resource: Resource) -> Sign | None:
    meta = obj["metadata"]
    name = meta["name"]
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    if resource.name == "configmaps" and name == "kube-root-ca.crt":
        return CLUSTERS_OWN
    if (
        resource.name == "serviceaccounts"
        and name == "default"
        and not (
            labels
            or annotations.keys() - {"kubectl.kubernetes.io/last-applied-configuration"}
            or obj.get("imagePullSecrets")
            or obj.get("secrets")
        )
    ):
        return CLUSTERS_OWN
    if resource.name in ("services", "endpoints", "endpointslices.discovery.k8s.io") and _name(obj) == "default/kubernetes":
        return CLUSTERS_OWN
    if (
        resource.name == "namespaces"
        and name == "default"
        and not labels.keys() - {"kubernetes.io/metadata.name"}
        and not annotations
    ):
        return CLUSTERS_OWN
    if resource.group == "rbac.authorization.k8s.io" and (
        labels.get("kubernetes.io/bootstrapping") == "rbac-defaults" or name.startswith("system:")
    ):
        return CLUSTERS_OWN
    if resource.name == "priorityclasses.scheduling.k8s.io" and name.startswith("system-"):
        return CLUSTERS_OWN
    if resource.group == "flowcontrol.apiserver.k8s.io" and (
        annotations.get("apf.kubernetes.io/autoupdate-spec") == "true" or name in ("exempt", "catch-all")
    ):
        return CLUSTERS_OWN
    if resource.name == "apiservices.apiregistration.k8s.io" and "kube-aggregator.kubernetes.io/automanaged" in labels:
        return CLUSTERS_OWN
    if resource.name == "customresourcedefinitions.apiextensions.k8s.io":
        group = (obj.get("spec") or {}).get("group", name.partition(".")[2])
        if any(group == g or group.endswith("." + g) for g in BASELINE_GROUPS):
            return Sign(Class.BASELINE, "belongs to the baseline")
    if name == "aws-auth" or (not meta.get("namespace") and name.startswith(("eks-", "eks:", "aws-node", "vpc-resource-"))):
        return Sign(Class.EKS, "managed by EKS")
    return None


def _by_controller(obj: Mapping[str, Any], resource: Resource, known: Known) -> Sign | None:
    meta = obj["metadata"]
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    if resource.name == "pods" and "kubernetes.io/config.mirror" in annotations:
        return Sign(Class.CONTROLLER, "made by its Node")
    if resource.name == "endpoints" and _name(obj) not in known.blue.once(_selectorless):
        return Sign(Class.CONTROLLER, "made by its Service")
    if resource.name == "endpointslices.discovery.k8s.io" and labels.get("endpointslice.kubernetes.io/managed-by", "").endswith(
        "controller.k8s.io"
    ):
        return Sign(Class.CONTROLLER, "made by its Service")
    if resource.name == "workloadentries.networking.istio.io" and (
        "istio.io/autoRegistrationGroup" in annotations
        or any(owner.get("kind") == "Pod" for owner in meta.get("ownerReferences") or ())
        or any(key.startswith(f"lab.{kinds.DOMAIN}") for key in labels | annotations)
        or _name(obj) in known.blue.once(_pods)
    ):
        return Sign(Class.CONTROLLER, "made for a running pod")
    if resource.name == "configmaps" and (
        meta["name"] in ("istio-ca-root-cert", "istio-ca-crl") or "control-plane.alpha.kubernetes.io/leader" in annotations
    ):
        return Sign(Class.CONTROLLER, "written by a controller")
    if resource.name == "secrets":
        if obj.get("type") == "helm.sh/release.v1" and _name(obj) not in known.blue.once(_newest_releases):
            return Sign(Class.CONTROLLER, "an older revision of a Helm release")
        if obj.get("type") == "bootstrap.kubernetes.io/token":
            return Sign(Class.CONTROLLER, "lets nodes join one cluster")
        if (
            obj.get("type") == "kubernetes.io/service-account-token"
            and "-token-" in meta["name"]
            and "kubernetes.io/legacy-token-last-used" in labels
        ):
            return Sign(Class.CONTROLLER, "minted by each cluster")
    if resource.name == "persistentvolumes" and "pv.kubernetes.io/provisioned-by" in annotations:
        return Sign(Class.CONTROLLER, "a volume made for its claim; green makes its own")
    return None


def _gitops(obj: Mapping[str, Any]) -> Sign | None:
    meta = obj["metadata"]
    for keys, having in ((GITOPS_LABELS, meta.get("labels")), (GITOPS_ANNOTATIONS, meta.get("annotations"))):
        for key, tool in keys.items():
            if key in (having or {}):
                return Sign(Class.GITOPS, f"deployed by {tool}: let it deploy to green")
    return None
