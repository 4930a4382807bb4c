"""What blue's mesh takes up, green's takes up too, or it is held until a person says by which revision."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from migration.errors import ConfigError, Forbidden
from migration.model import Finding
from migration.objects.classes import Action, Answer, Class, Verdict
from migration.objects.kinds import WELL_KNOWN, Resource
from migration.ownership.revisions import _scalar
from migration.preflight.run import preflight
from migration.replicate.apply import apply
from migration.replicate.export import Bundle, export
from migration.replicate.plan import Plan, plan
from migration.replicate.transform import transform
from migration.settings.choices import NOTHING_SAID, Choices, Selection
from migration.views.plan import plan_lines
from tests.fakes.apiserver import FakeApiServer

WEBHOOK = Resource("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False)
POLICY = Resource("security.istio.io", "v1", "AuthorizationPolicy", "authorizationpolicies", True)
CRON = Resource("batch", "v1", "CronJob", "cronjobs", True)
ALL = (*WELL_KNOWN.values(), WEBHOOK, POLICY, CRON)
REV, INJECTION, INJECT = "istio.io/rev", "istio-injection", "sidecar.istio.io/inject"
Object = dict[str, Any]


def when(key: str, operator: str, *values: str) -> Object:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def hook(prefix: str, namespace: list[Object], pod: list[Object], revision: str) -> Object:
    service = {"name": f"istiod-{revision}" if revision else "istiod", "namespace": "istio-system", "path": "/inject"}
    return {
        "name": f"{prefix}.sidecar-injector.istio.io",
        "clientConfig": {"service": service},
        "namespaceSelector": {"matchExpressions": namespace},
        "objectSelector": {"matchExpressions": pod},
    }


def injector(revision: str = "", tag: str = "", everywhere: bool = False) -> Object:
    """As Istio's chart writes it for a revision, or for a tag of one."""
    name = tag or revision or "default"
    unlabelled = [when(REV, "DoesNotExist"), when(INJECTION, "DoesNotExist")]
    wanted = when(INJECT, "NotIn", "false")
    hooks = [
        hook("rev.namespace", [when(REV, "In", name), when(INJECTION, "DoesNotExist")], [wanted], revision),
        hook("rev.object", unlabelled, [wanted, when(REV, "In", name)], revision),
    ]
    if name == "default":
        hooks += [
            hook("namespace", [when(INJECTION, "In", "enabled")], [wanted], revision),
            hook("object", unlabelled, [when(INJECT, "In", "true"), when(REV, "DoesNotExist")], revision),
        ]
    if everywhere:
        own = when("kubernetes.io/metadata.name", "NotIn", "kube-system")
        hooks.append(hook("auto", [*unlabelled, own], [when(INJECT, "DoesNotExist"), when(REV, "DoesNotExist")], revision))
    called = f"istio-revision-tag-{tag}" if tag else f"istio-sidecar-injector{'-' + revision if revision else ''}"
    labels = {REV: revision or "default", "app": "sidecar-injector", **({"istio.io/tag": tag} if tag else {})}
    return {
        "apiVersion": WEBHOOK.api_version,
        "kind": WEBHOOK.kind,
        "metadata": {"name": called, "labels": {**labels, "operator.istio.io/component": "Pilot"}},
        "webhooks": hooks,
    }


def istiod(revision: str) -> Object:
    meta = {"name": f"istiod-{revision}", "namespace": "istio-system", "labels": {"app": "istiod", REV: revision}}
    containers = [{"name": "discovery", "image": "istio/pilot:1.28.0"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def ztunnel() -> Object:
    meta = {
        "name": "ztunnel",
        "namespace": "istio-system",
        "labels": {"app": "ztunnel", "operator.istio.io/component": "Ztunnel"},
    }
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": {}}


def namespace(name: str = "shop", **labels: str) -> Object:
    keys = {"rev": REV, "injection": INJECTION, "mode": "istio.io/dataplane-mode"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {keys[k]: v for k, v in labels.items()}},
    }


def workload(**pod: Any) -> Object:
    labels = {"app": "web", **{{"rev": REV, "inject": INJECT}[key]: value for key, value in pod.items()}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
    spec = {"selector": {"matchLabels": dict(labels)}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}


def config() -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}, "data": {}}


def policy(rev: str) -> Object:
    meta = {"name": "p", "namespace": "shop", "labels": {REV: rev}}
    return {"apiVersion": POLICY.api_version, "kind": POLICY.kind, "metadata": meta, "spec": {}}


def exported(blue: list[Object], green: list[Object], choices: Choices = NOTHING_SAID, **fake: Any) -> Bundle:
    sides = FakeApiServer("plum", blue, resources=ALL), FakeApiServer("fern", green, resources=ALL, **fake)
    return asyncio.run(export(*sides, choices=choices))


def verdicts(blue: list[Object], green: list[Object], choices: Choices = NOTHING_SAID, **fake: Any) -> dict[str, Verdict]:
    bundle = exported(blue, green, choices, **fake)
    return {item.name: item.verdict for item in (*bundle.items, *bundle.left)}


def look(blue: list[Object], green: list[Object], choices: Choices = NOTHING_SAID) -> list[Finding]:
    sides = FakeApiServer("plum", blue, resources=ALL), FakeApiServer("fern", green, resources=ALL)
    return [f for f in asyncio.run(preflight(*sides, choices=choices)) if f.code == "BG104"]


def says(**revisions: str) -> Choices:
    return Choices(istio_revision={old.replace("_", "-"): new for old, new in revisions.items()})


OLD, NEW = injector("1-26-0"), injector("1-28-0")


@pytest.mark.parametrize(
    ("blue", "green", "moved"),
    [
        pytest.param([OLD], [OLD], namespace(rev="1-26-0"), id="the same revision"),
        pytest.param([OLD], [injector("1-28-0", "1-26-0")], namespace(rev="1-26-0"), id="a tag by that name"),
        pytest.param([injector("1-26-0", "prod")], [injector("1-28-0", "prod")], namespace(rev="prod"), id="the same tag"),
        pytest.param([injector()], [injector()], namespace(injection="enabled"), id="the default revision"),
        pytest.param([injector()], [injector("1-28-0", "default")], namespace(injection="enabled"), id="a tag default"),
        pytest.param([injector("1-26-0", "default")], [injector()], namespace(rev="default"), id="default by its name"),
        pytest.param([injector()], [NEW], namespace(injection="disabled"), id="not injected on blue"),
        pytest.param([OLD], [NEW], namespace(rev="1-26-0", injection="disabled"), id="turned off, which goes before"),
        pytest.param([injector()], [NEW], namespace(rev="long-gone"), id="a label that has no effect on blue"),
        pytest.param([], [], namespace(injection="enabled"), id="no mesh on blue"),
        pytest.param([], [], namespace(rev="1-26-0"), id="no mesh on either"),
        pytest.param([], [NEW], namespace(injection="enabled"), id="no mesh on blue, one on green"),
        pytest.param([istiod("default")], [istiod("default")], namespace(injection="enabled"), id="by names alone"),
    ],
)
def test_what_green_takes_up_comes_as_it_is(blue: list[Object], green: list[Object], moved: Object) -> None:
    found = verdicts([*blue, moved, config(), workload()], green)
    assert {found[name].action for name in ("Namespace shop", "ConfigMap shop/c", "Deployment shop/web")} == {Action.COPY}
    assert look([*blue, moved], green) == []


@pytest.mark.parametrize(
    ("blue", "green", "moved", "line"),
    [
        pytest.param([OLD], [NEW], namespace(rev="1-26-0"), "istioRevision: {1-26-0: 1-28-0}", id="another revision"),
        pytest.param(
            [OLD],
            [injector(), NEW],
            namespace(rev="1-26-0"),
            "istioRevision: {1-26-0: default}  # or 1-28-0",
            id="two on green",
        ),
        pytest.param([injector("1-26-0", "prod")], [NEW], namespace(rev="prod"), "istioRevision: {prod: 1-28-0}", id="a tag"),
        pytest.param([injector()], [NEW], namespace(injection="enabled"), "istioRevision: {default: 1-28-0}", id="no default"),
        pytest.param(
            [istiod("1-26-0")], [istiod("1-28-0")], namespace(rev="1-26-0"), "istioRevision: {1-26-0: 1-28-0}", id="by names"
        ),
        pytest.param(
            [], [NEW], namespace(rev="1-26-0"), "istioRevision: {1-26-0: 1-28-0}", id="blue's control plane elsewhere"
        ),
    ],
)
def test_what_green_would_not_take_up_is_held_with_all_that_is_in_it(
    blue: list[Object], green: list[Object], moved: Object, line: str
) -> None:
    blue = [*blue, moved, config(), workload()]
    found = verdicts(blue, green)
    assert {found[name].action for name in ("Namespace shop", "ConfigMap shop/c", "Deployment shop/web")} == {Action.HOLD}
    assert [name for name, verdict in found.items() if verdict.unanswered] == ["Namespace shop"], "told once"
    assert (found["Namespace shop"].cls, found["Namespace shop"].add("Namespace shop")) == (Class.RENAMED, line)
    (told,) = look(blue, green)
    assert (told.severity, told.object) == ("blocking", "Namespace shop")
    assert told.remedy == f"add to `replicate` in migration.yaml: {line}"

    async def run() -> Plan:
        bundle = await export(FakeApiServer("plum", blue, resources=ALL), other)
        made = await plan(transform(bundle), other)
        done = await apply(made, other)
        problem = done.verdict()
        assert problem is not None
        assert problem.exit_code == 3
        return made

    other = FakeApiServer("fern", green, resources=ALL)
    made = asyncio.run(run())
    assert other.writes() == []
    assert f"      {line}" in plan_lines(made)


def test_with_the_line_every_label_and_selector_has_the_other_name() -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web", REV: "1-26-0"}},
    }
    selector = {"matchExpressions": [when(REV, "In", "1-26-0"), when("app", "In", "web")]}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "shop"}}
    blue = [OLD, namespace(rev="1-26-0"), workload(rev="1-26-0"), service, config(), {**budget, "spec": {"selector": selector}}]
    made = {item.name: item for item in transform(exported(blue, [NEW], says(**{"1_26_0": "1-28-0"}))).items}
    assert made["Namespace shop"].obj["metadata"]["labels"] == {REV: "1-28-0"}
    deployed = made["Deployment shop/web"]
    assert deployed.obj["spec"]["template"]["metadata"]["labels"][REV] == "1-28-0"
    assert deployed.obj["spec"]["selector"]["matchLabels"][REV] == "1-28-0"
    assert made["Service shop/web"].obj["spec"]["selector"][REV] == "1-28-0"
    chosen = made["PodDisruptionBudget shop/web"].obj["spec"]["selector"]["matchExpressions"]
    assert chosen == [when(REV, "In", "1-28-0"), when("app", "In", "web")]
    assert (deployed.verdict.cls, deployed.verdict.notes) == (
        Class.RENAMED,
        ("istio.io/rev=1-26-0 becomes istio.io/rev=1-28-0",),
    )
    assert made["ConfigMap shop/c"].verdict.cls is Class.PLAIN
    assert look(blue, [NEW], says(**{"1_26_0": "1-28-0"})) == []


def test_the_old_label_goes_where_it_would_go_before_the_revisions() -> None:
    blue = [injector(), namespace(injection="enabled")]
    (made,) = transform(exported(blue, [NEW], says(default="1-28-0"))).items
    assert made.obj["metadata"]["labels"] == {REV: "1-28-0"}


def test_default_is_written_as_the_old_label_where_greens_injector_knows_no_other() -> None:
    old_chart = injector()
    old_chart["webhooks"] = [each for each in old_chart["webhooks"] if not each["name"].startswith("rev.")]
    (made,) = transform(exported([OLD, namespace(rev="1-26-0")], [old_chart], says(**{"1_26_0": "default"}))).items
    assert made.obj["metadata"]["labels"] == {INJECTION: "enabled"}


@pytest.mark.parametrize(
    ("blue", "pod", "old"),
    [
        pytest.param(OLD, {"rev": "1-26-0"}, "1-26-0", id="by its revision"),
        pytest.param(injector(), {"inject": "true"}, "default", id="by a word"),
    ],
)
def test_pods_that_ask_for_themselves_are_held_alone(blue: Object, pod: Object, old: str) -> None:
    everything = [blue, namespace(), workload(**pod), config()]
    found = verdicts(everything, [NEW])
    assert (found["Deployment shop/web"].action, found["ConfigMap shop/c"].action) == (Action.HOLD, Action.COPY)
    (told,) = look(everything, [NEW])
    assert f"istioRevision: {{{old}: 1-28-0}}" in told.remedy


def test_a_pod_of_a_schedule_is_a_pod() -> None:
    template = {"metadata": {"labels": {REV: "1-26-0"}}, "spec": {}}
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "nightly", "namespace": "shop"},
        "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": template}}},
    }
    blue = [OLD, namespace(), cron]
    assert verdicts(blue, [NEW])["CronJob shop/nightly"].action is Action.HOLD
    found = verdicts(blue, [NEW], says(**{"1_26_0": "1-28-0"}))["CronJob shop/nightly"]
    assert (found.action, found.cls) == (Action.SUSPEND, Class.SCHEDULED), "what it does is judged as ever"
    assert found.relabel


def test_where_blue_puts_a_proxy_into_every_pod_green_must() -> None:
    everywhere = injector(everywhere=True)
    assert verdicts([everywhere, namespace()], [everywhere])["Namespace shop"].action is Action.COPY
    found = verdicts([everywhere, namespace()], [injector()])["Namespace shop"]
    assert (found.action, found.add("Namespace shop")) == (Action.HOLD, "Namespace shop: start  # or skip")


def test_a_namespace_of_ambient_needs_greens_ztunnel() -> None:
    blue = [ztunnel(), namespace(mode="ambient"), config()]
    assert {verdicts(blue, [])[name].action for name in ("Namespace shop", "ConfigMap shop/c")} == {Action.HOLD}
    assert verdicts(blue, [ztunnel()])["Namespace shop"].action is Action.COPY
    assert verdicts(blue[1:], [])["Namespace shop"].action is Action.COPY, "none on blue"


def test_a_policy_that_one_control_plane_reads_needs_that_revision_and_no_tag() -> None:
    blue = [istiod("1-26-0"), namespace(), policy("1-26-0")]
    name = "AuthorizationPolicy shop/p"
    assert verdicts(blue, [istiod("1-26-0")])[name].action is Action.COPY
    assert verdicts(blue, [istiod("1-28-0"), injector("1-28-0", "1-26-0")])[name].action is Action.HOLD
    blues = [istiod("1-24-0"), namespace(), policy("1-26-0")]
    assert verdicts(blues, [istiod("1-28-0")])[name].action is Action.COPY, "nobody reads it on blue"
    assert verdicts(blues[1:], [istiod("1-28-0")])[name].action is Action.HOLD, "read by somebody elsewhere"
    green = [istiod("1-28-0"), injector("1-28-0", "prod")]
    made = {i.name: i.obj for i in transform(exported(blue, green, says(**{"1_26_0": "prod"}))).items}
    assert made[name]["metadata"]["labels"] == {REV: "1-28-0"}


def test_a_person_may_take_it_as_it_is_or_leave_it() -> None:
    blue = [OLD, namespace(rev="1-26-0"), workload()]
    taken = verdicts(blue, [NEW], Choices(answers={"Namespace shop": Answer.START}))
    assert {taken[name].action for name in ("Namespace shop", "Deployment shop/web")} == {Action.COPY}
    assert verdicts(blue, [NEW], Choices(answers={"Namespace shop": Answer.SKIP}))["Namespace shop"].action is Action.LEAVE


def test_a_revision_that_green_has_not_is_refused_with_those_that_it_has() -> None:
    for asked in (exported, look):
        with pytest.raises(ConfigError, match=r"replicate\.istioRevision\.1-26-0: is '1-28-1'.*did you mean 1-28-0") as caught:
            asked([OLD, namespace(rev="1-26-0")], [NEW], says(**{"1_26_0": "1-28-1"}))
        assert (caught.value.exit_code, caught.value.remedy) == (2, "name a revision or tag that green has: 1-28-0")


def test_webhooks_of_green_that_cannot_be_listed_are_not_taken_for_none() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if resource.kind == WEBHOOK.kind:
            raise Forbidden("not yours")

    found = verdicts([OLD, namespace(rev="1-26-0")], [OLD], trouble=trouble)["Namespace shop"]
    assert found.action is Action.HOLD
    assert "could not be read (not yours)" in found.reason


def test_an_injector_of_no_chart_is_known_by_what_it_selects() -> None:
    own = injector("1-28-0")
    own["metadata"] = {"name": "our-injector"}
    own["webhooks"] = [{**own["webhooks"][0], "namespaceSelector": {"matchLabels": {REV: "1-28-0"}}}]
    found = verdicts([OLD, namespace(rev="1-26-0")], [own])["Namespace shop"]
    assert found.add("Namespace shop") == "istioRevision: {1-26-0: 1-28-0}"
    assert verdicts([OLD, namespace(rev="1-26-0")], [own], says(**{"1_26_0": "1-28-0"}))["Namespace shop"].relabel


def test_an_injector_that_selects_nothing_does_not_make_every_label_good() -> None:
    green = {**NEW, "webhooks": [{"name": "namespace.sidecar-injector.istio.io", "clientConfig": {"url": "https://a/inject"}}]}
    assert verdicts([OLD, namespace(rev="1-26-0")], [green])["Namespace shop"].action is Action.HOLD
    assert verdicts([OLD, namespace(rev="1-26-0")], [green], says(**{"1_26_0": "1-28-0"}))["Namespace shop"].relabel


def test_a_deactivated_injector_injects_nothing() -> None:
    off = injector()
    for each in off["webhooks"]:
        each["namespaceSelector"] = {"matchLabels": {"istio.io/deactivated": "never-match"}}
    assert verdicts([injector(), namespace(injection="enabled")], [off])["Namespace shop"].action is Action.HOLD


@pytest.mark.parametrize(
    ("text", "written"),
    [("1-26-0", "1-26-0"), ("prod", "prod"), ("2024", '"2024"'), ("2024-01-02", '"2024-01-02"'), ("on", '"on"')],
)
def test_a_line_to_add_is_read_back_as_it_is_meant(text: str, written: str) -> None:
    assert _scalar(text) == written


@pytest.mark.parametrize("left", ["GitOps", "not requested", "skipped"])
def test_in_a_namespace_that_others_bring_greens_labels_count(left: str) -> None:
    moved, choices = namespace(rev="1-26-0"), NOTHING_SAID
    if left == "GitOps":
        moved["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] = "a"
    elif left == "not requested":
        choices = Choices(exclude=Selection(kinds=("Namespace",)))
    else:
        choices = Choices(answers={"Namespace shop": Answer.SKIP})
    blue = [OLD, moved, workload(), config()]
    name = "Deployment shop/web"
    assert verdicts(blue, [NEW, namespace(rev="1-28-0")], choices)[name].action is Action.COPY
    found = verdicts(blue, [NEW, namespace()], choices)
    assert (found[name].action, found[name].unanswered) == (Action.HOLD, True), "told, since its namespace asks nobody"
    assert found["ConfigMap shop/c"].action is Action.COPY
