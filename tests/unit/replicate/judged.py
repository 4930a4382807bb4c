"""What becomes of objects of blue, asked as `replicate` and as `preflight` ask it; of pods only metadata is listed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from migration.model import Finding, Severity
from migration.objects.classes import Answer, Verdict
from migration.objects.kinds import WELL_KNOWN, Resource
from migration.objects.listing import Listing
from migration.preflight.run import preflight
from migration.replicate.export import Bundle, export
from migration.settings.choices import Choices
from tests.fakes.apiserver import FakeApiServer

RBAC = "rbac.authorization.k8s.io"
ALL = (
    *WELL_KNOWN.values(),
    Resource("", "v1", "Secret", "secrets", True),
    Resource("", "v1", "ServiceAccount", "serviceaccounts", True),
    Resource("", "v1", "Endpoints", "endpoints", True),
    Resource("", "v1", "ReplicationController", "replicationcontrollers", True),
    Resource("apps", "v1", "ReplicaSet", "replicasets", True),
    Resource("batch", "v1", "Job", "jobs", True),
    Resource("batch", "v1", "CronJob", "cronjobs", True),
    Resource("coordination.k8s.io", "v1", "Lease", "leases", True),
    Resource(RBAC, "v1", "ClusterRole", "clusterroles", False),
    Resource(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", False),
    Resource(RBAC, "v1", "Role", "roles", True),
    Resource(RBAC, "v1", "RoleBinding", "rolebindings", True),
    Resource("argoproj.io", "v1alpha1", "Rollout", "rollouts", True),
    Resource("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", True),
    Resource("cert-manager.io", "v1", "ClusterIssuer", "clusterissuers", False),
    Resource("eks.services.k8s.aws", "v1alpha1", "PodIdentityAssociation", "podidentityassociations", True),
    Resource("kafka.strimzi.io", "v1beta2", "KafkaConnect", "kafkaconnects", True),
)
VERSIONS = {r.kind: r.api_version for r in ALL}


class Server(FakeApiServer):
    """Lists metadata where it is asked for metadata."""

    async def list(self, resource: Resource, *given: Any, metadata_only: bool = False, **more: Any) -> Listing:
        found = await super().list(resource, *given, metadata_only=metadata_only, **more)
        if not metadata_only:
            return found
        return Listing([{k: obj[k] for k in ("apiVersion", "kind", "metadata")} for obj in found.items], found.resource_version)


def one(kind: str, name: str = "x", namespace: str = "platform", /, **rest: Any) -> dict[str, Any]:
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("metadata", {})}
    return {"apiVersion": VERSIONS[kind], "kind": kind, "metadata": meta, **rest}


def workload(
    image: str = "example.com/a:1",
    *,
    kind: str = "Deployment",
    name: str = "x",
    namespace: str = "platform",
    replicas: int | None = 2,
    env: Any = (),
    pod: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    container: str = "main",
    **of_container: Any,
) -> dict[str, Any]:
    """`env`: a mapping of literal values, or a list as in a manifest."""
    listed = [{"name": k, "value": v} for k, v in env.items()] if isinstance(env, Mapping) else list(env)
    main = {"name": container, "image": image, "env": listed, **of_container}
    template = {"metadata": {"labels": dict(labels or {"app": name})}, "spec": {"containers": [main], **(pod or {})}}
    spec = template["spec"] if kind == "Pod" else {"template": template}
    if kind not in ("Pod", "DaemonSet") and replicas is not None:
        spec = {"replicas": replicas, **spec}
    return one(kind, name, namespace, spec=spec, metadata=dict(metadata or {}))


def owned(kind: str, name: str, namespace: str, by: tuple[str, str] | None, **rest: Any) -> dict[str, Any]:
    owners = [{"kind": by[0], "name": by[1], "uid": "u", "controller": True}] if by else []
    return one(kind, name, namespace, metadata={"ownerReferences": owners}, **rest)


def deployment_pod(name: str = "x", namespace: str = "platform", **spec: Any) -> list[dict[str, Any]]:
    """A Deployment's ReplicaSet and the pod `NAME-5d9c7-abcde`."""
    return [
        owned("ReplicaSet", f"{name}-5d9c7", namespace, ("Deployment", name), spec={}),
        owned("Pod", f"{name}-5d9c7-abcde", namespace, ("ReplicaSet", f"{name}-5d9c7"), spec={"containers": [], **spec}),
    ]


def bundle(
    blue: Iterable[Mapping[str, Any]],
    green: Iterable[Mapping[str, Any]] = (),
    answers: Mapping[str, str] | None = None,
    **fake: Any,
) -> Bundle:
    said = Choices(answers={name: Answer(answer) for name, answer in (answers or {}).items()})
    return asyncio.run(export(Server("plum", blue, resources=ALL, **fake), Server("fern", green, resources=ALL), choices=said))


def verdicts(
    blue: Iterable[Mapping[str, Any]],
    green: Iterable[Mapping[str, Any]] = (),
    answers: Mapping[str, str] | None = None,
    **fake: Any,
) -> dict[str, Verdict]:
    """By name; what `preflight` finds to be asked is the same, which is asserted."""
    blue, green = list(blue), list(green)
    made = bundle(blue, green, answers, **fake)
    found = {item.name: item.verdict for item in (*made.items, *made.left)}
    asked = {
        f.object for f in findings(blue, green, answers, **fake) if f.severity is Severity.BLOCKING and "add to" in f.remedy
    }
    assert asked == {name for name, verdict in found.items() if verdict.unanswered}, "preflight and replicate disagree"
    return found


def findings(
    blue: Iterable[Mapping[str, Any]],
    green: Iterable[Mapping[str, Any]] = (),
    answers: Mapping[str, str] | None = None,
    **fake: Any,
) -> list[Finding]:
    said = Choices(answers={name: Answer(answer) for name, answer in (answers or {}).items()})
    one_side, other = Server("plum", blue, resources=ALL, **fake), Server("fern", green, resources=ALL)
    return asyncio.run(preflight(one_side, other, choices=said))
