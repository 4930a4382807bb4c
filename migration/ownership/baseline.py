"""What people put into the namespaces that come with a cluster or its baseline, told apart from what the baseline put there.

In `istio-system` everything is taken for a person's but what bears evidence of the baseline: green's own baseline brings
that, while nobody else would bring the policies, filters and certificates of the gateways. In `kube-system` and its like
it is the other way round: what configures the mesh, Secrets that gateways name, and what a Helm release of another
namespace put there come along; of the rest, what bears evidence of a person is asked about, once for each namespace.

By what it is told who made an object: origin.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from migration.objects import kinds
from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.difference import Path, differences
from migration.objects.kinds import Object, Resource
from migration.ownership import bootstrap, gitops, releases, work
from migration.ownership.known import Known
from migration.ownership.mesh import (
    CONFIG_MAPS,
    INJECTION,
    MESH_GROUPS,
    MESH_NAMESPACE,
    SECRETS,
    named_by_gateways,
)
from migration.ownership.origin import by_person, managers_of, release_of, tool_of

# of green, to hold people's objects against: besides MESH_GROUPS
COMPARED = frozenset({SECRETS, CONFIG_MAPS, "services", "networkpolicies.networking.k8s.io", "poddisruptionbudgets.policy"})
# On the key pairs of sealed-secrets, whose manifests install it into kube-system: without them green opens no SealedSecret,
# and what they make does not come along, since it has an owner.
SEALING_KEY = "sealedsecrets.bitnami.com/sealed-secrets-key"
COMPARED_GROUPS = frozenset({*MESH_GROUPS, "cert-manager.io"})


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
    """The name under which a person answers for a namespace: `Namespace kube-system`."""
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


def _replicated(obj: Mapping[str, Any]) -> bool:
    return kinds.REPLICATE in managers_of(obj)


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
