"""What a running shift sees on real gateways: classes of answers, what was before a step, and what somebody else changed."""

from __future__ import annotations

import json
import re

import pytest

import routing
from tests.lab.support.kit import eventually
from tests.lab.support.shifting import ERRORS, MENDED, Project

DENIED = {"lab.bluegreen.io/errors": "1", "lab.bluegreen.io/status": "401"}
MOVED = {"lab.bluegreen.io/errors": "1", "lab.bluegreen.io/status": "301"}
HELD_BACK = {"policy": {"dwell_seconds": 600}}


@pytest.mark.parametrize(
    ("fault", "name"), [pytest.param(DENIED, "401/403", id="401"), pytest.param(MOVED, "3xx", id="301", marks=pytest.mark.long)]
)
def test_a_green_that_answers_every_request_so_is_rolled_back(project: Project, fault: dict[str, str], name: str) -> None:
    # a busy machine may keep the page waiting for some seconds, which is not what is asked here
    project.configure(services={project.good: {"hold": True}, project.bad: HELD_BACK}, metrics=False, error_limit=100)
    with project.load():
        running = project.begin("shift", "--yes")
        project.await_step(project.bad, 500)
        project.fern.annotate_pods(project.namespace, "bad", fault)
        result, told = project.ended(running, 4)
    assert f"answers {name}" in result["returned"][project.bad], told
    project.assert_back(project.bad)


def test_a_fixed_service_is_retried_at_once_within_the_stores_window(project: Project) -> None:
    bad = project.bad
    project.configure(services={project.good: {"hold": True}}, analysis_window_seconds=600, fail_limit=1)
    with project.load() as users:
        project.fern.annotate_pods(project.namespace, "bad", ERRORS)
        result = project.run("shift", "--yes", code=4)
        assert list(result["returned"]) == [bad]
        project.fern.annotate_pods(project.namespace, "bad", MENDED)
        result = project.run("shift", "--yes", "--retry", bad, code=3)  # the other one is held
        assert (result["arrived"], result["returned"]) == ([bad], {})
    assert not users[bad].failed


def forwards(project: Project, service: str) -> bool:
    """Whether blue's public route sends a part to green."""
    live = project.plum.api.get(project.path(service))
    assert live is not None
    return routing.forwards(live)


def test_a_service_frozen_by_a_changed_share_is_still_rolled_back(project: Project) -> None:
    good, bad = project.services
    project.configure(services={good: HELD_BACK, bad: HELD_BACK}, metrics=False)
    with project.load():
        running = project.begin("shift", "--yes")
        project.await_step(good, 500)
        project.await_step(bad, 500)
        text = re.sub(rf'("?{bad}"?): 500', r"\1: 700", project.edge.read_text())
        project.edge.write_text(text + "  bluegreen:ttl: 30\n")
        eventually(lambda: project.events("freeze", bad), "the freeze of what was changed")
        project.fern.annotate_pods(project.namespace, "bad", ERRORS)
        eventually(lambda: project.split(bad) == (0, 0), "the way back of what is frozen", 60)
        assert not project.events("freeze", good), "a changed TTL freezes nothing"
        assert "bluegreen:ttl: 30" in project.edge.read_text()
        (back,) = eventually(lambda: project.events("return", bad), "a note of the return")
        assert "500 -> 700" in back["reason"]
        # somebody applies the old file: green gets users again, and loses them again
        for cluster in (project.plum, project.fern):
            live = cluster.api.get(project.path(bad))
            assert live is not None
            as_it_was = json.loads(json.dumps(project.spec(cluster, good)).replace("good", "bad"))  # good is at 5 % still
            cluster.api.request("PUT", project.path(bad), {**live, "spec": as_it_was})
        eventually(lambda: project.events("keep", bad), "that it stays back", 60)
        eventually(lambda: not forwards(project, bad), "blue's route, which sends nothing to green again")
        assert project.split(good) == (500, 500)
        running.terminate()
        project.ended(running, 130)
