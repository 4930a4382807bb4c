"""The rules by which an object of blue becomes one for green. Each is a function that changes a private copy in place and
knows one thing; RULES says which kinds it is for.

What an object says of its own past (managedFields, the last-applied annotation) decides between values that were chosen
by people and those that blue's API server allotted, so those two go last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from migration.objects.annotations import FLOOR_BEFORE, ORIGINAL_REPLICAS, ORIGINAL_SUSPEND
from migration.objects.classes import Action, Verdict
from migration.objects.kinds import DOMAIN, Object
from migration.ownership import conversion, fixed, revisions, switches
from migration.ownership.admission import client_configs
from migration.ownership.conversion import Rule
from migration.ownership.programs import SCALED
from migration.replicate.past import LAST_APPLIED, is_live, last_applied, managers_of

METADATA_OF_ONE_CLUSTER = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
    "ownerReferences",
    "generateName",
)
ANNOTATIONS_OF_ONE_CLUSTER = frozenset(
    {
        LAST_APPLIED,
        "deployment.kubernetes.io/revision",
        "deployment.kubernetes.io/revision-history",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
        "deprecated.daemonset.template.generation",
        "control-plane.alpha.kubernetes.io/leader",
        "endpoints.kubernetes.io/last-change-trigger-time",
        "endpoints.kubernetes.io/over-capacity",
        "batch.kubernetes.io/job-tracking",
        "autoscaling.alpha.kubernetes.io/conditions",
        "autoscaling.alpha.kubernetes.io/current-metrics",
        "kubernetes.io/service-account.uid",
    }
)
VOLUME_ANNOTATIONS = frozenset(
    {
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.beta.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/selected-node",
    }
)
JOB_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")


def spec_or_empty(obj: Mapping[str, Any]) -> Object:
    """The spec where it is a mapping; else an empty one, as of a custom resource whose spec may be anything."""
    spec = obj.get("spec")
    return spec if isinstance(spec, dict) else {}


def service_addresses(obj: Object, _: Verdict) -> None:
    """Addresses and ports that blue allotted mean nothing on green; those that somebody chose are kept."""
    if not is_live(obj):
        return
    spec = spec_or_empty(obj)
    if spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    applied = spec_or_empty(last_applied(obj))
    for port in spec.get("ports") or ():
        if "nodePort" not in port:
            continue
        key = f'k:{{"port":{port.get("port")},"protocol":"{port.get("protocol", "TCP")}"}}'
        chosen = managers_of(obj, "f:spec", "f:ports", key, "f:nodePort") or any(
            p.get("port") == port.get("port")
            and p.get("protocol", "TCP") == port.get("protocol", "TCP")
            and p.get("nodePort") == port["nodePort"]
            for p in applied.get("ports") or ()
        )
        if not chosen:
            del port["nodePort"]
    for name in ("healthCheckNodePort", "ipFamilies"):
        if name in spec and name not in applied and not managers_of(obj, "f:spec", f"f:{name}"):
            del spec[name]


def automatic_job_selector(obj: Object, _: Verdict) -> None:
    """A Job's own selector is made from its uid; another cluster makes its own."""
    spec = spec_or_empty(obj.get("spec", {}).get("jobTemplate") or {}) if obj["kind"] == "CronJob" else spec_or_empty(obj)
    if spec.get("manualSelector"):
        return
    spec.pop("selector", None)
    for meta in (obj["metadata"], (spec.get("template") or {}).get("metadata") or {}):
        labels = meta.get("labels") or {}
        for label in JOB_LABELS:
            labels.pop(label, None)
        if "labels" in meta and not labels:
            del meta["labels"]


def former_marks(obj: Object, _: Verdict) -> None:
    """What was kept when blue was a green says nothing now."""
    if is_live(obj) and (annotations := obj["metadata"].get("annotations")):
        for name in (ORIGINAL_REPLICAS, ORIGINAL_SUSPEND):
            annotations.pop(name, None)


def suspended(obj: Object, verdict: Verdict) -> None:
    """No schedule may fire on two clusters; the value to go back to is kept beside it."""
    if verdict.action is Action.SUSPEND and (is_live(obj) or ORIGINAL_SUSPEND not in _annotations(obj)):
        before = switches.suspend(obj)
        _annotations(obj)[ORIGINAL_SUSPEND] = orjson.dumps(before).decode()


def stopped(obj: Object, verdict: Verdict) -> None:
    """On green, but not running, until it is handed over; how many there should be is kept beside it."""
    annotations = _annotations(obj)
    if is_live(obj):
        annotations.pop(ORIGINAL_REPLICAS, None)  # of a time when blue was a green
    if verdict.action is Action.STOP and (is_live(obj) or ORIGINAL_REPLICAS not in annotations):
        spec = spec_or_empty(obj)
        annotations[ORIGINAL_REPLICAS] = str(spec.get("replicas", 1))
        spec["replicas"] = 0


def fixed_names(obj: Object, _: Verdict) -> None:
    """Names and addresses that blue has; the verdict's notes tell them."""
    fixed.leave_out(obj)


def without_floors(obj: Object, _: Verdict) -> None:
    """Floors that capacity raised on blue are a state of the migration: what was there before is what is copied."""
    annotations = obj["metadata"].get("annotations") or {}
    before = annotations.get(FLOOR_BEFORE)
    if before is None:
        return
    name = "minReplicas" if obj["kind"] == "HorizontalPodAutoscaler" else "replicas"
    if before == "none":
        spec_or_empty(obj).pop(name, None)
    else:
        spec_or_empty(obj)[name] = int(before)


def account_tokens(obj: Object, _: Verdict) -> None:
    """Token Secrets are minted by each cluster for itself, by the account's name and five letters."""
    minted = re.compile(re.escape(obj["metadata"]["name"]) + "-(token|dockercfg)-[a-z0-9]{5}")
    kept = [s for s in obj.get("secrets") or () if not minted.fullmatch(s.get("name", ""))]
    if kept:
        obj["secrets"] = kept
    else:
        obj.pop("secrets", None)


def token_secret(obj: Object, _: Verdict) -> None:
    """An asked-for token stays asked for; its content is blue's."""
    if obj.get("type") == "kubernetes.io/service-account-token":
        for key in ("token", "ca.crt", "namespace"):
            (obj.get("data") or {}).pop(key, None)
        if not obj.get("data"):
            obj.pop("data", None)


def claim_binding(obj: Object, verdict: Verdict) -> None:
    """A claim is bound anew unless its volume is brought along."""
    meta = obj["metadata"]
    if verdict.action is not Action.IMPORT:
        spec_or_empty(obj).pop("volumeName", None)
    for name in VOLUME_ANNOTATIONS:
        (meta.get("annotations") or {}).pop(name, None)


def imported(obj: Object, verdict: Verdict) -> None:
    """Whoever deletes the object on green, the disk, share or snapshot stays: it is blue's as well."""
    if obj["kind"] == "StorageClass":
        if verdict.action is Action.IMPORT:
            obj["reclaimPolicy"] = "Retain"
        return
    field_name = "persistentVolumeReclaimPolicy" if obj["kind"] == "PersistentVolume" else "deletionPolicy"
    spec_or_empty(obj)[field_name] = "Retain"


def volume_claim_reference(obj: Object, _: Verdict) -> None:
    """A volume or a snapshot stays meant for its claim by name; the claim of blue is not green's."""
    reference = spec_or_empty(obj).get("claimRef") or spec_or_empty(obj).get("volumeSnapshotRef") or {}
    reference.pop("uid", None)
    reference.pop("resourceVersion", None)
    for name in VOLUME_ANNOTATIONS:
        (obj["metadata"].get("annotations") or {}).pop(name, None)


def claim_templates(obj: Object, _: Verdict) -> None:
    """The API server puts a status and a time of creation into templates."""
    for claim in spec_or_empty(obj).get("volumeClaimTemplates") or ():
        claim.pop("status", None)
        (claim.get("metadata") or {}).pop("creationTimestamp", None)


def injected_authority(obj: Object, _: Verdict) -> None:
    """A CA is never written from another cluster: what becomes of an object that needs one is decided in admission.py."""
    for client, _path in client_configs(obj):
        client.pop("caBundle", None)


def namespace_itself(obj: Object, _: Verdict) -> None:
    """Finalizers under `spec` are the cluster's, and so is the label with the name."""
    obj.pop("spec", None)
    labels = obj["metadata"].get("labels") or {}
    labels.pop("kubernetes.io/metadata.name", None)
    if not labels:
        obj["metadata"].pop("labels", None)


def aggregated_role(obj: Object, _: Verdict) -> None:
    """The rules of an aggregated role are gathered by each cluster."""
    if obj.get("aggregationRule"):
        obj.pop("rules", None)


def placed_pod(obj: Object, _: Verdict) -> None:
    """Where a pod ran and what admission put into it is made anew."""
    spec = spec_or_empty(obj)
    for name in ("nodeName", "priority", "preemptionPolicy", "ephemeralContainers", "serviceAccount"):
        spec.pop(name, None)
    injected = {v["name"] for v in spec.get("volumes") or () if v.get("name", "").startswith("kube-api-access-")}
    if not injected:
        return
    spec["volumes"] = [v for v in spec["volumes"] if v.get("name") not in injected]
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        mounts = [m for m in container.get("volumeMounts") or () if m.get("name") not in injected]
        if mounts:
            container["volumeMounts"] = mounts
        else:
            container.pop("volumeMounts", None)
    if not spec["volumes"]:
        del spec["volumes"]


def pod_template(obj: Object, _: Verdict) -> None:
    """`creationTimestamp: null`, which clients write into templates."""
    spec = spec_or_empty(obj)
    for template in (
        spec.get("template"),
        (spec.get("jobTemplate") or {}),
        spec_or_empty(spec.get("jobTemplate") or {}).get("template"),
    ):
        meta = (template or {}).get("metadata")
        if isinstance(meta, dict) and meta.get("creationTimestamp", "") is None:
            del meta["creationTimestamp"]


def mesh_labels(obj: Object, verdict: Verdict) -> None:
    """Another name for the mesh's revision, wherever the object says it: selectors must go on meaning the same pods."""
    if verdict.relabel:
        revisions.relabel({key: value for key, value in obj.items() if key != "status"}, verdict.relabel)


def of_one_cluster(obj: Object, _: Verdict) -> None:
    """Identity, bookkeeping and status. Last, since the rules before read managedFields and last-applied."""
    obj.pop("status", None)
    meta = obj["metadata"]
    for name in METADATA_OF_ONE_CLUSTER:
        meta.pop(name, None)
    meta.pop("finalizers", None)
    ours = (ORIGINAL_REPLICAS, ORIGINAL_SUSPEND)  # put there by the rules above
    for field_name in ("annotations", "labels"):
        values = {
            k: v
            for k, v in (meta.pop(field_name, None) or {}).items()
            if k not in ANNOTATIONS_OF_ONE_CLUSTER and (k in ours or not k.startswith(DOMAIN))
        }
        if values:
            meta[field_name] = values


def _annotations(obj: Object) -> dict[str, str]:
    annotations: dict[str, str] = obj["metadata"].get("annotations") or {}
    obj["metadata"]["annotations"] = annotations
    return annotations


WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob"})
HOOKS = frozenset({"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "APIService", "CustomResourceDefinition"})
RULES: tuple[Rule, ...] = (
    Rule(former_marks),
    Rule(service_addresses, frozenset({"Service"})),
    Rule(automatic_job_selector, frozenset({"Job", "CronJob"})),
    Rule(suspended),
    Rule(fixed_names),
    Rule(without_floors, frozenset({"HorizontalPodAutoscaler", "Deployment", "StatefulSet"})),
    Rule(stopped, SCALED),
    Rule(account_tokens, frozenset({"ServiceAccount"})),
    Rule(token_secret, frozenset({"Secret"})),
    Rule(claim_binding, frozenset({"PersistentVolumeClaim"})),
    Rule(imported, frozenset({"PersistentVolume", "VolumeSnapshotContent", "VolumeGroupSnapshotContent", "StorageClass"})),
    Rule(volume_claim_reference, frozenset({"PersistentVolume", "VolumeSnapshotContent"})),
    Rule(claim_templates, frozenset({"StatefulSet"})),
    Rule(injected_authority, HOOKS),
    Rule(namespace_itself, frozenset({"Namespace"})),
    Rule(aggregated_role, frozenset({"ClusterRole"})),
    Rule(placed_pod, frozenset({"Pod"})),
    Rule(pod_template, WORKLOADS),
    Rule(mesh_labels),
    *conversion.RULES,
    Rule(of_one_cluster),
)
