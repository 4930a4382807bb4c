"""What every cluster makes for itself, and what EKS and the baseline make in each: told by marks that only they set, by
names that Kubernetes reserves, and by full names. Never by a part of a name that anybody may choose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from migration.objects import kinds
from migration.objects.classes import Class, Sign
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.known import Known
from migration.ownership.releases import kept_in, newest_revisions, release_of

# The managers by which EKS' control plane and its add-ons write (add-ons: docs.aws.amazon.com, "Determine fields you can
# customize"; the second writes the FlowSchemas of EKS).
EKS_MANAGERS = frozenset({"eks", "eks-internal"})
EKS_COMPONENT = "eks.amazonaws.com/component"

# Roles and bindings that EKS makes in every cluster and marks in no other way. AWS documents these (user guide, "Default
# Amazon EKS created Kubernetes roles and users") and asks people to make others that begin with `eks:` themselves, such
# as those by which it installs an add-on: so full names only.
EKS_ROLES = frozenset(
    f"eks:{name}"
    for name in [
        "addon-cluster-admin",
        "addon-manager",
        "authenticator",
        "az-poller",
        "certificate-controller",
        "certificate-controller-approver",
        "certificate-controller-manager",
        "certificate-controller-signer",
        "cloud-controller-manager",
        "cloud-controller-manager:apiserver-authentication-reader",
        "cloud-provider-extraction-migration",
        "cluster-bootstrap",
        "cluster-event-watcher",
        "coredns-autoscaler",
        "extension-metrics-apiserver",
        "extension-metrics-apiserver-auth-delegator",
        "fargate-manager",
        "fargate-scheduler",
        "k8s-metrics",
        "kms-storage-migrator",
        "kube-proxy-fargate",
        "kube-proxy-windows",
        "network-policy-controller",
        "network-webhooks",
        "node-bootstrapper",
        "node-manager",
        "nodewatcher",
        "pod-identity-mutating-webhook",
        "podsecuritypolicy:authenticated",
        "podsecuritypolicy:privileged",
        "service-operations",
        "service-operations-configmaps",
        "support-engineer",
        "tagging-controller",
    ]
) | {"vpc-resource-controller-role", "vpc-resource-controller-rolebinding"}

# Definitions that come with green's own baseline or are no use without it, by the group's domain.
BASELINE_GROUPS: Mapping[str, str] = {
    "istio.io": "green's mesh brings those of its version",
    "projectcalico.org": "a network that green has or has not",
    "cilium.io": "a network that green has or has not",
    "karpenter.sh": "green's nodes are made by what green has",
    "karpenter.k8s.aws": "green's nodes are made by what green has",
    "vpcresources.k8s.aws": "on every EKS cluster",
    "crd.k8s.amazonaws.com": "on every EKS cluster, with the VPC CNI",
    "networking.k8s.aws": "on every EKS cluster, with the VPC CNI",
    "elbv2.k8s.aws": "comes with the load balancer controller",
}

RBAC = "rbac.authorization.k8s.io"
ROLES = frozenset(f"{plural}.{RBAC}" for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings"))
CLUSTER_ROLES = frozenset(f"{plural}.{RBAC}" for plural in ("clusterroles", "clusterrolebindings"))
HOOKS = frozenset(
    f"{plural}.admissionregistration.k8s.io" for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
)

CLUSTERS_OWN = Sign(Class.CLUSTER, "made by every cluster")
OF_EKS = Sign(Class.EKS, "managed by EKS")
OF_BASELINE = Sign(Class.BASELINE, "belongs to the baseline")
OF_SERVICE = Sign(Class.CONTROLLER, "made by its Service")


# -- what can be said of one object ------------------------------------------------------------------------------------


def _labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}


def _named(*names: str) -> Callable[[Object, Known], bool]:
    return lambda obj, _: obj["metadata"]["name"] in names


def _at(full_name: str) -> Callable[[Object, Known], bool]:
    return lambda obj, _: kinds.full_name(obj) == full_name


def _labelled(key: str, *values: str) -> Callable[[Object, Known], bool]:
    return lambda obj, _: _labels(obj).get(key) in values if values else key in _labels(obj)


def _annotated(key: str, *values: str) -> Callable[[Object, Known], bool]:
    return lambda obj, _: _annotations(obj).get(key) in values if values else key in _annotations(obj)


def _bare_default_account(obj: Object, _: Known) -> bool:
    noted = _annotations(obj).keys() - {"kubectl.kubernetes.io/last-applied-configuration"}
    given = _labels(obj) or noted or obj.get("imagePullSecrets") or obj.get("secrets")
    return obj["metadata"]["name"] == "default" and not given


def _bare_default_namespace(obj: Object, _: Known) -> bool:
    given = _annotations(obj) or _labels(obj).keys() - {"kubernetes.io/metadata.name"}
    return obj["metadata"]["name"] == "default" and not given


def _reserved_role(obj: Object, _: Known) -> bool:
    """Kubernetes reserves `system:`; charts make such roles all the same, and then they are the release's."""
    return str(obj["metadata"]["name"]).startswith("system:") and release_of(obj) is None


def _reserved_class(obj: Object, _: Known) -> bool:
    """The API server refuses all other classes with this beginning."""
    return str(obj["metadata"]["name"]).startswith("system-")


def _eks_role(obj: Object, _: Known) -> bool:
    meta = obj["metadata"]
    return meta["name"] in EKS_ROLES and meta.get("namespace", "default") == "default"


def _eks_component(obj: Object, _: Known) -> bool:
    """Marks the roles and bindings of EKS; on workloads it is copied with them."""
    return EKS_COMPONENT in _labels(obj)


def _on_the_api_servers_host(obj: Object, _: Known) -> bool:
    """Webhooks that a managed control plane answers itself, beside the API server: nobody else can be there."""
    urls = [(hook.get("clientConfig") or {}).get("url", "") for hook in obj.get("webhooks") or ()]
    hosts = [url.partition("://")[2].partition("/")[0].rpartition(":")[0] for url in urls]
    return bool(hosts) and all(host in ("127.0.0.1", "localhost", "[::1]") for host in hosts)


def _baseline_group(obj: Object, _: Known) -> bool:
    group = (obj.get("spec") or {}).get("group", obj["metadata"]["name"].partition(".")[2])
    return any(group == each or group.endswith("." + each) for each in BASELINE_GROUPS)


def _istio_installed(obj: Object, _: Known) -> bool:
    """Istio's charts mark what they make with the namespace of the installation. In it, it is the baseline's."""
    return _labels(obj).get("install.operator.istio.io/owning-resource-namespace") in kinds.BASELINE_NAMESPACES


def _of_green_for_the_baseline(obj: Object, known: Known) -> bool:
    """Rights of the baseline's accounts, of which green has its own by the same name: not written by us."""
    if known.green is None:
        return False
    name = (str(obj.get("kind")), obj["metadata"]["name"])
    return name in known.green.once(_roles_of_others) and name in known.blue.once(_roles_for_the_baseline)


def _roles_of_others(view: View) -> frozenset[tuple[str, str]]:
    return frozenset(
        (str(obj.get("kind")), obj["metadata"]["name"])
        for resource_name in CLUSTER_ROLES
        for obj in view.of(resource_name)
        if kinds.REPLICATE not in {entry.get("manager") for entry in obj["metadata"].get("managedFields") or ()}
    )


def _roles_for_the_baseline(view: View) -> frozenset[tuple[str, str]]:
    """Bindings of which every subject is an account of a baseline namespace, and roles that nothing else binds."""
    bindings: set[tuple[str, str]] = set()
    of_role: dict[str, list[bool]] = defaultdict(list)
    for resource_name in (f"clusterrolebindings.{RBAC}", f"rolebindings.{RBAC}"):
        for obj in view.of(resource_name):
            subjects = obj.get("subjects") or ()
            baselines = bool(subjects) and all(
                subject.get("kind") == "ServiceAccount" and subject.get("namespace") in kinds.BASELINE_NAMESPACES
                for subject in subjects
            )
            role = obj.get("roleRef") or {}
            if role.get("kind") == "ClusterRole":
                of_role[role.get("name", "")].append(baselines)
            if baselines and not obj["metadata"].get("namespace"):
                bindings.add(("ClusterRoleBinding", obj["metadata"]["name"]))
    return frozenset(bindings | {("ClusterRole", name) for name, each in of_role.items() if all(each)})


def _of_a_selector(obj: Object, known: Known) -> bool:
    return kinds.full_name(obj) not in known.blue.once(_selectorless)


def _selectorless(view: View) -> frozenset[str]:
    return frozenset(
        kinds.full_name(service) for service in view.of("services") if not (service.get("spec") or {}).get("selector")
    )


def _for_a_pod(obj: Object, _: Known) -> bool:
    return any(owner.get("kind") == "Pod" for owner in obj["metadata"].get("ownerReferences") or ())


def _older_revision(obj: Object, known: Known) -> bool:
    return kept_in(obj) is not None and kinds.full_name(obj) not in known.blue.once(newest_revisions)


def _of_type(secret_type: str) -> Callable[[Object, Known], bool]:
    return lambda obj, _: obj.get("type") == secret_type


def _minted(obj: Object, known: Known) -> bool:
    """Clusters before 1.24 made a token for each account and named it in the account's `secrets`; one that somebody asked
    for is not named there. Kubernetes' own cleaner of old tokens tells the two apart by this.
    """
    return obj.get("type") == "kubernetes.io/service-account-token" and kinds.full_name(obj) in known.blue.once(_named_tokens)


def _named_tokens(view: View) -> frozenset[str]:
    return frozenset(
        f"{account['metadata'].get('namespace', '')}/{secret.get('name', '')}"
        for account in view.of("serviceaccounts")
        for secret in account.get("secrets") or ()
    )


# -- the table ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """`kinds`: `plural.group` of those that it is for."""

    kinds: frozenset[str]
    holds: Callable[[Object, Known], bool]
    sign: Sign


def _of(*names: str) -> frozenset[str]:
    return frozenset(names)


ENTRIES, SLICES = _of("workloadentries.networking.istio.io"), _of("endpointslices.discovery.k8s.io")
ROWS: tuple[Row, ...] = (
    # every cluster
    Row(_of("configmaps"), _named("kube-root-ca.crt"), CLUSTERS_OWN),
    Row(_of("serviceaccounts"), _bare_default_account, CLUSTERS_OWN),
    Row(_of("namespaces"), _bare_default_namespace, CLUSTERS_OWN),
    Row(_of("services", "endpoints") | SLICES, _at("default/kubernetes"), CLUSTERS_OWN),
    Row(ROLES, _labelled("kubernetes.io/bootstrapping", "rbac-defaults"), CLUSTERS_OWN),
    Row(ROLES, _reserved_role, CLUSTERS_OWN),
    Row(_of("priorityclasses.scheduling.k8s.io"), _reserved_class, CLUSTERS_OWN),
    *(
        Row(_of(f"{plural}.flowcontrol.apiserver.k8s.io"), holds, CLUSTERS_OWN)
        for plural in ("flowschemas", "prioritylevelconfigurations")
        for holds in (_annotated("apf.kubernetes.io/autoupdate-spec", "true"), _named("exempt", "catch-all"))
    ),
    Row(_of("apiservices.apiregistration.k8s.io"), _labelled("kube-aggregator.kubernetes.io/automanaged"), CLUSTERS_OWN),
    # EKS and the baseline
    Row(ROLES, _eks_role, OF_EKS),
    Row(CLUSTER_ROLES, _eks_component, OF_EKS),
    Row(HOOKS, _on_the_api_servers_host, OF_EKS),
    Row(_of(kinds.CRD.name), _baseline_group, OF_BASELINE),
    Row(CLUSTER_ROLES | HOOKS, _istio_installed, OF_BASELINE),
    Row(CLUSTER_ROLES, _of_green_for_the_baseline, OF_BASELINE),
    # controllers that set no owner
    Row(_of("pods"), _annotated("kubernetes.io/config.mirror"), Sign(Class.CONTROLLER, "made by its Node")),
    Row(_of("endpoints"), _of_a_selector, OF_SERVICE),
    Row(
        SLICES,
        _labelled(
            "endpointslice.kubernetes.io/managed-by",
            "endpointslice-controller.k8s.io",
            "endpointslicemirroring-controller.k8s.io",
        ),
        OF_SERVICE,
    ),
    Row(ENTRIES, _annotated("istio.io/autoRegistrationGroup"), Sign(Class.CONTROLLER, "made for a running pod")),
    Row(ENTRIES, _for_a_pod, Sign(Class.CONTROLLER, "made for a running pod")),
    Row(
        _of("configmaps"), _named("istio-ca-root-cert", "istio-ca-crl"), Sign(Class.CONTROLLER, "written by a controller")
    ),  # by istiod, into every namespace
    Row(
        _of("configmaps"),
        _annotated("control-plane.alpha.kubernetes.io/leader"),
        Sign(Class.CONTROLLER, "written by a controller"),
    ),
    Row(_of("secrets"), _older_revision, Sign(Class.CONTROLLER, "an older revision of a Helm release")),
    Row(_of("secrets"), _of_type("bootstrap.kubernetes.io/token"), Sign(Class.CONTROLLER, "lets nodes join one cluster")),
    Row(_of("secrets"), _minted, Sign(Class.CONTROLLER, "minted by each cluster")),
)


def _by_kind() -> Mapping[str, tuple[Row, ...]]:
    by_kind: dict[str, list[Row]] = defaultdict(list)
    for row in ROWS:
        for name in row.kinds:
            by_kind[name].append(row)
    return {name: tuple(rows) for name, rows in by_kind.items()}


ROWS_OF = _by_kind()


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What each cluster makes for itself, and what its controllers make."""
    return next((row.sign for row in ROWS_OF.get(resource.name, ()) if row.holds(obj, known)), None)
