"""What people put into the namespaces that come with a cluster or its baseline, told apart from what the baseline put there.

In `istio-system` everything is taken for a person's but what bears evidence of the baseline: green's own baseline brings
that, while nobody else would bring the policies, filters and certificates of the gateways. In `kube-system` and its like
it is the other way round: what configures the mesh, Secrets that gateways name, and what a Helm release of another
namespace put there come along; of the rest, what bears evidence of a person is asked about, once for each namespace.

Source: the templates of Istio's charts (`manifests/charts` of istio/istio) for labels and names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import routing
from migration.objects import kinds
from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.difference import Path, differences
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership import bootstrap, gitops, releases, work
from migration.ownership.known import Known
from migration.ownership.mesh import (
    CONFIG_MAPS,
    INJECTION,
    MESH_GROUPS,
    MESH_NAMESPACE,
    SECRETS,
    WORKLOADS,
    labels_of_pods,
    named_by_gateways,
    runs_istio,
    template_of,
)
from migration.ownership.releases import Release

# of green, to hold people's objects against: besides MESH_GROUPS
COMPARED = frozenset({SECRETS, CONFIG_MAPS, "services", "networkpolicies.networking.k8s.io", "poddisruptionbudgets.policy"})
# On the key pairs of sealed-secrets, whose manifests install it into kube-system: without them green opens no SealedSecret,
# and what they make does not come along, since it has an owner.
SEALING_KEY = "sealedsecrets.bitnami.com/sealed-secrets-key"
COMPARED_GROUPS = frozenset({*MESH_GROUPS, "cert-manager.io"})

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


def sign(obj: Mapping[str, Any], resource: Resource, known: Known) -> Sign | None:
    """What people put into `kube-system` and its like: whether green is to have it, only they know. One answer about the
    namespace is enough; an answer about the object itself counts before it, and where neither says `skip` the object is
    judged as in any other namespace.
    """
    if not _questioned(obj, resource, known) or _wanted(obj, known):
        return None
    namespace = str(obj["metadata"]["namespace"])
    if by_gitops := gitops.sign(dict(obj), resource, known):
        return by_gitops
    names = known.once(_asked_about).get(namespace, ())
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = f": {', '.join(names[:MOST_NAMED])}{more}" if names else ""
    reason = (
        f"somebody put into {namespace} what no other cluster has by itself{listed}; skip where green needs none of it, start "
        f"where it is to be copied; one of them may have an answer by its own name"
    )
    asked = question(namespace)
    return Sign(Class.BASELINE_PEOPLES, reason, Action.HOLD, gitops.ANSWERS, required=True, asked=asked)


MOST_NAMED = 12
ASKED_NAMESPACES = frozenset(kinds.BASELINE_NAMESPACES) - {MESH_NAMESPACE}


def question(namespace: str) -> str:
    return f"{kinds.NAMESPACE.kind} {namespace}"


QUESTIONS = frozenset(map(question, ASKED_NAMESPACES))

# Who makes what every cluster has; what people change of it afterwards makes it no other object.
MAKERS = frozenset({*bootstrap.EKS_MANAGERS, "kubeadm", "kube-apiserver"})
# What a cluster's installer has put there by kubectl, so that no manager tells it from a person's.
INSTALLED: Mapping[str, str] = {
    "aws-auth": "which roles may come in: of blue's nodes; green has its own, or access entries",
    "aws-node": "EKS: the VPC CNI where it is no add-on",
    "amazon-vpc-cni": "EKS: its settings",
    "coredns": "EKS: the cluster's DNS where it is no add-on; a Corefile that differs is reported",
    "kube-dns": "EKS: its Service",
    "kube-proxy": "EKS: where it is no add-on",
    "kube-proxy-config": "EKS: its settings",
    "eks-vpc-resource-controller": "EKS: rights of what gives pods their security groups",
    "eks-vpc-resource-controller-rolebinding": "EKS: the same",
    "kindnet": "kind: its network",
    "extension-apiserver-authentication": "every API server writes it",
}
INSTALLED_KINDS = frozenset(
    {"deployments.apps", "daemonsets.apps", "services", "serviceaccounts", SECRETS, CONFIG_MAPS}
    | {f"{plural}.{bootstrap.RBAC}" for plural in ("roles", "rolebindings")}
)
# Of green, to see what it has by the same name: read by replicate and by preflight.
BY_NAME = frozenset(
    {*INSTALLED_KINDS, "networkpolicies.networking.k8s.io", "poddisruptionbudgets.policy", "cronjobs.batch"}
    | {"statefulsets.apps", "horizontalpodautoscalers.autoscaling"}
)


def _questioned(obj: Mapping[str, Any], resource: Resource, known: Known) -> bool:
    """Whether a person, and nobody else, has put this into `kube-system` or its like, and green has none by this name."""
    meta = obj["metadata"]
    if meta.get("namespace") not in ASKED_NAMESPACES or meta.get("deletionTimestamp") or _brought_anyway(obj, resource, known):
        return False
    if release_of(obj) or not tool_of(obj) or not by_person(obj, resource, known) or managers_of(obj) & MAKERS:
        return False
    if resource.name in INSTALLED_KINDS and (meta["name"] in INSTALLED or meta["name"] in bootstrap.EKS_ROLES):
        return False
    if bootstrap.EKS_COMPONENT in (meta.get("labels") or {}) or kinds.full_name(obj) in known.once(_greens_own, resource.name):
        return False
    return bootstrap.sign(dict(obj), resource, known) is None and work.finished(dict(obj), resource, known) is None


def _wanted(obj: Mapping[str, Any], known: Known) -> bool:
    answers = known.choices.answers
    own = answers.get(kinds.name_of(obj))
    said = own if own is not None else answers.get(question(str(obj["metadata"]["namespace"])))
    return said is Answer.START or (own is not None and own is not Answer.SKIP)


def _asked_about(known: Known) -> dict[str, tuple[str, ...]]:
    """By namespace: kind and name of what has no answer of its own."""
    by_namespace: dict[str, list[str]] = {}
    for name, objects in known.blue.objects.items():
        resource = known.blue.resources.get(name)
        for obj in objects if resource is not None and kinds.skipped_kind(resource) is None else ():
            if resource is None or kinds.name_of(obj) in known.choices.answers:
                continue
            if _questioned(obj, resource, known) and gitops.sign(obj, resource, known) is None:
                text = f"{obj['kind']} {obj['metadata']['name']} ({tool_of(obj)})"
                by_namespace.setdefault(obj["metadata"]["namespace"], []).append(text)
    return {namespace: tuple(sorted(names)) for namespace, names in by_namespace.items()}


def _greens_own(known: Known, resource_name: str) -> frozenset[str]:
    """`namespace/name` of what green has and we did not bring."""
    objects = known.green.of(resource_name) if known.green is not None else ()
    return frozenset(kinds.full_name(obj) for obj in objects if not _replicated(obj))


def came(obj: Mapping[str, Any], resource: Resource, known: Known) -> Sign | None:
    """Last of all signs: a person's object in a namespace of the baseline, of which nothing else is to be said."""
    namespace = obj["metadata"].get("namespace")
    if namespace not in kinds.BASELINE_NAMESPACES:
        return None
    answers = COPIED if namespace in ASKED_NAMESPACES else MappingProxyType({})
    return _asked(obj, resource, known) or Sign(
        Class.BASELINE_PEOPLES, f"a person's, in namespace {namespace} of the baseline", Action.COPY, answers
    )


def comes_along(obj: Mapping[str, Any], resource: Resource, known: Known) -> bool:
    """Whether an object in a namespace of the baseline is a person's and is copied, as far as the namespace goes."""
    namespace = obj["metadata"].get("namespace")
    if namespace not in kinds.BASELINE_NAMESPACES or not by_person(obj, resource, known):
        return False
    if _brought_anyway(obj, resource, known):
        return True
    return _questioned(obj, resource, known) and _wanted(obj, known)


def _brought_anyway(obj: Mapping[str, Any], resource: Resource, known: Known) -> bool:
    """Of a person's objects those that come along without a word."""
    if obj["metadata"].get("namespace") == MESH_NAMESPACE or resource.group in MESH_GROUPS:
        return True
    release = releases.release_of(obj)
    if release and release[0] not in kinds.BASELINE_NAMESPACES and releases.has(known.blue, release, obj):
        return True  # as cert-manager's rights to elect a leader: with the rest of the release
    if resource.name == SECRETS and SEALING_KEY in (obj["metadata"].get("labels") or {}):
        return True
    return resource.name in (SECRETS, CONFIG_MAPS) and _key(resource, obj) in known.blue.once(named_by_gateways)


def _key(resource: Resource, obj: Mapping[str, Any]) -> str:
    return f"{resource.name} {kinds.full_name(obj)}"


COPIED = MappingProxyType({Answer.START: Action.COPY})


def _asked(obj: Mapping[str, Any], resource: Resource, known: Known) -> Sign | None:
    """What would change whom green's mesh trusts, or whom it calls: a person has to want it."""
    meta = obj["metadata"]
    if resource.name != SECRETS:
        return None
    if meta["name"] == "cacerts":
        if (greens := known.once(_greens_secrets).get(kinds.full_name(obj))) and greens.get("data") == obj.get("data"):
            return None  # green has it: nothing to decide
        reason = (
            "the CA that signs every certificate of the mesh: with it on green, workloads of both clusters trust each other "
            "(istiod has to be restarted, and whoever reads green's Secrets can sign for both); without it each cluster has "
            "a CA of its own, and mutual TLS between them fails"
        )
        return Sign(Class.BASELINE_PEOPLES, reason, Action.HOLD, COPIED, required=True)
    if (meta.get("labels") or {}).get("istio/multiCluster") == "true":
        reason = "lets istiod read the services of another cluster: on green, calls would go to that cluster's pods too"
        return Sign(Class.BASELINE_PEOPLES, reason, Action.HOLD, COPIED, required=True)
    return None


def _greens_secrets(known: Known) -> dict[str, Object]:
    return {kinds.full_name(obj): obj for obj in known.green.of(SECRETS)} if known.green is not None else {}


# -- evidence ----------------------------------------------------------------------------------------------------------


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


def _replicated(obj: Mapping[str, Any]) -> bool:
    return kinds.REPLICATE in managers_of(obj)


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


# -- two objects by one name -------------------------------------------------------------------------------------------

# Labels and annotations of these domains say what becomes of an object; others are notes of whoever wrote it.
SAYING = ("istio.io", "gateway.networking.k8s.io")
# Kinds whose fields an API server does not fill in: what green's has beyond blue's, somebody wrote.
AS_WRITTEN = frozenset({SECRETS, CONFIG_MAPS})
NOT_COMPARED = frozenset({"apiVersion", "kind", "metadata", "status"})


def apart(resource: Resource, wanted: Mapping[str, Any], live: Mapping[str, Any], differing: Iterable[Path]) -> list[Path]:
    """In what two objects of different makers say something else. `differing`: where green's does not hold what is wanted."""
    paths = [path for path in differing if path[0] != "f:metadata"]
    for name in ("labels", "annotations"):
        mine, theirs = wanted["metadata"].get(name) or {}, live["metadata"].get(name) or {}
        keys = sorted(key for key in mine.keys() | theirs.keys() if _says_something(key) and mine.get(key) != theirs.get(key))
        paths += [("f:metadata", f"f:{name}", f"f:{key}") for key in keys]
    return paths + _more_on_green(resource, wanted, live)


def _says_something(key: str) -> bool:
    domain = key.partition("/")[0]
    return key == INJECTION or any(domain == each or domain.endswith(f".{each}") for each in SAYING)


def _more_on_green(resource: Resource, wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[Path]:
    """What green's object says and blue's does not."""
    if resource.group not in MESH_GROUPS and resource.name not in AS_WRITTEN:
        return []
    mine = {key: value for key, value in wanted.items() if key not in NOT_COMPARED}
    theirs = {key: value for key, value in live.items() if key not in NOT_COMPARED}
    return list(differences(theirs, mine))
