"""Manifests in the shape of public installations: whom clients can ask, and what is told of the rest before anything runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lab.demo import demo, manifests, story, workloads
from lab.layout import CHECKOUT
from migration.objects import removed_apis

INSTALLS = CHECKOUT / "tests" / "installs"
NO_HTTP = "none of its ports speaks plain HTTP"


@pytest.mark.parametrize(
    ("name", "fronts", "held", "unasked"),
    [
        pytest.param(
            "ingress-controller.yaml",
            ["edge-proxy/proxy-controller 80"],
            {"ValidatingWebhookConfiguration proxy-admission": "webhooks served by pods"},
            {},
            id="http beside https",
        ),
        pytest.param(
            "certificates.yaml",
            [],
            {"MutatingWebhookConfiguration seals-webhook": "webhooks served by pods"},
            {
                "Service seals/seals": f"{NO_HTTP} (tcp-prometheus-servicemonitor 9402)",
                "Service seals/seals-webhook": f"{NO_HTTP} (https 443)",
            },
            id="no HTTP at all",
        ),
        pytest.param(
            "resource-metrics.yaml",
            [],
            {"APIService v1beta1.metrics.example.com": "its API is served by pods"},
            {"Service kube-system/resource-metrics": f"{NO_HTTP} (https 443)"},
            id="an API of pods",
        ),
        pytest.param("delivery.yaml", ["default/delivery-server 80"], {}, {}, id="no namespace"),
        pytest.param(
            "kube-prometheus",
            ["monitoring/dashboards 3000"],
            {},
            {
                "Service monitoring/state-metrics": "is headless (clusterIP: None): no gateway of the lab reaches its pods",
                "Service monitoring/prometheus": "no workload of these manifests has pods with prometheus=k8s: add it",
            },
            id="an enum of = and headless TLS",
        ),
        pytest.param(
            "dashboard.yaml",
            ["cluster-page/page-scraper 8000"],
            {},
            {"Service cluster-page/cluster-page": f"{NO_HTTP} (unnamed 443)"},
            id="TLS without a name",
        ),
        pytest.param(
            "rendered-chart.yaml",
            ["notes/notes 80"],
            {
                "HorizontalPodAutoscaler notes": "is gone since Kubernetes 1.26: write it as apiVersion autoscaling/v2",
                "Ingress notes": "is gone since Kubernetes 1.22: write it as apiVersion networking.k8s.io/v1",
                "Pod notes-test-connection": "no installation runs (test)",
                "Job notes-cleanup": "no installation runs (pre-delete, post-delete)",
            },
            {},
            id="a rendered chart",
        ),
        pytest.param(
            "old-shop.yaml",
            [],
            {
                "Deployment front-end": "extensions/v1beta1 Deployment is gone since Kubernetes 1.16: write it as",
                "Deployment orders-db": "apps/v1beta2 Deployment is gone since Kubernetes 1.16: write it as apiVersion apps",
            },
            {
                "Service old-shop/front-end": "its pods are those of Deployment old-shop/front-end, which is left out",
                "Service old-shop/orders-db": "its pods are those of Deployment old-shop/orders-db, which is left out",
            },
            id="APIs that are gone",
        ),
        pytest.param("quiet.yaml", ["quiet/quiet 80"], {}, {}, id="one service"),
    ],
)
def test_an_installation_is_split_into_what_runs_here_with_a_reason_for_the_rest(
    name: str, fronts: list[str], held: dict[str, str], unasked: dict[str, str]
) -> None:
    found = manifests.read(INSTALLS / name)
    assert not found.left_out
    assert not found.notes
    work = workloads.prepare(found.objects)
    routes = {e["metadata"]["name"]: e for e in work.objects if e["kind"] == "VirtualService"}
    asked = []
    for front in work.fronts:
        (rule,) = routes[front.service.partition("/")[2]]["spec"]["http"]
        asked.append(f"{front.service} {rule['route'][0]['destination']['port']['number']}")
    assert sorted(asked) == fronts
    for told, expected in ((work.held, held), (work.unasked, unasked)):
        assert {what for what, _ in told} == set(expected)
        for what, why in told:
            assert expected[what] in why
    applied = {f"{each['kind']} {each['metadata']['name']}" for each in work.objects}
    assert not applied & set(held)


@pytest.mark.parametrize("name", ["certificates.yaml", "resource-metrics.yaml", "old-shop.yaml"])
def test_a_story_without_services_is_refused_with_the_reasons(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.demo.demo.programs.ensure", lambda *_: pytest.fail("a lab was about to start"))
    work = workloads.prepare(manifests.read(INSTALLS / name).objects)
    with pytest.raises(manifests.WorkloadsError) as caught:
        demo.demo(INSTALLS / name)
    told = str(caught.value)
    assert "nothing is left that users could ask by HTTP: name manifests with" in told
    for what, why in (*work.unasked, *work.held):
        assert f"\n  {what}: {why}" in told


def test_one_bad_file_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    good = (INSTALLS / "quiet.yaml").read_text()
    (tmp_path / "a-template.yaml").write_text("kind: {{ .Values.kind }}\n")
    (tmp_path / "b.yaml").write_text(
        f"{good}---\n- 1\n---\nspec: 1\n---\nkind: Pod\napiVersion: v1\n---\nname: ci\non: [push]\n"
    )
    (tmp_path / "c.YAML").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: 12}\n---\napiVersion: v1\nkind: [Pod]\n")
    (tmp_path / "d.yml").write_bytes(b"\xff")
    (tmp_path / "e.json").write_text('{"name": "package", "version": "1.0.0"}')
    (tmp_path / "values.yaml").write_text("replicas: 1\n")
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "ci.yaml").write_text("on: [push]\n")
    found = manifests.read(tmp_path)
    assert [each["kind"] for each in found.objects] == ["Service", "Deployment"]
    assert [(Path(where).name, why) for where, why in found.left_out] == [
        ("a-template.yaml, document 1", found.left_out[0][1]),
        ("b.yaml, document 3", "a list, not a Kubernetes object"),
        ("b.yaml, document 4", "no kind or apiVersion; it is not a Kubernetes object"),
        ("b.yaml, document 5", "Pod: no metadata.name; give it one"),
        ("b.yaml, document 6", "no kind or apiVersion; it is not a Kubernetes object"),
        ("c.YAML, document 1", "Pod: metadata.name is 12, not a text: put it in quotes"),
        ("c.YAML, document 2", "kind is a list, not a text: put it in quotes"),
        ("d.yml, document 1", "line 1: is not UTF-8 text"),
    ]
    assert "looks like a template: render it first" in found.left_out[0][1]


def test_of_what_is_there_twice_the_last_counts_with_a_note(tmp_path: Path) -> None:
    text = (INSTALLS / "quiet.yaml").read_text()
    (tmp_path / "base.yaml").write_text(text)
    (tmp_path / "overlay.yaml").write_text(text.replace("replicas: 1", "replicas: 3\n  replicas: 2"))
    found = manifests.read(tmp_path)
    assert [e["spec"]["replicas"] for e in found.objects if e["kind"] == "Deployment"] == [2]
    assert f"{tmp_path / 'overlay.yaml'}, document 2: spec.replicas is given twice; the last one counts" in found.notes
    assert "Deployment quiet/quiet is there more than once: that of overlay.yaml counts" in found.notes


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param("replicas: 1", "replicas: 0", "Deployment quiet/quiet has 0 replicas", id="scaled to zero"),
        pytest.param(
            "selector: {app: quiet}\n---",
            "type: ExternalName\n  externalName: quiet.example.com\n---",
            "is another name of quiet.example.com, which is outside",
            id="ExternalName",
        ),
        pytest.param("selector: {app: quiet}\n---", "clusterIP: None\n---", "has no selector", id="no selector"),
        pytest.param("spec:\n  ports", "spec:\n  clusterIP: None\n  ports", "is headless (clusterIP: None)", id="headless"),
        pytest.param("name: http, port: 80", "name: https, port: 8443", f"{NO_HTTP} (https 8443)", id="https"),
        pytest.param("kind: Deployment", "kind: Rollout", "its pods are those of a Rollout", id="a controller's own kind"),
        pytest.param("name: http, port: 80", "name: db, port: 5432", f"{NO_HTTP} (db 5432)", id="a database"),
        pytest.param("name: http, port: 80", "protocol: UDP, port: 80", f"{NO_HTTP} (unnamed 80)", id="UDP"),
        pytest.param("{app: quiet}}\n  template", "{app: quiet}}\n  template", None, id="nothing wrong"),
    ],
)
def test_a_service_that_cannot_answer_is_reported_with_its_reason(old: str, new: str, told: str | None, tmp_path: Path) -> None:
    text = (INSTALLS / "quiet.yaml").read_text()
    assert old in text
    (tmp_path / "quiet.yaml").write_text(text.replace(old, new))
    work = workloads.prepare(manifests.read(tmp_path).objects)
    if told is None:
        assert [front.service for front in work.fronts] == ["quiet/quiet"]
    else:
        assert work.fronts == ()
        ((what, why),) = work.unasked
        assert what == "Service quiet/quiet"
        assert told in why


ROUTE = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: quiet, namespace: quiet}
spec:
  hosts: [quiet.example.com]
  gateways: [istio-system/public]
"""


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        pytest.param(
            "  http: [{route: [{destination: {host: gone}}]}]", "quiet/gone is no Service of these manifests: add it", id="gone"
        ),
        pytest.param(
            "  http: [{route: [{destination: {host: quiet, port: {number: 81}}}]}]",
            "its destination quiet/quiet: has no port 81: its ports are 80",
            id="another port",
        ),
        pytest.param("  tcp: [{route: [{destination: {host: quiet}}]}]", "has tcp routes", id="tcp"),
        pytest.param("  http: [{redirect: {uri: /}}]", "has no http rule with a destination", id="redirects alone"),
    ],
)
def test_a_route_that_cannot_answer_is_left_out_with_its_reason(rules: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "quiet.yaml").write_text((INSTALLS / "quiet.yaml").read_text() + ROUTE + rules)
    work = workloads.prepare(manifests.read(tmp_path).objects)
    reasons = dict(work.unasked)
    assert told in reasons["VirtualService quiet/quiet"]
    assert [front.service for front in work.fronts] == ["quiet/quiet"], (
        "the Service itself is still asked, by a route made for it"
    )


def test_clients_ask_by_a_rule_that_answers(tmp_path: Path) -> None:
    rules = (
        "  http:\n  - {match: [{uri: {prefix: /old}}], route: [{destination: {host: gone}}]}\n"
        "  - {match: [{uri: {prefix: /new}}], route: [{destination: {host: quiet.quiet.svc.cluster.local}}]}\n"
    )
    (tmp_path / "quiet.yaml").write_text((INSTALLS / "quiet.yaml").read_text() + ROUTE + rules)
    work = workloads.prepare(manifests.read(tmp_path).objects)
    assert [(front.service, front.path) for front in work.fronts] == [("quiet/quiet", "/new")]


def test_what_was_read_from_a_cluster_is_made_new(tmp_path: Path) -> None:
    text = (INSTALLS / "quiet.yaml").read_text()
    text = text.replace(
        "metadata: {name: quiet,", "metadata: {uid: u, resourceVersion: '7', creationTimestamp: null, name: quiet,"
    )
    text = text.replace(
        "spec:\n  ports", "status: {loadBalancer: {}}\nspec:\n  clusterIP: 10.9.8.7\n  clusterIPs: [10.9.8.7]\n  ports"
    )
    owned = "{name: q-1, namespace: quiet, ownerReferences: [{kind: ReplicaSet, name: q}]}"
    text += f"---\napiVersion: v1\nkind: Pod\nmetadata: {owned}\n"
    (tmp_path / "read.yaml").write_text(text)
    work = workloads.prepare(manifests.read(tmp_path).objects)
    plain = workloads.prepare(manifests.read(INSTALLS / "quiet.yaml").objects)
    assert work.objects == plain.objects
    dropped = "resourceVersion, uid, status, clusterIP, clusterIPs"
    assert f"Service quiet/quiet was read from a cluster: applied without {dropped}" in work.notes
    assert dict(work.held)["Pod q-1"].startswith("was read from a cluster, where ReplicaSet q makes it")


@pytest.mark.parametrize(
    "wrong",
    [
        "kind: VirtualService\nspec: {gateways: [a], http: [1]}",
        "kind: VirtualService\nspec: {gateways: [a], http: [{route: yes}]}",
        "kind: VirtualService\nspec: {gateways: [a], http: [{match: 1, route: [{destination: {host: a}}]}]}",
        "kind: Gateway\nspec: {selector: 1}",
        "kind: Gateway\nspec: {selector: {a: b}, servers: [{port: 1}]}",
    ],
)
def test_an_object_of_wrong_types_is_held_alone(wrong: str, tmp_path: Path) -> None:
    text = f"apiVersion: networking.istio.io/v1\nmetadata: {{name: odd, namespace: quiet}}\n{wrong}\n---\n"
    (tmp_path / "all.yaml").write_text(text + (INSTALLS / "quiet.yaml").read_text())
    work = workloads.prepare(manifests.read(tmp_path).objects)
    assert [front.service for front in work.fronts] == ["quiet/quiet"]
    ((what, why),) = work.held
    assert what.endswith(" odd")
    assert "`kubectl apply --dry-run=server -f FILE` tells which" in why


def test_an_api_that_is_served_is_not_called_gone() -> None:
    assert removed_apis.why_gone("networking.k8s.io/v1beta1", "IPAddress") is None
    assert removed_apis.why_gone("apps/v1", "Deployment") is None
    assert removed_apis.why_gone("monitoring.example.com/v1", "Rule") is None
    told = removed_apis.why_gone("policy/v1beta1", "PodSecurityPolicy")
    assert told is not None
    assert "pod-security.kubernetes.io" in told


def test_nothing_left_names_at_most_some_reasons() -> None:
    work = workloads.prepare(manifests.read(INSTALLS / "old-shop.yaml").objects)
    many = dataclasses.replace(work, unasked=tuple((f"Service a/b{number}", "why") for number in range(50)))
    assert story.nothing_left(many).endswith("\n  and 32 more")
