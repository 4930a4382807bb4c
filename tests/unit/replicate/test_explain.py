"""`replicate --explain` says of one object what becomes of it and why, and writes nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from migration.cli.console import Context, finish
from migration.cli.main import run
from migration.cli.replicate import copy, tell
from migration.errors import BluegreenError, ConfigError, Forbidden, Held
from migration.objects.classes import ACTIONS, ANSWERS, CLASSES, Action, Answer, Class
from migration.objects.kinds import Object, Resource
from migration.replicate.explain import changed
from migration.settings.choices import NOTHING_SAID, Choices
from tests.fakes.apiserver import FakeApiServer
from tests.unit.replicate.selecting import SERVED, many

CANARY = "swordfish"
OBJECTS = many(f"""
{{kind: Namespace, metadata: {{name: shop}}}}
---
{{kind: Namespace, metadata: {{name: other}}}}
---
{{kind: VirtualService, metadata: {{name: web, namespace: shop}}, spec: {{hosts: [a], http: [{{route: [{{destination:
  {{host: web}}}}]}}]}}}}
---
{{kind: Service, metadata: {{name: web, namespace: shop, uid: u, resourceVersion: "7"}}, spec: {{clusterIP: 10.0.0.1,
  clusterIPs: [10.0.0.1], selector: {{app: web}}, ports: [{{port: 80, nodePort: 30111}}]}}}}
---
{{kind: Deployment, metadata: {{name: web, namespace: shop, generation: 3, annotations: {{note: {CANARY}}}}},
  spec: {{replicas: 3, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: a, env: [{{name: P,
  value: {CANARY}}}], envFrom: [{{configMapRef: {{name: settings}}}}]}}]}}}}}}}}
---
{{kind: ConfigMap, metadata: {{name: settings, namespace: shop}}, data: {{a: {CANARY}}}}}
---
{{kind: ConfigMap, metadata: {{name: settings, namespace: other}}}}
---
{{kind: CronJob, metadata: {{name: nightly, namespace: shop}}, spec: {{schedule: "@daily", suspend: false}}}}
---
kind: Secret
metadata: {{name: token, namespace: shop}}
type: kubernetes.io/service-account-token
data: {{token: {CANARY}}}
---
kind: ReplicaSet
metadata:
  name: web-1
  namespace: shop
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}}]
spec: {{}}
---
{{kind: Pod, metadata: {{name: alone, namespace: shop}}, spec: {{nodeName: n1, containers: []}}}}
""")


def said(
    name: str,
    choices: Choices = NOTHING_SAID,
    *,
    green: list[Object] | None = None,
    singletons: tuple[str, ...] = (),
    as_json: bool = True,
    **fake: Any,
) -> tuple[BluegreenError | None, FakeApiServer]:
    one = FakeApiServer("plum", OBJECTS, resources=SERVED, **fake)
    other = FakeApiServer("fern", green or [], resources=SERVED)
    there: Any = SimpleNamespace(clusters={"blue": one, "green": other}, edge=SimpleNamespace(services={}))
    migration: Any = SimpleNamespace(singletons=singletons, replicate=choices)
    problem = None
    context = Context(Path("migration.yaml"), as_json)
    try:
        asyncio.run(tell(context, migration, there, name))
    except BluegreenError as found:
        problem = found
    finish(context, problem)
    assert one.writes() == other.writes() == [], "it only tells"
    return problem, other


def document(capsys: pytest.CaptureFixture[str], name: str, *given: Any, **more: Any) -> dict[str, Any]:
    problem, _ = said(name, *given, **more)
    assert problem is None
    told = capsys.readouterr().out
    assert CANARY not in told
    found: dict[str, Any] = json.loads(told)
    return found


@pytest.mark.parametrize(
    "name",
    [
        "CronJob/shop/nightly",
        "CronJob shop/nightly",
        "cronjob/shop/nightly",
        "cronjobs.batch/shop/nightly",
        "cronjobs shop/nightly",
    ],
)
def test_an_object_is_named_by_kind_namespace_and_name(capsys: pytest.CaptureFixture[str], name: str) -> None:
    told = document(capsys, name)
    assert (told["object"], told["apiVersion"], told["class"]) == ("CronJob shop/nightly", "batch/v1", "scheduled")
    assert (told["sign"], told["action"], told["becomes"]) == ("work.scheduled", "create", ACTIONS[Action.SUSPEND])
    assert told["reason"] == "suspended on green until it is handed over"
    assert told["answers"].keys() == {"hold", "start", "skip"}
    assert told["answers"]["start"] == f"{ANSWERS[Answer.START]}; {ACTIONS[Action.COPY]}"
    assert told["fields"] == [
        "+ metadata.annotations[bluegreen.io/suspend]",
        "~ spec.suspend: false -> true",
        "- what identifies blue's own: resourceVersion, uid",
    ]


def test_the_answer_that_is_given_is_shown_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    told = document(capsys, "CronJob/shop/nightly", Choices(answers={"CronJob shop/nightly": Answer.START}))
    assert (told["answer"], told["becomes"]) == ("start", "copied as it is")
    told = document(capsys, "CronJob/shop/nightly", Choices(answers={"CronJob shop/nightly": Answer.SKIP}))
    assert (told["answer"], told["becomes"], told["action"]) == ("skip", "not written", "left")


def test_an_object_whose_namespace_stays_behind_is_shown_as_held(capsys: pytest.CaptureFixture[str]) -> None:
    told = document(capsys, "ConfigMap/shop/settings", Choices(answers={"Namespace shop": Answer.SKIP}))
    assert told["action"] == "held"
    assert "its namespace shop is not written (skipped by its answer" in json.dumps(told)


def test_what_is_removed_from_an_object_is_shown_by_paths_without_secret_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = document(capsys, "Service/shop/web")
    fields = [
        "- spec.clusterIP",
        "- spec.clusterIPs",
        "- spec.ports[0].nodePort",
        "- what identifies blue's own: resourceVersion, uid",
    ]
    assert sorted(told["fields"]) == sorted(fields)
    assert document(capsys, "Secret/shop/token")["fields"][0] == "- data"
    stopped = document(capsys, "Deployment/shop/web", singletons=("shop/web",))
    assert "~ spec.replicas: 3 -> 0" in stopped["fields"]
    assert "+ metadata.annotations[bluegreen.io/replicas]" in stopped["fields"]
    assert (stopped["class"], stopped["sign"]) == ("singleton", "judge.singleton")


def test_differences_are_shown_once_each() -> None:
    before = {"a": {"b": 1, "gone": "x"}, "list": [1, 2], "same": [1], "other": [{"c": 1}], "d.e/f": True}
    after = {"a": {"b": 2, "new": False}, "list": [1], "same": [1], "other": [{"c": "text"}], "d.e/f": False}
    assert sorted(changed(before, after)) == [
        "+ a.new: false",
        "- a.gone",
        "~ [d.e/f]: true -> false",
        "~ a.b: 1 -> 2",
        "~ list",
        "~ other[0].c",
    ]


def test_a_plain_object_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    told = document(capsys, "Pod/shop/alone")
    assert (told["class"], told["sign"], told["becomes"]) == ("plain", "no sign", "copied as it is")
    assert "- spec.nodeName" in told["fields"], "it was fetched whole"


def test_an_object_that_is_left_out_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    told = document(capsys, "ReplicaSet/shop/web-1")
    assert (told["class"], told["action"], told["reason"]) == ("controller", "left", "made by its Deployment")
    assert told["sign"] == "owners.sign"


def test_a_kind_that_is_never_copied_is_shown_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    told = document(capsys, "Lease/kube-system/whatever")
    assert (told["reason"], told["class"], told["sign"]) == ("leadership in one cluster", None, "kinds.SKIPPED_KINDS")


def test_what_green_has_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"manager": "helm", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}}
    there = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "shop", "managedFields": [entry]},
    }
    told = document(capsys, "ConfigMap/shop/settings", green=[{**there, "data": {"a": "other"}}])
    assert (told["action"], told["action_reason"]) == ("conflict", "already on green, made by helm")


def test_with_names_it_shows_what_brought_the_object(capsys: pytest.CaptureFixture[str]) -> None:
    only = Choices(only=("shop/web",))
    assert document(capsys, "ConfigMap/shop/settings", only)["brought"] == "brought by Deployment shop/web"
    told = document(capsys, "ConfigMap/other/settings", only)
    assert (told["class"], told["reason"], told["sign"]) == ("not requested", "not requested by shop/web", "judge.unasked")
    assert document(capsys, "ConfigMap/shop/settings")["brought"] == "all of blue is"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ConfigMap/shop/setings", "not on cluster plum (did you mean ConfigMap shop/settings?)"),
        ("ConfigMap/shopp/settings", "not on cluster plum (did you mean ConfigMap"),
        ("ConfigMap/alone", "not on cluster plum"),
        ("CronJob/nightly", "not on cluster plum (did you mean CronJob shop/nightly?)"),
        ("Confgmap/shop/settings", "serves no kind Confgmap (did you mean ConfigMap?)"),
        ("settings", "is not the name of an object"),
        ("ConfigMap/shop/a/b", "is not the name of an object"),
    ],
)
def test_what_is_not_there_is_refused_with_what_was_meant(name: str, told: str) -> None:
    problem, _ = said(name)
    assert isinstance(problem, ConfigError)
    assert told in str(problem)


def test_an_object_of_a_kind_that_could_not_be_read_is_not_called_missing() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if resource.kind == "ConfigMap":
            raise Forbidden("configmaps is forbidden")

    problem, _ = said("ConfigMap/shop/settings", trouble=trouble)
    assert isinstance(problem, Held)
    assert "configmaps is forbidden" in str(problem)


def test_people_read_it_as_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    said("CronJob/shop/nightly", as_json=False)
    told = capsys.readouterr().out
    assert "CronJob shop/nightly (batch/v1)\n  class:      scheduled: a clock starts it, or it runs once\n" in told
    assert (
        "    CronJob shop/nightly: start     # runs on green as soon as it is there, beside blue's; copied as it is\n" in told
    )


def test_all_classes_are_explained_without_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert CLASSES.keys() == set(Class)
    assert ACTIONS.keys() == set(Action)
    assert ANSWERS.keys() == set(Answer)
    for command in (["replicate", "--explain", "classes"], ["--json", "replicate", "--explain", "classes"]):
        assert run(["-c", str(tmp_path / "none.yaml"), *command]) == 0
        out = capsys.readouterr().out
        for about in CLASSES.values():
            assert about.why in out


def test_the_docs_have_the_same_table() -> None:
    page = (Path(__file__).parents[3] / "docs/guides/replicate.md").read_text()
    for each, about in CLASSES.items():
        assert f"| {each.value} | {about.why} | {about.becomes} |" in page
    for answer, what in ANSWERS.items():
        assert f"| `{answer.value}` | {what} |" in page


# -- the plan of a part -------------------------------------------------------------------------------------------------


def copied(
    *only: str, yes: bool = True, as_json: bool = True, green: FakeApiServer | None = None, **more: Any
) -> tuple[BluegreenError | None, FakeApiServer]:
    one = FakeApiServer("plum", OBJECTS, resources=SERVED)
    other = green or FakeApiServer("fern", resources=SERVED)
    there: Any = SimpleNamespace(clusters={"blue": one, "green": other}, edge=SimpleNamespace(services={}))
    migration: Any = SimpleNamespace(singletons=(), replicate=Choices(only=only, **more))
    context = Context(Path("migration.yaml"), as_json)
    try:
        asyncio.run(copy(context, migration, there, yes=yes))
    except BluegreenError as problem:
        finish(context, problem)
        return problem, other
    finish(context, None)
    return None, other


def test_json_says_what_brought_each_object_of_a_service(capsys: pytest.CaptureFixture[str]) -> None:
    problem, green = copied("shop/web")
    assert problem is None
    told = {each["object"]: each for each in json.loads(capsys.readouterr().out)["objects"]}
    brought = {name: each["brought"] for name, each in told.items() if each["action"] == "create"}
    assert brought == {
        "Namespace shop": "brought by VirtualService shop/web",
        "VirtualService shop/web": "requested",
        "Service shop/web": "brought by VirtualService shop/web",
        "Deployment shop/web": "brought by Service shop/web",
        "ConfigMap shop/settings": "brought by Deployment shop/web",
    }
    assert told["CronJob shop/nightly"]["class"] == "not requested"
    wrote = len(green.writes())
    assert copied("shop/web", green=green)[0] is None
    assert len(green.writes()) == wrote, "a second run writes nothing"


def test_the_plan_of_a_service_names_what_comes_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    copied("shop/web", yes=False, as_json=False)
    told = capsys.readouterr().out
    assert "  create, brought by Deployment shop/web: ConfigMap shop/settings\n" in told
    assert "  left out: 6 (not requested by shop/web)\n" in told
