"""What green refuses, does not serve or does not keep: held or told with its cause, and the run ends by it, twice the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from migration.clients.kubernetes import Kubernetes
from migration.errors import Rejected
from migration.objects.kinds import CRD, INGRESS, Resource
from migration.ownership.conversion import refused
from migration.replicate.transform import for_green
from tests.lab.support.away import remove_definitions
from tests.lab.support.bare import Bare, established, on
from tests.lab.support.between import Ended, look, namespace, run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

HOOK = Resource(
    "admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False
)
CRON = Resource("batch", "v1", "CronJob", "cronjobs", True)


def crd(plural: str, group: str, schema: Any = None, kind: str = "", **spec: Any) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True}
    if schema:
        version["schema"] = {"openAPIV3Schema": schema}
    names = {"kind": kind or plural[:-1].capitalize(), "plural": plural, "singular": (kind or plural[:-1]).lower()}
    names["listKind"] = f"{names['kind']}List"
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version], **spec}
    return {
        "apiVersion": CRD.api_version,
        "kind": CRD.kind,
        "metadata": {"name": f"{plural}.{group}", "uid": "1"},
        "spec": spec,
    }


def hooks(name: str, **more: Any) -> dict[str, Any]:
    hook = {
        **{"name": f"check.{name}.example.com", "admissionReviewVersions": ["v1beta1"], "failurePolicy": "Ignore"},
        **{"clientConfig": {"service": {"name": "checks", "namespace": "legacy", "path": "/"}}, "sideEffects": "Unknown"},
        "rules": [{"apiGroups": ["x.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["xs"]}],
    }
    return {
        "apiVersion": HOOK.api_version,
        "kind": HOOK.kind,
        "metadata": {"name": name, "uid": "1"},
        "webhooks": [hook | more],
    }


OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SIMPLE = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"source": {"type": "string"}}}}}
LOOSE = {"properties": {"spec": {"properties": {"any": {"description": "of no type"}}, "additionalProperties": True}}}
POD = {"containers": [{"name": "a", "image": "example.test/a:1"}], "restartPolicy": "Never"}


def cron(schedule: str) -> dict[str, Any]:
    spec = {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": POD}}}}
    return {"apiVersion": CRON.api_version, "kind": CRON.kind, "metadata": {"name": "c", "namespace": "default"}, "spec": spec}


def ingress(annotated: str) -> dict[str, Any]:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    meta = {"name": "i", "namespace": "default", "annotations": {"kubernetes.io/ingress.class": annotated}}
    spec = {"ingressClassName": "nginx", "defaultBackend": backend}
    return {"apiVersion": INGRESS.api_version, "kind": INGRESS.kind, "metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("resource", "legacy"),
    [
        pytest.param(CRD, crd("olds", "olds.example.com", SIMPLE, preserveUnknownFields=True), id="unknown fields kept"),
        pytest.param(CRD, crd("olds", "olds.example.com", LOOSE, preserveUnknownFields=True), id="not structural"),
        pytest.param(CRD, crd("olds", "olds.example.com", None, preserveUnknownFields=True), id="no schema"),
        pytest.param(CRD, crd("olds", "olds.kubernetes.io", SIMPLE), id="a protected group"),
        pytest.param(HOOK, hooks("olds"), id="side effects unknown"),
        pytest.param(CRON, cron("CRON_TZ=Europe/Berlin 0 3 * * *"), id="a time zone in the schedule"),
    ],
)
def test_what_green_refuses_as_it_is_arrives_in_todays_form(
    pair: tuple[Bare, Bare], resource: Resource, legacy: dict[str, Any]
) -> None:
    async def ask() -> None:
        async with Kubernetes.from_kubeconfig(pair[1].kubeconfig, name="fern") as green:
            bare = {**legacy, "metadata": {k: v for k, v in legacy["metadata"].items() if k != "uid"}}
            with pytest.raises(Rejected):
                await green.create(resource, bare, manager="test", dry_run=True)
            await green.create(resource, for_green(legacy), manager="test", dry_run=True)

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("resource", "legacy"),
    [
        pytest.param(HOOK, hooks("olds", sideEffects="Some"), id="side effects"),
        pytest.param(HOOK, hooks("olds", sideEffects="None", admissionReviewVersions=["v1alpha1"]), id="reviews of nobody"),
        pytest.param(INGRESS, ingress("alb"), id="two classes"),
    ],
)
def test_what_is_held_as_refused_is_refused(pair: tuple[Bare, Bare], resource: Resource, legacy: dict[str, Any]) -> None:
    async def ask() -> None:
        async with Kubernetes.from_kubeconfig(pair[1].kubeconfig, name="fern") as green:
            with pytest.raises(Rejected):
                await green.create(resource, for_green(legacy), manager="test", dry_run=True)

    assert refused(legacy)
    asyncio.run(ask())


def test_old_definitions_and_webhooks_keep_their_meaning(pair: tuple[Bare, Bare]) -> None:
    _, green = pair
    legacy = [crd("mirrors", "legacy.example.com", SIMPLE, preserveUnknownFields=True), hooks("legacy-checks")]
    try:
        first = run(pair, legacy=legacy)
        assert (first.code, first.by_name("failures")) == (0, {})
        second = run(pair, legacy=legacy)
        assert (second.code, second.writes) == (0, 0)
        for ended in (first, second):
            told = " ".join(note["note"] for note in ended.document["notes"])
            assert "preserveUnknownFields" in told
            assert "sideEffects Unknown" in told
        mirror: dict[str, Any] = {
            "apiVersion": "legacy.example.com/v1",
            "kind": "Mirror",
            "metadata": {"name": "m", "namespace": "default"},
        }
        mirror |= {"spec": {"source": "x", "other": {"deep": 1}}, "more": [1]}
        green.kubectl("create", "-f", "-", given=json.dumps(mirror))
        found = on(green, "mirror", "m", "-n", "default")
        assert (found["spec"], found["more"]) == (mirror["spec"], mirror["more"])
        assert on(green, HOOK.name, "legacy-checks")["webhooks"][0]["sideEffects"] == "None"
    finally:
        green.kubectl("delete", HOOK.name, "legacy-checks", "--ignore-not-found")
        green.kubectl("delete", "crd", "mirrors.legacy.example.com", "--ignore-not-found")


def test_a_webhook_with_side_effects_is_held_with_what_to_change(pair: tuple[Bare, Bare]) -> None:
    legacy = [hooks("acting", sideEffects="Some")]
    for _ in range(2):
        ended = run(pair, legacy=legacy)
        assert ended.code == 3
        assert "NoneOnDryRun" in ended.by_name("held")[f"{HOOK.kind} acting"]["reason"]
    assert ("BG004", f"{HOOK.kind} acting") in {(f.code, f.object) for f in look(pair, legacy=legacy)}


def test_a_namespace_that_hangs_in_terminating_on_green_holds_all_that_is_in_it(pair: tuple[Bare, Bare]) -> None:
    blue, green = pair
    with namespace(pair, "halfgone"):
        blue.kubectl("create", "configmap", "one", "-n", "halfgone", "--from-literal=a=b")
        blue.kubectl("create", "service", "clusterip", "two", "-n", "halfgone", "--tcp=80")
        green.kubectl("create", "namespace", "halfgone")
        stuck = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stuck", "namespace": "halfgone"}}
        stuck["metadata"]["finalizers"] = ["example.com/gone-controller"]  # type: ignore[index]
        green.kubectl("create", "-f", "-", given=json.dumps(stuck))
        try:
            green.kubectl("delete", "namespace", "halfgone", "--wait=false")
            condition = "condition=NamespaceFinalizersRemaining"
            green.kubectl("wait", f"--for={condition}", "namespace/halfgone", "--timeout=60s")
            for _ in range(2):
                ended = run(pair)
                assert ended.code == 3
                held = {name: told for name, told in ended.by_name("held").items() if "halfgone" in name}
                assert held.keys() == {"Namespace halfgone", "ConfigMap halfgone/one", "Service halfgone/two"}
                for told in held.values():
                    assert told["reason"].startswith(
                        "namespace halfgone is being deleted on green: see what holds it (finalizers)"
                    )
                    assert "example.com/gone-controller" in told["reason"]
                    assert "kubectl get namespace halfgone" in told["remedy"]
                assert ended.by_name("failures") == {}
            assert ended.writes == 0
        finally:
            green.kubectl(
                "patch", "configmap", "stuck", "-n", "halfgone", "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
            )
            green.kubectl("wait", "--for=delete", "namespace/halfgone", "--timeout=60s")
        assert run(pair).code == 0
        assert on(green, "service", "two", "-n", "halfgone")


@contextlib.contextmanager
def defined(pair: tuple[Bare, Bare], definition: dict[str, Any], green: dict[str, Any] | None = None) -> Iterator[None]:
    """A definition on blue (and another on green), on neither afterwards."""
    name = definition["metadata"]["name"]
    names = {name, *([green["metadata"]["name"]] if green else [])}
    try:
        for plane, given in zip(pair, (definition, green), strict=True):
            if given:
                bare = {**given, "metadata": {"name": given["metadata"]["name"]}}
                plane.kubectl("create", "-f", "-", given=json.dumps(bare))
                established(plane, given["metadata"]["name"])
        yield
    finally:
        remove_definitions(pair, *names)


def test_policies_whose_definition_is_left_out_are_not_ignored(pair: tuple[Bare, Bare]) -> None:
    blue, _ = pair
    definition = crd("ciliumnetworkpolicies", "cilium.io", OPEN, kind="CiliumNetworkPolicy")
    policy = {
        "apiVersion": "cilium.io/v1",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "front", "namespace": "payments"},
    }
    with defined(pair, definition), namespace(pair, "payments"):
        blue.kubectl("create", "-f", "-", given=json.dumps({**policy, "spec": {"endpointSelector": {}}}))
        found = [f for f in look(pair) if f.code == "BG101"]
        assert [(f.severity, f.object) for f in found] == [("blocking", "cilium.io/v1 CiliumNetworkPolicy")]
        for writes in (1, 0):
            ended = run(pair)
            assert (ended.code, min(ended.writes, 1)) == (3, writes)
            assert "does not come along" in ended.by_name("held")["CiliumNetworkPolicy payments/front"]["reason"]


def test_status_of_a_kind_without_a_status_subresource_arrives_like_any_other_field(pair: tuple[Bare, Bare]) -> None:
    blue, green = pair
    kind, name = "leases.ipam.example.com", "AddressLease ipam/printer"
    lease = {"apiVersion": "ipam.example.com/v1", "kind": "AddressLease", "metadata": {"name": "printer", "namespace": "ipam"}}
    lease |= {"spec": {"pool": "office"}, "status": {"address": "10.44.0.17"}}
    with defined(pair, crd("leases", "ipam.example.com", OPEN, kind="AddressLease")), namespace(pair, "ipam"):
        blue.kubectl("create", "-f", "-", given=json.dumps(lease))
        assert run(pair).code == 0
        assert on(green, kind, "printer", "-n", "ipam")["status"] == {"address": "10.44.0.17"}
        again = run(pair)
        assert (again.code, again.writes) == (0, 0)
        by_hand = ("patch", kind, "printer", "-n", "ipam", "--type=merge", "-p")
        green.kubectl(*by_hand, '{"status":{"address":"10.0.0.1"}}')
        seen = run(pair)
        assert (seen.code, seen.writes) == (3, 0)
        assert "status.address" in seen.by_name("conflicts")[name]["reason"]
        green.kubectl(*by_hand, '{"status":{"address":"10.44.0.17"}}')
        blue.kubectl(*by_hand, '{"status":{"until":"2027"}}')
        assert run(pair).code == 0
        assert on(green, kind, "printer", "-n", "ipam")["status"] == {"address": "10.44.0.17", "until": "2027"}


def test_a_field_that_greens_definition_drops_is_reported_each_time(pair: tuple[Bare, Bare]) -> None:
    blue, green = pair
    wide, narrow = crd("boxes", "narrow.example.com", OPEN), crd("boxes", "narrow.example.com", SIMPLE)
    box = {"apiVersion": "narrow.example.com/v1", "kind": "Boxe", "metadata": {"name": "b", "namespace": "narrow"}}
    with defined(pair, wide, narrow), namespace(pair, "narrow"):
        blue.kubectl("create", "-f", "-", given=json.dumps({**box, "spec": {"source": "x", "depth": 3}}))
        for number in range(2):
            ended = run(pair)
            assert ended.code == 3
            assert "spec.depth" in ended.by_name("dropped")["Boxe narrow/b"]["reason"]
            assert "CustomResourceDefinition boxes.narrow.example.com" in ended.by_name("conflicts")
            assert number == 0 or ended.writes == 0
        assert on(green, "boxes", "b", "-n", "narrow")["spec"] == {"source": "x"}


def test_a_definition_whose_names_another_has_on_green_never_succeeds(pair: tuple[Bare, Bare]) -> None:
    blue, green = pair
    mine, theirs = crd("gizmos", "clash.example.com", OPEN, "Gizmo"), crd("gizmoes", "clash.example.com", OPEN, "Gizmo")
    with defined(pair, mine, theirs), namespace(pair, "clash"):
        gizmo = {"apiVersion": "clash.example.com/v1", "kind": "Gizmo", "metadata": {"name": "g", "namespace": "clash"}}
        blue.kubectl("create", "-f", "-", given=json.dumps(gizmo))
        first = run(pair)
        assert first.code == 1
        assert (
            "does not accept its names"
            in first.by_name("failures")["CustomResourceDefinition gizmos.clash.example.com"]["reason"]
        )
        second = run(pair)
        assert (second.code, second.writes) == (3, 0)
        assert (
            "does not accept its names" in second.by_name("held")["CustomResourceDefinition gizmos.clash.example.com"]["reason"]
        )
        assert green.kubectl("get", "gizmoes", "-A", "-o", "name") in ("", "gizmo.clash.example.com/g\n")


RULES = "refused"


def _obstacles() -> list[dict[str, Any]]:
    """What stands in the way on green, all of it in or for one namespace."""
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": RULES}}}
    hook = hooks("refused", sideEffects="None", admissionReviewVersions=["v1"], failurePolicy="Fail", timeoutSeconds=1, **here)
    hook["metadata"] = {"name": "refused"}
    hook["webhooks"][0]["rules"] = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    ]
    admission = "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    policy = {
        "matchConstraints": {"resourceRules": [rule], **here},
        "validations": [{"expression": "object.metadata.name != 'denied'", "message": "no such name"}],
    }
    return [
        hook,
        {"apiVersion": admission, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "refused"}, "spec": policy},
        {
            **{"apiVersion": admission, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "refused"}},
            "spec": {"policyName": "refused", "validationActions": ["Deny"]},
        },
        {
            **{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small", "namespace": RULES}},
            "spec": {"hard": {"services": "0"}},
        },
    ]


def _ended_on_obstacles(pair: tuple[Bare, Bare]) -> Ended:
    blue, green = pair
    fixed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fixed", "namespace": RULES}, "immutable": True}
    blue.kubectl("create", "-f", "-", given=json.dumps({**fixed, "data": {"mode": "one"}}))
    assert run(pair).code == 0
    blue.kubectl("delete", "configmap", "fixed", "-n", RULES)
    blue.kubectl("create", "-f", "-", given=json.dumps({**fixed, "data": {"mode": "two"}}))
    blue.kubectl("create", "configmap", "denied", "-n", RULES, "--from-literal=a=b")
    blue.kubectl("create", "secret", "generic", "checked", "-n", RULES, "--from-literal=a=b")
    blue.kubectl("create", "service", "clusterip", "over", "-n", RULES, "--tcp=80")
    obstacles = {"apiVersion": "v1", "kind": "List", "items": _obstacles()}
    green.kubectl("apply", "-f", "-", given=json.dumps(obstacles))

    async def until_denied() -> None:  # policies are in force a moment after they are made
        async with Kubernetes.from_kubeconfig(green.kubeconfig, name="fern") as server:
            denied = {"metadata": {"name": "denied", "namespace": RULES}}
            resource = Resource("", "v1", "ConfigMap", "configmaps", True)
            async with asyncio.timeout(60):
                while True:
                    try:
                        await server.create(resource, denied, manager="test", dry_run=True)
                    except Rejected:
                        return
                    await asyncio.sleep(0.2)

    asyncio.run(until_denied())
    return run(pair)


def test_each_refusal_of_a_real_server_gets_the_remedy_of_its_cause(pair: tuple[Bare, Bare]) -> None:
    _, green = pair
    with namespace(pair, RULES):
        try:
            ended = _ended_on_obstacles(pair)
            assert ended.code == 1
            remedies = {name: told["remedy"] for name, told in ended.by_name("failures").items()}
            assert remedies.keys() == {f"{kind} {RULES}/{name}" for kind, name in REFUSED}
            for (kind, name), words in REFUSED.items():
                assert words in remedies[f"{kind} {RULES}/{name}"], ended.by_name("failures")[f"{kind} {RULES}/{name}"]
        finally:
            kinds = f"{HOOK.name},validatingadmissionpolicy,validatingadmissionpolicybinding"
            green.kubectl("delete", kinds, "refused", "--ignore-not-found")


REFUSED = {
    ("Secret", "checked"): "the server behind webhook check.refused.example.com does not answer green",
    ("ConfigMap", "denied"): "ValidatingAdmissionPolicy refused of green denies it",
    ("Service", "over"): f"kubectl describe resourcequota -n {RULES}",
    ("ConfigMap", "fixed"): f"kubectl delete configmaps fixed -n {RULES}",
}
