"""APIs that Kubernetes had and no longer has: what people's older manifests are still written in, and what takes its place."""

from __future__ import annotations

APPS, INGRESS = "apps/v1", "networking.k8s.io/v1"
# {apiVersion: {kind: (the Kubernetes version that no longer served it, what takes its place)}}
REMOVED: dict[str, dict[str, tuple[str, str]]] = {
    "extensions/v1beta1": {
        **dict.fromkeys(("Deployment", "DaemonSet", "ReplicaSet"), ("1.16", APPS)),
        "NetworkPolicy": ("1.16", "networking.k8s.io/v1"),
        "PodSecurityPolicy": ("1.16", ""),
        "Ingress": ("1.22", INGRESS),
    },
    "apps/v1beta1": dict.fromkeys(("Deployment", "StatefulSet", "ControllerRevision"), ("1.16", APPS)),
    "apps/v1beta2": dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ControllerRevision"), ("1.16", APPS)
    ),
    "settings.k8s.io/v1alpha1": {"PodPreset": ("1.20", "")},
    "batch/v2alpha1": {"CronJob": ("1.21", "batch/v1")},
    "networking.k8s.io/v1beta1": dict.fromkeys(("Ingress", "IngressClass"), ("1.22", INGRESS)),
    **{
        f"rbac.authorization.k8s.io/{version}": dict.fromkeys(
            ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"), ("1.22", "rbac.authorization.k8s.io/v1")
        )
        for version in ("v1alpha1", "v1beta1")
    },
    "apiextensions.k8s.io/v1beta1": {"CustomResourceDefinition": ("1.22", "apiextensions.k8s.io/v1")},
    "apiregistration.k8s.io/v1beta1": {"APIService": ("1.22", "apiregistration.k8s.io/v1")},
    "admissionregistration.k8s.io/v1beta1": dict.fromkeys(
        ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"), ("1.22", "admissionregistration.k8s.io/v1")
    ),
    "certificates.k8s.io/v1beta1": {"CertificateSigningRequest": ("1.22", "certificates.k8s.io/v1")},
    "coordination.k8s.io/v1beta1": {"Lease": ("1.22", "coordination.k8s.io/v1")},
    "scheduling.k8s.io/v1alpha1": {"PriorityClass": ("1.22", "scheduling.k8s.io/v1")},
    "scheduling.k8s.io/v1beta1": {"PriorityClass": ("1.22", "scheduling.k8s.io/v1")},
    "storage.k8s.io/v1beta1": {
        **dict.fromkeys(("StorageClass", "VolumeAttachment", "CSIDriver", "CSINode"), ("1.22", "storage.k8s.io/v1")),
        "CSIStorageCapacity": ("1.27", "storage.k8s.io/v1"),
    },
    "batch/v1beta1": {"CronJob": ("1.25", "batch/v1")},
    "discovery.k8s.io/v1beta1": {"EndpointSlice": ("1.25", "discovery.k8s.io/v1")},
    "events.k8s.io/v1beta1": {"Event": ("1.25", "events.k8s.io/v1")},
    "autoscaling/v2beta1": {"HorizontalPodAutoscaler": ("1.25", "autoscaling/v2")},
    "autoscaling/v2beta2": {"HorizontalPodAutoscaler": ("1.26", "autoscaling/v2")},
    "policy/v1beta1": {"PodDisruptionBudget": ("1.25", "policy/v1"), "PodSecurityPolicy": ("1.25", "")},
    **{f"node.k8s.io/{version}": {"RuntimeClass": ("1.25", "node.k8s.io/v1")} for version in ("v1alpha1", "v1beta1")},
    **{
        f"flowcontrol.apiserver.k8s.io/{version}": dict.fromkeys(
            ("FlowSchema", "PriorityLevelConfiguration"), (since, "flowcontrol.apiserver.k8s.io/v1")
        )
        for version, since in (("v1alpha1", "1.21"), ("v1beta1", "1.26"), ("v1beta2", "1.29"), ("v1beta3", "1.32"))
    },
}
INSTEAD = {
    "PodSecurityPolicy": "the labels pod-security.kubernetes.io/* of a namespace take its place",
    "PodPreset": "nothing takes its place; put the values into the pod templates",
}


def why_gone(api_version: str, kind: str) -> str | None:
    """Since when this API is gone and what to write instead; None for what is served, or was never Kubernetes' own."""
    gone = REMOVED.get(api_version, {}).get(kind)
    if gone is None:
        return None
    since, instead = gone
    remedy = f"write it as apiVersion {instead}" if instead else INSTEAD[kind]
    return f"{api_version} {kind} is gone since Kubernetes {since}: {remedy}"


def instead_of(api_version: str, kind: str) -> str | None:
    """The apiVersion that takes this one's place; "" where nothing does, None where nothing is known of it."""
    gone = REMOVED.get(api_version, {}).get(kind)
    return None if gone is None else gone[1]


def moved(group: str, kind: str) -> str | None:
    """The group to which a kind of this group went: `extensions`, Deployment -> `apps`; None: it is where it was."""
    return _MOVED.get((group, kind))


_MOVED: dict[tuple[str, str], str] = {
    (api_version.rpartition("/")[0], kind): instead.rpartition("/")[0]
    for api_version, of in REMOVED.items()
    for kind, (_, instead) in of.items()
    if instead and instead.rpartition("/")[0] != api_version.rpartition("/")[0]
}
