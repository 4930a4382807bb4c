"""What is taken off an object on its way to green, rule by rule."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migration.objects.classes import PLAIN, Action, Class, Verdict
from migration.replicate.transform import for_green

UID = {"uid": "1", "name": "x", "namespace": "n"}


def obj(kind: str, **rest: Any) -> dict[str, Any]:
    meta = {**UID, **rest.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **rest}


def owned(manager: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"managedFields": [{"manager": manager, "operation": "Update", "fieldsV1": fields}]}


NODE_PORT: dict[str, Any] = {
    "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:nodePort": {}}}}
}
PORT = {"port": 80, "protocol": "TCP", "nodePort": 30080}
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

CASES = [
    pytest.param(
        obj(
            "ConfigMap",
            metadata={
                "resourceVersion": "5",
                "generation": 2,
                "creationTimestamp": "t",
                "selfLink": "/x",
                "managedFields": [],
                "ownerReferences": [{"kind": "A"}],
                "finalizers": ["example.com/x"],
                "generateName": "x-",
                "annotations": {APPLIED: "{}"},
                "labels": {"a": "b"},
            },
            data={"k": "v"},
            status={"phase": "on"},
        ),
        {"metadata": {"name": "x", "namespace": "n", "labels": {"a": "b"}}, "data": {"k": "v"}},
        id="identity, bookkeeping and status",
    ),
    pytest.param(
        obj(
            "Service",
            spec={"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [dict(PORT)], "ipFamilies": ["IPv4"]},
        ),
        {"spec": {"ports": [{"port": 80, "protocol": "TCP"}]}},
        id="addresses and ports that were allotted",
    ),
    pytest.param(
        obj(
            "Service",
            metadata=owned("kubectl-create", NODE_PORT),
            spec={"clusterIP": "10.0.0.1", "ports": [dict(PORT)]},
        ),
        {"spec": {"ports": [PORT]}},
        id="a node port that somebody owns was chosen",
    ),
    pytest.param(
        obj(
            "Service",
            metadata={"annotations": {APPLIED: json.dumps({"spec": {"ports": [{"port": 80, "nodePort": 30080}]}})}},
            spec={"ports": [dict(PORT), {"port": 81, "protocol": "TCP", "nodePort": 30081}]},
        ),
        {"spec": {"ports": [PORT, {"port": 81, "protocol": "TCP"}]}},
        id="a node port of the applied manifest was chosen, its neighbour was not",
    ),
    pytest.param(
        obj("Service", spec={"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 1}]}),
        {"spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 1}]}},
        id="a headless service stays headless",
    ),
    pytest.param(
        obj(
            "Job",
            metadata={"labels": {"controller-uid": "1", "batch.kubernetes.io/job-name": "x", "own": "1"}},
            spec={
                "selector": {"matchLabels": {"controller-uid": "1"}},
                "template": {"metadata": {"labels": {"job-name": "x"}}, "spec": {}},
            },
        ),
        {
            "metadata": {
                "name": "x",
                "namespace": "n",
                "labels": {"own": "1"},
                "annotations": {"bluegreen.io/suspend": "false"},
            },
            "spec": {"template": {"metadata": {}, "spec": {}}, "suspend": True},
        },
        id="a Job's automatic selector, and it waits",
    ),
    pytest.param(
        obj("Job", spec={"manualSelector": True, "selector": {"matchLabels": {"job-name": "x"}}, "suspend": True}),
        {
            "metadata": {"name": "x", "namespace": "n", "annotations": {"bluegreen.io/suspend": "true"}},
            "spec": {"manualSelector": True, "selector": {"matchLabels": {"job-name": "x"}}, "suspend": True},
        },
        id="a selector by hand stays",
    ),
    pytest.param(
        obj(
            "CronJob",
            metadata={"annotations": {"bluegreen.io/suspend": "true"}},
            spec={"schedule": "* * * * *", "suspend": False},
        ),
        {
            "metadata": {"name": "x", "namespace": "n", "annotations": {"bluegreen.io/suspend": "false"}},
            "spec": {"schedule": "* * * * *", "suspend": True},
        },
        id="a schedule is suspended, what a former migration left says nothing",
    ),
    pytest.param(
        obj("ServiceAccount", secrets=[{"name": "x-token-7dx4k"}, {"name": "pull"}], imagePullSecrets=[{"name": "pull"}]),
        {"secrets": [{"name": "pull"}], "imagePullSecrets": [{"name": "pull"}]},
        id="token references of an account",
    ),
    pytest.param(
        obj(
            "Secret",
            type="kubernetes.io/service-account-token",
            data={"token": "a", "ca.crt": "b", "namespace": "c", "own": "d"},
        ),
        {"type": "kubernetes.io/service-account-token", "data": {"own": "d"}},
        id="a token is minted anew",
    ),
    pytest.param(
        obj(
            "PersistentVolumeClaim",
            metadata={
                "annotations": {
                    "pv.kubernetes.io/bind-completed": "yes",
                    "volume.kubernetes.io/selected-node": "a",
                    "own": "1",
                }
            },
            spec={"volumeName": "pv-1", "storageClassName": "disk"},
        ),
        {
            "metadata": {"name": "x", "namespace": "n", "annotations": {"own": "1"}},
            "spec": {"storageClassName": "disk"},
        },
        id="a claim is bound anew",
    ),
    pytest.param(
        obj("PersistentVolume", spec={"claimRef": {"name": "c", "uid": "1", "resourceVersion": "2"}}),
        {"spec": {"claimRef": {"name": "c"}, "persistentVolumeReclaimPolicy": "Retain"}},
        id="a volume is meant for the claim of that name",
    ),
    pytest.param(
        obj(
            "StatefulSet",
            spec={"volumeClaimTemplates": [{"metadata": {"creationTimestamp": None, "name": "d"}, "status": {}}]},
        ),
        {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d"}}]}},
        id="status of claim templates",
    ),
    pytest.param(
        obj("Namespace", metadata={"labels": {"kubernetes.io/metadata.name": "x"}}, spec={"finalizers": ["kubernetes"]}),
        {"metadata": {"name": "x", "namespace": "n"}},
        id="what a namespace gets by itself",
    ),
    pytest.param(
        obj("ClusterRole", aggregationRule={"clusterRoleSelectors": []}, rules=[{"verbs": ["get"]}]),
        {"aggregationRule": {"clusterRoleSelectors": []}},
        id="rules of an aggregated role",
    ),
    pytest.param(
        obj(
            "ValidatingWebhookConfiguration",
            metadata={"annotations": {"cert-manager.io/inject-ca-from": "n/c"}},
            webhooks=[{"name": "a", "clientConfig": {"service": {}, "caBundle": "Q0E="}}],
        ),
        {
            "metadata": {"name": "x", "namespace": "n", "annotations": {"cert-manager.io/inject-ca-from": "n/c"}},
            "webhooks": [{"name": "a", "clientConfig": {"service": {}}}],
        },
        id="an injected authority",
    ),
    pytest.param(
        obj(
            "ValidatingWebhookConfiguration",
            webhooks=[{"name": "a", "clientConfig": {"service": {}, "caBundle": "Q0E="}}],
        ),
        {"webhooks": [{"name": "a", "clientConfig": {"service": {}}}]},
        id="an authority of a chart",
    ),
    pytest.param(
        obj(
            "Pod",
            spec={
                "nodeName": "a",
                "priority": 0,
                "nodeSelector": {"disk": "fast"},
                "volumes": [{"name": "kube-api-access-x"}],
                "containers": [{"name": "c", "volumeMounts": [{"name": "kube-api-access-x"}]}],
            },
        ),
        {"spec": {"nodeSelector": {"disk": "fast"}, "containers": [{"name": "c"}]}},
        id="where a pod ran; what it selects stays",
    ),
    pytest.param(
        obj(
            "HorizontalPodAutoscaler",
            metadata={"annotations": {"bluegreen.io/floor-before": "2"}},
            spec={"minReplicas": 7},
        ),
        {"spec": {"minReplicas": 2}},
        id="a floor held on blue is not copied",
    ),
    pytest.param(
        obj(
            "HorizontalPodAutoscaler",
            metadata={"annotations": {"bluegreen.io/floor-before": "none"}},
            spec={"minReplicas": 7},
        ),
        {"spec": {}},
        id="a floor where nothing was said",
    ),
    pytest.param(
        obj("VirtualService", metadata={"annotations": {"bluegreen.io/fence": "3"}}, spec={}),
        {"spec": {}},
        id="marks of the lock",
    ),
]


STOPPED = Verdict(Action.STOP, Class.SINGLETON)


def usual(original: dict[str, Any]) -> Verdict:
    """What is decided where nobody said anything."""
    return Verdict(Action.SUSPEND, Class.SCHEDULED) if original["kind"] in ("Job", "CronJob") else PLAIN


@pytest.mark.parametrize(("original", "expected"), CASES)
def test_what_belongs_to_blue_alone_is_removed(original: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(original)
    wanted = {"apiVersion": "v1", "kind": original["kind"], "metadata": {"name": "x", "namespace": "n"}, **expected}
    assert for_green(original, usual(original)) == wanted
    assert original == before, "the object that was read must stay as it was"


@pytest.mark.parametrize("case", [case.values[0] for case in CASES], ids=[str(case.id) for case in CASES])
def test_transforming_twice_is_transforming_once(case: Any) -> None:
    once = for_green(case, usual(case))
    assert for_green(once, usual(once)) == once


def test_a_singleton_waits_at_zero_with_its_size_in_an_annotation() -> None:
    once = for_green(obj("Deployment", spec={"replicas": 3}), STOPPED)
    assert once["spec"]["replicas"] == 0
    assert once["metadata"]["annotations"] == {"bluegreen.io/replicas": "3"}
    assert for_green(once, STOPPED) == once


def test_the_claim_of_an_imported_volume_keeps_its_name() -> None:
    claim = obj("PersistentVolumeClaim", metadata={"finalizers": ["a/b"]}, spec={"volumeName": "pv"})
    found = for_green(claim, Verdict(Action.IMPORT, Class.VOLUME))
    assert "finalizers" not in found["metadata"]
    assert found["spec"] == {"volumeName": "pv"}


words = st.sampled_from(["a", "app", "controller-uid", "bluegreen.io/replicas", "example.com/x", APPLIED])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda s: st.lists(s, max_size=3) | st.dictionaries(words, s, max_size=3),
    max_leaves=8,
)
spec = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 5),
        "suspend": st.booleans(),
        "clusterIP": st.sampled_from(["None", "10.0.0.1"]),
        "ports": st.lists(
            st.fixed_dictionaries({"port": st.integers(1, 99)}, optional={"nodePort": st.integers(30000, 30100)}),
            max_size=3,
        ),
        "ipFamilies": st.just(["IPv4"]),
        "volumeName": st.text(max_size=3),
        "free": values,
    },
)
meta = st.fixed_dictionaries(
    {"name": st.just("x"), "namespace": st.just("n")},
    optional={
        "uid": st.just("1"),
        "labels": st.dictionaries(words, st.text(max_size=3), max_size=3),
        "annotations": st.dictionaries(words, st.sampled_from(["{}", "broken", "1"]), max_size=3),
        "finalizers": st.lists(st.text(max_size=4), max_size=2),
        "ownerReferences": st.just([{"kind": "X"}]),
    },
)
kind_names = st.sampled_from(
    ["Deployment", "Service", "CronJob", "Job", "PersistentVolumeClaim", "Secret", "Pod", "Widget", "Namespace"]
)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(kind_names, meta, spec, values)
def test_transforming_any_object_twice_is_transforming_it_once(kind: str, metadata: Any, spec_: Any, status: Any) -> None:
    original = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec_, "status": status}
    verdict = STOPPED if kind == "Deployment" else usual(original)
    once = for_green(original, verdict)
    assert for_green(once, verdict) == once
    assert "status" not in once
