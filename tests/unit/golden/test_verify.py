"""What `verify` prints: a verdict for each service with its evidence, and what to do where there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.golden import same
from tests.fakes.project import Project
from tests.unit.golden.things import both, deployment, endpoints, namespace, public, put, service, unenrolled


def good(project: Project) -> None:
    both(project, namespace(), public())
    for name in ("cart", "pay", "search"):
        both(project, deployment(name), service(name), endpoints(name))


def mixed(project: Project) -> None:
    """cart is good, pay answers 500 on green and has too few pods, search answers by its gateway alone."""
    good(project)
    put(project, "fern", deployment("pay", 2, ready=1))
    project.servers["fern"].gateway["pay.test"] = (500, True)
    for server in project.servers.values():
        server.gateway["search.test"] = (301, False)


def before(project: Project) -> None:
    """Nothing is enrolled; of one service the users come by the mesh as well, so it moves with the entry."""
    unenrolled(project)
    good(project)
    route = project.originals["shop/search"]
    both(project, {**route, "spec": {**route["spec"], "gateways": ["mesh", "istio-system/public"]}})


def empty(project: Project) -> None:
    unenrolled(project)
    for server in project.servers.values():
        server.objects.clear()


CASES: dict[str, tuple[Callable[[Project], None], tuple[str, ...]]] = {
    "good": (good, ()),
    "mixed": (mixed, ()),
    "one": (mixed, ("shop/cart",)),
    "before": (before, ()),
    "nothing": (empty, ()),
    "unknown": (good, ("shop/crat", "shop/pay")),
    "timeout": (good, ("--timeout=-1",)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["txt", "json"])
def test_verdicts(project: Project, case: str, form: str) -> None:
    given, words = CASES[case]
    given(project)
    words = words if any("timeout" in word for word in words) else (*words, "--timeout", "0")
    same(f"verify-{case}.{form}", project.ran(*(["--json"] if form == "json" else []), "verify", *words), project)


@pytest.mark.parametrize("seconds", ["nan", "inf", "-0.5", "soon"])
@pytest.mark.parametrize("option", ["--timeout", "--patience"])
def test_an_invalid_timeout_is_refused(project: Project, option: str, seconds: str) -> None:
    ran = project.ran("verify", f"{option}={seconds}")
    assert ran.code == 2
    assert option in ran.err


def test_the_timeouts_former_name_is_accepted(project: Project) -> None:
    mixed(project)
    assert project.ran("verify", "--patience", "0", "shop/pay").code == 3
    assert "--patience" not in project.ran("verify", "--help").out


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["txt", "json"])
def test_what_it_waits_for_is_logged_at_once(project: Project, form: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    """The command's log is on stderr."""
    mixed(project)
    caplog.set_level("INFO")
    seen = project.ran(*form, "verify", "--timeout", "0.1")
    told = [each for each in caplog.messages if each.startswith("waiting up to")]
    assert told == ["waiting up to 0.1 s for 1 of 3 (waiting for shop/pay); --timeout 0 looks once"]
    assert "waiting up to" not in seen.out
    caplog.clear()
    project.ran(*form, "verify", "--timeout", "0")
    assert [each for each in caplog.messages if each.startswith("waiting up to")] == []
