"""On real API servers: nothing that two owners would fight for, or that deletes what is blue's, is on green; each is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from migration.objects.classes import Answer
from migration.objects.kinds import name_of
from migration.settings.choices import Choices, Selection
from migration.views.replicate import objects as planned_objects
from tests.lab.support.bare import Bare, on, replicate
from tests.lab.support.definitions import ScratchObjects, definition

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SPACE = "owners"
# group, version, kind, plural; how an object of it looks, and whether it is asked about
ARN = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/shop/0f"
OUTSIDE: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    ("s3.services.k8s.aws", "v1alpha1", "Bucket", "buckets", {"name": "shop-prod"}),
    ("rds.aws.m.upbound.io", "v1beta1", "Instance", "instances", {"deletionPolicy": "Delete"}),
    ("sql.cnrm.cloud.google.com", "v1beta1", "SQLInstance", "sqlinstances", {"resourceID": "shop"}),
    ("storage.azure.com", "v1", "StorageAccount", "storageaccounts", {"azureName": "shop"}),
    ("pulumi.com", "v1", "Stack", "stacks", {"stack": "shop"}),
    ("cluster.x-k8s.io", "v1beta1", "Machine", "machines", {"clusterName": "shop"}),
    ("external-secrets.io", "v1alpha1", "PushSecret", "pushsecrets", {"refreshInterval": "1h"}),
    ("karpenter.k8s.aws", "v1", "EC2NodeClass", "ec2nodeclasses", {"role": "blue-nodes"}),
    ("argoproj.io", "v1alpha1", "Application", "applications", {"project": "default"}),
    ("metallb.io", "v1beta1", "IPAddressPool", "ipaddresspools", {"addresses": ["192.0.2.0/28"]}),
    ("platform.example.org", "v1", "Database", "databases", {"size": 1}),
    ("postgresql.cnpg.io", "v1", "Cluster", "clusters", {"instances": 3}),
)
BINDING = ("elbv2.k8s.aws", "v1beta1", "TargetGroupBinding", "targetgroupbindings")
CONTENT = ("snapshot.storage.k8s.io", "v1", "VolumeSnapshotContent", "volumesnapshotcontents")
SNAPSHOT = ("snapshot.storage.k8s.io", "v1", "VolumeSnapshot", "volumesnapshots")
OURS = Choices(include=Selection(namespaces=(SPACE,)))


def native() -> list[dict[str, Any]]:
    meta = {"namespace": SPACE}
    disk = {
        "capacity": {"storage": "20Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Delete",
        "storageClassName": "owners-none",
    }
    asked = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "owners-none",
        "resources": {"requests": {"storage": "20Gi"}},
    }
    labels = {"app": "db"}
    pods = {"containers": [{"name": "db", "image": "example.test/db:1"}]}
    mounts = {**pods, "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "by-hand"}}]}
    template = {"metadata": {"name": "data"}, "spec": {**asked, "storageClassName": "owners-other"}}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "owners-by-hand"},
            "spec": {
                **disk,
                "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-0f00"},
                "claimRef": {"namespace": SPACE, "name": "by-hand"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "owners-made", "annotations": {"pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com"}},
            "spec": {
                **disk,
                "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-0f01"},
                "claimRef": {"namespace": SPACE, "name": "made"},
            },
        },
        *(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {**meta, "name": name},
                "spec": {**asked, "volumeName": volume},
            }
            for name, volume in (("by-hand", "owners-by-hand"), ("made", "owners-made"))
        ),
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {**meta, "name": "db"},
            "spec": {
                "serviceName": "db",
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pods},
                "volumeClaimTemplates": [template],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**meta, "name": "wiki"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "wiki"}},
                "template": {"metadata": {"labels": {"app": "wiki"}}, "spec": mounts},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**meta, "name": "aws-lbc-targets-by-person"},
            "data": {"targets": "10.0.0.1:80"},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                **meta,
                "name": "public",
                "annotations": {
                    "service.beta.kubernetes.io/aws-load-balancer-name": "owners-prod",
                    "service.beta.kubernetes.io/aws-load-balancer-eip-allocations": "eipalloc-0f",
                },
            },
            "spec": {
                "type": "LoadBalancer",
                "loadBalancerClass": "example.test/none",
                "loadBalancerIP": "192.0.2.7",
                "externalIPs": ["192.0.2.8"],
                "selector": labels,
                "ports": [{"port": 443}],
            },
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {**meta, "name": "web", "annotations": {"alb.ingress.kubernetes.io/load-balancer-name": "owners-alb"}},
            "spec": {"defaultBackend": {"service": {"name": "public", "port": {"number": 443}}}},
        },
    ]


def custom(
    group: str, version: str, kind: str, name: str, spec: dict[str, Any], namespace: str | None = SPACE, **meta: Any
) -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": name, **place, **meta}, "spec": spec}


@pytest.fixture
def owners(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """Objects of each kind of the tables on blue; nothing of them stays."""
    made = ScratchObjects(pair, SPACE)
    made.define(
        *(
            definition(group, version, kind, plural, categories=("managed",) if group == "platform.example.org" else ())
            for group, version, kind, plural, _ in OUTSIDE
        ),
        definition(*BINDING),
        definition(*CONTENT, scope="Cluster"),
        definition(*SNAPSHOT),
    )
    labels = {"ingress.k8s.aws/stack-name": "web", "ingress.k8s.aws/stack-namespace": SPACE}
    reference = {"name": "kept", "namespace": SPACE}
    content = {"deletionPolicy": "Delete", "source": {"snapshotHandle": "snap-0f"}, "volumeSnapshotRef": reference}
    made.write(
        [
            *native(),
            *(custom(group, version, kind, "one", spec) for group, version, kind, _, spec in OUTSIDE),
            custom(*BINDING[:3], "by-controller", {"targetGroupARN": ARN}, labels=labels),
            custom(*BINDING[:3], "by-person", {"targetGroupARN": ARN}),
            custom(*BINDING[:3], "for-several", {"targetGroupARN": ARN, "multiClusterTargetGroup": True}),
            custom(*CONTENT[:3], "owners", content, namespace=None),
            custom(*SNAPSHOT[:3], "kept", {"source": {"volumeSnapshotContentName": "owners"}}),
        ]
    )
    yield pair
    made.clear("persistentvolume/owners-by-hand", "persistentvolume/owners-made")


def everything(plane: Bare) -> dict[str, dict[str, Any]]:
    """What is in the namespace, and the volumes and snapshots beside it."""
    plurals = ",".join(f"{plural}.{group}" for group, _, _, plural, _ in OUTSIDE)
    ours = f"{plurals},targetgroupbindings.elbv2.k8s.aws,volumesnapshots.snapshot.storage.k8s.io,configmaps,services,ingresses"
    found = on(plane, f"{ours},persistentvolumeclaims,deployments,statefulsets", "-n", SPACE)["items"]
    found += [v for v in on(plane, "persistentvolumes")["items"] if v["metadata"]["name"].startswith("owners")]
    found += on(plane, "volumesnapshotcontents.snapshot.storage.k8s.io")["items"]
    return {name_of(each): each for each in found if each["metadata"]["name"] != "kube-root-ca.crt"}


def test_nothing_that_can_have_one_owner_comes_to_green(owners: tuple[Bare, Bare]) -> None:
    green = owners[1]
    made, done, _ = replicate(owners, choices=OURS)
    there = everything(green)
    assert set(there) == {
        f"Deployment {SPACE}/wiki",
        f"StatefulSet {SPACE}/db",
        f"Service {SPACE}/public",
        f"Ingress {SPACE}/web",
        f"PersistentVolumeClaim {SPACE}/made",
    }
    assert "volumeName" not in there[f"PersistentVolumeClaim {SPACE}/made"]["spec"]
    for name in (f"Deployment {SPACE}/wiki", f"StatefulSet {SPACE}/db"):
        assert there[name]["spec"]["replicas"] == 0
    text = json.dumps(there)
    for fixed in ("owners-prod", "eipalloc-0f", "192.0.2.", "owners-alb"):
        assert fixed not in text, fixed
    assert (done.failures, done.conflicts) == ([], [])
    assert not done.ok

    asked = {name for name, _ in done.unanswered}
    assert {f"{kind} {SPACE}/one" for _, _, kind, _, _ in OUTSIDE} <= asked
    assert {f"TargetGroupBinding {SPACE}/by-person", f"TargetGroupBinding {SPACE}/for-several"} <= asked
    assert {"PersistentVolume owners-by-hand", "VolumeSnapshotContent owners"} <= asked
    assert f"TargetGroupBinding {SPACE}/by-controller" not in asked
    told = {each.object: each for each in planned_objects(made)}
    assert set(everything(owners[0])) <= set(told), "not one object of blue is passed over in silence"
    assert told[f"TargetGroupBinding {SPACE}/by-controller"].reason.startswith("made by the load balancer controller")
    assert [("owners-prod" in note) for note in told[f"Service {SPACE}/public"].notes].count(True) == 1
    assert replicate(owners, choices=OURS)[1].writes == 0


def test_what_a_person_imports_cannot_delete_what_is_blues(owners: tuple[Bare, Bare]) -> None:
    answers = {
        "PersistentVolume owners-by-hand": Answer.IMPORT,
        "PersistentVolume owners-made": Answer.IMPORT,
        "VolumeSnapshotContent owners": Answer.IMPORT,
        f"Deployment {SPACE}/wiki": Answer.START,
        f"TargetGroupBinding {SPACE}/for-several": Answer.START,
    }
    _, done, _ = replicate(owners, choices=Choices(include=OURS.include, answers=answers))
    assert (done.failures, done.conflicts) == ([], [])
    there = everything(owners[1])
    for name in ("owners-by-hand", "owners-made"):
        spec = there[f"PersistentVolume {name}"]["spec"]
        assert spec["persistentVolumeReclaimPolicy"] == "Retain"
        assert spec["claimRef"]["name"] == name.removeprefix("owners-")
    assert there[f"PersistentVolumeClaim {SPACE}/by-hand"]["spec"]["volumeName"] == "owners-by-hand"
    assert there["VolumeSnapshotContent owners"]["spec"]["deletionPolicy"] == "Retain"
    assert there[f"VolumeSnapshot {SPACE}/kept"]
    assert there[f"Deployment {SPACE}/wiki"]["spec"]["replicas"] == 1
    assert f"TargetGroupBinding {SPACE}/for-several" in there
    assert f"TargetGroupBinding {SPACE}/by-person" not in there
