"""What `replicate` says and ends with: whatever green lacks is told every time, and is no success."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from migration import kinds
from migration.cli_replicate import copy
from migration.errors import BluegreenError, Forbidden, Held
from migration.kinds import Resource
from migration.replicate.choices import NOTHING_SAID
from migration.terminal import Context
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
    one: FakeApiServer, other: FakeApiServer, *, yes: bool = True, as_json: bool = True, despite: tuple[str, ...] = ()
) -> BluegreenError | None:
    there = SimpleNamespace(clusters={"blue": one, "green": other}, edge=SimpleNamespace(services={}))
    try:
        asyncio.run(
            copy(
                Context(Path("migration.yaml"), as_json),
                SimpleNamespace(singletons=(), replicate=NOTHING_SAID),  # type: ignore[arg-type]
                there,  # type: ignore[arg-type]
                yes=yes,
                force=False,
                despite_unread=despite,
            )
        )
    except BluegreenError as problem:
        return problem
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
def test_with_the_word_all_else_is_written_and_what_is_unread_told_every_time(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = unreadable(), FakeApiServer("fern")
    for applied in (["Namespace shop"], []):
        assert isinstance(run(one, other, despite=(word,)), Held)
        document = json.loads(capsys.readouterr().out)
        assert (document["applied"], document["unread"]) == (applied, {"configmaps": "configmaps is forbidden"})
    run(one, other, as_json=False, despite=(word,))
    assert "UNREAD configmaps: configmaps is forbidden" in capsys.readouterr().out


def test_a_conflict_holds(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_what_green_does_not_serve_is_told_and_holds(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_it_tells_whether_green_was_changed() -> None:
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
            changed=lambda number=number: told.append(number),
        )
        asyncio.run(act)
    assert told == ["first"]
