"""What `capacity` and `capacity release` print."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migration.errors import Forbidden
from migration.objects.kinds import Resource
from tests.fakes.golden import same
from tests.fakes.project import Project
from tests.unit.golden.things import both, deployment, namespace, put, scaler, service


def floors(project: Project) -> None:
    """cart has an autoscaler, pay none, search is not on green yet."""
    both(project, namespace())
    for name in ("cart", "pay", "search"):
        both(project, service(name))
    put(project, "plum", deployment("cart", 6), scaler("cart", 2, most=5), deployment("pay", 4))
    put(project, "fern", deployment("cart", 2, ready=6), scaler("cart", 2, most=5), deployment("pay", 2, ready=4))


def lacking(project: Project) -> None:
    floors(project)
    put(project, "plum", deployment("search", 3))


def forbidden(project: Project) -> None:
    floors(project)

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "apply" and name == "pay":
            raise Forbidden("deployments.apps is forbidden")

    project.servers["fern"].trouble = trouble


def enough(project: Project) -> None:
    both(project, namespace(), deployment("cart", 2))


def raised(project: Project) -> None:
    floors(project)
    assert project.ran("capacity", "--yes").code == 0


def stuck(project: Project) -> None:
    raised(project)

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "patch" and name == "pay":
            raise Forbidden("deployments.apps is forbidden")

    project.servers["fern"].trouble = trouble


def broken(project: Project) -> None:
    raised(project)
    project.closed = {("fern", "Service")}


CASES: dict[str, tuple[Callable[[Project], None], tuple[str, ...]]] = {
    "plan": (lacking, ()),
    "apply": (floors, ("--yes",)),
    "failed": (lacking, ("--yes",)),
    "forbidden": (forbidden, ("--yes",)),
    "enough": (enough, ("--yes",)),
    "release-plan": (raised, ("release",)),
    "release": (raised, ("release", "--yes")),
    "release-one": (raised, ("release", "shop/cart", "--yes")),
    "release-failed": (stuck, ("release", "shop/pay", "shop/cart", "--yes")),
    "release-unreadable": (broken, ("release", "shop/cart", "--yes")),
    "release-nothing": (enough, ("release", "--yes")),
    "release-unknown": (raised, ("release", "shop/crat", "--yes")),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["txt", "json"])
def test_floors(project: Project, case: str, form: str) -> None:
    given, words = CASES[case]
    given(project)
    same(f"capacity-{case}.{form}", project.ran(*(["--json"] if form == "json" else []), "capacity", *words), project)
