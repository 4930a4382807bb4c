"""Reads from blue every object that green should have, and says of all the others why not.

Which kinds there are is asked of the API server, so custom resources come along without being named. One LIST a kind,
in parallel. A kind that could not be listed is reported as unknown: silence would look like "nothing there".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import routing
from migration import kinds
from migration.errors import BluegreenError, NotFound
from migration.kinds import Object, Resource
from migration.ports import Discovery, Kubernetes

KIND_LEFT_OUT = "kind left out"
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
)


@dataclass(frozen=True)
class ExportOptions:
    """What a migration leaves out. Names are `namespace/name`; see docs for the rules that always hold."""

    baseline_namespaces: tuple[str, ...] = kinds.BASELINE_NAMESPACES
    baseline_groups: tuple[str, ...] = BASELINE_GROUPS  # their CRDs come with green's own baseline
    baseline_objects: frozenset[str] = frozenset()  # "StorageClass/gp3": cluster-wide objects that the baseline makes
    namespaces: tuple[str, ...] = ()  # only these; empty: all
    enrolled: frozenset[str] = frozenset()  # routes that the edge writes
    copy_gitops: bool = False  # copy what Argo CD or Flux deploy, too
    green: Discovery | None = None  # to read each kind in a version that green serves as well


@dataclass(frozen=True, slots=True)
class Item:
    resource: Resource
    obj: Object


@dataclass(frozen=True)
class Skipped:
    object: str
    reason: str


@dataclass(frozen=True)
class Bundle:
    """Objects on their way from one cluster to the other."""

    cluster: str
    items: list[Item]
    skipped: list[Skipped] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # kinds that could not be listed, with the reason
    discovery: Discovery | None = None

    def skipped_by_reason(self) -> dict[str, int]:
        return dict(sorted(Counter(s.reason for s in self.skipped).items()))


async def export(blue: Kubernetes, *, options: ExportOptions | None = None) -> Bundle:
    """Everything on blue that a new cluster does not have by itself."""
    options = options or ExportOptions()
    discovery = await blue.discover()
    skipped: list[Skipped] = []
    unknown = [f"{group}: its API server does not answer" for group in discovery.stale if not _group_left_out(group)]
    chosen: list[Resource] = []
    for resource in discovery.resources:
        if reason := kinds.skipped_kind(resource):
            skipped.append(Skipped(resource.name, f"{KIND_LEFT_OUT}: {reason}"))
        elif resource.name == "endpoints" or (resource.group, resource.kind) == ("extensions", "Ingress"):
            if resource.name == "endpoints":
                chosen.append(resource)
        else:
            chosen.append(_common_version(resource, discovery, options.green))

    async def listed(resource: Resource) -> list[Object]:
        try:
            found = await blue.list(resource, metadata_only=resource.name in kinds.METADATA_FIRST)
        except NotFound:
            return []  # a CRD that went since discovery
        except BluegreenError as problem:
            unknown.append(f"{resource.name}: {problem}")
            return []
        return found.items

    pages = await asyncio.gather(*(listed(resource) for resource in chosen))
    seen = {obj["metadata"].get("uid") for page in pages for obj in page}
    pods = frozenset(_name(pod) for r, page in zip(chosen, pages, strict=True) if r.name == "pods" for pod in page)
    context = _Context(
        options, seen, _selectorless(chosen, pages), _newest_releases(chosen, pages), pods, frozenset(options.namespaces)
    )
    items: list[Item] = []
    for resource, page in zip(chosen, pages, strict=True):
        keep = []
        for obj in page:
            if reason := why_skipped(obj, resource, context):
                skipped.append(Skipped(kinds.name_of(obj), reason))
            else:
                keep.append(obj)
        if keep and resource.name in kinds.METADATA_FIRST:
            keep = await _whole(blue, resource, keep)
        items += (Item(resource, obj) for obj in keep)
    return Bundle(blue.name, items, skipped, unknown, discovery)


def _group_left_out(group_version: str) -> bool:
    return f"*.{group_version.partition('/')[0]}" in kinds.SKIPPED_KINDS


def _common_version(resource: Resource, blue: Discovery, green: Discovery | None) -> Resource:
    key = (resource.group, resource.kind)
    there = green.served.get(key, ()) if green else ()
    if not there or resource.version in there or green is None:
        return resource
    for version in blue.served[key]:
        if version in there:
            return blue.in_version(*key, version)
    return resource


async def _whole(blue: Kubernetes, resource: Resource, heads: list[Object]) -> list[Object]:
    async def one(head: Object) -> Object | None:
        return await blue.find(resource, head["metadata"].get("namespace"), head["metadata"]["name"])

    return [obj for obj in await asyncio.gather(*(one(head) for head in heads)) if obj is not None]


@dataclass(frozen=True)
class _Context:
    options: ExportOptions
    uids: set[str | None]
    selectorless: frozenset[str]
    newest_releases: frozenset[str]
    pods: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()


def _selectorless(chosen: list[Resource], pages: list[list[Object]]) -> frozenset[str]:
    names = set()
    for resource, page in zip(chosen, pages, strict=True):
        if resource.name == "services":
            names |= {_name(s) for s in page if not (s.get("spec") or {}).get("selector")}
    return frozenset(names)


def _newest_releases(chosen: list[Resource], pages: list[list[Object]]) -> frozenset[str]:
    """Of each Helm release the newest revision; older ones hold manifests with APIs that are gone."""
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for resource, page in zip(chosen, pages, strict=True):
        if resource.name != "secrets":
            continue
        for secret in page:
            labels = secret["metadata"].get("labels") or {}
            if secret.get("type") == "helm.sh/release.v1" and labels.get("version", "").isdigit():
                key = (secret["metadata"]["namespace"], labels.get("name", ""))
                newest[key] = max(newest.get(key, (0, "")), (int(labels["version"]), _name(secret)))
    return frozenset(name for _, name in newest.values())


def _name(obj: Mapping[str, Any]) -> str:
    meta = obj["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def why_skipped(obj: Mapping[str, Any], resource: Resource, context: _Context) -> str | None:
    """The reason to leave an object on blue; None: it is copied."""
    meta = obj["metadata"]
    options = context.options
    namespace = meta.get("namespace") or (meta["name"] if resource.name == "namespaces" else None)
    if namespace in options.baseline_namespaces:
        return f"namespace {namespace} belongs to the baseline"
    if context.namespaces and namespace and namespace not in context.namespaces:
        return "namespace not asked for"
    if meta.get("deletionTimestamp"):
        return "being deleted"
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller") and (owner.get("uid") in context.uids or owner.get("kind") == "Node"):
            return f"made by its {owner.get('kind')}"
    if resource.name == kinds.VIRTUAL_SERVICE.name and _name(obj) in options.enrolled:
        return "an enrolled route, written by the edge"
    managers = managers_of(obj)
    if kinds.EDGE in managers and written_by_edge(obj):
        return "written by the edge"
    if "eks" in managers:
        return "managed by EKS"
    return _bootstrap(obj, resource, options) or _by_controller(obj, resource, context) or _gitops(obj, options)


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
    return why_skipped(obj, resource, _Context(ExportOptions(), set(), frozenset(), frozenset()))


def made_by(obj: Mapping[str, Any]) -> str | None:
    """Who else brings this object to green, in words: the object that controls it, or Argo CD or Flux."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"made by its {owner.get('kind')} {owner.get('name', '')}".rstrip()
    return _gitops(obj, ExportOptions())


def _bootstrap(obj: Mapping[str, Any], resource: Resource, options: ExportOptions) -> str | None:
    meta = obj["metadata"]
    name = meta["name"]
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    if f"{resource.kind}/{name}" in options.baseline_objects:
        return "belongs to the baseline"
    if resource.name == "configmaps" and name == "kube-root-ca.crt":
        return "made by every cluster"
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
        return "made by every cluster"
    if resource.name in ("services", "endpoints", "endpointslices.discovery.k8s.io") and _name(obj) == "default/kubernetes":
        return "made by every cluster"
    if (
        resource.name == "namespaces"
        and name == "default"
        and not labels.keys() - {"kubernetes.io/metadata.name"}
        and not annotations
    ):
        return "made by every cluster"
    if resource.group == "rbac.authorization.k8s.io" and (
        labels.get("kubernetes.io/bootstrapping") == "rbac-defaults" or name.startswith("system:")
    ):
        return "made by every cluster"
    if resource.name == "priorityclasses.scheduling.k8s.io" and name.startswith("system-"):
        return "made by every cluster"
    if resource.group == "flowcontrol.apiserver.k8s.io" and (
        annotations.get("apf.kubernetes.io/autoupdate-spec") == "true" or name in ("exempt", "catch-all")
    ):
        return "made by every cluster"
    if resource.name == "apiservices.apiregistration.k8s.io" and "kube-aggregator.kubernetes.io/automanaged" in labels:
        return "made by every cluster"
    if resource.name == "customresourcedefinitions.apiextensions.k8s.io":
        group = (obj.get("spec") or {}).get("group", name.partition(".")[2])
        if any(group == g or group.endswith("." + g) for g in options.baseline_groups):
            return "belongs to the baseline"
    if labels.get("app.kubernetes.io/part-of") == "istio" or any(
        k.endswith("operator.istio.io/owning-resource") for k in labels
    ):
        return "belongs to the baseline"
    if name == "aws-auth" or (not meta.get("namespace") and name.startswith(("eks-", "eks:", "aws-node", "vpc-resource-"))):
        return "managed by EKS"
    return None


def _by_controller(obj: Mapping[str, Any], resource: Resource, context: _Context) -> str | None:
    meta = obj["metadata"]
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    if resource.name == "pods" and "kubernetes.io/config.mirror" in annotations:
        return "made by its Node"
    if resource.name == "endpoints" and _name(obj) not in context.selectorless:
        return "made by its Service"
    if resource.name == "endpointslices.discovery.k8s.io" and labels.get("endpointslice.kubernetes.io/managed-by", "").endswith(
        "controller.k8s.io"
    ):
        return "made by its Service"
    if resource.name == "workloadentries.networking.istio.io" and (
        "istio.io/autoRegistrationGroup" in annotations
        or any(owner.get("kind") == "Pod" for owner in meta.get("ownerReferences") or ())
        or any(key.startswith(f"lab.{kinds.DOMAIN}") for key in labels | annotations)
        or _name(obj) in context.pods
    ):
        return "made for a running pod"
    if resource.name == "configmaps" and (
        meta["name"] in ("istio-ca-root-cert", "istio-ca-crl") or "control-plane.alpha.kubernetes.io/leader" in annotations
    ):
        return "written by a controller"
    if resource.name == "secrets":
        if obj.get("type") == "helm.sh/release.v1" and _name(obj) not in context.newest_releases:
            return "an older revision of a Helm release"
        if obj.get("type") == "bootstrap.kubernetes.io/token":
            return "lets nodes join one cluster"
        if (
            obj.get("type") == "kubernetes.io/service-account-token"
            and "-token-" in meta["name"]
            and "kubernetes.io/legacy-token-last-used" in labels
        ):
            return "minted by each cluster"
    if resource.name == "jobs.batch" and any(
        c.get("type") in ("Complete", "Failed") and c.get("status") == "True"
        for c in (obj.get("status") or {}).get("conditions") or ()
    ):
        return "a Job that has ended"
    if resource.name == "persistentvolumes" and "pv.kubernetes.io/provisioned-by" in annotations:
        return "a volume made for its claim; green makes its own"
    return None


def _gitops(obj: Mapping[str, Any], options: ExportOptions) -> str | None:
    if options.copy_gitops:
        return None
    meta = obj["metadata"]
    for key, tool in GITOPS_LABELS.items():
        if key in (meta.get("labels") or {}):
            return f"deployed by {tool}: let it deploy to green"
    for key, tool in GITOPS_ANNOTATIONS.items():
        if key in (meta.get("annotations") or {}):
            return f"deployed by {tool}: let it deploy to green"
    return None
