"""Volumes are not shared, and nothing begins on green without its data unless a person says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migration.errors import ConfigError
from migration.model import Severity
from migration.objects.classes import Action, Answer, Class
from migration.replicate.transform import for_green
from migration.views.plan import plan_lines
from tests.fakes.judged import Green, findings, objects, one, verdicts

STATIC = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: wiki-data, finalizers: [kubernetes.io/pv-protection]}
spec:
  capacity: {storage: 20Gi}
  persistentVolumeReclaimPolicy: Delete
  storageClassName: ""
  csi: {driver: ebs.csi.aws.com, volumeHandle: vol-0f00}
  claimRef: {namespace: wiki, name: data, uid: u-1, resourceVersion: "7"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: wiki}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: wiki-data, resources: {requests: {storage: 20Gi}}}
"""
VOLUME, CLAIM = "PersistentVolume wiki-data", "PersistentVolumeClaim wiki/data"


def test_a_static_volume_waits_for_an_answer_with_its_claim() -> None:
    green = Green(objects(STATIC))
    assert green.names() == set()
    assert not green.applied.ok
    assert [name for name, _ in green.applied.unanswered] == [VOLUME]
    (found,) = findings(objects(STATIC))
    assert (found.code, found.severity, found.object) == ("BG403", Severity.BLOCKING, VOLUME)
    assert found.remedy.endswith(f"{VOLUME}: import  # or skip")
    assert "wiki/data" in found.evidence
    waiting = verdicts(objects(STATIC))[CLAIM]
    assert (waiting.action, waiting.reason) == (Action.HOLD, "waits for the answer about PersistentVolume wiki-data")


def test_an_imported_volume_comes_with_retain_for_its_claim_on_green() -> None:
    green = Green(objects(STATIC), {VOLUME: "import"})
    volume, claim = green.of(VOLUME), green.of(CLAIM)
    assert volume is not None
    assert claim is not None
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["claimRef"] == {"namespace": "wiki", "name": "data"}
    assert "finalizers" not in volume["metadata"]
    assert claim["spec"]["volumeName"] == "wiki-data"
    assert green.applied.ok
    assert any("policy Retain" in line and "Delete" in line for line in plan_lines(green.plan))
    assert green.again().writes == 0


def test_the_claim_of_a_skipped_volume_comes_unbound_with_a_note() -> None:
    green = Green(objects(STATIC), {VOLUME: "skip"})
    assert green.names() == {CLAIM}
    claim = green.of(CLAIM)
    assert claim is not None
    assert "volumeName" not in claim["spec"]
    assert green.applied.ok
    assert any("waits until green has a volume" in line for line in plan_lines(green.plan))


def test_a_claim_that_only_its_volume_names_waits_as_well() -> None:
    volume, claim = objects(STATIC)
    del claim["spec"]["volumeName"]
    assert verdicts([volume, claim])[CLAIM].action is Action.HOLD


def provisioned(name: str = "pvc-1", claim: str = "data", namespace: str = "shop") -> dict[str, Any]:
    spec = {"persistentVolumeReclaimPolicy": "Delete", "claimRef": {"namespace": namespace, "name": claim}}
    meta = {"annotations": {"pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com"}}
    return one("v1", "PersistentVolume", name, metadata=meta, spec=spec)


def claim(name: str = "data", volume: str = "pvc-1", **spec: Any) -> dict[str, Any]:
    return one("v1", "PersistentVolumeClaim", name, spec={"accessModes": ["ReadWriteOnce"], "volumeName": volume, **spec})


def test_the_claim_of_a_provisioned_volume_begins_anew_without_a_question() -> None:
    green = Green([provisioned(), claim()])
    made = green.of("PersistentVolumeClaim shop/data")
    assert green.names() == {"PersistentVolumeClaim shop/data"}
    assert made is not None
    assert "volumeName" not in made["spec"]
    assert green.applied.ok
    assert [f.code for f in findings([provisioned(), claim()])] == ["BG401"]


def test_a_provisioned_volume_may_be_imported() -> None:
    green = Green([provisioned(), claim()], {"PersistentVolume pvc-1": "import"})
    volume, made = green.of("PersistentVolume pvc-1"), green.of("PersistentVolumeClaim shop/data")
    assert volume is not None
    assert made is not None
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert made["spec"]["volumeName"] == "pvc-1"


def deployment(*volumes: dict[str, Any], kind: str = "Deployment", mounts: Any = (), **spec: Any) -> dict[str, Any]:
    pods = {"containers": [{"name": "a", "volumeMounts": list(mounts)}], "volumes": list(volumes)}
    version = "argoproj.io/v1alpha1" if kind == "Rollout" else "apps/v1"
    return one(version, kind, "db", spec={"replicas": 3, "template": {"spec": pods}, **spec})


def mounted(name: str = "data") -> dict[str, Any]:
    return {"name": "v", "persistentVolumeClaim": {"claimName": name}}


TEMPLATES = [{"metadata": {"name": "data"}, "spec": {}}]
KEEPS = [
    pytest.param(deployment(kind="StatefulSet", volumeClaimTemplates=TEMPLATES), id="a StatefulSet with templates"),
    pytest.param(deployment(mounted()), id="a Deployment with a claim"),
    pytest.param(deployment(mounted(), kind="Rollout"), id="a Rollout with a claim"),
    pytest.param(deployment(mounted(), kind="ReplicaSet"), id="a bare ReplicaSet with a claim"),
]


@pytest.mark.parametrize("workload", KEEPS)
def test_what_keeps_data_stands_still_until_a_person_says_how(workload: dict[str, Any]) -> None:
    name = f"{workload['kind']} shop/db"
    (found,) = findings([workload])
    assert (found.code, found.severity) == ("BG402", Severity.BLOCKING)
    assert found.remedy.endswith(f"{name}: hold  # or external | empty | skip")
    service = one("v1", "Service", "db", spec={"ports": [{"port": 5432}]})
    green = Green([workload, service])
    made = green.of(name)
    assert made is not None
    assert made["spec"]["replicas"] == 0
    assert made["metadata"]["annotations"]["bluegreen.io/replicas"] == "3"
    assert not green.applied.ok

    held = Green([workload, service], {name: "hold"})
    assert held.applied.ok
    assert (held.of(name) or {})["spec"]["replicas"] == 0
    empty = Green([workload, service], {name: "empty"})
    assert empty.applied.ok
    assert (empty.of(name) or {})["spec"]["replicas"] == 3
    external = Green([workload, service], {name: "external"})
    assert external.applied.ok
    assert external.names() == {"Service shop/db"}
    with pytest.raises(ConfigError, match="allowed: hold \\| external \\| empty \\| skip"):
        Green([workload], {name: "start"})


def test_a_singleton_has_its_answer() -> None:
    set_ = deployment(kind="StatefulSet", volumeClaimTemplates=TEMPLATES)
    found = verdicts([set_], singletons=["shop/db"])["StatefulSet shop/db"]
    assert (found.action, found.cls, found.required) == (Action.STOP, Class.SINGLETON, False)


def test_a_workload_whose_volumes_are_imported_may_be_started_but_does_not_by_itself() -> None:
    found = [deployment(mounted()), claim(), provisioned()]
    imported = {"PersistentVolume pvc-1": "import"}
    verdict = verdicts(found, imported)["Deployment shop/db"]
    assert (verdict.action, Answer.START in verdict.answers) == (Action.STOP, True)
    started = Green(found, imported | {"Deployment shop/db": "start"})
    assert (started.of("Deployment shop/db") or {})["spec"]["replicas"] == 3


def test_claims_of_a_set_are_made_by_the_set_but_for_those_whose_volume_is_imported() -> None:
    set_ = deployment(kind="StatefulSet", volumeClaimTemplates=TEMPLATES)
    found = [set_, claim("data-db-0", "pvc-0"), claim("data-db-10", "pvc-10"), claim("data-db-old", "pvc-x")]
    found += [provisioned("pvc-0", "data-db-0"), provisioned("pvc-10", "data-db-10")]
    left = verdicts(found)
    assert left["PersistentVolumeClaim shop/data-db-0"].action is Action.LEAVE
    assert left["PersistentVolumeClaim shop/data-db-10"].action is Action.LEAVE
    assert left["PersistentVolumeClaim shop/data-db-old"].action is Action.COPY, "no ordinal: somebody's own"
    brought = verdicts(found, {"PersistentVolume pvc-0": "import"})
    assert brought["PersistentVolumeClaim shop/data-db-0"].action is Action.IMPORT
    assert Answer.START not in brought["StatefulSet shop/db"].answers, "one of its two disks would be empty"
    both = verdicts(found, {"PersistentVolume pvc-0": "import", "PersistentVolume pvc-10": "import"})
    assert Answer.START in both["StatefulSet shop/db"].answers


@pytest.mark.parametrize(
    ("volume", "named"),
    [
        ({"awsElasticBlockStore": {"volumeID": "vol-1"}}, "disk vol-1"),
        ({"gcePersistentDisk": {"pdName": "pd-1"}}, "disk pd-1"),
        ({"azureDisk": {"diskURI": "/d/1"}}, "disk /d/1"),
        ({"nfs": {"server": "10.0.0.1", "path": "/share"}}, "share 10.0.0.1 /share"),
        ({"cephfs": {"path": "/a", "monitors": ["m"]}}, "share /a"),
        ({"csi": {"driver": "nfs.csi.k8s.io", "volumeAttributes": {"server": "s", "share": "/x"}}}, "volume s /x"),
        ({"csi": {"driver": "efs.csi.aws.com", "volumeAttributes": {"fileSystemId": "fs-1"}}}, "volume fs-1"),
    ],
)
def test_a_pod_that_names_a_disk_or_a_share_by_itself_stands_still(volume: dict[str, Any], named: str) -> None:
    found = verdicts([deployment({"name": "v", **volume})])["Deployment shop/db"]
    assert (found.action, found.required) == (Action.STOP, True)
    assert named in found.reason
    assert found.answers == (Answer.HOLD, Answer.EXTERNAL, Answer.START, Answer.SKIP)
    every = verdicts([deployment({"name": "v", **volume}, kind="DaemonSet")])["DaemonSet shop/db"]
    assert every.action is Action.HOLD, "it has no replicas to set to 0"


def test_a_nodes_directory_is_data_only_where_a_pod_writes_its_own_files() -> None:
    def at(path: str, kind: str = "Deployment", read_only: bool = False, **more: Any) -> Action:
        mounts = [{"name": "v", "mountPath": "/d", "readOnly": read_only}]
        obj = deployment({"name": "v", "hostPath": {"path": path, **more}}, kind=kind, mounts=mounts)
        return verdicts([obj])[f"{kind} shop/db"].action

    assert at("/mnt/data") is Action.STOP
    assert at("/var/lib/postgresql") is Action.STOP
    assert at("/mnt/data", read_only=True) is Action.COPY
    assert at("/var/run/docker.sock") is Action.COPY
    assert at("/var/log/pods") is Action.COPY
    assert at("/mnt/data", kind="DaemonSet") is Action.COPY


@pytest.mark.parametrize(
    "volume",
    [
        {"emptyDir": {}},
        {"configMap": {"name": "c"}},
        {"csi": {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "c"}}},
        {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
    ],
)
def test_what_keeps_nothing_comes_along(volume: dict[str, Any]) -> None:
    assert verdicts([deployment({"name": "v", **volume})])["Deployment shop/db"].action is Action.COPY


def pod_of_a_claim() -> dict[str, Any]:
    return {"containers": [{"name": "a"}], "volumes": [mounted()]}


def test_a_job_with_a_claim_comes_suspended() -> None:
    found = verdicts([one("batch/v1", "Job", "load", spec={"template": {"spec": pod_of_a_claim()}})])
    assert (found["Job shop/load"].action, found["Job shop/load"].cls) == (Action.SUSPEND, Class.SCHEDULED)


def test_a_bare_pod_with_a_claim_waits_for_an_answer() -> None:
    pod = one("v1", "Pod", "db", spec=pod_of_a_claim())
    found = verdicts([pod])
    assert (found["Pod shop/db"].action, found["Pod shop/db"].required) == (Action.HOLD, True)
    assert Green([pod]).names() == set()


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("postgresql.cnpg.io/v1", "Cluster"),
        ("acid.zalan.do/v1", "postgresql"),
        ("kafka.strimzi.io/v1beta2", "Kafka"),
        ("rabbitmq.com/v1beta1", "RabbitmqCluster"),
        ("elasticsearch.k8s.elastic.co/v1", "Elasticsearch"),
        ("kubedb.com/v1", "Postgres"),
        ("kubevirt.io/v1", "VirtualMachine"),
    ],
)
def test_an_operators_database_waits(api_version: str, kind: str) -> None:
    database = one(api_version, kind, "db", spec={})
    found = verdicts([database])[f"{kind} shop/db"]
    assert (found.action, found.cls, found.required) == (Action.HOLD, Class.STATEFUL, True)
    assert found.answers == (Answer.HOLD, Answer.EXTERNAL, Answer.EMPTY, Answer.SKIP)
    assert Green([database]).names() == set()
    assert Green([database], {f"{kind} shop/db": "empty"}).names() == {f"{kind} shop/db"}


def owned(obj: dict[str, Any], owner: dict[str, Any], controller: bool = True) -> dict[str, Any]:
    reference = {
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": controller,
    }
    obj["metadata"]["ownerReferences"] = [reference]
    return obj


def test_an_unknown_operators_object_is_known_by_the_claims_that_were_made_for_it() -> None:
    top = one("db.example.org/v1", "Fleet", "top", spec={})
    middle = owned(one("db.example.org/v1", "Member", "middle", spec={}), top)
    set_ = owned(deployment(kind="StatefulSet", volumeClaimTemplates=TEMPLATES), middle)
    other = one("db.example.org/v1", "Fleet", "other", spec={})
    plain = owned(one("apps/v1", "Deployment", "stateless", spec={"template": {"spec": {"containers": []}}}), other)
    pod = owned(one("v1", "Pod", "p"), other)
    scratch = owned(one("v1", "PersistentVolumeClaim", "pod-scratch"), pod)
    found = verdicts([top, middle, set_, other, plain, pod, scratch])
    assert found["Fleet shop/top"].action is Action.HOLD
    assert "its operator keeps data" in found["Fleet shop/top"].reason
    assert found["Fleet shop/other"].action is Action.COPY
    by_claim = one("q.example.org/v1", "Queue", "q", spec={})
    kept = owned(one("v1", "PersistentVolumeClaim", "q-0"), by_claim, controller=False)
    assert verdicts([by_claim, kept])["Queue shop/q"].action is Action.HOLD


SNAPSHOTS = """
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotContent
metadata: {name: by-hand}
spec:
  deletionPolicy: Delete
  source: {snapshotHandle: snap-1}
  volumeSnapshotRef: {name: restored, namespace: shop, uid: u-9, resourceVersion: "3"}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: restored, namespace: shop}
spec: {source: {volumeSnapshotContentName: by-hand}}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotContent
metadata: {name: snapcontent-1}
spec: {deletionPolicy: Delete, source: {volumeHandle: vol-1}}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: nightly, namespace: shop}
spec: {source: {persistentVolumeClaimName: data}}
"""


def test_snapshots_of_blue_stay() -> None:
    assert Green(objects(SNAPSHOTS)).names() == set()
    nightly = verdicts(objects(SNAPSHOTS))["VolumeSnapshot shop/nightly"]
    assert (nightly.action, nightly.cls) == (Action.LEAVE, Class.FINISHED)


def test_a_snapshot_by_its_handle_waits_for_an_answer() -> None:
    green = Green(objects(SNAPSHOTS))
    assert [name for name, _ in green.applied.unanswered] == ["VolumeSnapshotContent by-hand"]
    skipped = Green(objects(SNAPSHOTS), {"VolumeSnapshotContent by-hand": "skip"})
    assert (skipped.names(), skipped.applied.ok) == (set(), True)


def test_an_imported_snapshot_comes_with_retain() -> None:
    brought = Green(objects(SNAPSHOTS), {"VolumeSnapshotContent by-hand": "import"})
    assert brought.names() == {"VolumeSnapshotContent by-hand", "VolumeSnapshot shop/restored"}
    spec = (brought.of("VolumeSnapshotContent by-hand") or {})["spec"]
    assert (spec["deletionPolicy"], spec["volumeSnapshotRef"]) == ("Retain", {"name": "restored", "namespace": "shop"})
    assert brought.applied.ok


BY_CLAIM = "${.PVC.namespace}/${.PVC.name}"


@pytest.mark.parametrize(
    ("parameters", "shared"),
    [
        ({"reuseAccessPoint": "true"}, True),
        ({"reuseAccessPoint": "false"}, False),
        ({"server": "s", "share": "/", "subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"}, True),
        ({"server": "s", "share": "/", "subDir": "${pvc.metadata.name}-${pv.metadata.name}"}, False),
        ({"pathPattern": "${.PVC.namespace}/${.PVC.name}"}, True),
        ({"shareName": "data"}, True),
        ({"sharename": "data"}, True),
        ({"bucketName": "shop"}, True),
        ({"pathPattern": "${.pvc.namespace}-${.pvc.name}"}, True),
        ({"pathPattern": "${.pvc.name}-${.pv.name}"}, False),
        ({"provisioningMode": "efs-ap", "subPathPattern": BY_CLAIM, "ensureUniqueDirectory": "false"}, True),
        ({"provisioningMode": "efs-ap", "subPathPattern": BY_CLAIM, "ensureUniqueDirectory": "F"}, True),
        ({"provisioningMode": "efs-ap", "subPathPattern": BY_CLAIM, "ensureUniqueDirectory": "true"}, False),
        ({"provisioningMode": "efs-ap", "subPathPattern": BY_CLAIM}, False),
        ({"provisioningMode": "efs-ap", "subPathPattern": "${.PV.name}", "ensureUniqueDirectory": "false"}, False),
        ({"type": "gp3"}, False),
    ],
)
def test_a_class_that_gives_claims_of_one_name_one_place_waits_for_an_answer(parameters: Any, shared: bool) -> None:
    name = "StorageClass share"
    made = one("storage.k8s.io/v1", "StorageClass", "share", provisioner="a", parameters=parameters, reclaimPolicy="Delete")
    found = verdicts([made])[name]
    assert (found.action is Action.HOLD) is shared
    if shared:
        brought = Green([made], {name: "import"}).of(name)
        assert brought is not None
        assert brought["reclaimPolicy"] == "Retain"


def test_an_autoscaler_that_raises_from_0_is_suspended_with_what_is_to_stay_at_0() -> None:
    target = {"scaleTargetRef": {"name": "db"}}
    scaler = one("keda.sh/v1alpha1", "ScaledObject", "db", spec=target)
    scaler["metadata"]["annotations"] = {"autoscaling.keda.sh/paused-replicas": "4"}
    other = one("keda.sh/v1alpha1", "ScaledObject", "web", spec={"scaleTargetRef": {"name": "web"}})
    green = Green([deployment(mounted()), scaler, other])
    paused, free = green.of("ScaledObject shop/db"), green.of("ScaledObject shop/web")
    assert paused is not None
    assert free is not None
    assert paused["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"] == "0"
    assert paused["metadata"]["annotations"]["bluegreen.io/suspend"] == '"4"'
    assert "autoscaling.keda.sh/paused-replicas" not in (free["metadata"].get("annotations") or {})
    assert green.again().writes == 0


def test_a_claim_that_asks_for_a_snapshots_data_says_that_it_waits() -> None:
    asks = claim(volume="", dataSource={"kind": "VolumeSnapshot", "name": "nightly"})
    assert any("VolumeSnapshot nightly" in note for note in verdicts([asks])["PersistentVolumeClaim shop/data"].notes)


words = st.sampled_from(
    [
        "template",
        "spec",
        "metadata",
        "annotations",
        "containers",
        "volumes",
        "volumeMounts",
        "persistentVolumeClaim",
        "claimName",
        "hostPath",
        "path",
        "csi",
        "volumeAttributes",
        "volumeClaimTemplates",
        "schedule",
        "cron",
        "suspend",
        "jobTemplate",
        "infrastructure",
        "name",
        "replicas",
        "conditions",
        "type",
        "status",
        "phase",
        "completionTime",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["0 3 * * *", "a", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(anything, anything, st.sampled_from(["Widget", "Gateway", "Rollout"]))
def test_a_custom_resource_of_any_shape_is_transformed_without_an_error(spec: Any, status: Any, kind: str) -> None:
    obj = one("example.org/v1", kind, spec=spec, status=status)
    obj["metadata"]["ownerReferences"] = [{"kind": "Other", "uid": "u"}]
    found = verdicts([obj])[f"{kind} shop/x"]
    once = for_green(obj, found)
    assert for_green(once, found) == once


def test_what_is_left_out_for_one_reason_is_one_line_however_much_it_is() -> None:
    found = [provisioned(f"pvc-{number}", f"data-db-{number}") for number in range(50)]
    found += [claim(f"data-db-{number}", f"pvc-{number}") for number in range(50)]
    green = Green([deployment(kind="StatefulSet", volumeClaimTemplates=TEMPLATES), *found], {"StatefulSet shop/db": "hold"})
    left = [line for line in plan_lines(green.plan) if "left out" in line and "of which each cluster" not in line]
    assert len(left) == 2
    assert all("50" in line for line in left)
