"""What the lab makes of anyone's manifests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lab.demo import manifests, workloads

MANIFESTS = Path(os.environ.get("BLUEGREEN_MANIFESTS", "../shared/manifests"))
needs_manifests = pytest.mark.skipif(
    not MANIFESTS.is_dir(), reason=f"no manifests of public projects at {MANIFESTS}; name them by BLUEGREEN_MANIFESTS"
)


def deployment(name: str, namespace: str | None = None, env: dict[str, str] | None = None) -> dict[str, Any]:
    container = {"name": name, "image": name, "env": [{"name": k, "value": v} for k, v in (env or {}).items()]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def service(own: str, kind: str = "ClusterIP", port: int = 80, app: str | None = None, **fields: Any) -> dict[str, Any]:
    spec = {"type": kind, "selector": {"app": app or own}, "ports": [{"port": port, **fields}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": own}, "spec": spec}


def route(name: str, gateway: str = "mine", hosts: tuple[str, ...] = ("*",), **rule: Any) -> dict[str, Any]:
    http = [{**rule, "route": [{"destination": {"host": name}}]}]
    spec = {"hosts": list(hosts), "gateways": [gateway], "http": http}
    return {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": spec,
    }


def fronts(*objects: dict[str, Any]) -> list[str]:
    return [front.service for front in workloads.prepare(objects).fronts]


def test_a_route_on_a_gateway_is_a_front() -> None:
    prepared = workloads.prepare([deployment("web"), service("web"), route("web")])
    assert [front.service for front in prepared.fronts] == ["default/web"]


def test_the_missing_gateway_of_a_route_is_made() -> None:
    prepared = workloads.prepare([deployment("web"), service("web"), route("web")])
    assert [e["metadata"]["name"] for e in prepared.objects if e["kind"] == "Gateway"] == ["mine"]
    assert any("made" in note for note in prepared.notes)


def test_a_route_of_the_mesh_alone_is_none() -> None:
    mesh = route("web")
    del mesh["spec"]["gateways"]
    assert fronts(deployment("web"), service("web", "NodePort"), mesh) == ["default/web-public"]


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort"])
def test_a_service_open_to_the_world_gets_a_route(kind: str) -> None:
    other = deployment("job", env={"TARGET": "http://web:80/"})
    assert fronts(deployment("web"), service("web", kind), other) == ["default/web"]


def test_the_backend_of_an_ingress_gets_a_route() -> None:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rules = [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "i"},
        "spec": {"rules": rules},
    }
    named = deployment("job", env={"TARGET": "web"})
    assert fronts(deployment("web"), service("web"), named, ingress) == ["default/web"]
    assert fronts(deployment("web"), service("web"), named) == []


def test_a_service_that_another_workload_names_is_inner() -> None:
    assert fronts(
        deployment("web", env={"API": "api.default:80", "OTHER": "api-v2"}),
        service("web"),
        deployment("api"),
        service("api"),
    ) == ["default/web"]


def test_a_part_of_a_longer_name_is_not_the_name() -> None:
    objects = [deployment("web", env={"A": "api-v2:80"}), service("web"), deployment("api"), service("api")]
    assert fronts(*objects) == ["default/api", "default/web"]


@pytest.mark.parametrize(
    "fields", [{"port": 6379}, {"port": 9000, "name": "grpc-api"}, {"port": 9000, "appProtocol": "tcp"}], ids=str
)
def test_what_does_not_speak_http_gets_no_route(fields: dict[str, Any]) -> None:
    assert fronts(deployment("db"), service("db", "LoadBalancer", **fields)) == []


def test_two_services_of_the_same_pods_are_one_front() -> None:
    assert fronts(deployment("web"), service("web"), service("web-external", "LoadBalancer", app="web")) == [
        "default/web-external"
    ]


@pytest.mark.parametrize(
    ("match", "path"),
    [
        ([{"uri": {"exact": "/shop"}}], "/shop"),
        ([{"uri": {"prefix": "/api/"}}], "/api/"),
        ([{"headers": {"x": {"exact": "1"}}, "uri": {"exact": "/no"}}, {"uri": {"prefix": "/yes"}}], "/yes"),
    ],
    ids=["exact", "prefix", "headers passed over"],
)
def test_the_path_is_one_that_the_route_answers(match: list[dict[str, Any]], path: str) -> None:
    assert workloads.prepare([deployment("web"), service("web"), route("web", match=match)]).fronts[0].path == path


@pytest.mark.parametrize(
    ("hosts", "name", "host"),
    [
        (("*",), "web.default.lab.test", "web.default.lab.test"),
        (("shop.example.com",), "web.default.lab.test", "shop.example.com"),
        (("*.example.com",), "web.default.lab.test", "web.example.com"),
        (("web.lab.test",), "web.lab.test", "web.lab.test"),
    ],
    ids=str,
)
def test_clients_send_the_routes_host_to_a_name_of_the_zone(hosts: tuple[str, ...], name: str, host: str) -> None:
    front = workloads.prepare([deployment("web"), service("web"), route("web", hosts=hosts)]).fronts[0]
    assert (front.name, front.host) == (name, host)


def test_webhooks_and_apis_served_by_pods_are_held() -> None:
    hook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "guard"},
        "webhooks": [{"name": "guard.example.com", "clientConfig": {"service": {"name": "guard", "namespace": "x"}}}],
    }
    api = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.custom.example"},
        "spec": {"service": {"name": "custom", "namespace": "x"}},
    }
    prepared = workloads.prepare([hook, api, deployment("web")])
    assert [what for what, _ in prepared.held] == [
        "ValidatingWebhookConfiguration guard",
        "APIService v1.custom.example",
    ]
    assert [each["kind"] for each in prepared.objects] == ["Deployment"]


def test_namespaces_that_are_used_but_not_there_are_made_first() -> None:
    prepared = workloads.prepare([deployment("web", "front")])
    assert (prepared.objects[0]["kind"], prepared.objects[0]["metadata"]["name"]) == ("Namespace", "front")


def test_what_was_given_is_not_changed() -> None:
    gateway = workloads.public_gateway("default", "mine")
    gateway["spec"]["servers"][0]["port"]["number"] = 8080
    assert workloads.prepare([gateway]).objects[0]["spec"]["servers"][0]["port"]["number"] == 80
    assert gateway["spec"]["servers"][0]["port"]["number"] == 8080


def https_gateway(*plain_hosts: str) -> dict[str, Any]:
    made = workloads.public_gateway("default", "mine")
    tls = {"mode": "SIMPLE", "credentialName": "cert"}
    port = {"number": 443, "name": "https", "protocol": "HTTPS"}
    made["spec"]["servers"] = [{"port": port, "hosts": ["shop.example"], "tls": tls}]
    if plain_hosts:
        made["spec"]["servers"].append({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [*plain_hosts]})
    return made


def test_what_is_served_by_https_alone_is_plain_in_the_lab_with_a_note() -> None:
    prepared = workloads.prepare([https_gateway()])
    (server,) = prepared.objects[0]["spec"]["servers"]
    assert server == {"port": {"number": 80, "name": "https", "protocol": "HTTP"}, "hosts": ["shop.example"]}
    assert prepared.notes == ("Gateway default/mine: HTTPS at port 443 is plain HTTP at port 80 in the lab",)


@pytest.mark.parametrize("plain", ["*", "shop.example"])
def test_what_is_served_by_http_too_stays(plain: str) -> None:
    given = https_gateway(plain)
    assert workloads.prepare([given]).objects == (given,)


def test_a_tls_connection_that_is_passed_through_stays() -> None:
    given = https_gateway()
    given["spec"]["servers"][0]["tls"] = {"mode": "PASSTHROUGH"}
    assert workloads.prepare([given]).objects == (given,)


def test_a_route_by_port_443_is_asked_by_port_80_without_its_redirect() -> None:
    given = route("web", match=[{"port": 443, "uri": {"prefix": "/shop"}}])
    given["spec"]["http"].insert(0, {"match": [{"port": 80}], "redirect": {"scheme": "https"}})
    prepared = workloads.prepare([workloads.public_gateway("default", "mine"), given, deployment("web"), service("web")])
    (rule,) = prepared.objects[1]["spec"]["http"]
    assert rule["match"] == [{"port": 80, "uri": {"prefix": "/shop"}}]
    assert prepared.fronts[0].path == "/shop"
    assert len(prepared.notes) == 2


def test_lists_and_several_documents_are_opened(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "---\n---\n{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Secret, metadata: {name: a}}]}\n"
    )
    (tmp_path / "b.yml").write_text(
        "{apiVersion: v1, kind: ConfigMapList, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]}\n"
    )
    assert [each["kind"] for each in manifests.read(tmp_path).objects] == ["Secret", "ConfigMap"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "not YAML"), ("- 1", "document 1: a list"), ("a: 1", "no kind or apiVersion")],
    ids=["broken", "list", "no kind"],
)
def test_what_is_no_manifest_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(manifests.WorkloadsError, match=f"(?s)bad.yaml.*{said}"):
        manifests.read(tmp_path)


@pytest.mark.parametrize("where", ["missing", ""], ids=["missing", "empty"])
def test_a_place_without_manifests_is_refused(tmp_path: Path, where: str) -> None:
    with pytest.raises(manifests.WorkloadsError, match=r"WORKLOADS=.*no "):
        manifests.read(tmp_path / where)


@needs_manifests
@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("bookinfo", {"default/bookinfo", "default/details", "default/ratings", "default/reviews-public"}),
        ("online-boutique", {"default/frontend-external"}),
        ("podinfo", {"default/podinfo"}),
    ],
    ids=["bookinfo", "online-boutique", "podinfo"],
)
def test_public_projects_have_the_front_ends_one_expects(folder: str, expected: set[str]) -> None:
    assert {f.service for f in workloads.prepare(manifests.read(MANIFESTS / folder).objects).fronts} == expected


def test_each_service_of_the_shop_has_a_route_without_a_change() -> None:
    shop = workloads.prepare(manifests.read(Path(workloads.__file__).parent / "shop").objects, "shop.test")
    assert len(shop.fronts) == 7
    assert not shop.notes
    assert not shop.held


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            'Warning: old\nresource mapping not found for name: "web" namespace: "" from "STDIN": no matches for kind '
            '"HTTPRoute" in version "gateway.networking.k8s.io/v1"\nensure CRDs are installed first\n',
            "no API gateway.networking.k8s.io/v1 HTTPRoute here: add the CustomResourceDefinition that brings it",
            id="no such kind",
        ),
        pytest.param(
            'Warning: old\nThe Deployment "web" is invalid: \n* spec.selector: Required value\n* spec.template: Wrong\n',
            'The Deployment "web" is invalid: * spec.selector: Required value * spec.template: Wrong',
            id="several reasons",
        ),
        pytest.param("", "kubectl gave no reason", id="none"),
    ],
)
def test_what_kubectl_refuses_is_reported_in_one_line(text: str, told: str) -> None:
    assert manifests.why_refused(text) == told
