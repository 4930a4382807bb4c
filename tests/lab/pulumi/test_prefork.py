"""The engine's helpers run in forks of one prefork parent: each with its caller's place, and gone when its caller is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lab.forked_start import SOCKET_VARIABLE
from lab.layout import CHECKOUT
from lab.prefork import AHEAD
from lab.processes import start_time
from tests.lab.support.kit import eventually

CALLER = "import sys; from lab.forked_start import run; run('helper')"
HELPER = """
import json, os, signal, sys, time

def main():
    word, code = sys.argv[1:]
    seen = {"pid": os.getpid(), "parent": os.getppid(), "word": word, "folder": os.getcwd(), "mine": os.environ.get("MINE")}
    print(json.dumps(seen | {"ahead": "pulumi_eks" in sys.modules}), flush=True)
    sys.stderr.write(sys.stdin.readline())
    sys.exit(int(code))
"""


PASSING_ON = "import sys; from lab.forked_start import run_and_pass_on; run_and_pass_on('command', sys.argv.pop(1))"
COMMAND = """
import atexit, signal, sys, threading

def main():
    heard = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: (print("heard", number, flush=True), heard.set()))
    atexit.register(lambda: print("left", flush=True))
    print("ready", flush=True)
    heard.wait()
    sys.exit("a word")
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "command.py").write_text(COMMAND)
    return {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{tmp_path}", "MINE": "caller's"}


@pytest.fixture
def parent(tmp_path: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    path = tmp_path / "s"
    process = subprocess.Popen(
        [sys.executable, "-m", "lab.prefork", str(path), "pulumi_eks"], env=environment | {"MINE": "parent's"}
    )
    environment[SOCKET_VARIABLE] = str(path)
    try:
        eventually(path.exists, "the prefork parent's socket")
        yield process
    finally:
        process.kill()
        process.wait()


def call(environment: dict[str, str], folder: Path, code: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CALLER, "a word", str(code)],
        env=environment,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_line(caller: subprocess.Popen[str]) -> dict[str, object]:
    assert caller.stdout is not None
    seen: dict[str, object] = json.loads(caller.stdout.readline())
    return seen


def test_a_helper_has_its_callers_place(environment: dict[str, str], tmp_path: Path, parent: subprocess.Popen[bytes]) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    two = [call(environment, folder, code) for code in (0, 7)]
    for caller, code in zip(two, (0, 7), strict=True):
        seen = first_line(caller)
        assert seen["parent"] == parent.pid
        assert seen["ahead"]
        assert (seen["word"], seen["folder"], seen["mine"]) == ("a word", str(folder), "caller's")
        _, told = caller.communicate("said to it\n", timeout=60)
        assert told == "said to it\n"
        assert caller.returncode == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_helper_is_gone_when_its_caller_is(
    environment: dict[str, str], tmp_path: Path, parent: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    other = call(environment, tmp_path)
    with other, call(environment, tmp_path) as caller:
        untouched, helper = (int(str(first_line(each)["pid"])) for each in (other, caller))
        caller.send_signal(number)
        eventually(lambda: start_time(helper) is None, "the end of the helper")
        assert start_time(untouched) is not None
        assert parent.poll() is None
        other.communicate("go\n", timeout=60)
        assert other.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_handles_signals_as_any_program_does(
    environment: dict[str, str], tmp_path: Path, parent: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    words = [sys.executable, "-c", PASSING_ON, environment[SOCKET_VARIABLE]]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, env=environment, cwd=tmp_path, text=True, **streams) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
        caller.send_signal(number)
        output, log = caller.communicate(timeout=60)
    assert (caller.returncode, output, log) == (1, f"heard {number.value}\nleft\n", "a word\n")
    assert parent.poll() is None


def test_nothing_outlives_the_parent(environment: dict[str, str], tmp_path: Path, parent: subprocess.Popen[bytes]) -> None:
    with call(environment, tmp_path) as caller:
        helper = int(str(first_line(caller)["pid"]))
        parent.kill()
        assert caller.wait(60) == 1
        eventually(lambda: start_time(helper) is None, "the end of the helper")


@pytest.mark.parametrize("socket", [None, "nobody-listens"])
def test_without_a_parent_the_helper_runs_where_it_was_started(
    environment: dict[str, str], tmp_path: Path, socket: str | None
) -> None:
    environment.pop(SOCKET_VARIABLE, None)
    if socket:
        environment[SOCKET_VARIABLE] = str(tmp_path / socket)
    with call(environment, tmp_path, code=3) as caller:
        seen = first_line(caller)
        assert seen["pid"] == caller.pid
        assert not seen["ahead"]
        caller.communicate("\n", timeout=60)
        assert caller.returncode == 3


def test_what_is_imported_ahead_is_there() -> None:
    assert [name for name in AHEAD if find_spec(name) is None] == []
