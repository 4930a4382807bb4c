"""What is left on blue, with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

import routing
from migration.errors import Forbidden
from migration.objects.kinds import WELL_KNOWN, Resource
from migration.replicate.export import Bundle, export
from migration.settings.choices import Choices, in_namespaces
from tests.fakes.apiserver import FakeApiServer

SECRET = Resource("", "v1", "Secret", "secrets", True)
ACCOUNT = Resource("", "v1", "ServiceAccount", "serviceaccounts", True)
ENDPOINTS = Resource("", "v1", "Endpoints", "endpoints", True)
JOB = Resource("batch", "v1", "Job", "jobs", True)
REPLICA_SET = Resource("apps", "v1", "ReplicaSet", "replicasets", True)
ROLE = Resource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False)
LEASE = Resource("coordination.k8s.io", "v1", "Lease", "leases", True)
VOLUME = Resource("", "v1", "PersistentVolume", "persistentvolumes", False)
ALL = (*WELL_KNOWN.values(), SECRET, ACCOUNT, ENDPOINTS, JOB, REPLICA_SET, ROLE, LEASE, VOLUME)


def one(kind: str, name: str = "x", version: str = "v1", namespace: str = "n", **rest: Any) -> dict[str, Any]:
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **rest}


def run(*objects: dict[str, Any], choices: Choices | None = None, enrolled: Iterable[str] = (), **fake: Any) -> Bundle:
    return asyncio.run(export(FakeApiServer("plum", objects, resources=ALL, **fake), choices=choices, enrolled=enrolled))


@pytest.mark.parametrize(
    ("obj", "reason"),
    [
        pytest.param(one("ConfigMap", "kube-root-ca.crt"), "made by every cluster", id="root CA"),
        pytest.param(one("ServiceAccount", "default"), "made by every cluster", id="bare default account"),
        pytest.param(one("Service", "kubernetes", namespace="default"), "made by every cluster", id="the API's own service"),
        pytest.param(one("ConfigMap", namespace="kube-system"), "namespace kube-system belongs", id="baseline namespace"),
        pytest.param(
            one("Namespace", "istio-system", namespace=""), "namespace istio-system belongs", id="the namespace itself"
        ),
        pytest.param(one("ClusterRole", "system:node", "rbac.authorization.k8s.io/v1", ""), "made by every", id="system role"),
        pytest.param(one("ConfigMap", metadata={"managedFields": [{"manager": "eks"}]}), "managed by EKS", id="manager eks"),
        pytest.param(
            one("ConfigMap", metadata={"managedFields": [{"manager": "bluegreen-edge"}]}),
            "written by the edge",
            id="edge",
        ),
        pytest.param(one("Endpoints"), "made by its Service", id="endpoints of a service with a selector"),
        pytest.param(
            one("Job", version="batch/v1", status={"conditions": [{"type": "Complete", "status": "True"}]}),
            "has ended",
            id="ended job",
        ),
        pytest.param(
            one("PersistentVolume", namespace="", metadata={"annotations": {"pv.kubernetes.io/provisioned-by": "ebs"}}),
            "a volume made for its claim",
            id="a provisioned volume",
        ),
        pytest.param(
            one("WorkloadEntry", version="networking.istio.io/v1", metadata={"ownerReferences": [{"kind": "Pod"}]}),
            "made for a running pod",
            id="entry of a pod",
        ),
        pytest.param(one("ConfigMap", metadata={"deletionTimestamp": "t"}), "being deleted", id="going"),
        pytest.param(one("ConfigMap", "aws-auth", namespace="kube-system"), "belongs to the baseline", id="aws-auth"),
    ],
)
def test_what_stays_behind_is_left_out_with_the_reason(obj: dict[str, Any], reason: str) -> None:
    bundle = run(obj)
    assert bundle.items == []
    told = [s.reason for s in bundle.skipped if s.object.endswith(obj["metadata"]["name"])]
    assert [reason in text for text in told] == [True]


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(
            one("ServiceAccount", "default", imagePullSecrets=[{"name": "a"}]), id="default account with a pull secret"
        ),
        pytest.param(
            one("ServiceAccount", "default", metadata={"annotations": {"eks.amazonaws.com/role-arn": "a"}}),
            id="with IRSA",
        ),
        pytest.param(one("Deployment", version="apps/v1"), id="a workload"),
        pytest.param(one("Pod"), id="a pod of nobody"),
        pytest.param(one("Secret", type="kubernetes.io/tls"), id="a certificate"),
        pytest.param(one("WorkloadEntry", version="networking.istio.io/v1"), id="a machine in the mesh"),
        pytest.param(one("Job", version="batch/v1"), id="a job that has not ended"),
    ],
)
def test_what_belongs_to_the_user_is_copied(obj: dict[str, Any]) -> None:
    assert [item.obj["kind"] for item in run(obj).items] == [obj["kind"]]


def test_what_a_controller_made_never_comes_whether_or_not_its_owner_was_read() -> None:
    owner = one("Deployment", "d", "apps/v1", metadata={"uid": "u1"})
    child = one(
        "ReplicaSet",
        "d-1",
        "apps/v1",
        metadata={"ownerReferences": [{"kind": "Deployment", "uid": "u1", "controller": True}]},
    )
    other = one(
        "ReplicaSet",
        "o",
        "apps/v1",
        metadata={"ownerReferences": [{"kind": "Deployment", "uid": "unread", "controller": True}]},
    )
    bundle = run(owner, child, other)
    assert sorted(item.obj["metadata"]["name"] for item in bundle.items) == ["d"]
    assert "made by its Deployment" in bundle.skipped_by_reason()


def test_endpoints_by_hand_and_the_newest_helm_release_come_along() -> None:
    releases = [
        one("Secret", f"r.v{v}", type="helm.sh/release.v1", metadata={"labels": {"name": "r", "version": str(v)}})
        for v in (2, 10, 9)
    ]
    bundle = run(one("Service", spec={}), one("Endpoints"), *releases)
    assert sorted(f"{i.obj['kind']} {i.obj['metadata']['name']}" for i in bundle.items) == [
        "Endpoints x",
        "Secret r.v10",
        "Service x",
    ]


def test_a_kind_that_may_not_be_listed_is_unknown() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if resource.kind == "Secret":
            raise Forbidden("secrets is forbidden")

    assert run(one("ConfigMap"), trouble=trouble).unread == {"secrets": "secrets is forbidden"}


def test_enrolled_routes_and_other_namespaces_are_left_out() -> None:
    route = one("VirtualService", version="networking.istio.io/v1")
    assert run(route, enrolled={"n/x"}).items == []
    other = one("Namespace", "other", namespace="")
    assert [item.name for item in run(route, other, choices=in_namespaces(["other"])).items] == ["Namespace other"]
    assert len(run(route).items) == 1


ROUTE = one(
    "VirtualService",
    "web",
    "networking.istio.io/v1",
    spec={"hosts": ["a"], "gateways": ["istio-system/public"], "http": [{"route": [{"destination": {"host": "web"}}]}]},
)
OF_EDGE = {"managedFields": [{"manager": "bluegreen-edge", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]}


def by_edge(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], **OF_EDGE}}


def test_an_unenrolled_route_is_copied_though_the_edge_still_owns_it() -> None:
    assert [item.obj["metadata"]["name"] for item in run(by_edge(ROUTE)).items] == ["web"]


@pytest.mark.parametrize(
    ("obj", "enrolled", "reason"),
    [
        pytest.param(by_edge(ROUTE), {"n/web"}, "an enrolled route", id="enrolled"),
        pytest.param(ROUTE, {"n/web"}, "an enrolled route", id="enrolled, not written yet"),
        pytest.param(by_edge(routing.peer_route(ROUTE, 0)), (), "written by the edge", id="a peer route"),
        pytest.param(
            by_edge(routing.destinations(ROUTE, routing.Peer("10.0.0.1"))[0]), (), "written by the edge", id="a destination"
        ),
        pytest.param(
            by_edge(routing.public_route(ROUTE, 250, "blue")), (), "written by the edge", id="forwards, though in no file"
        ),
    ],
)
def test_what_the_edge_keeps_is_not_copied(obj: dict[str, Any], enrolled: Any, reason: str) -> None:
    bundle = run(obj, enrolled=enrolled)
    assert bundle.items == []
    (told,) = [s.reason for s in bundle.skipped if s.object == f"{obj['kind']} n/{obj['metadata']['name']}"]
    assert told.startswith(reason)


def test_an_api_without_its_server_is_unknown_unless_its_kinds_are_left_out() -> None:
    blue = FakeApiServer("plum", resources=ALL)
    blue.discovery = replace(blue.discovery, stale=("metrics.k8s.io/v1beta1", "example.com/v1"))
    assert asyncio.run(export(blue)).unread == {"example.com/v1": "its API server does not answer"}
