"""Objects that stand for something outside the cluster that can have one owner: a target group, a bucket, a machine, a
snapshot, an address.

A controller on green that finds such an object takes what it names for its own: it writes it, corrects it and, when the
object goes, deletes it. So the object waits for a person; its definition comes along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import orjson

from migration.objects import kinds
from migration.objects.classes import Action, Answer, Class, Sign
from migration.objects.kinds import Object, Resource
from migration.objects.view import View
from migration.ownership.known import Known

HANDED_OVER: Mapping[Answer, Action] = MappingProxyType({Answer.SKIP: Action.LEAVE, Answer.START: Action.COPY})
NEVER: Mapping[Answer, Action] = MappingProxyType({Answer.SKIP: Action.LEAVE})

# (group, kind) -> what two owners do. A group that begins with a dot means every group with that ending, the kind `*` every
# kind. The longest group that fits decides.
MANAGED = "two controllers write the resource that it names, and deleting it on either cluster deletes the resource"
CLUSTERS = "it makes, changes and deletes clusters or machines: two managers of one fleet"
APPLIES = "it applies infrastructure with one shared state: two runs undo each other, and a deletion destroys"
ADDRESSES = "both clusters would hand out and announce the same addresses"
NODES = "names subnets, security groups or roles of blue, and starts nodes with them"
PLACES = "names subnets or security groups of blue"
OUTWARD = "it writes to a service outside the cluster, and takes there away what it does not know"
KINDS: Mapping[tuple[str, str], str] = {
    # AWS' load balancers; bindings have rules of their own below
    ("aga.k8s.aws", "*"): MANAGED,
    ("application-networking.k8s.aws", "*"): "one service network: both clusters would register their pods in it",
    ("vpcresources.k8s.aws", "SecurityGroupPolicy"): PLACES,
    ("crd.k8s.amazonaws.com", "ENIConfig"): PLACES,
    ("eks.amazonaws.com", "NodeClass"): NODES,
    ("karpenter.sh", "NodePool"): NODES,
    ("karpenter.sh", "Provisioner"): NODES,
    ("karpenter.k8s.aws", "*"): NODES,
    ("karpenter.azure.com", "*"): NODES,
    # operators of clouds
    (".services.k8s.aws", "*"): MANAGED,
    ("services.k8s.aws", "*"): MANAGED,
    (".cnrm.cloud.google.com", "*"): MANAGED,
    (".azure.com", "*"): MANAGED,
    (".upbound.io", "*"): MANAGED,
    (".crossplane.io", "*"): MANAGED,
    ("ibmcloud.ibm.com", "*"): MANAGED,
    ("services.cloud.sap.com", "*"): MANAGED,
    ("servicecatalog.k8s.io", "ServiceInstance"): MANAGED,
    ("servicecatalog.k8s.io", "ServiceBinding"): MANAGED,
    ("objectbucket.io", "*"): MANAGED,
    ("objectstorage.k8s.io", "Bucket"): MANAGED,
    ("objectstorage.k8s.io", "BucketClaim"): MANAGED,
    ("objectstorage.k8s.io", "BucketAccess"): MANAGED,
    # services that are bought
    ("atlas.mongodb.com", "*"): MANAGED,
    ("aiven.io", "*"): MANAGED,
    ("datadoghq.com", "DatadogMonitor"): MANAGED,
    ("datadoghq.com", "DatadogSLO"): MANAGED,
    ("datadoghq.com", "DatadogDashboard"): MANAGED,
    ("datadoghq.com", "DatadogGenericResource"): MANAGED,
    ("networking.cfargotunnel.com", "*"): MANAGED,
    ("cloudflare-operator.io", "*"): MANAGED,
    (".ngrok.com", "*"): MANAGED,
    ("tailscale.com", "*"): "both clusters would be the same node of one network",
    ("redhatcop.redhat.io", "*"): OUTWARD,
    ("db.movetokube.com", "*"): MANAGED,
    # infrastructure as code
    ("app.terraform.io", "*"): APPLIES,
    ("infra.contrib.fluxcd.io", "*"): APPLIES,
    ("tf.galleybytes.com", "*"): APPLIES,
    ("tf.isaaguilar.com", "*"): APPLIES,
    ("terraform.core.oam.dev", "*"): APPLIES,
    ("pulumi.com", "*"): APPLIES,
    (".pulumi.com", "*"): APPLIES,
    # managers of clusters and machines
    ("cluster.x-k8s.io", "*"): CLUSTERS,
    (".cluster.x-k8s.io", "*"): CLUSTERS,
    ("provisioning.cattle.io", "*"): CLUSTERS,
    ("rke.cattle.io", "*"): CLUSTERS,
    (".rke.cattle.io", "*"): CLUSTERS,
    ("rke-machine-config.cattle.io", "*"): CLUSTERS,
    ("management.cattle.io", "Cluster"): CLUSTERS,
    ("management.cattle.io", "Node"): CLUSTERS,
    ("management.cattle.io", "NodePool"): CLUSTERS,
    ("hive.openshift.io", "*"): CLUSTERS,
    ("machine.openshift.io", "*"): CLUSTERS,
    ("hypershift.openshift.io", "*"): CLUSTERS,
    ("metal3.io", "*"): CLUSTERS,
    ("tinkerbell.org", "*"): CLUSTERS,
    (".eks.amazonaws.com", "*"): CLUSTERS,  # EKS Anywhere: anywhere.eks.amazonaws.com
    ("core.gardener.cloud", "*"): CLUSTERS,
    ("cluster.open-cluster-management.io", "ManagedCluster"): CLUSTERS,
    ("work.open-cluster-management.io", "ManifestWork"): CLUSTERS,
    ("cluster.karmada.io", "*"): CLUSTERS,
    # what others reach or see
    ("external-secrets.io", "PushSecret"): OUTWARD,
    ("external-secrets.io", "ClusterPushSecret"): OUTWARD,
    ("externaldns.k8s.io", "DNSEndpoint"): "both clusters would write the same DNS records",
    ("multicluster.x-k8s.io", "ServiceExport"): "other clusters would at once send requests to green's pods",
    (".multicluster.x-k8s.io", "ServiceExport"): "other clusters would at once send requests to green's pods",
    ("net.gke.io", "ServiceExport"): "other clusters would at once send requests to green's pods",
    ("networking.gke.io", "MultiClusterService"): "other clusters would at once send requests to green's pods",
    ("networking.gke.io", "MultiClusterIngress"): "other clusters would at once send requests to green's pods",
    ("metallb.io", "IPAddressPool"): ADDRESSES,
    ("metallb.io", "AddressPool"): ADDRESSES,
    ("purelb.io", "ServiceGroup"): ADDRESSES,
    ("cilium.io", "CiliumLoadBalancerIPPool"): ADDRESSES,
    ("cilium.io", "CiliumEgressGatewayPolicy"): ADDRESSES,
    ("k8s.ovn.org", "EgressIP"): ADDRESSES,
    ("whereabouts.cni.cncf.io", "*"): ADDRESSES,
    # what deploys to any cluster that it is told of
    ("argoproj.io", "Application"): "deploys to the cluster that it names, which may be blue or a third: two Argo CDs fight",
    ("argoproj.io", "ApplicationSet"): "makes Applications for clusters that may be blue's or others': two Argo CDs fight",
    ("fluxcd.controlplane.io", "FluxInstance"): "starts Flux with blue's path of the repository",
    ("longhorn.io", "BackupTarget"): "backups of both clusters in one place, where each deletes what it thinks expired",
}
# Kinds of those groups that only say how: they act on nothing by themselves.
HARMLESS = frozenset({"ProviderConfig", "ClusterProviderConfig", "StoreConfig", "EnvironmentConfig"})
HARMLESS_GROUPS = (
    "apiextensions.crossplane.io",  # definitions of composites, and how they are made up
    "pkg.crossplane.io",
    "meta.crossplane.io",
    "protection.crossplane.io",
)
# Crossplane puts its definitions of what it manages, and of what makes such objects, into these categories.
CATEGORIES = ("managed", "composite", "claim")
EXTERNAL_NAME = "crossplane.io/external-name"
OF_COMPOSITES = ("compositionRef", "compositionSelector", "compositionRevisionRef", "crossplane")  # what it writes into them

BINDINGS = ("elbv2.k8s.aws", "eks.amazonaws.com")
# The controller labels what it makes for an Ingress, a Service or a Gateway, without any owner reference:
# ingress.k8s.aws/stack (a group of Ingresses), /stack-name and /stack-namespace, service.k8s.aws/..., gateway.k8s.aws.alb/...
STACK = re.compile(r"(ingress|service|gateway)\.(k8s\.aws|eks\.amazonaws\.com)(\.\w+)?/stack(-name|-namespace)?")
# Where it keeps which targets of a shared group are its own: with blue's list green's controller deregisters blue's pods.
TARGETS = ("aws-lbc-targets-", "eks-lbc-targets-")
# A target group belongs to one load balancer, and AWS refuses it to a second: green's would never be made whole. It is named
# by its ARN in whatever an Ingress or a Gateway's configuration says, by its name in actions of Ingresses and as a backend.
TARGET_GROUP = re.compile(r"arn:[\w-]+:elasticloadbalancing:[\w:-]*:targetgroup/([\w-]+)")
ACTION = re.compile(r"[\w.-]+/actions\.\S+")
ACTIONS_GROUP = re.compile(r"\"targetGroup(?:ARN|Name)\"\s*:\s*\"([^\"]+)\"", re.IGNORECASE)
BACKEND = "TargetGroupName"

# -- in-house kinds: told by what they say, not by a table ---
POLICIES = ("deletionPolicy", "deletePolicy", "reclaimPolicy", "removalPolicy", "cleanupPolicy", "terminationPolicy")
DELETES = ("delete", "destroy", "remove", "purge")
CLOUD_ID = re.compile(
    r"arn:aws[\w-]*:[\w-]+:|/subscriptions/[^/]+/resource[gG]roups/|(?:https:/)?/[\w.-]*googleapis\.com/.*projects/"
)
# Groups whose finalizers and policies are about what lives in the cluster itself, or in what another object names.
INSIDE: Mapping[str, str] = {
    "rabbitmq.com": "queues and users of a broker in the cluster; one outside has a rule of its own",
    "k8s.mariadb.com": "databases and users of a server in the cluster",
    "mariadb.mmontes.io": "databases and users of a server in the cluster",
    "external-secrets.io": "Secrets of the cluster; PushSecret is in the table",
    "cert-manager.io": "Secrets of the cluster",
    "apps.kubeblocks.io": "volumes of the cluster",
    "operators.coreos.com": "operators of the cluster",
}
INSIDE_UNDER = (".k8s.io", ".x-k8s.io", ".istio.io", ".cert-manager.io", ".toolkit.fluxcd.io", ".cattle.io", ".kubevirt.io")


def sign(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """What stands for something outside, and whether anything may be said about it."""
    if resource.name == "configmaps":
        return _targets(obj)
    if resource.kind == "TargetGroupBinding" and resource.group in BINDINGS:
        return _binding(obj)
    if group := _target_group_of(obj, resource):
        return _held(
            f"names target group {group}: AWS lets one load balancer have it, so green's is refused until it has its own"
        )
    if resource.group == "rabbitmq.com" and _outside_broker(obj):
        return _held("it names a broker outside the cluster: deleting it on either cluster deletes there")
    reason = reason_of(resource.group, resource.kind)
    if reason is None and _managed(obj, resource, known):
        reason = MANAGED
    return _held(reason) if reason else None


def outside(obj: Object, resource: Resource, known: Known) -> Sign | None:
    """A custom resource in no table that its own controller cleans up behind (a finalizer of its group) and that deletes what
    it made, or tells the id that a cloud gave it. One that merely refers to such an id is none. After all that knows better.
    """
    group = resource.group
    if "." not in group or resource.kind in HARMLESS or group in HARMLESS_GROUPS:
        return None
    if group in INSIDE or f".{group}".endswith(INSIDE_UNDER):
        return None
    finalizer = next((f for f in obj["metadata"].get("finalizers") or () if _of_group(f, group)), None)
    if finalizer is None:
        return None
    spec = obj.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    for key in POLICIES:
        if str(spec.get(key, "")).lower() in DELETES:
            return _held(f"deletes what it stands for with itself ({key}: {spec[key]}; finalizer {finalizer}): {MANAGED}")
    if cloud := _cloud_id(obj.get("status")):
        return _held(f"stands for {cloud} (in its status; finalizer {finalizer}): {MANAGED}")
    return None


def _of_group(finalizer: str, group: str) -> bool:
    """`s3.acme.corp.io/delete-bucket`, `acme.corp.io/finalizer`, `bucket.finalizers.corp.io`: of the same owner's domain."""
    domain = finalizer.partition("/")[0]
    if domain == group or domain.endswith(f".{group}") or group.endswith(f".{domain}"):
        return "." in domain
    return domain.split(".")[-2:] == group.split(".")[-2:]


def _cloud_id(status: Any, depth: int = 3) -> str | None:
    """The first id that a cloud gave, in a status."""
    if isinstance(status, str):
        return status if CLOUD_ID.match(status) else None
    inner = status.values() if isinstance(status, dict) else status if isinstance(status, list) else ()
    return next((cloud_id for each in inner if (cloud_id := _cloud_id(each, depth - 1))), None) if depth else None


def _target_group_of(obj: Object, resource: Resource) -> str | None:
    """The target group that an Ingress, a route or a Gateway's configuration hands to its load balancer."""
    if resource.kind == "Ingress":
        for key, value in (obj["metadata"].get("annotations") or {}).items():
            named = ACTION.fullmatch(key) and (TARGET_GROUP.search(value) or ACTIONS_GROUP.search(value))
            if named:
                return named[1]
        return None
    if resource.group == "gateway.k8s.aws":
        match = TARGET_GROUP.search(orjson.dumps(obj.get("spec")).decode())
        return match[1] if match else None
    if resource.group == "gateway.networking.k8s.io":
        return next((str(each.get("name", "?")) for each in _backends(obj) if each.get("kind") == BACKEND), None)
    return None


def _backends(obj: Object) -> Iterator[Object]:
    spec = obj.get("spec")
    rules = spec.get("rules") if isinstance(spec, dict) else None
    for rule in rules if isinstance(rules, list) else ():
        backends = rule.get("backendRefs") if isinstance(rule, dict) else None
        yield from (each for each in (backends if isinstance(backends, list) else ()) if isinstance(each, dict))


def _managed(obj: Object, resource: Resource, known: Known) -> bool:
    """By Crossplane: its definition says so (where that could be read), or what Crossplane writes into it."""
    if "." not in resource.group or resource.kind in HARMLESS or resource.group in HARMLESS_GROUPS:
        return False
    annotations = obj["metadata"].get("annotations") or {}
    spec = obj.get("spec")
    if isinstance(spec, dict) and any(spec.get(each) for each in OF_COMPOSITES):
        return True
    return EXTERNAL_NAME in annotations or (resource.group, resource.kind) in known.blue.once(_managed_kinds)


def _held(reason: str, answers: Mapping[Answer, Action] = HANDED_OVER) -> Sign:
    return Sign(Class.ONE_OWNER, reason, Action.HOLD, answers, required=True)


@lru_cache(maxsize=4096)
def reason_of(group: str, kind: str) -> str | None:
    """What two owners of an object of this kind would do; None: it is in no table."""
    if kind in HARMLESS or kind.endswith("ProviderConfigUsage") or group in HARMLESS_GROUPS:
        return None
    parts = group.split(".")
    for name in (group, *("." + ".".join(parts[start:]) for start in range(1, len(parts)))):
        for each in (kind, "*"):
            if (name, each) in KINDS:
                return KINDS[name, each]
    return None


def _managed_kinds(view: View) -> frozenset[tuple[str, str]]:
    """(group, kind) of the definitions that Crossplane marks as managed or as making what is managed."""
    managed = set()
    for definition in view.of(kinds.CRD.name):
        spec = definition.get("spec") or {}
        names = spec.get("names") or {}
        if any(each in CATEGORIES for each in names.get("categories") or ()):
            managed.add((spec.get("group", ""), names.get("kind", "")))
    return frozenset(managed)


def _binding(obj: Object) -> Sign:
    labels = obj["metadata"].get("labels") or {}
    spec = obj.get("spec") or {}
    group = spec.get("targetGroupName") or str(spec.get("targetGroupARN", "?")).rpartition(":targetgroup/")[2]
    if any(STACK.fullmatch(key) for key in labels):
        reason = "made by the load balancer controller; green's makes its own, for its own load balancer"
        return Sign(Class.ONE_OWNER, reason)
    if spec.get("multiClusterTargetGroup") is True:
        return _held(f"green's pods would at once be sent requests by target group {group}, beside blue's")
    alone = "green's controller would take blue's pods out of it (spec.multiClusterTargetGroup is not true)"
    return _held(f"target group {group}: {alone}", NEVER)


def _targets(obj: Object) -> Sign | None:
    if not obj["metadata"]["name"].startswith(TARGETS) or (obj.get("data") or {}).keys() - {"targets"}:
        return None
    reason = "blue's targets of a shared target group: with this list green's controller would deregister them"
    return Sign(Class.ONE_OWNER, reason)


def _outside_broker(obj: Object) -> bool:
    reference = (obj.get("spec") or {}).get("rabbitmqClusterReference") or {}
    return bool(reference.get("connectionSecret"))
