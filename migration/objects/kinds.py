"""What is known of kinds of objects before a cluster is asked: how they are addressed, which are never copied, in which
order they go in.

All of it is data with reasons, so that a reader can disagree with a line without reading code. A kind that is not named
here (every custom resource) is copied, in the wave of custom objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import routing
from routing import Resource as Resource
from routing.istio import DESTINATION_RULE as DESTINATION_RULE
from routing.istio import GATEWAY as GATEWAY
from routing.istio import SERVICE_ENTRY as SERVICE_ENTRY
from routing.model import CONFIG_MAP as CONFIG_MAP

Object = dict[str, Any]


NAMESPACE = Resource("", "v1", "Namespace", "namespaces", False)
SERVICE = Resource("", "v1", "Service", "services", True)
NODE = Resource("", "v1", "Node", "nodes", False)
POD = Resource("", "v1", "Pod", "pods", True)
PVC = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True)
DEPLOYMENT = Resource("apps", "v1", "Deployment", "deployments", True)
STATEFUL_SET = Resource("apps", "v1", "StatefulSet", "statefulsets", True)
DAEMON_SET = Resource("apps", "v1", "DaemonSet", "daemonsets", True)
HPA = Resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True)
PDB = Resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", True)
ENDPOINT_SLICE = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", True)
INGRESS = Resource("networking.k8s.io", "v1", "Ingress", "ingresses", True)
INGRESS_CLASS = Resource("networking.k8s.io", "v1", "IngressClass", "ingressclasses", False)
STORAGE_CLASS = Resource("storage.k8s.io", "v1", "StorageClass", "storageclasses", False)
PRIORITY_CLASS = Resource("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", False)
CRD = Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)
WORKLOAD_ENTRY = Resource("networking.istio.io", "v1", "WorkloadEntry", "workloadentries", True)
GATEWAY_CLASS = Resource("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses", False)

ROUTES = tuple(kind.resource for kind in routing.registered())  # what services move by

WELL_KNOWN = {
    (r.group, r.kind): r
    for r in (
        NAMESPACE, CONFIG_MAP, SERVICE, NODE, POD, PVC, DEPLOYMENT, STATEFUL_SET, DAEMON_SET, HPA, PDB, ENDPOINT_SLICE,
        INGRESS, INGRESS_CLASS, STORAGE_CLASS, PRIORITY_CLASS, CRD, *ROUTES, GATEWAY, SERVICE_ENTRY,
        DESTINATION_RULE, WORKLOAD_ENTRY, GATEWAY_CLASS, ) }  # fmt: skip

# Managers of ours: what each of them owns is nobody else's business.
REPLICATE = "bluegreen-replicate"
EDGE = routing.FIELD_MANAGER
CAPACITY = "bluegreen-capacity"
DOMAIN = routing.DOMAIN

# Namespaces that come with a cluster or with the baseline of ours.
BASELINE_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "istio-system")

# Kinds that describe one running cluster, or that controllers write: `plural.group` or `*.group` -> reason.
SKIPPED_KINDS: Mapping[str, str] = {
    "nodes": "belongs to one cluster",
    "events": "a record of what happened",
    "events.events.k8s.io": "a record of what happened",
    "componentstatuses": "belongs to one cluster",
    "bindings": "an act, not an object",
    "controllerrevisions.apps": "written by its controller",
    "leases.coordination.k8s.io": "leadership in one cluster",
    "leasecandidates.coordination.k8s.io": "leadership in one cluster",
    "certificatesigningrequests.certificates.k8s.io": "answered by one cluster's signer",
    "clustertrustbundles.certificates.k8s.io": "trust of one cluster's signer",
    "podcertificaterequests.certificates.k8s.io": "answered by one cluster's signer",
    "csinodes.storage.k8s.io": "belongs to one cluster",
    "csistoragecapacities.storage.k8s.io": "belongs to one cluster",
    "volumeattachments.storage.k8s.io": "belongs to one cluster",
    "ipaddresses.networking.k8s.io": "allotted by one cluster",
    "servicecidrs.networking.k8s.io": "addresses of one cluster",
    "resourceslices.resource.k8s.io": "belongs to one cluster",
    "storageversions.internal.apiserver.k8s.io": "belongs to one cluster",
    "storageversionmigrations.storagemigration.k8s.io": "an act on one cluster's store",
    "podtemplates": "not run by any controller",
    "*.metrics.k8s.io": "measurements of one cluster",
    "*.custom.metrics.k8s.io": "measurements of one cluster",
    "*.external.metrics.k8s.io": "measurements of one cluster",
    "*.wgpolicyk8s.io": "reports written by a controller",
    "*.reports.kyverno.io": "reports written by a controller",
    "certificaterequests.cert-manager.io": "written by cert-manager",
    "orders.acme.cert-manager.io": "written by cert-manager",
    "challenges.acme.cert-manager.io": "written by cert-manager",
    "ciliumendpoints.cilium.io": "written by Cilium",
    "ciliumidentities.cilium.io": "written by Cilium",
    "ciliumnodes.cilium.io": "written by Cilium",
    "cninodes.vpcresources.k8s.aws": "belongs to one cluster",
    "nodeclaims.karpenter.sh": "written by Karpenter",
    "policyendpoints.networking.k8s.aws": "written by the VPC CNI",
}

# Kinds of which nearly every object is made by a controller: metadata is listed first, the few others are fetched whole
METADATA_FIRST = frozenset({"pods", "replicasets.apps", "endpointslices.discovery.k8s.io", "endpoints"})

# Waves of the apply stage: within one, everything is written in parallel; a wave starts when the one before has been
# answered. Reasons: definitions and namespaces must be there before their objects; classes before claims; accounts
# before their tokens; Secrets before what asks for them anew (cert-manager would order every certificate again); quotas
# and limits before what they count; routes and budgets before the pods; autoscalers after what they scale; webhooks
# last, since one whose backend is not there refuses everything else.
WAVES: tuple[tuple[str, str], ...] = (
    ("definitions and namespaces", "customresourcedefinitions.apiextensions.k8s.io namespaces"),
    (
        "classes and roles",
        """
        storageclasses.storage.k8s.io volumeattributesclasses.storage.k8s.io csidrivers.storage.k8s.io
        priorityclasses.scheduling.k8s.io runtimeclasses.node.k8s.io ingressclasses.networking.k8s.io
        deviceclasses.resource.k8s.io gatewayclasses.gateway.networking.k8s.io
        prioritylevelconfigurations.flowcontrol.apiserver.k8s.io clusterroles.rbac.authorization.k8s.io
        roles.rbac.authorization.k8s.io serviceaccounts persistentvolumes
        """,
    ),
    (
        "bindings and configuration",
        """
        clusterrolebindings.rbac.authorization.k8s.io rolebindings.rbac.authorization.k8s.io secrets configmaps
        limitranges resourcequotas flowschemas.flowcontrol.apiserver.k8s.io persistentvolumeclaims
        """,
    ),
    (
        "networks",
        """
        services endpoints endpointslices.discovery.k8s.io networkpolicies.networking.k8s.io
        poddisruptionbudgets.policy
        """,
    ),
    ("custom objects", ""),
    (
        "workloads",
        """
        deployments.apps statefulsets.apps daemonsets.apps replicasets.apps replicationcontrollers pods
        cronjobs.batch jobs.batch ingresses.networking.k8s.io
        """,
    ),
    (
        "autoscalers",
        "horizontalpodautoscalers.autoscaling verticalpodautoscalers.autoscaling.k8s.io scaledobjects.keda.sh",
    ),
    (
        "admission and aggregated APIs",
        """
        validatingadmissionpolicies.admissionregistration.k8s.io mutatingadmissionpolicies.admissionregistration.k8s.io
        validatingadmissionpolicybindings.admissionregistration.k8s.io
        mutatingadmissionpolicybindings.admissionregistration.k8s.io
        mutatingwebhookconfigurations.admissionregistration.k8s.io
        validatingwebhookconfigurations.admissionregistration.k8s.io apiservices.apiregistration.k8s.io
        """,
    ),
)
_WAVE_OF = {name: number for number, (_, names) in enumerate(WAVES) for name in names.split()}
NAMED = frozenset({*_WAVE_OF, *SKIPPED_KINDS})  # kinds that are known by name, whatever a cluster serves
CUSTOM_WAVE = next(number for number, (title, _) in enumerate(WAVES) if title == "custom objects")


def wave(resource: Resource) -> int:
    """The number of the wave in which objects of this kind are written."""
    return _WAVE_OF.get(resource.name, CUSTOM_WAVE)


def skipped_kind(resource: Resource) -> str | None:
    """Why no object of this kind is copied; None: it may be."""
    reason = SKIPPED_KINDS.get(resource.name) or SKIPPED_KINDS.get(f"*.{resource.group}")
    if reason:
        return reason
    return None if {"list", "create"} <= resource.verbs else "cannot be listed and created"


def full_name(obj: Mapping[str, Any]) -> str:
    """`namespace/name`; of what is in no namespace `/name`."""
    meta = obj["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def name_of(obj: Mapping[str, Any]) -> str:
    """`Deployment shop/catalog`: how an object is named to people."""
    meta = obj.get("metadata") or {}
    namespace = meta.get("namespace")
    return f"{obj.get('kind', '?')} {namespace + '/' if namespace else ''}{meta.get('name', '?')}"
