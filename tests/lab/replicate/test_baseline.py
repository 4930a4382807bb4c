"""A gateway's policies, filters and certificates in istio-system arrive on green, or block where green has others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from migration.clients.kubernetes import Kubernetes
from migration.model import Finding
from migration.preflight.run import preflight
from migration.settings.choices import Choices, Selection
from tests.lab.support.away import remove_namespaces
from tests.lab.support.bare import WRITES, Bare, on, replicate

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

ROOT = ("-n", "istio-system")
SELECTOR = {"istio": "gates"}
MARK = {"gates": "yes"}
# only what this test wrote: other tests' objects are none of its business
ONLY = Choices(include=Selection(selector="gates=yes"))


def istio(group: str, kind: str, name: str, spec: dict[str, Any], version: str = "v1") -> dict[str, Any]:
    meta = {"name": name, "namespace": "istio-system", "labels": MARK}
    return {"apiVersion": f"{group}.istio.io/{version}", "kind": kind, "metadata": meta, "spec": spec}


def secret(name: str, content: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": "istio-system", "labels": MARK}
    data = {"tls.crt": content, "tls.key": "a2V5"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls", "data": data}


DENY = {
    "selector": {"matchLabels": SELECTOR},
    "action": "DENY",
    "rules": [{"from": [{"source": {"notRequestPrincipals": ["*"]}}], "to": [{"operation": {"paths": ["/account*"]}}]}],
}
TLS = {"mode": "MUTUAL", "credentialName": "gates-www"}
PATCH = {
    "applyTo": "HTTP_FILTER",
    "match": {"context": "GATEWAY"},
    "patch": {"operation": "INSERT_BEFORE", "value": {"name": "limits"}},
}
OBJECTS = [
    istio("security", "AuthorizationPolicy", "gates-tokens", DENY),
    istio(
        "security",
        "RequestAuthentication",
        "gates-tokens",
        {"selector": {"matchLabels": SELECTOR}, "jwtRules": [{"issuer": "https://issuer.test", "jwks": '{"keys":[]}'}]},
    ),
    istio("security", "PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}),
    istio("networking", "EnvoyFilter", "gates-limits", {"configPatches": [PATCH]}, "v1alpha3"),
    istio(
        "networking",
        "Gateway",
        "gates",
        {
            "selector": SELECTOR,
            "servers": [{"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["a.test"], "tls": TLS}],
        },
    ),
    secret("gates-www", "Ymx1ZQ=="),
    secret("gates-www-cacert", "Y2E="),
]


def apply(plane: Bare, *objects: dict[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": objects}
    plane.kubectl("apply", "-f", "-", given=json.dumps(items))


def named(obj: dict[str, Any]) -> tuple[str, str]:
    return obj["kind"].lower() + (".networking.istio.io" if obj["kind"] == "Gateway" else ""), obj["metadata"]["name"]


@pytest.fixture
def clear(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """The pair without these objects, before and after: a policy of the whole mesh is nothing for other tests to find."""

    def away() -> None:
        for plane in pair:
            for obj in OBJECTS:
                plane.kubectl("delete", *named(obj), *ROOT, "--ignore-not-found")

    away()
    yield pair
    away()


def found(pair: tuple[Bare, Bare]) -> list[Finding]:
    async def look() -> list[Finding]:
        async with (
            Kubernetes.from_kubeconfig(pair[0].kubeconfig, name="plum") as blue,
            Kubernetes.from_kubeconfig(pair[1].kubeconfig, name="fern") as green,
        ):
            return await preflight(blue, green, choices=ONLY)

    return asyncio.run(look())


def test_the_objects_of_a_gateway_arrive_once(clear: tuple[Bare, Bare]) -> None:
    blue, green = clear
    apply(blue, *OBJECTS)
    assert [f for f in found(clear) if f.code == "BG103"] == []
    made, done, _ = replicate(clear, choices=ONLY)
    assert (done.failures, done.conflicts, done.held, done.verdict()) == ([], [], [], None)
    assert {c.name: (c.action, c.verdict.cls.value) for c in made.changes} == {
        f"{obj['kind']} istio-system/{obj['metadata']['name']}": ("create", "people's") for obj in OBJECTS
    }
    for obj in OBJECTS:
        there = on(green, *named(obj), *ROOT)
        for part in ("spec", "data", "type"):
            assert there.get(part) == on(blue, *named(obj), *ROOT).get(part), named(obj)
    made, _, writes = replicate(clear, choices=ONLY)
    assert {change.action for change in made.changes} == {"unchanged"}
    assert writes == dict.fromkeys(WRITES, 0)


Changed = Callable[[dict[str, Any]], dict[str, Any]]


LONG = pytest.mark.long  # the judging is proved by tests/unit; here that what is read really looks so


@pytest.mark.parametrize(
    ("number", "changed"),
    [
        pytest.param(0, lambda o: {**o, "spec": {**o["spec"], "action": "ALLOW"}}, id="a policy that allows"),
        pytest.param(
            0, lambda o: {**o, "spec": {"action": "DENY", "rules": o["spec"]["rules"]}}, id="one for the whole mesh", marks=LONG
        ),
        pytest.param(
            2,
            lambda o: {**o, "spec": {**o["spec"], "selector": {"matchLabels": SELECTOR}}},
            id="one for fewer pods",
            marks=LONG,
        ),
        pytest.param(3, lambda o: {**o, "spec": {"configPatches": []}}, id="a filter that does nothing"),
        pytest.param(5, lambda o: secret("gates-www", "Z3JlZW4="), id="another certificate"),
        pytest.param(
            5, lambda o: {**o, "data": {**o["data"], "ca.crt": "bW9yZQ=="}}, id="a certificate with more to it", marks=LONG
        ),
    ],
)
def test_another_object_of_that_name_on_green_is_not_overwritten(
    clear: tuple[Bare, Bare], number: int, changed: Changed
) -> None:
    blue, green = clear
    mine = OBJECTS[number]
    name = f"{mine['kind']} istio-system/{mine['metadata']['name']}"
    apply(blue, *OBJECTS)
    apply(green, changed(mine))
    was = on(green, *named(mine), *ROOT)
    assert [(f.object, f.severity) for f in found(clear) if f.code == "BG103"] == [(name, "blocking")]
    for _ in range(2):
        _, done, _ = replicate(clear, choices=ONLY)
        assert [each.object for each in done.conflicts] == [name]
        problem = done.verdict()
        assert problem is not None
        assert problem.exit_code == 3
        assert on(green, *named(mine), *ROOT) == was
    assert len(json.loads(green.kubectl("get", "secret", "-l", "gates=yes", *ROOT, "-o", "json"))["items"]) == 2, (
        "all else came"
    )


WEBHOOK: dict[str, Any] = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "MutatingWebhookConfiguration",
    "metadata": {"labels": {**MARK, "app": "sidecar-injector", "operator.istio.io/component": "Pilot"}},
}


def injector(revision: str) -> dict[str, Any]:
    """For namespaces labelled with the revision alone, so that no other test's pods ask it."""
    hook = {
        "name": "rev.namespace.sidecar-injector.istio.io",
        "clientConfig": {"service": {"name": f"istiod-{revision}", "namespace": "istio-system", "path": "/inject"}},
        "namespaceSelector": {"matchExpressions": [{"key": "istio.io/rev", "operator": "In", "values": [revision]}]},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
    }
    meta = {**WEBHOOK["metadata"], "name": f"istio-sidecar-injector-{revision}"}
    meta["labels"] = {**meta["labels"], "istio.io/rev": revision}
    return {**WEBHOOK, "metadata": meta, "webhooks": [hook]}


@pytest.fixture
def revisions(pair: tuple[Bare, Bare]) -> Iterator[tuple[Bare, Bare]]:
    """Blue's mesh is of revision 1-26-0 and green's of 1-28-0."""
    planes = tuple(zip(pair, ("1-26-0", "1-28-0"), strict=True))

    def away() -> None:
        for plane, revision in planes:
            plane.kubectl("delete", WEBHOOK["kind"], f"istio-sidecar-injector-{revision}", "--ignore-not-found")
        remove_namespaces(pair, "revised")

    away()
    for plane, revision in planes:
        apply(plane, injector(revision))
    yield pair
    away()


def test_a_namespace_of_another_revision_is_held_until_the_new_one_is_named(revisions: tuple[Bare, Bare]) -> None:
    blue, green = revisions
    labels = {**MARK, "istio.io/rev": "1-26-0"}
    meta = {"name": "settings", "namespace": "revised", "labels": MARK}
    apply(
        blue,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "revised", "labels": labels}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "b"}},
    )
    (told,) = [f for f in found(revisions) if f.code == "BG104"]
    assert (told.object, told.severity) == ("Namespace revised", "blocking")
    assert "istioRevision: {1-26-0: 1-28-0}" in told.remedy
    _, done, writes = replicate(revisions, choices=ONLY)
    problem = done.verdict()
    assert problem is not None
    assert (problem.exit_code, writes) == (3, dict.fromkeys(WRITES, 0))

    said = Choices(include=ONLY.include, istio_revision={"1-26-0": "1-28-0"})
    _, done, _ = replicate(revisions, choices=said)
    assert (done.verdict(), done.created) == (None, 2)
    assert on(green, "namespace", "revised")["metadata"]["labels"]["istio.io/rev"] == "1-28-0"
    _, _, writes = replicate(revisions, choices=said)
    assert writes == dict.fromkeys(WRITES, 0)
