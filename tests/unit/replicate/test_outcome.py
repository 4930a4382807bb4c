"""What `replicate` says and ends with: whatever green lacks is told every time, and is no success."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from migration.cli.console import Context, finish
from migration.cli.replicate import copy
from migration.errors import BluegreenError, ConfigError, Forbidden, Held, NotFound, Unreachable
from migration.objects import kinds
from migration.objects.classes import Answer
from migration.objects.kinds import Resource
from migration.replicate.unread import by_cause, despite_words, unread_lines
from migration.settings.choices import NOTHING_SAID, Choices
from migration.views.document import key_of
from migration.views.replicate import PlannedObject, Replicated
from tests.fakes.apiserver import FakeApiServer

WIDGET = Resource("example.com", "v1", "Widget", "widgets", True)
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def config(value: str, **meta: Any) -> dict[str, Any]:
    metadata = {"name": "c", "namespace": "shop", **meta}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}


def blue(*objects: dict[str, Any], **fake: Any) -> FakeApiServer:
    return FakeApiServer("plum", [NAMESPACE, *objects], **fake)


def unreadable() -> FakeApiServer:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if resource.kind == "ConfigMap":
            raise Forbidden("configmaps is forbidden")

    return blue(config("wanted"), trouble=trouble)


def contested() -> FakeApiServer:
    entry = {"manager": "helm", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}}
    return FakeApiServer("fern", [NAMESPACE, config("other", managedFields=[entry])])


def run(
    one: FakeApiServer,
    other: FakeApiServer,
    *,
    yes: bool = True,
    as_json: bool = True,
    despite: tuple[str, ...] = (),
    choices: Choices = NOTHING_SAID,
) -> BluegreenError | None:
    there = SimpleNamespace(clusters={"blue": one, "green": other}, edge=SimpleNamespace(services={}))
    context = Context(Path("migration.yaml"), as_json)
    try:
        asyncio.run(
            copy(
                context,
                SimpleNamespace(singletons=(), replicate=choices),  # type: ignore[arg-type]
                there,  # type: ignore[arg-type]
                yes=yes,
                force=False,
                despite_unread=despite,
            )
        )
    except BluegreenError as problem:
        finish(context, problem)
        return problem
    finish(context, None)
    return None


def test_nothing_is_written_while_a_kind_is_unread() -> None:
    one, other = unreadable(), FakeApiServer("fern")
    problem = run(one, other)
    assert isinstance(problem, Held)
    assert "configmaps: configmaps is forbidden" in str(problem)
    assert "--despite-unread configmaps" in str(problem.remedy)
    assert other.writes() == []
    assert isinstance(run(one, other, despite=("secrets",)), Held)
    assert other.writes() == []


@pytest.mark.parametrize("word", ["configmaps", "all"])
def test_what_is_left_unread_on_purpose_is_reported_every_time(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = unreadable(), FakeApiServer("fern")
    for applied in (["Namespace shop"], []):
        assert isinstance(run(one, other, despite=(word,)), Held)
        document = json.loads(capsys.readouterr().out)
        assert (document["applied"], document["unread"]) == (applied, {"configmaps": "configmaps is forbidden"})
    run(one, other, as_json=False, despite=(word,))
    assert "UNREAD configmaps: configmaps is forbidden" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "meant"), [("configmap.", "configmaps"), ("replicaset.app", "replicasets.apps"), ("deploymnts", "deployments")]
)
def test_a_misspelt_kind_is_refused_with_what_was_meant(word: str, meant: str) -> None:
    one, other = unreadable(), FakeApiServer("fern")
    problem = run(one, other, despite=(word, "configmaps"))
    assert isinstance(problem, ConfigError)
    assert f"--despite-unread {word}: neither cluster has this kind (did you mean {meant}" in str(problem)
    assert "unread are: configmaps" in str(problem.remedy)
    assert other.writes() == []


@pytest.mark.parametrize("word", ["configmaps", "ConfigMap", "configmap", "all"])
def test_a_kind_is_named_as_kubectl_names_it(word: str) -> None:
    one, other = unreadable(), FakeApiServer("fern")
    run(one, other, despite=(word, "deployments.apps"))  # one that was read does no harm
    assert other.writes() == [("create", "Namespace shop")]


def test_a_refused_run_prints_one_document_with_what_is_unread(capsys: pytest.CaptureFixture[str]) -> None:
    run(unreadable(), FakeApiServer("fern"))
    document = json.loads(capsys.readouterr().out)
    assert document["unread"] == {"configmaps": "configmaps is forbidden"}
    assert (document["created"], document["applied"]) == (0, [])
    assert [(each["object"], each["action"]) for each in document["objects"]] == [("Namespace shop", "create")]


def partly(*seen: str, user: str = "looker", cluster: str = "plum") -> Callable[[str, Resource, str], None]:
    """A user who may list these kinds only, in the words of an API server."""

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "list" and resource.kind not in seen:
            what = (
                f'User "{user}" cannot list resource "{resource.plural}" in API group "{resource.group}" at the cluster scope'
            )
            path = f"/apis/{resource.api_version}/{resource.plural}?limit=500"
            asked = resource.plural + (f".{resource.group}" if resource.group else "")
            raise Forbidden(f"cluster {cluster}: GET {path}: {asked} is forbidden: {what} (kubeconfig k, context c)")

    return trouble


def test_kinds_that_are_refused_alike_are_one_line_with_the_role_that_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    one = blue(config("wanted"), trouble=partly("Namespace", "ConfigMap"))
    other = FakeApiServer("fern")
    problem = run(one, other, as_json=False)
    assert isinstance(problem, Held)
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if "UNREAD" in line]
    assert len(lines) == 1
    count = int(lines[0].split()[1])
    assert count > 6
    assert f"{count} kinds may not be listed by looker: " in lines[0]
    assert lines[0].endswith(f" and {count - 6} more")
    assert "bluegreen-read (docs/reference/permissions.md)" in said
    assert len(str(problem)) < 400
    assert str(problem.remedy).endswith("or continue without: --despite-unread all")
    run(one, other)
    assert len(json.loads(capsys.readouterr().out)["unread"]) == count, "for programs each kind is told"
    assert other.writes() == []


def test_each_cause_each_user_and_each_cluster_has_its_own_line() -> None:
    def of(cluster: str, user: str, *resources: Resource) -> dict[str, str]:
        told = {}
        for resource in resources:
            with pytest.raises(Forbidden) as caught:
                partly(user=user, cluster=cluster)("list", resource, "")
            told[resource.name + (" on fern" if cluster == "fern" else "")] = str(caught.value)
        return told

    unread = of("plum", "looker", kinds.SERVICE, kinds.DEPLOYMENT) | of("fern", "other", kinds.SERVICE, kinds.POD)
    unread |= {"widgets.example.com": "widgets.example.com: no answer", "webs.example.com": "answers 404"}
    assert [(each.cluster, each.user, each.kinds) for each in by_cause(unread)] == [
        ("", "looker", ("services", "deployments.apps")),
        ("", "", ("webs.example.com",)),
        ("", "", ("widgets.example.com",)),
        ("fern", "other", ("pods", "services")),
    ]
    assert unread_lines({"webs.example.com": "answers 404"}) == ["  UNREAD webs.example.com: answers 404"]
    assert "2 kinds on fern may not be listed by other: pods, services" in unread_lines(unread)[-2]


def test_up_to_three_kinds_are_named_with_the_words_to_continue_without_each() -> None:
    assert despite_words(["secrets", "pods", "pods on fern"]) == "--despite-unread pods --despite-unread secrets"


def test_without_blues_namespaces_what_green_has_no_namespace_for_is_held(capsys: pytest.CaptureFixture[str]) -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "list" and resource.kind == "Namespace":
            raise Forbidden("namespaces is forbidden")

    there = {**NAMESPACE, "metadata": {"name": "there"}}
    one = blue(config("wanted"), config("b", namespace="there"), trouble=trouble)
    other = FakeApiServer("fern", [there])
    problem = run(one, other, despite=("all",))
    assert isinstance(problem, Held)
    document = json.loads(capsys.readouterr().out)
    (held,) = document["held"]
    assert (held["object"], held["reason"]) == (
        "ConfigMap shop/c",
        "its namespace shop was not read, and green has none by that name",
    )
    assert "list namespaces" in held["remedy"]
    assert (document["applied"], document["failures"]) == (["ConfigMap there/c"], [])


@pytest.mark.parametrize("answer", [Answer.SKIP, Answer.START], ids=["skipped", "that Argo CD brings"])
def test_what_belongs_to_a_namespace_that_does_not_come_is_held(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    tracked = {"annotations": {"argocd.argoproj.io/tracking-id": "hub:/Namespace:/shop"}} if answer is Answer.START else {}
    space = {**NAMESPACE, "metadata": {"name": "shop", **tracked}}
    told = NOTHING_SAID if tracked else replace(NOTHING_SAID, answers={"Namespace shop": answer})
    other = FakeApiServer("fern")
    assert isinstance(run(FakeApiServer("plum", [space, config("wanted")]), other, choices=told), Held)
    document = json.loads(capsys.readouterr().out)
    reasons = {each["object"]: each["reason"] for each in document["objects"]}
    waits = {each["object"]: each["waits_for"] for each in document["objects"]}
    assert reasons["ConfigMap shop/c"].startswith("its namespace shop is not written (")
    assert (waits["ConfigMap shop/c"], other.writes()) == ("namespace", [])
    assert "kubectl create namespace shop" in next(h["remedy"] for h in document["held"] if h["object"] == "ConfigMap shop/c")


def test_a_plain_object_that_an_answer_skips_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    skipped = replace(NOTHING_SAID, answers={"ConfigMap shop/c": Answer.SKIP})
    run(blue(config("wanted")), FakeApiServer("fern"), choices=skipped)
    told = {each["object"]: each["reason"] for each in json.loads(capsys.readouterr().out)["objects"]}
    assert told["ConfigMap shop/c"] == "skipped by its answer in migration.yaml"


RUN_KEYS = {"version", "command", *map(key_of, fields(Replicated))}
OBJECT_KEYS = set(map(key_of, fields(PlannedObject)))


def ends(named: str) -> tuple[FakeApiServer, FakeApiServer]:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "shop"}, "spec": {}}
    match named:
        case "good":
            return blue(config("wanted")), FakeApiServer("fern")
        case "unread":
            return unreadable(), FakeApiServer("fern")
        case "conflict":
            return blue(config("wanted")), contested()
        case "unserved":
            return blue(widget, resources=(*kinds.WELL_KNOWN.values(), WIDGET)), FakeApiServer("fern")
        case "namespace going":
            leaving = {**NAMESPACE, "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
            return blue(config("wanted")), FakeApiServer("fern", [leaving])
        case "refused":

            def trouble(verb: str, resource: Resource, name: str) -> None:
                if verb in ("create", "apply") and resource.kind == "ConfigMap":
                    raise Forbidden("no")

            return blue(config("wanted")), FakeApiServer("fern", trouble=trouble)
        case _:
            raise AssertionError(named)


EXITS = {"good": 0, "unread": 3, "conflict": 3, "unserved": 3, "namespace going": 3, "refused": 1}


@pytest.mark.parametrize("named", EXITS)
def test_every_end_prints_one_document_of_one_shape(named: str, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = ends(named)
    assert isinstance(run(one, other, yes=False), Held)
    document = json.loads(capsys.readouterr().out)
    assert document.keys() == RUN_KEYS | {"error"}
    assert (document["error"]["kind"], document["writes"], document["applied"]) == ("held", 0, [])
    codes = []
    for _ in range(2):
        other.requests.clear()
        problem = run(one, other)
        codes.append(problem.exit_code if problem else 0)
        document = json.loads(capsys.readouterr().out)
        assert document.keys() == RUN_KEYS | ({"error"} if problem else set())
        assert all(each.keys() == OBJECT_KEYS for each in document["objects"])
    assert codes == [EXITS[named]] * 2, "a second run ends as the first"
    assert other.writes() == [] or named == "refused", "a second run writes nothing"
    assert len(other.writes()) <= 2


def test_each_object_says_its_class_the_reason_the_answer_and_the_line_to_add(capsys: pytest.CaptureFixture[str]) -> None:
    leaving = config("x", name="leaving", deletionTimestamp="2026-01-01T00:00:00Z")
    run(blue(config("wanted"), leaving), FakeApiServer("fern"))
    told = {each["object"]: each for each in json.loads(capsys.readouterr().out)["objects"]}
    assert (told["ConfigMap shop/c"]["class"], told["ConfigMap shop/c"]["action"]) == ("plain", "create")
    gone = told["ConfigMap shop/leaving"]
    assert (gone["class"], gone["action"], gone["reason"], gone["answer"], gone["add"]) == (
        *("going", "left", "being deleted", None, ""),
    )


def test_objects_of_a_namespace_that_is_deleted_on_blue_stay_there(capsys: pytest.CaptureFixture[str]) -> None:
    leaving = {**NAMESPACE, "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    other = FakeApiServer("fern")
    assert run(FakeApiServer("plum", [leaving, config("nobody has begun with it")]), other) is None
    told = {each["object"]: each["reason"] for each in json.loads(capsys.readouterr().out)["objects"]}
    assert told == {"Namespace shop": "being deleted", "ConfigMap shop/c": "its namespace is being deleted"}
    assert other.writes() == []


def test_what_is_deleted_as_soon_as_it_comes_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    class Deletes(FakeApiServer):
        async def create(self, resource: Resource, obj: Any, *, manager: str, repeatable: bool = False) -> dict[str, Any]:
            made = await super().create(resource, obj, manager=manager, repeatable=repeatable)
            if resource.kind == "ConfigMap":
                await self.delete(resource, obj["metadata"]["namespace"], obj["metadata"]["name"])
            return made

    for _ in range(2):
        problem = run(blue(config("wanted")), Deletes("fern"))
        assert problem is not None
        document = json.loads(capsys.readouterr().out)
        assert [(f["object"], "gone again" in f["reason"]) for f in document["failures"]] == [("ConfigMap shop/c", True)]


def test_a_kind_that_cannot_be_read_back_is_unread() -> None:
    written: list[str] = []

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "create" and resource.kind == "ConfigMap":
            written.append(name)
        if verb == "list" and resource.kind == "ConfigMap" and written:
            raise Unreachable("no answer")

    problem = run(blue(config("wanted")), FakeApiServer("fern", trouble=trouble))
    assert isinstance(problem, Held)
    assert "1 kind that could not be read" in str(problem)


def test_a_list_that_answers_404_for_a_kind_that_is_served_is_unread() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if resource.kind == "ConfigMap":
            raise NotFound("the server could not find the requested resource")

    problem = run(blue(config("wanted"), trouble=trouble), FakeApiServer("fern"))
    assert isinstance(problem, Held)
    assert "answers 404 when they are listed" in str(problem)


def test_a_pod_that_may_be_listed_and_not_fetched_makes_its_kind_unread() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "get" and resource.kind == "Pod":
            raise Forbidden("pods is forbidden")

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": {}}
    other = FakeApiServer("fern")
    problem = run(blue(pod, trouble=trouble), other)
    assert isinstance(problem, Held)
    assert "pods: pods is forbidden" in str(problem)
    assert other.writes() == []


def test_a_conflict_ends_the_run_as_held(capsys: pytest.CaptureFixture[str]) -> None:
    problem = run(blue(config("wanted")), contested())
    assert isinstance(problem, Held)
    assert [c["object"] for c in json.loads(capsys.readouterr().out)["conflicts"]] == ["ConfigMap shop/c"]


def test_what_could_not_be_written_is_a_failure_whatever_else_holds() -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "create":
            raise Forbidden("no")

    problem = run(unreadable(), FakeApiServer("fern", trouble=trouble), despite=("all",))
    assert problem is not None
    assert problem.exit_code == 1


def test_what_green_does_not_serve_is_held(capsys: pytest.CaptureFixture[str]) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "shop"}, "spec": {}}
    one = blue(config("wanted"), widget, resources=(*kinds.WELL_KNOWN.values(), WIDGET))
    assert isinstance(run(one, FakeApiServer("fern")), Held)
    document = json.loads(capsys.readouterr().out)
    assert [each["object"] for each in document["held"]] == ["Widget shop/w"]
    assert document["applied"] == ["Namespace shop", "ConfigMap shop/c"]


def test_without_a_yes_the_plan_is_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    other = FakeApiServer("fern")
    assert isinstance(run(unreadable(), other, yes=False), Held)
    document = json.loads(capsys.readouterr().out)
    assert [change["object"] for change in document["objects"]] == ["Namespace shop"]
    assert document["unread"] == {"configmaps": "configmaps is forbidden"}
    assert other.writes() == []


def test_a_run_says_whether_green_was_changed() -> None:
    """`verify`'s word of before is worth less from then on."""
    told: list[str] = []
    one, other = blue(config("wanted")), FakeApiServer("fern")
    there = SimpleNamespace(clusters={"blue": one, "green": other}, edge=SimpleNamespace(services={}))
    for number in ("first", "second"):
        act = copy(
            Context(Path("migration.yaml"), as_json=True),
            SimpleNamespace(singletons=(), replicate=NOTHING_SAID),  # type: ignore[arg-type]
            there,  # type: ignore[arg-type]
            yes=True,
            force=False,
            changed=partial(told.append, number),
        )
        asyncio.run(act)
    assert told == ["first"]


@pytest.mark.parametrize("subresources", [{}, {"status": {}}], ids=["without", "with"])
def test_status_comes_along_where_the_kind_has_no_subresource_for_it(subresources: dict[str, Any]) -> None:
    version = {"name": "v1", "served": True, "storage": True, "subresources": subresources}
    names = {"kind": "Widget", "plural": "widgets"}
    definition = {
        **{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"},
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "names": names, "versions": [version]},
    }
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "shop"}}
    serving = (*kinds.WELL_KNOWN.values(), WIDGET)
    other = FakeApiServer("fern", resources=serving)
    for number in range(2):
        other.requests.clear()
        assert run(blue(definition, {**widget, "status": {"address": "10.0.0.1"}}, resources=serving), other) is None
        assert number == 0 or other.writes() == []
    found = other.objects["example.com", "Widget", "shop", "w"]
    assert found.get("status") == (None if subresources else {"address": "10.0.0.1"})
