"""What `shift` prints: its plan, and what came of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from migration.settings.calendar import DAYS
from tests.fakes.golden import same
from tests.fakes.project import EDGE, Project

FORMS = {"txt": (), "json": ("--json",)}
FAST = """\
policy:
  {steps_bp: [5000, 10000], dwell_seconds: 0.3, bake_seconds: 0.3, sample_interval_seconds: 0.1, min_requests: 1}
"""
ANOTHER_DAY = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
SLOW = FAST.replace("dwell_seconds: 0.3", "dwell_seconds: 300")


@pytest.fixture
def fast(project: Project) -> Project:
    """Counters of users on both gateways, and steps of a fraction of a second."""
    project.watched = True
    project.configure(FAST)
    return project


def compared(name: str, form: str, project: Project, *words: str) -> None:
    same(f"shift.{name}.{form}", project.ran(*FORMS[form], "shift", *words), project, warnings=True)


# -- before it begins ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("plan", "", ()),
        ("plan_named", "", ("shop/search",)),
        ("plan_group", "groups: [[shop/search, shop/cart]]\n", ("shop/search",)),
        ("plan_held", "services: {shop/search: {hold: true}}\n", ()),
        ("named_held", "services: {shop/search: {hold: true}}\n", ("shop/search",)),
        ("named_depends", "services: {shop/search: {depends_on: [shop/cart]}}\n", ("shop/search",)),
        ("plan_depends_served", "services: {shop/search: {depends_on: [shop/pay]}}\n", ("shop/search",)),
        ("unknown", "", ("shop/crat",)),
        ("retry_unknown", "", ("--retry", "shop/crat")),
        ("retry_not_named", "", ("shop/search", "--retry", "shop/cart")),
        ("plan_window", f"windows: ['{ANOTHER_DAY} 00:00-24:00']\n", ()),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "",
)
def test_a_plan_is_printed_without_doing_anything(
    fast: Project, name: str, more: str, words: tuple[str, ...], form: str
) -> None:
    """Without a terminal and without --yes there is nobody to ask."""
    fast.configure(FAST + more)
    compared(name, form, fast, *words)
    assert fast.edge.read_text() == EDGE
    assert not (fast.store / "journal.jsonl").exists()
    assert [server.writes() for server in fast.servers.values()] == [[], []]


@pytest.mark.parametrize("form", FORMS)
def test_the_plan_says_what_keeps_it_from_moving(fast: Project, form: str) -> None:
    fast.edge.write_text(EDGE.replace("cart: 2500", "cart: 0"))
    fast.journal(("return", "shop/cart", "green answers errors: 12 of 20 requests"))
    (fast.store / "pause").write_text("lee")
    compared("plan_stopped", form, fast)


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_in_the_place_of_the_pause_is_named(fast: Project, form: str) -> None:
    (fast.store / "pause").mkdir(parents=True)
    compared("plan_paused_by_a_folder", form, fast)


@pytest.mark.parametrize("form", FORMS)
def test_with_nothing_enrolled(fast: Project, form: str) -> None:
    fast.enrolled()
    compared("none_enrolled", form, fast, "--yes")


@pytest.mark.parametrize("form", FORMS)
def test_while_another_command_holds_the_lock(fast: Project, form: str) -> None:
    with fast.locked():
        compared("locked", form, fast, "--yes")


@pytest.mark.parametrize("form", FORMS)
def test_with_green_unreachable(fast: Project, form: str) -> None:
    fast.unreachable("fern")
    compared("green_unreachable", form, fast, "--yes")


# -- its end -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_all_arrive(fast: Project, form: str) -> None:
    compared("arrived", form, fast, "--yes")
    assert {fast.live("plum", service) for service in fast.originals} == {10_000}


@pytest.mark.parametrize("form", FORMS)
def test_one_is_rolled_back(fast: Project, form: str) -> None:
    fast.traffic.bad = {"shop/cart"}
    compared("went_back", form, fast, "--yes")
    assert [fast.live("plum", service) for service in fast.originals] == [0, 10_000, 10_000]


@pytest.mark.parametrize("form", FORMS)
def test_one_that_was_rolled_back_before_is_not_moved(fast: Project, form: str) -> None:
    assert fast.ran("rollback", "shop/cart", "--reason", "checkout is slow").code == 0
    compared("not_moved", form, fast, "--yes")


@pytest.mark.parametrize("form", FORMS)
def test_one_is_frozen(fast: Project, form: str) -> None:
    fast.journal()
    found = fast.servers["plum"].objects["networking.istio.io", "VirtualService", "shop", "search"]
    found["spec"]["http"] = [{"route": [{"destination": {"host": "elsewhere.test"}}]}]
    edit = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-08-24T03:04:05Z"}
    found["metadata"]["managedFields"] = [{**edit, "fieldsV1": {"f:spec": {"f:http": {}}}}]
    compared("frozen", form, fast, "--yes")


@pytest.mark.parametrize("form", FORMS)
def test_it_is_interrupted(fast: Project, form: str) -> None:
    fast.configure(SLOW)
    with during(lambda: begun(fast), lambda: os.kill(os.getpid(), signal.SIGINT)):
        compared("interrupted", form, fast, "--yes")


@pytest.mark.parametrize("form", FORMS)
def test_another_process_takes_over_meanwhile(fast: Project, form: str) -> None:
    """As `bluegreen rollback` does, from another terminal: how far it came is in the document, beside the error."""
    fast.configure(SLOW)
    with during(lambda: begun(fast), lambda: (fast.store / "fence").write_text("99\n")):
        compared("lost", form, fast, "--yes")


# -- named services ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_only_a_named_one_arrives(fast: Project, form: str) -> None:
    compared("named", form, fast, "shop/search", "--yes")
    assert [fast.live("plum", service) for service in fast.originals] == [2500, 10_000, 10_000]


@pytest.mark.parametrize("form", FORMS)
def test_one_that_was_not_named_is_rolled_back_where_it_is_bad(fast: Project, form: str) -> None:
    fast.traffic.bad = {"shop/cart"}
    compared("unnamed_went_back", form, fast, "shop/search", "--yes")
    assert [fast.live("plum", service) for service in fast.originals] == [0, 10_000, 10_000]


def begun(project: Project) -> bool:
    """Whether the first shift of a journal is at work: what it found is in effect."""
    path = project.store / "journal.jsonl"
    return path.exists() and '"op":"effect"' in path.read_text()


class during:
    """When `condition` holds in the `with` block, `act` is called, once."""

    def __init__(self, condition: Callable[[], bool], act: Callable[[], object]) -> None:
        self._condition, self._act = condition, act
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        until = time.monotonic() + 30
        while not self._ended.wait(0.02) and time.monotonic() < until:
            if self._condition():
                self._act()
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
