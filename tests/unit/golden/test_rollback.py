"""What `rollback` prints, however much of a migration is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

import routing
from migration.errors import Forbidden
from migration.objects.kinds import Resource
from migration.shift.rolled import RollbackResult
from migration.views.rolled import RolledBack
from tests.fakes.golden import same
from tests.fakes.project import EDGE, Project

FORMS = {"txt": (), "json": ("--json",)}
CASES: dict[str, tuple[Callable[[Project], object], tuple[str, ...]]] = {}
Arrange = Callable[[Project], object]


def case(*words: str) -> Callable[[Arrange], Arrange]:
    def add(arrange: Arrange) -> Arrange:
        CASES[arrange.__name__] = arrange, words
        return arrange

    return add


@case()
def everything(project: Project) -> None: ...


@case("shop/cart", "--reason", "checkout is slow")
def named(project: Project) -> None: ...


@case("shop/crat")
def unknown(project: Project) -> None: ...


@case("shop/cart", "shop/pya")
def one_unknown(project: Project) -> None: ...


@case("shop/crat")
def unknown_and_dead(project: Project) -> None:
    project.unreachable("plum", "fern")


@case()
def blue_refused(project: Project) -> None:
    """All routes, and the list too."""

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if resource.kind == "VirtualService":
            raise Forbidden("may not touch VirtualService")

    project.servers["plum"].trouble = trouble


@case()
def one_not_back(project: Project) -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "apply" and name == "cart":
            raise Forbidden("may not write cart")

    project.servers["plum"].trouble = trouble


@case()
def green_unreachable(project: Project) -> None:
    project.unreachable("fern")


@case()
def both_unreachable(project: Project) -> None:
    project.unreachable("plum", "fern")


@case()
def gateway_not_asked(project: Project) -> None:
    """The peer listener of blue's gateway cannot be reached from here."""
    text = project.file.read_text()
    project.file.write_text(text.replace(f"peer_port: {project.ports[0].peer}", "peer_port: 9"))


@case()
def broken_stack_file(project: Project) -> None:
    project.edge.write_text(EDGE.replace("    shop/pay", "<<<<<<< HEAD\n    shop/pay"))


@case()
def entry_at_green_without_zone(project: Project) -> None:
    project.edge.write_text(EDGE.replace("{plum: 10000, fern: 0}", "{plum: 0, fern: 10000}"))


@case("shop/cart")
def named_while_the_entry_is_at_a_dead_green(project: Project) -> None:
    project.edge.write_text(EDGE.replace("{plum: 10000, fern: 0}", "{plum: 0, fern: 10000}"))
    project.unreachable("fern")


@case()
def original_is_nowhere(project: Project) -> None:
    project.route("shop/pay").unlink()
    project.forget("shop/pay")
    found = project.servers["fern"].objects["networking.istio.io", "VirtualService", "shop", "pay"]
    found["spec"]["http"] = [{"route": [{"destination": {"host": routing.peer_host("shop/pay")}}]}]


@case()
def the_file_lacks_one(project: Project) -> None:
    project.enrolled("shop/cart: 2500", "shop/search: 0")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_rollback(project: Project, name: str, form: str) -> None:
    arrange, words = CASES[name]
    arrange(project)
    same(f"rollback.{name}.{form}", project.ran(*FORMS[form], "rollback", *words), project, warnings=True)


# -- nothing is enrolled -------------------------------------------------------------------------------------------------


def on_disk(project: Project) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}


def forget_all(project: Project) -> None:
    """As before the first `enroll`, or after the last `unenroll`."""
    project.enrolled()
    for server in project.servers.values():
        server.objects.clear()


DEAD: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "nothing_green_dead": ("fern",),
    "nothing_blue_dead": ("plum",),
    "nothing_dead": ("plum", "fern"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", DEAD)
def test_with_nothing_enrolled_nothing_is_changed(project: Project, name: str, form: str) -> None:
    forget_all(project)
    project.unreachable(*DEAD[name])
    before = on_disk(project)
    ran = project.ran(*FORMS[form], "rollback")
    assert ran.code == (1 if "plum" in DEAD[name] else 0), "without blue it cannot be known"
    assert on_disk(project) == before
    assert [server.writes() for server in project.servers.values()] == [[], []]
    same(f"rollback.{name}.{form}", ran, project, warnings=True)


@pytest.mark.parametrize("form", FORMS)
def test_with_an_empty_file_what_blue_still_forwards_is_rolled_back(project: Project, form: str) -> None:
    project.enrolled()
    same(f"rollback.nothing_in_the_file.{form}", project.ran(*FORMS[form], "rollback"), project, warnings=True)
    assert project.at_blue() == set(project.originals)


def test_the_document_has_each_field_of_the_result() -> None:
    assert [field.name for field in fields(RolledBack)] == [field.name for field in fields(RollbackResult)]
