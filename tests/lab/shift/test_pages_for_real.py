"""A gateway of three pods, watched page by page: pods go while services move."""

from __future__ import annotations

from typing import Any

from tests.lab.support.kit import eventually
from tests.lab.support.shifting import PATIENCE, IdlePod, Project

BLIND_SAMPLES = 4


def silent(project: Project, side: str, urls: list[str]) -> Any:
    """What `status` says of that side's pages when these alone are silent: a busy machine may keep another one waiting."""

    def counters() -> Any:
        read = project.run("status")["counters"][side]
        return read if list(read["silent"]) == urls else None

    return eventually(counters, f"{side}'s silent pages: {urls}")


def test_a_shift_is_blind_only_without_any_page(project: Project) -> None:
    good, bad, plum = project.good, project.bad, project.plum
    project.idle["plum"] = [IdlePod(), IdlePod()]
    slow = {bad: {"policy": {"dwell_seconds": 600}}}
    project.configure(services=slow, metrics=False, steps_bp=[2000, 10_000], error_limit=BLIND_SAMPLES)
    real, second, third = project.pages(plum)
    assert silent(project, "blue", []) == {"cluster": "plum", "pages": 3, "silent": {}}
    with project.load() as users:
        running = project.begin("shift", "--yes")
        project.await_step(bad, 2000)
        project.idle["plum"][1].close()
        seen = len(project.eyes["plum"].readings)
        silent(project, "blue", [third])
        silent(project, "green", [])
        eventually(lambda: project.events("bake", good), f"{good} baked by the pages that are left", PATIENCE)
        eventually(lambda: len(project.eyes["plum"].readings) > seen + 3 * BLIND_SAMPLES, "many more samples", PATIENCE)
        assert not project.events("return")
        assert running.poll() is None
        for page in (project.eyes["plum"], project.idle["plum"][0]):
            page.close()
        result, told = project.ended(running, 4)
        assert sorted(result["returned"]) == sorted(project.services), told
        for why in result["returned"].values():
            assert why.startswith("no counters from the gateway for")
            assert all(url in why for url in (real, second, third))
        silent(project, "blue", [real, second, third])
        project.assert_back(good)
        project.assert_back(bad)
    assert not [each.failed for each in users.values() if each.failed]
