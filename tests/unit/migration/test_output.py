"""What a command says must not end what it does: outputs that fail before, within and after an act."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from migration.cli import main as cli
from migration.cli.output import Patient
from migration.cli.progress import Line, shown
from tests.fakes.clock import FakeClock, run
from tests.fakes.project import SPLITS, Project

ROOT = Path(__file__).parents[3]
FULL, PIPE = OSError(errno.ENOSPC, "No space left on device"), BrokenPipeError(errno.EPIPE, "Broken pipe")
CLOSED = ValueError("I/O operation on closed file")


class Failing(io.StringIO):
    """Takes so many writes, and no more; `late`: fails as it is flushed."""

    def __init__(self, problem: Exception, takes: int = 0, *, late: bool = False) -> None:
        super().__init__()
        self.problem, self.takes, self.late = problem, takes, late

    def write(self, text: str) -> int:
        self.takes -= 1
        if self.takes < 0 and not self.late:
            raise self.problem
        return super().write(text)

    def flush(self) -> None:
        if self.takes < 0:
            raise self.problem


@pytest.mark.wide(6)
@pytest.mark.parametrize("late", [False, True], ids=["written", "flushed"])
@pytest.mark.parametrize("takes", [0, 1, 3])
@pytest.mark.parametrize(("problem", "code"), [(FULL, 1), (PIPE, 141), (CLOSED, 1)], ids=["full", "pipe", "closed"])
def test_an_output_that_fails_stops_no_command(
    project: Project, monkeypatch: pytest.MonkeyPatch, problem: Exception, code: int, takes: int, late: bool
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(problem, takes, late=late))
    done = cli.run(["-c", str(project.file), "rollback"])
    monkeypatch.undo()
    err = project._capsys.readouterr().err
    assert project.at_blue() == set(SPLITS)
    assert done == code
    assert ("stdout cannot be written" in err) is (code == 1)
    assert "fault of bluegreen" not in err
    assert "Traceback" not in err


def test_a_plan_that_cannot_be_printed_stops_no_command_that_has_its_yes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.edge.read_text()
    monkeypatch.setattr(sys, "stdout", Failing(PIPE))
    done = cli.run(["-c", str(project.file), "unenroll", "shop/search", "--yes"])
    monkeypatch.undo()
    assert "shop/search" in before
    assert "shop/search" not in project.edge.read_text()
    assert done == 141


def test_a_plan_that_cannot_be_printed_is_never_asked_about(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = project.edge.read_text()
    monkeypatch.setattr(sys, "stdout", Failing(FULL))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda *_: "y")
    done = cli.run(["-c", str(project.file), "unenroll", "shop/search"])
    monkeypatch.undo()
    assert project.edge.read_text() == before
    assert done == 3
    assert "only the plan" in project._capsys.readouterr().err


def test_what_went_wrong_counts_more_than_an_output_that_failed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(PIPE))
    assert cli.run(["-c", str(project.file), "--json", "enroll", "shop/nothing"]) == 2
    monkeypatch.undo()
    assert "shop/nothing" in project._capsys.readouterr().err


def test_a_stderr_that_fails_is_no_failure(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Failing(FULL))
    done = cli.run(["-c", str(project.file), "rollback"])
    monkeypatch.undo()
    assert done == 0
    assert project.at_blue() == set(SPLITS)


@pytest.mark.wide(4)
@pytest.mark.parametrize("redirect", [">&-", ">/dev/full", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("words", ["--help", "--version", "schema", "completion bash"])
def test_a_process_whose_output_is_closed_or_full_ends_in_words(redirect: str, words: str) -> None:
    command = f"{sys.executable} -m migration {words} {redirect}"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ)
    assert done.returncode == (0 if redirect == "2>&-" else 1)
    if "2>" not in redirect:
        assert "stdout cannot be written" in done.stderr
        assert "no space left" in done.stderr.lower() or "closed" in done.stderr
    for word in ("Traceback", "Exception ignored", "fault of bluegreen"):
        assert word not in done.stderr


def test_a_broken_pipe_that_is_none_of_stdout_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(_: Any) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("migration.cli.console.Context.load", act)
    assert cli.run(["resume"]) == 1
    assert "BrokenPipeError" in capsys.readouterr().err


def test_letters_that_a_locale_lacks_are_written_otherwise() -> None:
    raw = io.BytesIO()
    stream = Patient(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("12 → 13 …")
    stream.flush()
    assert raw.getvalue() == rb"12 \u2192 13 \u2026"
    assert stream.trouble is None


@pytest.mark.parametrize("problem", [FULL, OSError(errno.EIO, "Input/output error"), CLOSED], ids=repr)
def test_a_terminal_that_is_gone_stops_no_command(problem: Exception) -> None:
    tried: list[str] = []

    def write(text: str) -> None:
        tried.append(text)
        if len(tried) > 2:
            raise problem

    async def act() -> str:
        async with shown("writing to fern", clock=FakeClock(), line=Line(write)) as progress:
            for done in range(10):
                progress.at(done, 10, "x")
                await asyncio.sleep(1.1)
                logging.getLogger(__name__).info("meanwhile")
            return "done"

    assert run(act()) == "done"
    assert len(tried) == 3, "it is left alone"
