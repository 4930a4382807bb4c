"""What `pause` and `resume` print."""

from __future__ import annotations

import getpass

import pytest

from tests.fakes.golden import same
from tests.fakes.project import Project

COMMANDS = ("pause", "resume")


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "kim")


@pytest.mark.parametrize("words", COMMANDS)
def test_text(project: Project, words: str) -> None:
    same(f"{words}.txt", project.ran(words), project)


@pytest.mark.parametrize("words", COMMANDS)
def test_json(project: Project, words: str) -> None:
    same(f"{words}.json", project.ran("--json", words), project)
