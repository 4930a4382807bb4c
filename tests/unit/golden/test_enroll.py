"""What `enroll` and `unenroll` print."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migration.errors import Rejected, Unreachable
from migration.objects.kinds import Resource
from tests.fakes.golden import same
from tests.fakes.project import Project
from tests.unit.golden.things import both, namespace, unenrolled


def fresh(project: Project) -> None:
    """search cannot be shifted: its users come by the mesh as well."""
    unenrolled(project)
    both(project, namespace())
    route = project.originals["shop/search"]
    both(project, {**route, "spec": {**route["spec"], "gateways": ["mesh", "istio-system/public"]}})


def done(project: Project) -> None:
    fresh(project)
    assert project.ran("enroll", "--yes").code == 0


def older(project: Project) -> None:
    """Enrolled by a version that did not know the rule of the hop."""
    done(project)
    for server in project.servers.values():
        del server.objects["networking.istio.io", "DestinationRule", "istio-system", "bluegreen-peer"]


def cut(project: Project) -> None:
    """An enroll was interrupted: green did not answer."""
    fresh(project)
    away(project)
    assert project.ran("enroll", "shop/cart", "--yes").code == 1
    project.servers["fern"].trouble = lambda verb, resource, name: None


def away(project: Project) -> None:
    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "apply":
            raise Unreachable("etcdserver: request timed out")

    project.servers["fern"].trouble = trouble


def failing(project: Project) -> None:
    fresh(project)
    away(project)


def refused(project: Project) -> None:
    """A webhook of green refuses a route. What stands before it (the peer listener, its destination) is in place."""
    fresh(project)

    def trouble(verb: str, resource: Resource, name: str) -> None:
        if verb == "apply" and name == "cart-bluegreen-peer" and resource.kind == "VirtualService":
            raise Rejected('admission webhook "routes.example.com" denied the request: no owner')

    project.servers["fern"].trouble = trouble


def moved(project: Project) -> None:
    """As the files of a migration are: cart is at 25 %, pay at 100 %, search at 0 %."""


CASES: dict[str, tuple[Callable[[Project], None], tuple[str, ...]]] = {
    "plan": (fresh, ("enroll",)),
    "done": (fresh, ("enroll", "--yes")),
    "one": (fresh, ("enroll", "shop/cart", "--yes")),
    "again": (done, ("enroll", "--yes")),
    "update": (older, ("enroll", "--yes")),
    "finish": (cut, ("enroll", "shop/cart", "--yes")),
    "failed": (failing, ("enroll", "shop/cart", "--yes")),
    "rejected": (refused, ("enroll", "shop/cart", "--yes")),
    "refused": (fresh, ("enroll", "shop/search", "--yes")),
    "unknown": (fresh, ("enroll", "shop/crat")),
    "unenroll-plan": (moved, ("unenroll", "shop/search")),
    "unenroll": (moved, ("unenroll", "shop/search", "--yes")),
    "unenroll-between": (moved, ("unenroll", "shop/cart", "--yes")),
    "unenroll-unknown": (moved, ("unenroll", "shop/crat", "--yes")),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["txt", "json"])
def test_services(project: Project, case: str, form: str) -> None:
    given, words = CASES[case]
    given(project)
    same(f"enroll-{case}.{form}", project.ran(*(["--json"] if form == "json" else []), *words), project)
