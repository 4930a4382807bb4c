"""What `pause` and `resume` print."""

from __future__ import annotations

import getpass

import pytest

from tests.fakes.golden import same
from tests.fakes.project import Project

FORMS = {"txt": (), "json": ("--json",)}


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "kim")


def paused_by(project: Project, who: str) -> None:
    project.store.mkdir()
    (project.store / "pause").write_text(who)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("who", ["", "lee"], ids=["", "already"])
def test_pause(project: Project, who: str, form: str) -> None:
    if who:
        paused_by(project, who)
    same(f"pause{'.already' if who else ''}.{form}", project.ran(*FORMS[form], "pause"), project)
    assert (project.store / "pause").read_text() == (who or "kim")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("who", ["", "lee"], ids=["not paused", ""])
def test_resume(project: Project, who: str, form: str) -> None:
    if who:
        paused_by(project, who)
    same(f"resume{'' if who else '.not_paused'}.{form}", project.ran(*FORMS[form], "resume"), project)
    assert not (project.store / "pause").exists()
