"""Whose an object is, on real API servers: managers, records and conditions as they really are written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from migration.clients.kubernetes import Kubernetes
from migration.errors import Held
from migration.objects.classes import Answer
from migration.replicate import export, plan, transform
from migration.replicate.apply import Applied, apply
from migration.replicate.plan import Plan
from migration.settings.choices import Choices, Selection
from tests.lab.support.bare import Bare, on
from tests.lab.support.kit import eventually

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
Pair = tuple[Bare, Bare]
Object = dict[str, Any]


def named(kind: str, name: str, namespace: str = "", api: str = "v1", **rest: Any) -> Object:
    """An object that says to which test it belongs, by its namespace or, where it is in none, by the test's own name."""
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **rest.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


@contextmanager
def there(test: str, *sides: tuple[Bare, list[Object]]) -> Iterator[Callable[..., tuple[Plan, Applied]]]:
    """Applies objects with kubectl, gives what replicates those alone, and takes everything away on both clusters.

    What is left on blue would come along in other tests' runs, some of which may hold nothing.
    """
    label = {"test": test}
    planes = [plane for plane, _ in sides]
    made: list[tuple[str, str, str]] = []

    def put(plane: Bare, *objects: Object, manager: str = "kubectl") -> None:
        for obj in objects:
            meta = obj["metadata"]
            text = json.dumps({**obj, "metadata": {**meta, "labels": {**(meta.get("labels") or {}), **label}}})
            plane.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", given=text)
            plural = f"{obj['kind']}.{obj['apiVersion'].rpartition('/')[0]}".rstrip(".")
            made.append((plural, meta["name"], meta.get("namespace", "")))
            if obj["kind"] == "CustomResourceDefinition":
                plane.kubectl("wait", "--for=condition=Established", f"crd/{meta['name']}", "--timeout=60s")

    def run(*, force: bool = False, answers: dict[str, Answer] | None = None) -> tuple[Plan, Applied]:
        async def act() -> tuple[Plan, Applied]:
            async with (
                Kubernetes.from_kubeconfig(planes[0].kubeconfig, name="plum") as blue,
                Kubernetes.from_kubeconfig(planes[1].kubeconfig, name="fern") as green,
            ):
                said = Choices(include=Selection(selector=f"test={test}"), answers=answers or {})
                bundle = await export.export(blue, green, choices=said)
                todo = await plan.plan(transform.transform(bundle), green)
                return todo, await apply(todo, green, force=force)

        return asyncio.run(act())

    run.put = put  # type: ignore[attr-defined]
    try:
        for plane, objects in sides:
            put(plane, *objects)
        yield run
    finally:
        for kind, name, namespace in reversed(made):
            where = ("-n", namespace) if namespace else ()
            for plane in planes:
                plane.kubectl("delete", kind, name, *where, "--ignore-not-found", "--wait=false", check=False)


def workload(namespace: str, name: str = "hello", **meta: Any) -> Object:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "example.test/hello:1"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
    return named("Deployment", name, namespace, "apps/v1", spec=spec, metadata=meta)


def service(namespace: str, name: str = "hello") -> Object:
    return named("Service", name, namespace, spec={"selector": {"app": name}, "ports": [{"name": "http", "port": 443}]})


def role(name: str, *verbs: str, **meta: Any) -> Object:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": list(verbs)}]
    return named("ClusterRole", name, api="rbac.authorization.k8s.io/v1", rules=rules, metadata=meta)


def guard(bundle: str, where: str, **meta: Any) -> Object:
    namespace, name = where.split("/")
    client = {"service": {"namespace": namespace, "name": name}, "caBundle": bundle}
    rules = [{"apiGroups": ["nothing.test"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"]}]
    hook = {
        "name": "guard.example.test",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": client,
        "rules": rules,
    }
    kind = "ValidatingWebhookConfiguration"
    return named(kind, "guard-of-owners", api="admissionregistration.k8s.io/v1", webhooks=[hook], metadata=meta)


def bundle_on(plane: Bare) -> str | None:
    found: str | None = on(plane, "validatingwebhookconfiguration", "guard-of-owners")["webhooks"][0]["clientConfig"].get(
        "caBundle"
    )
    return found


def test_what_is_called_like_eks_own_arrives_with_all_that_is_in_it(pair: Pair) -> None:
    space = "eks-own-sample"
    objects = [
        named("Namespace", space),
        workload(space),
        service(space),
        role("eks-console-reader", "get"),
        role("aws-node-watcher", "watch"),
        named(
            "StorageClass", "eks-gp3-own", api="storage.k8s.io/v1", provisioner="ebs.csi.aws.com", parameters={"type": "gp3"}
        ),
    ]
    with there("names", (pair[0], objects), (pair[1], [])) as run:
        _, done = run()
        assert done.verdict() is None
        assert on(pair[1], "deployment", "hello", "-n", space)["spec"]["replicas"] == 2
        for kind, name in (("clusterrole", "eks-console-reader"), ("clusterrole", "aws-node-watcher"), ("sc", "eks-gp3-own")):
            assert on(pair[1], kind, name)["metadata"]["name"] == name
        _, done = run()
        assert (done.writes, done.verdict()) == (0, None)


def test_what_belongs_to_a_release_of_the_baseline_is_left_alone_even_with_force(pair: Pair) -> None:
    release = {"meta.helm.sh/release-name": "balancer", "meta.helm.sh/release-namespace": "kube-system"}
    blue = [
        guard("QkxVRS1DQQ==", "kube-system/balancer", annotations=release),
        role("balancer-of-owners", "get", annotations=release),
    ]
    green = [
        guard("R1JFRU4tQ0E=", "kube-system/balancer", annotations=release),
        role("balancer-of-owners", "get", "list", annotations=release),
    ]
    with there("release", (pair[0], blue), (pair[1], green)) as run:
        before = [on(pair[1], kind, name)["metadata"]["resourceVersion"] for kind, name in GUARDED]
        for force in (False, False, True):
            made, done = run(force=force)
            assert (done.verdict(), done.writes, made.changes) == (None, 0, ())
            assert len([item for item in made.left if "the Helm release kube-system/balancer" in item.verdict.reason]) == 2
        assert [on(pair[1], kind, name)["metadata"]["resourceVersion"] for kind, name in GUARDED] == before


GUARDED = (("validatingwebhookconfiguration", "guard-of-owners"), ("clusterrole", "balancer-of-owners"))


def test_a_webhooks_ca_stays_on_its_own_cluster(pair: Pair) -> None:
    space = "guarded"
    answers = {"ValidatingWebhookConfiguration guard-of-owners": Answer.START}
    objects = [named("Namespace", space), workload(space), service(space), guard("QkxVRS1DQQ==", f"{space}/hello")]
    with there("guarded", (pair[0], objects), (pair[1], [])) as run:
        for _ in range(2):
            made, done = run()
            assert [name for name, _ in made.unanswered()] == list(answers)
            assert isinstance(done.verdict(), Held)
        assert on(pair[1], "service", "hello", "-n", space)["metadata"]["name"] == "hello"
        _, done = run(answers=answers)
        assert (done.verdict(), bundle_on(pair[1])) == (None, None)
        client = {"clientConfig": {"caBundle": "R1JFRU4tQ0E="}}
        patch = {"webhooks": [{"name": "guard.example.test", **client}]}
        pair[1].kubectl(
            "patch", "validatingwebhookconfiguration", "guard-of-owners", "--type=strategic", "-p", json.dumps(patch)
        )
        for force in (False, True):
            _, done = run(answers=answers, force=force)
            assert (done.verdict(), done.writes) == (None, 0)
        pair[0].kubectl(
            *("patch", "validatingwebhookconfiguration", "guard-of-owners", "--type=strategic", "-p"),
            json.dumps({"webhooks": [{"name": "guard.example.test", "timeoutSeconds": 3}]}),
        )
        _, done = run(force=True)
        assert (done.verdict(), done.updated) == (None, 1)
        assert bundle_on(pair[1]) == "R1JFRU4tQ0E="


def definition(plural: str, group: str, kind: str, version: str) -> Object:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": plural, "kind": kind, "listKind": f"{kind}List", "singular": kind.lower()},
        "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
    }
    return named("CustomResourceDefinition", f"{plural}.{group}", api="apiextensions.k8s.io/v1", spec=spec)


def test_only_what_a_gitops_tool_records_is_left_to_it(pair: Pair) -> None:
    space = "gitops-own"
    tracking = "argocd.argoproj.io/tracking-id"
    tracked = {"annotations": {tracking: f"shop:apps/Deployment:{space}/by-argo"}}
    hub = [
        workload(space, "hub-a", annotations={tracking: f"bank:apps/Deployment:{space}/hub-a"}),
        named("ConfigMap", "hub-b", space, metadata={"annotations": {tracking: f"bank:/ConfigMap:{space}/hub-b"}}),
    ]
    listed = [{"group": "apps", "version": "v1", "kind": "Deployment", "namespace": space, "name": "by-argo"}]
    objects = [
        definition("applications", "argoproj.io", "Application", "v1alpha1"),
        definition("kustomizations", "kustomize.toolkit.fluxcd.io", "Kustomization", "v1"),
        named("Namespace", space),
        named(
            "Application",
            "shop",
            space,
            "argoproj.io/v1alpha1",
            spec={"destination": {"server": "https://kubernetes.default.svc"}},
            status={"resources": listed},
        ),
        named(
            "Kustomization",
            "apps",
            space,
            "kustomize.toolkit.fluxcd.io/v1",
            status={"inventory": {"entries": [{"id": "_flux__reads_rbac.authorization.k8s.io_ClusterRole", "v": "v1"}]}},
        ),
        workload(space, "by-argo", **tracked),
        role("flux:reads", "get"),
        workload(space, "copied", **tracked),
        workload(space, "chart", labels={"app.kubernetes.io/instance": "shop"}),
        *hub,
    ]
    with there("gitops", (pair[0], objects), (pair[1], [])) as run:
        made, done = run()
        assert made.awaited == {"Argo CD": (f"Deployment {space}/by-argo",), "Flux": ("ClusterRole flux:reads",)}
        assert [name for name, _ in made.unanswered()] == ["Application bank", f"Application {space}/shop"]
        assert f"Deployment {space}/copied" in done.applied
        assert f"Deployment {space}/chart" in done.applied
        problem = done.verdict()
        assert isinstance(problem, Held)
        assert "1 object that Argo CD deploys, 1 object that Flux deploys" in str(problem)
        assert "hub-a" not in pair[1].kubectl("get", "deployments", "-n", space, "-o", "name")

        run.put(pair[1], workload(space, "by-argo", **tracked), manager="argocd-controller")  # type: ignore[attr-defined]
        run.put(pair[1], role("flux:reads", "get"), manager="kustomize-controller")  # type: ignore[attr-defined]
        answers = {"Application bank": Answer.START, f"Application {space}/shop": Answer.START}
        made, done = run(answers=answers)
        assert (made.awaited, done.verdict()) == ({}, None)
        assert sorted(done.applied) == [
            f"Application {space}/shop",
            f"ConfigMap {space}/hub-b",
            f"Deployment {space}/hub-a",
        ]
        _, done = run(answers=answers)
        assert (done.writes, done.verdict()) == (0, None)


def test_an_aggregated_api_without_a_server_is_not_created(pair: Pair) -> None:
    space = "aggregated-own"
    api = named(
        "APIService",
        "v1alpha1.dead.owners.test",
        api="apiregistration.k8s.io/v1",
        spec={
            "group": "dead.owners.test",
            "version": "v1alpha1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"name": "gone", "namespace": space, "port": 443},
        },
    )
    whole = role("whole-of-owners")
    whole["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {"part-of-owners": "true"}}]}
    whole["rules"] = []
    part = role("part-of-owners", "get", labels={"part-of-owners": "true"})
    with there("aggregated", (pair[0], [named("Namespace", space), whole, part, api]), (pair[1], [])) as run:
        eventually(
            lambda: '"False"' in pair[0].kubectl("get", "apiservice", api["metadata"]["name"], "-o", "json"),
            "blue says that nothing answers",
        )
        for _ in range(2):
            made, done = run()
            assert done.verdict() is None
            (left,) = [item for item in made.left if item.obj["metadata"]["name"] == api["metadata"]["name"]]
            assert left.verdict.reason.startswith("nothing answers it on blue either")
        assert done.writes == 0
        assert api["metadata"]["name"] not in pair[1].kubectl("get", "apiservices", "-o", "name")
        eventually(
            lambda: on(pair[1], "clusterrole", "whole-of-owners")["rules"] == part["rules"], "green gathers the rules itself"
        )
