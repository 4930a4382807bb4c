"""People's things in namespaces of the baseline come along or block; what the baseline, controllers and the edge made stays."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from migration.errors import ConfigError, Forbidden, Held
from migration.model import Finding
from migration.objects import kinds
from migration.objects.classes import Action, Answer, Class, Verdict
from migration.objects.kinds import WELL_KNOWN, Resource
from migration.preflight.run import preflight
from migration.replicate.apply import Applied, apply
from migration.replicate.export import Bundle, export
from migration.replicate.plan import Plan, plan
from migration.replicate.transform import transform
from migration.settings.choices import NOTHING_SAID, Choices
from routing.virtual_service import VIRTUAL_SERVICE
from tests.fakes.apiserver import FakeApiServer, fields_v1

SECURITY, NETWORKING = "security.istio.io", "networking.istio.io"
AUTHORIZATION = Resource(SECURITY, "v1", "AuthorizationPolicy", "authorizationpolicies", True)
REQUESTS = Resource(SECURITY, "v1", "RequestAuthentication", "requestauthentications", True)
PEERS = Resource(SECURITY, "v1", "PeerAuthentication", "peerauthentications", True)
FILTER = Resource(NETWORKING, "v1alpha3", "EnvoyFilter", "envoyfilters", True)
TELEMETRY = Resource("telemetry.istio.io", "v1", "Telemetry", "telemetries", True)
WASM = Resource("extensions.istio.io", "v1alpha1", "WasmPlugin", "wasmplugins", True)
API_GATEWAY = Resource("gateway.networking.k8s.io", "v1", "Gateway", "gateways", True)
CERTIFICATE = Resource("cert-manager.io", "v1", "Certificate", "certificates", True)
NETWORK_POLICY = Resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", True)
SECRET = Resource("", "v1", "Secret", "secrets", True)
ACCOUNT = Resource("", "v1", "ServiceAccount", "serviceaccounts", True)
ROLE = Resource("rbac.authorization.k8s.io", "v1", "Role", "roles", True)
BINDING = Resource("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", True)
CRON = Resource("batch", "v1", "CronJob", "cronjobs", True)
WEBHOOK = Resource("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False)
ALL = (
    *WELL_KNOWN.values(), AUTHORIZATION, REQUESTS, PEERS, FILTER, TELEMETRY, WASM, API_GATEWAY, CERTIFICATE, NETWORK_POLICY,
    SECRET, ACCOUNT, ROLE, BINDING, WEBHOOK, CRON,
)  # fmt: skip
SELECTOR = {"istio": "ingressgateway"}
Object = dict[str, Any]


def one(resource: Resource, name: str = "x", namespace: str = "istio-system", by: str = "kubectl", **rest: Any) -> Object:
    meta = {"name": name, **({"namespace": namespace} if resource.namespaced else {}), **rest.pop("metadata", {})}
    obj = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **rest}
    entry = {"manager": by, "operation": "Update", "fieldsV1": fields_v1(obj), "time": "2026-01-01T00:00:00Z"}
    return {**obj, "metadata": {**meta, "managedFields": [entry]}}


def chart(name: str, release: str, namespace: str = "istio-system", **labels: str) -> Object:
    return {
        "labels": {"helm.sh/chart": name, "app.kubernetes.io/managed-by": "Helm", **labels},
        "annotations": {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace},
    }


def pods(image: str, labels: Mapping[str, str], **pod: Any) -> Object:
    return {"template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": [{"name": "a", "image": image}], **pod}}}


def gateway_pods(name: str = "istio-ingressgateway", labels: Mapping[str, str] = SELECTOR, **rest: Any) -> Object:
    return one(kinds.DEPLOYMENT, name, spec=pods("auto", labels, serviceAccountName=name), **rest)


def servers(port: int = 443, **tls: Any) -> Object:
    return {"selector": SELECTOR, "servers": [{"port": {"number": port, "name": "a", "protocol": "HTTPS"}, "tls": tls}]}


def mesh_config(text: str, name: str = "istio") -> Object:
    return one(kinds.CONFIG_MAP, name, data={"mesh": text}, metadata={"labels": {"operator.istio.io/component": "Pilot"}})


def exported(*blue: Object, green: tuple[Object, ...] = (), choices: Choices = NOTHING_SAID) -> Bundle:
    sides = FakeApiServer("plum", blue, resources=ALL), FakeApiServer("fern", green, resources=ALL)
    return asyncio.run(export(*sides, choices=choices))


def verdict(obj: Object, *others: Object, green: tuple[Object, ...] = (), choices: Choices = NOTHING_SAID) -> Verdict:
    bundle = exported(obj, *others, green=green, choices=choices)
    name = kinds.name_of(obj)
    return next(item.verdict for item in (*bundle.items, *bundle.left) if item.name == name)


def replicated(blue: list[Object], green: FakeApiServer, choices: Choices = NOTHING_SAID) -> tuple[Plan, Applied]:
    async def run() -> tuple[Plan, Applied]:
        bundle = await export(FakeApiServer("plum", blue, resources=ALL), green, choices=choices)
        made = await plan(transform(bundle), green)
        return made, await apply(made, green)

    return asyncio.run(run())


def look(blue: list[Object], green: list[Object], serves: tuple[Resource, ...] = ALL, **fake: Any) -> list[Finding]:
    sides = FakeApiServer("plum", blue, resources=ALL), FakeApiServer("fern", green, resources=serves, **fake)
    return asyncio.run(preflight(*sides))


# -- what comes along --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(one(AUTHORIZATION, "allow-known"), id="who may come in"),
        pytest.param(one(REQUESTS, "tokens"), id="whose tokens count"),
        pytest.param(one(PEERS, "default"), id="mutual TLS of the mesh"),
        pytest.param(one(FILTER, "waf"), id="a filter"),
        pytest.param(one(TELEMETRY, "logs"), id="what is logged"),
        pytest.param(one(WASM, "limits"), id="a WebAssembly filter"),
        pytest.param(one(kinds.GATEWAY, "internal"), id="a Gateway"),
        pytest.param(one(VIRTUAL_SERVICE, "www"), id="a route"),
        pytest.param(one(API_GATEWAY, "edge"), id="a Gateway of the Gateway API"),
        pytest.param(one(CERTIFICATE, "www"), id="a Certificate"),
        pytest.param(one(NETWORK_POLICY, "closed"), id="a network policy"),
        pytest.param(one(SECRET, "www-tls", type="kubernetes.io/tls"), id="a certificate"),
        pytest.param(
            one(SECRET, "www-tls", type="kubernetes.io/tls", by="cert-manager-certificates-issuing"), id="one of cert-manager"
        ),
        pytest.param(one(SECRET, "pull", type="kubernetes.io/dockerconfigjson"), id="a pull secret of filters"),
        pytest.param(one(kinds.CONFIG_MAP, "ratelimit-config"), id="what a filter's server reads"),
        pytest.param(one(kinds.DEPLOYMENT, "ratelimit", spec=pods("envoyproxy/ratelimit:1", {"app": "r"})), id="its server"),
        pytest.param(one(kinds.SERVICE, "ratelimit", spec={"selector": {"app": "r"}}), id="its service"),
        pytest.param(one(FILTER, "waf", by="bluegreen-replicate"), id="what the upgrade before this one wrote"),
        pytest.param(
            one(AUTHORIZATION, "a", metadata={"labels": {"app.kubernetes.io/part-of": "istio"}}), id="a kustomization's word"
        ),
        pytest.param(one(FILTER, "waf", metadata=chart("waf-0.2.1", "waf"), by="helm"), id="a person's own chart"),
        pytest.param(
            one(SECRET, "waf-key", metadata=chart("gateway-0.3.1", "waf"), by="helm"), id="a chart named like Istio's"
        ),
        pytest.param(
            one(
                SECRET,
                "sealed-secrets-keyx7f2k",
                "kube-system",
                type="kubernetes.io/tls",
                by="controller",
                metadata={"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}},
            ),
            id="what opens sealed secrets",
        ),
        pytest.param(one(kinds.SERVICE_ENTRY, "x", "kube-system"), id="what configures the mesh, from kube-system"),
    ],
)
def test_a_persons_object_in_a_namespace_of_the_baseline_comes_along(obj: Object) -> None:
    found = verdict(obj)
    assert (found.cls, found.action) == (Class.BASELINE_PEOPLES, Action.COPY)


OF_ISTIOD = chart("istiod-1.26.0", "istiod")
CONTROLLED = {"ownerReferences": [{"kind": "ExternalSecret", "name": "a", "uid": "u", "controller": True}]}


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(one(kinds.NAMESPACE, "istio-system"), id="the namespace itself"),
        pytest.param(one(kinds.CONFIG_MAP, "istio", metadata=OF_ISTIOD, by="helm"), id="of Istio's chart"),
        pytest.param(one(kinds.DEPLOYMENT, "istiod", spec=pods("docker.io/istio/pilot:1.26.0-distroless", {})), id="istiod"),
        pytest.param(gateway_pods(), id="a gateway's pods"),
        pytest.param(
            one(FILTER, "stats", metadata={"labels": {"install.operator.istio.io/owning-resource": "unknown"}}),
            id="a filter of Istio's own",
        ),
        pytest.param(
            one(SECRET, "a", metadata={"labels": {"app.kubernetes.io/part-of": "istio"}, **CONTROLLED}), id="of a controller"
        ),
        pytest.param(one(SECRET, "www-tls", metadata=CONTROLLED), id="made of an ExternalSecret"),
        pytest.param(one(SECRET, "istio-ca-secret", type="istio.io/ca-root"), id="the CA that istiod made"),
        pytest.param(one(SECRET, "cacerts", data={"istio-generated": ""}), id="the same, under another name"),
        pytest.param(one(kinds.CONFIG_MAP, "istio-ca-root-cert", by="pilot-discovery"), id="the root that istiod tells"),
        pytest.param(one(kinds.CONFIG_MAP, "istio-leader", by="pilot-discovery"), id="who leads"),
        pytest.param(one(kinds.CONFIG_MAP, "kube-root-ca.crt", by="kube-controller-manager"), id="the cluster's root"),
        pytest.param(one(kinds.CONFIG_MAP, "bluegreen-edge", by="bluegreen-edge"), id="the edge's record"),
        pytest.param(one(kinds.GATEWAY, "bluegreen-peer", by="bluegreen-edge"), id="the peer's Gateway"),
        pytest.param(one(kinds.DESTINATION_RULE, "bluegreen-peer", by="pulumi-kubernetes"), id="how the peer is reached"),
        pytest.param(one(kinds.CONFIG_MAP, "amazon-vpc-cni", "kube-system", by="eks"), id="of an add-on"),
        pytest.param(one(FILTER, "going", metadata={"deletionTimestamp": "t"}), id="being deleted"),
    ],
)
def test_what_no_person_put_there_stays(obj: Object) -> None:
    assert verdict(obj).action is Action.LEAVE


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(one(kinds.SERVICE, "in", by="pulumi-kubernetes-1a2b", spec={"selector": SELECTOR}), id="its Service"),
        pytest.param(
            one(kinds.HPA, "in", spec={"scaleTargetRef": {"kind": "Deployment", "name": "istio-ingressgateway"}}), id="its HPA"
        ),
        pytest.param(one(kinds.PDB, "in", spec={"selector": {"matchLabels": SELECTOR}}), id="its budget"),
        pytest.param(one(ACCOUNT, "istio-ingressgateway"), id="its account"),
        pytest.param(
            one(BINDING, "in", subjects=[{"kind": "ServiceAccount", "name": "istio-ingressgateway"}], roleRef={"name": "sds"}),
            id="its rights",
        ),
    ],
)
def test_what_serves_a_gateway_of_istio_stays_with_its_pods(obj: Object) -> None:
    assert verdict(obj, gateway_pods()).action is Action.LEAVE
    other = one(kinds.DEPLOYMENT, "istio-ingressgateway", spec=pods("example/proxy:1", SELECTOR))
    assert verdict(obj, other).action is Action.COPY, "pods of a person's own: so is what serves them"


def test_a_release_that_greens_baseline_has_too_is_not_brought_by_replicate() -> None:
    settings = one(kinds.CONFIG_MAP, "kiali", metadata=chart("kiali-server-2.1.0", "kiali"), by="helm")
    server = one(kinds.DEPLOYMENT, "kiali", metadata=chart("kiali-server-2.4.0", "kiali"), spec=pods("kiali:2", {}), by="helm")
    assert verdict(settings).action is Action.COPY
    assert verdict(settings, green=(server,)).action is Action.LEAVE
    ours = {**server, "metadata": {**server["metadata"], "managedFields": [{"manager": "bluegreen-replicate"}]}}
    assert verdict(settings, green=(ours,)).action is Action.COPY, "on green by an earlier run"


def test_a_gateway_of_istios_chart_in_a_namespace_of_its_own_comes_unless_green_has_it() -> None:
    meta = chart("gateway-1.26.0", "in", "istio-ingress", **{"app.kubernetes.io/part-of": "istio"})
    mine = gateway_pods("in", {"istio": "ingress"}, namespace="istio-ingress", metadata=meta, by="helm")
    assert verdict(mine).action is Action.COPY
    theirs = gateway_pods("in", {"istio": "ingress"}, namespace="istio-ingress", metadata=meta, by="helm")
    assert verdict(mine, green=(theirs,)).action is Action.LEAVE


# -- certificates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tls"),
    [
        pytest.param("www", {"credentialName": "www"}, id="in the namespace of the gateway's pods"),
        pytest.param("www-cacert", {"credentialName": "www"}, id="the clients' CA beside it"),
        pytest.param("b", {"credentialNames": ["a", "b"]}, id="one of several"),
        pytest.param("www", {"credentialName": "kubernetes://www"}, id="with its kind"),
        pytest.param("www", {"credentialName": "kubernetes-gateway://kube-system/www"}, id="with its namespace"),
        pytest.param("www", {"credentialName": "kubernetes://kube-system/www"}, id="with both"),
    ],
)
def test_a_secret_of_kube_system_comes_along_where_a_gateway_names_it(name: str, tls: Object) -> None:
    gate = one(kinds.GATEWAY, "g", "shop", spec=servers(**tls))
    proxies = gateway_pods(namespace="kube-system")
    secret = one(SECRET, name, "kube-system")
    assert verdict(secret, gate, proxies).action is Action.COPY
    assert verdict(secret, proxies).action is Action.HOLD, "named by nobody"


def test_a_certificate_that_a_gateway_of_the_gateway_api_names_comes_along() -> None:
    refs = [{"name": "wildcard", "namespace": "kube-system"}]
    spec = {"gatewayClassName": "istio", "listeners": [{"name": "https", "tls": {"certificateRefs": refs}}]}
    assert verdict(one(SECRET, "wildcard", "kube-system"), one(API_GATEWAY, "g", "shop", spec=spec)).action is Action.COPY


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        pytest.param(one(SECRET, "cacerts", data={"ca-key.pem": "a"}), "the CA that signs", id="the mesh's CA"),
        pytest.param(
            one(SECRET, "istio-remote-secret-x", metadata={"labels": {"istio/multiCluster": "true"}}),
            "the services of another cluster",
            id="another cluster's API",
        ),
    ],
)
def test_a_secret_that_changes_whom_the_mesh_trusts_waits_for_an_answer(secret: Object, told: str) -> None:
    name = kinds.name_of(secret)
    found = verdict(secret)
    assert (found.action, found.unanswered) == (Action.HOLD, True)
    assert told in found.reason
    assert found.add(name) == f"{name}: start  # or skip"
    assert verdict(secret, choices=Choices(answers={name: Answer.START})).action is Action.COPY
    assert verdict(secret, choices=Choices(answers={name: Answer.SKIP})).action is Action.LEAVE
    (told_by_preflight,) = [f for f in look([secret], []) if f.object == name]
    assert (told_by_preflight.code, told_by_preflight.severity) == ("BG103", "blocking")
    assert f"{name}: start" in told_by_preflight.remedy


def test_a_ca_that_green_has_already_needs_no_answer() -> None:
    mine, other = one(SECRET, "cacerts", data={"ca-key.pem": "a"}), one(SECRET, "cacerts", data={"ca-key.pem": "b"})
    assert not verdict(mine, green=(mine,)).unanswered
    assert verdict(mine, green=(other,)).unanswered


# -- where green has another -------------------------------------------------------------------------------------------

POLICY = {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin"]}}]}]}


@pytest.mark.parametrize(
    ("mine", "theirs", "field"),
    [
        pytest.param(
            one(AUTHORIZATION, spec=POLICY), one(AUTHORIZATION, by="helm", spec={**POLICY, "action": "ALLOW"}), "spec.action",
            id="another value",
        ),
        pytest.param(
            one(AUTHORIZATION, spec=POLICY), one(AUTHORIZATION, by="helm", spec={"action": "DENY"}), "spec.rules",
            id="blue's says more: green's must not be completed",
        ),
        pytest.param(
            one(AUTHORIZATION, spec=POLICY),
            one(AUTHORIZATION, by="helm", spec={**POLICY, "selector": {"matchLabels": {"app": "a"}}}),
            "spec.selector",
            id="green's says more: it is not the same",
        ),
        pytest.param(
            one(SECRET, data={"tls.crt": "a"}), one(SECRET, data={"tls.crt": "a", "ca.crt": "b"}), "data[ca.crt]",
            id="green's Secret holds more",
        ),
        pytest.param(one(SECRET, data={"tls.crt": "a"}), one(SECRET, data={"tls.crt": "b"}), "data[tls.crt]", id="another key"),
        pytest.param(
            one(FILTER, spec={"priority": 1}, metadata={"labels": {"istio.io/rev": "a"}}), one(FILTER, spec={"priority": 1}),
            "metadata.labels[istio.io/rev]",
            id="a label that the mesh reads",
        ),
    ],
)  # fmt: skip
def test_another_object_by_that_name_on_green_is_a_conflict(mine: Object, theirs: Object, field: str) -> None:
    green = FakeApiServer("fern", [theirs], resources=ALL)
    made, done = replicated([mine], green)
    assert [(c.action, c.name) for c in made.changes] == [("conflict", kinds.name_of(mine))]
    assert field in made.changes[0].paths
    assert green.writes() == []
    assert done.verdict() is not None
    (found,) = [f for f in look([mine], [theirs]) if f.code == "BG103"]
    assert (found.severity, found.object, found.status) == ("blocking", kinds.name_of(mine), "fail")
    assert field in found.evidence
    assert "plum" in found.evidence
    assert "fern" in found.evidence
    assert f"{kinds.name_of(mine)}: skip" in found.remedy


@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param(one(AUTHORIZATION, spec=POLICY, by="helm"), id="identical"),
        pytest.param(
            one(AUTHORIZATION, spec=POLICY, metadata={"labels": {"team": "b"}, "annotations": {"note": "b"}}), id="other notes"
        ),
    ],
)
def test_an_equal_object_on_green_is_left_alone(theirs: Object) -> None:
    mine = one(AUTHORIZATION, spec=POLICY, metadata={"labels": {"team": "a"}, "annotations": {"note": "a"}})
    green = FakeApiServer("fern", [theirs], resources=ALL)
    made, done = replicated([mine], green)
    assert ([c.action for c in made.changes], green.writes(), done.verdict()) == (["unchanged"], [], None)
    assert [f for f in look([mine], [theirs]) if f.code == "BG103"] == []


def test_what_arrived_is_written_again_only_when_blue_changes() -> None:
    green = FakeApiServer("fern", resources=ALL)
    assert replicated([one(AUTHORIZATION, spec=POLICY)], green)[1].created == 1
    assert replicated([one(AUTHORIZATION, spec=POLICY)], green)[1].writes == 0
    assert replicated([one(AUTHORIZATION, spec={"action": "DENY"})], green)[0].changes[0].action == "update"


def test_a_policy_that_a_person_made_on_green_is_not_completed_in_any_namespace() -> None:
    theirs = one(AUTHORIZATION, namespace="istio-ingress", by="helm", spec={"action": "DENY"})
    green = FakeApiServer("fern", [theirs], resources=ALL)
    made, _ = replicated([one(AUTHORIZATION, namespace="istio-ingress", spec=POLICY)], green)
    assert ([c.action for c in made.changes], green.writes()) == (["conflict"], [])


def test_greens_objects_that_cannot_be_listed_are_unknown() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if resource.kind == "EnvoyFilter":
            raise Forbidden("envoyfilters is forbidden")

    found = [f for f in look([one(FILTER)], [], trouble=trouble) if f.code == "BG103"]
    assert [(f.status, f.object) for f in found] == [("unknown", "envoyfilters.networking.istio.io")]


def test_a_kind_that_green_does_not_serve_blocks_though_its_objects_are_in_istio_system() -> None:
    serves = tuple(r for r in ALL if r.kind != "WasmPlugin")
    found = [f for f in look([one(WASM, "limits")], [], serves) if f.code == "BG101"]
    assert [(f.severity, f.object) for f in found] == [("blocking", "WasmPlugin istio-system/limits")]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        pytest.param(
            one(AUTHORIZATION, namespace="istio-ingress", spec=POLICY),
            one(AUTHORIZATION, namespace="istio-ingress", by="helm", spec={"action": "ALLOW"}),
            id="a policy",
        ),
        pytest.param(
            one(kinds.GATEWAY, namespace="istio-ingress", spec=servers(443)),
            one(kinds.GATEWAY, namespace="istio-ingress", by="helm", spec=servers(444)),
            id="a Gateway",
        ),
        pytest.param(
            one(SECRET, namespace="istio-ingress", data={"tls.crt": "a"}),
            one(SECRET, namespace="istio-ingress", by="helm", data={"tls.crt": "b"}),
            id="a certificate",
        ),
    ],
)
def test_another_in_a_namespace_of_gateways_blocks_as_in_istio_system(mine: Object, theirs: Object) -> None:
    proxies = gateway_pods("in", {"istio": "ingress"}, namespace="istio-ingress")
    (told,) = [f for f in look([mine, proxies], [theirs, proxies]) if f.code in ("BG103", "BG107")]
    assert (told.code, told.severity, told.object) == ("BG103", "blocking", kinds.name_of(mine))
    assert f"{kinds.name_of(mine)}: skip" in told.remedy


def test_what_replicate_would_find_in_conflict_blocks_before() -> None:
    def definition(by: str, **schema: Any) -> Object:
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", **schema}}}
        names = {"kind": "Widget", "plural": "widgets"}
        spec = {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [version]}
        return one(kinds.CRD, "widgets.example.com", by=by, spec=spec)

    mine = definition("kubectl", properties={"spec": {"type": "object"}})
    settings = [one(kinds.CONFIG_MAP, f"c{n:02}", "shop", data={"a": "1"}) for n in range(25)]
    others = [one(kinds.CONFIG_MAP, f"c{n:02}", "shop", by="helm", data={"a": "2"}) for n in range(25)]
    blue, green = [mine, *settings], [definition("helm", description="other", properties={"spec": {"type": "string"}}), *others]
    made, _ = replicated(blue, FakeApiServer("fern", green, resources=ALL))
    assert {change.action for change in made.changes} == {"conflict"}
    told = [f for f in look(blue, green) if f.code == "BG107"]
    assert {f.severity for f in told} == {"blocking"}
    assert sorted(f.object for f in told) == [*(f"ConfigMap shop/c{n:02}" for n in range(20)), "other objects"]
    assert "5 ConfigMap, 1 CustomResourceDefinition" in next(f for f in told if f.object == "other objects").evidence
    (of_kind,) = [f for f in look([mine], green) if f.code == "BG107"]
    assert of_kind.object == "CustomResourceDefinition widgets.example.com"
    assert "spec.versions" in of_kind.evidence
    assert "made by helm" in of_kind.evidence
    assert [f for f in look([mine], [definition("helm", properties={"spec": {"type": "object"}})]) if f.code == "BG107"] == []


# -- what stays behind -------------------------------------------------------------------------------------------------


IN_SYSTEM = [
    one(NETWORK_POLICY, "deny", "kube-system", by="kubectl-client-side-apply", spec={"podSelector": {}}),
    one(CRON, "ecr-login-refresh", "kube-system", by="kubectl-create", spec={"schedule": "0 * * * *"}),
    one(kinds.DEPLOYMENT, "corp-audit-proxy", "kube-system", by="terraform", spec=pods("proxy:1", {"app": "p"})),
]
ASK = "Namespace kube-system"


def judged_in_system(
    blue: list[Object], answers: Mapping[str, str] | None = None, green: tuple[Object, ...] = ()
) -> dict[str, Verdict]:
    said = Choices(answers={name: Answer(each) for name, each in (answers or {}).items()})
    bundle = exported(*blue, green=green, choices=said)
    return {item.obj["metadata"]["name"]: item.verdict for item in (*bundle.items, *bundle.left)}


def test_what_people_put_into_kube_system_is_asked_about_once() -> None:
    found = judged_in_system(IN_SYSTEM)
    assert {(v.action, v.unanswered, v.add("")) for v in found.values()} == {
        (Action.HOLD, True, "Namespace kube-system: skip  # or start")
    }
    (told,) = [f for f in look(IN_SYSTEM, []) if f.code == "BG105"]
    assert (told.severity, told.object) == ("blocking", ASK)
    assert "Namespace kube-system: skip  # or start" in told.remedy
    for name in ("NetworkPolicy deny (kubectl", "CronJob ecr-login-refresh", "Deployment corp-audit-proxy (terraform)"):
        assert name in told.evidence
    _, done = replicated(IN_SYSTEM, FakeApiServer("fern", resources=ALL))
    assert isinstance(done.verdict(), Held)


def test_an_objects_own_answer_overrides_the_one_of_its_namespace() -> None:
    skipped = judged_in_system(IN_SYSTEM, {ASK: "skip", "Deployment kube-system/corp-audit-proxy": "start"})
    assert {name: v.action for name, v in skipped.items()} == {
        "deny": Action.LEAVE, "ecr-login-refresh": Action.LEAVE, "corp-audit-proxy": Action.COPY,
    }  # fmt: skip
    started = judged_in_system(IN_SYSTEM, {ASK: "start", "NetworkPolicy kube-system/deny": "skip"})
    assert {name: v.action for name, v in started.items()} == {
        "deny": Action.LEAVE, "ecr-login-refresh": Action.SUSPEND, "corp-audit-proxy": Action.COPY,
    }  # fmt: skip
    assert not [v for v in (*skipped.values(), *started.values()) if v.unanswered]
    with pytest.raises(ConfigError, match="start"):
        judged_in_system(IN_SYSTEM, {ASK: "hold"})


def test_what_was_brought_to_kube_system_is_not_written_twice() -> None:
    green, said = FakeApiServer("fern", resources=ALL), Choices(answers={ASK: Answer.START})
    assert replicated(IN_SYSTEM, green, said)[1].verdict() is None
    again, done = replicated(IN_SYSTEM, green, said)
    assert ({c.action for c in again.changes}, len(again.changes), done.writes) == ({"unchanged"}, 3, 0)


APPLIED = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}


def by_two(resource: Resource, name: str, first: str, **rest: Any) -> Object:
    """Made by `first`, and changed by a person."""
    obj = one(resource, name, "kube-system", **rest)
    entries = [{"manager": each, "fieldsV1": {}} for each in (first, "kubectl-edit")]
    return {**obj, "metadata": {**obj["metadata"], "managedFields": entries}}


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(by_two(kinds.CONFIG_MAP, "coredns", "eks"), id="an add-on's, changed by a person"),
        pytest.param(by_two(kinds.CONFIG_MAP, "kubelet-config", "kubeadm"), id="kubeadm's, changed by a person"),
        pytest.param(one(kinds.CONFIG_MAP, "aws-auth", "kube-system", by="kubectl-edit"), id="who may come in"),
        pytest.param(one(kinds.DEPLOYMENT, "coredns", "kube-system", metadata=APPLIED), id="EKS' DNS without an add-on"),
        pytest.param(one(kinds.DAEMON_SET, "kindnet", "kube-system", by="kubectl-create"), id="kind's network"),
        pytest.param(one(kinds.CONFIG_MAP, "kube-root-ca.crt", "kube-public", by="kubectl"), id="the cluster's root"),
        pytest.param(
            one(kinds.CONFIG_MAP, "extension-apiserver-authentication", "kube-system", by="kube-apiserver"), id="the server's"
        ),
        pytest.param(one(kinds.CONFIG_MAP, "cluster-info", "kube-public", by="kubeadm"), id="how nodes join"),
        pytest.param(one(ROLE, "eks:addon-manager", "kube-system", metadata=APPLIED), id="a role of EKS"),
        pytest.param(one(ROLE, "system:a", "kube-system"), id="a reserved role"),
        pytest.param(one(kinds.SERVICE, "a", "kube-system", by="operator"), id="made by a controller"),
        pytest.param(one(SECRET, "b", "kube-system", type="bootstrap.kubernetes.io/token"), id="a node's token"),
        pytest.param(
            one(kinds.DEPLOYMENT, "metrics-server", "kube-system", by="helm", metadata=chart("m-1.0.0", "m", "kube-system")),
            id="of a release in the namespace",
        ),
        pytest.param(one(CRON, "going", "kube-system", metadata={"deletionTimestamp": "t"}), id="being deleted"),
    ],
)
def test_what_the_cluster_itself_has_in_kube_system_is_not_asked_about(obj: Object) -> None:
    found = verdict(obj)
    assert (found.action, found.required) == (Action.LEAVE, False)


def test_what_green_has_by_the_same_name_in_kube_system_is_not_asked_about() -> None:
    theirs = tuple({**obj, "metadata": {**obj["metadata"], "managedFields": []}} for obj in IN_SYSTEM)
    assert {(v.action, v.required) for v in judged_in_system(IN_SYSTEM, green=theirs).values()} == {(Action.LEAVE, False)}


def test_what_a_release_of_another_namespace_has_in_kube_system_comes_with_it() -> None:
    rights = one(ROLE, "cert-manager:leaderelection", "kube-system", by="helm", metadata=chart("c-1", "c", "cert-manager"))
    assert verdict(rights).action is Action.COPY


def test_what_argo_cd_deploys_to_kube_system_is_argo_cds() -> None:
    meta = {**APPLIED, "labels": {"argocd.argoproj.io/instance": "system"}}
    found = verdict(one(kinds.CONFIG_MAP, "settings", "kube-system", by="argocd-controller", metadata=meta))
    assert (found.cls, found.asked) == (Class.GITOPS, "Application system")


def test_a_release_of_kube_system_that_green_lacks_is_reported_by_its_name() -> None:
    meta = chart("metrics-server-3.12.0", "metrics-server", "kube-system")
    server = one(kinds.DEPLOYMENT, "metrics-server", "kube-system", by="helm", metadata=meta, spec=pods("m:1", {}))
    (told,) = [f for f in look([server], []) if f.code == "BG105"]
    assert (told.severity, told.object) == ("warning", "Release kube-system/metrics-server")
    assert "green has no release kube-system/metrics-server" in told.evidence
    assert [f for f in look([server], [server]) if f.code == "BG105"] == []


def test_what_a_person_changed_of_the_clusters_own_is_reported() -> None:
    blues = one(kinds.CONFIG_MAP, "coredns", "kube-system", by="kubectl-edit", data={"Corefile": "a"})
    greens = one(kinds.CONFIG_MAP, "coredns", "kube-system", by="kubeadm", data={"Corefile": "b"})
    written = one(kinds.CONFIG_MAP, "cluster-autoscaler-status", "kube-system", by="cluster-autoscaler")
    (told,) = [f for f in look([blues, written], [greens]) if f.code == "BG105"]
    assert (told.severity, told.object) == ("warning", "Namespace kube-system")
    assert "ConfigMap coredns (green's differs in data.Corefile)" in told.evidence
    assert "autoscaler" not in told.evidence


def test_what_both_clusters_have_alike_in_kube_system_is_not_reported() -> None:
    same = one(kinds.CONFIG_MAP, "coredns", "kube-system", data={"Corefile": "a"})
    assert [f for f in look([same], [same]) if f.code == "BG105"] == []


def test_a_gateway_whose_pods_green_lacks_blocks() -> None:
    inner = {"istio": "internal"}
    gate = one(kinds.GATEWAY, "internal", "shop", spec={"selector": inner})
    blue = [gate, gateway_pods("internal", inner)]
    (found,) = [f for f in look(blue, [gateway_pods()]) if f.code == "BG106"]
    assert (found.severity, found.object) == ("blocking", "Gateway shop/internal")
    assert "istio=internal" in found.evidence
    assert [f for f in look(blue, [gateway_pods("internal", inner)]) if f.code == "BG106"] == []
    coming = gateway_pods("internal", inner, namespace="istio-ingress")
    assert [f for f in look([gate, coming], []) if f.code == "BG106"] == []


def test_another_root_namespace_blocks_where_policies_of_the_whole_mesh_are_in_it() -> None:
    blue = [mesh_config("rootNamespace: istio-config\n"), one(PEERS, "default", "istio-config")]
    (found,) = [f for f in look(blue, [mesh_config("accessLogFile: ''\n")]) if f.code == "BG103"]
    assert (found.object, "green's root namespace is istio-system" in found.evidence) == ("Namespace istio-config", True)
    assert [f for f in look(blue, [mesh_config("{rootNamespace: istio-config}")]) if f.code == "BG103"] == []


def test_a_policy_that_asks_a_provider_which_green_does_not_define_blocks() -> None:
    policy = one(AUTHORIZATION, "ask", "shop", spec={"action": "CUSTOM", "provider": {"name": "oauth2-proxy"}})
    defined = "extensionProviders:\n- name: oauth2-proxy\n  envoyExtAuthzHttp: {port: 80}\n"
    (found,) = [f for f in look([policy, mesh_config(defined)], [mesh_config("")]) if f.code == "BG103"]
    assert (found.object, "oauth2-proxy" in found.evidence) == ("AuthorizationPolicy shop/ask", True)
    assert [f for f in look([policy, mesh_config(defined)], [mesh_config(defined)]) if f.code == "BG103"] == []


@pytest.mark.parametrize(
    ("mine", "theirs", "key"),
    [
        pytest.param("outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "", "outboundTrafficPolicy.mode", id="the egress lock"),
        pytest.param("outbound_traffic_policy: {mode: REGISTRY_ONLY}", "", "outboundTrafficPolicy.mode", id="its other name"),
        pytest.param("", "enableAutoMtls: false", "enableAutoMtls", id="mutual TLS"),
        pytest.param("trustDomain: corp.test", "", "trustDomain", id="the trust domain"),
        pytest.param("trustDomainAliases: [old.test]", "", "trustDomain", id="an alias of it"),
        pytest.param(
            "pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}", "", "pathNormalization.normalization", id="paths"
        ),
        pytest.param("meshMTLS: {minProtocolVersion: TLSV1_3}", "", "meshMTLS", id="the least TLS"),
        pytest.param("discoverySelectors: []", "discoverySelectors: [{matchLabels: {a: b}}]", "discoverySelectors", id="reads"),
    ],
)
def test_a_mesh_that_lets_others_call_blocks(mine: str, theirs: str, key: str) -> None:
    (told,) = look([mesh_config(mine or "{}")], [mesh_config(theirs or "{}")])
    assert (told.code, told.severity, told.object) == ("BG103", "blocking", f"MeshConfig {key}")


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        pytest.param("outboundTrafficPolicy: {mode: ALLOW_ANY}", "{}", id="the default"),
        pytest.param("pathNormalization: {normalization: BASE}", "{}", id="another name for the default"),
        pytest.param("trustDomain: corp.test", "trustDomainAliases: [corp.test]", id="an alias on green"),
        pytest.param(
            "defaultConfig: {discoveryAddress: 'istiod-a:1'}", "defaultConfig: {discoveryAddress: 'istiod-b:1'}", id="address"
        ),
    ],
)
def test_meshes_that_mean_the_same_have_no_finding(mine: str, theirs: str) -> None:
    assert look([mesh_config(mine)], [mesh_config(theirs)]) == []


def test_all_other_differences_of_a_mesh_are_one_finding() -> None:
    mine = "accessLogFile: /dev/stdout\ndefaultConfig: {holdApplicationUntilProxyStarts: true}\n"
    mine, theirs = f"{mine}extensionProviders: [{{name: a, x: 1}}]", "accessLogFile: ''\nextensionProviders: [{name: a, x: 2}]"
    (told,) = look([mesh_config(mine)], [mesh_config(theirs)])
    assert (told.code, told.severity, told.object) == ("BG103", "warning", "MeshConfig")
    for key in ("accessLogFile", "defaultConfig.holdApplicationUntilProxyStarts", "extensionProviders[a]"):
        assert key in told.evidence


def test_a_route_of_a_gateway_that_comes_along_lacks_nothing() -> None:
    route = one(VIRTUAL_SERVICE, "www", "shop", spec={"hosts": ["a"], "gateways": ["istio-system/edge"], "http": []})
    gate = one(kinds.GATEWAY, "edge", spec=servers())
    assert [f for f in look([route, gate], []) if f.code == "BG120"] == []
    assert [f.object for f in look([route], []) if f.code == "BG120"] == ["VirtualService shop/www"]
