"""A signal ends every command in its own words, whatever it waits for: as real processes, against servers that are silent."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from migration.objects.kinds import Resource
from tests.fakes.project import Project

ROOT = Path(__file__).parents[3]
MAIN = "from migration.cli.main import main; main()"
# as from a terminal, even where the tests run under nohup or in the background of a shell, which ignore some for all below
PROGRAM = f"""\
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
{MAIN}
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_SECONDS = 60.0  # for a process to come to where it waits
FAST = """\
policy:
  {steps_bp: [5000, 10000], dwell_seconds: 300, bake_seconds: 0.3, sample_interval_seconds: 0.1, min_requests: 1}
"""


@contextmanager
def silent() -> Iterator[tuple[int, threading.Event]]:
    """A port that takes connections and never answers; whether one came."""
    came, kept = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return
                came.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    for each in kept:
        each.close()


def at_silent(project: Project, port: int) -> None:
    for name in project.servers:
        path = project.folder / f"{name}.kubeconfig"
        host = {"plum": "127.0.0.1", "fern": "localhost"}[name]  # two clusters
        path.write_text(re.sub(r"127\.0\.0\.1:\d+", f"{host}:{port}", path.read_text()))


def stopped(project: Project, number: int, ready: Callable[[], bool], *words: str, times: int = 1) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of the command, which gets the signal once it is ready."""
    arguments = [sys.executable, "-c", PROGRAM, "-c", str(project.file), *words]
    with subprocess.Popen(
        arguments, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until = time.monotonic() + LONGEST_SECONDS
        while not ready():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        for _ in range(times):
            process.send_signal(number)
        out, err = process.communicate(timeout=30)
    return process.returncode, out, err


CASES = [
    *(
        (words, signal.SIGTERM)
        for words in (
            ("status",),
            ("verify",),
            ("enroll", "--yes"),
            ("unenroll", "shop/search", "--yes"),
            ("replicate", "--yes"),
            ("capacity", "--yes"),
            ("capacity", "release", "--yes"),
            ("preflight",),
        )
    ),
    *((words, number) for words in (("rollback",), ("shift", "--yes")) for number in SIGNALS),
    (("status",), signal.SIGHUP),
]


@pytest.mark.wide(4)
@pytest.mark.parametrize(("words", "number"), CASES, ids=lambda value: value.name if hasattr(value, "name") else value[0])
def test_a_stopped_command_that_waits_for_a_silent_server_prints_its_document(
    project: Project, words: tuple[str, ...], number: signal.Signals
) -> None:
    with silent() as (port, came):
        at_silent(project, port)
        code, out, err = stopped(project, number, came.is_set, "--json", *words)
    assert code == 130, err
    document = json.loads(out)
    assert document["command"] == " ".join(words[:2] if words[1:2] == ("release",) else words[:1])
    assert (document["error"]["kind"], document["error"]["exit_code"]) == ("interrupted", 130)
    assert document["error"]["remedy"]
    assert "bluegreen: interrupted" in err
    assert "Traceback" not in err
    if words == ("rollback",):
        assert (document["interrupted"], document["complete"], document["back"]) == (True, False, [])
        assert sorted(document["not_back"]) == sorted(project.originals)
        assert "`bluegreen rollback` again" in document["error"]["remedy"]


@pytest.mark.wide(1)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_rollback_that_is_stopped_says_what_is_back(project: Project, number: signal.Signals) -> None:
    def seconds(verb: str, resource: Resource, name: str) -> float:
        return 4.0 if verb == "apply" and name == "cart" else 0.0

    project.servers["plum"].seconds = seconds
    code, out, err = stopped(project, number, lambda: "shop/pay" in project.at_blue(), "--json", "rollback")
    assert code == 130, err
    document = json.loads(out)
    assert set(document["back"]) | set(document["not_back"]) == set(project.originals)
    assert "shop/cart" in document["not_back"]
    assert "shop/search" in document["back"], "it was at blue before"
    assert document["error"]["kind"] == "interrupted"
    assert project.live("plum", "shop/cart") == 2500


@pytest.mark.wide(1)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_running_shift_saves_where_it_is(project: Project, number: signal.Signals) -> None:
    project.watched = True
    project.configure(FAST)
    journal = project.store / "journal.jsonl"
    code, out, err = stopped(
        project, number, lambda: journal.exists() and "start" in journal.read_text(), "--json", "shift", "--yes"
    )
    assert code == 130, err
    document = json.loads(out)
    assert (document["begun"], document["interrupted"], document["error"]["kind"]) == (True, True, "interrupted")
    assert '"op":"stop"' in journal.read_text()


def test_a_command_that_asks_ends_at_the_first_signal(project: Project) -> None:
    """A question on a terminal: one signal is enough."""
    leader, follower = os.openpty()
    arguments = [sys.executable, "-c", PROGRAM, "-c", str(project.file), "--json", "unenroll", "shop/search"]
    with subprocess.Popen(
        arguments, cwd=ROOT, stdin=follower, stdout=subprocess.PIPE, stderr=follower, text=True, start_new_session=True
    ) as process:
        os.close(follower)
        told = b""
        while b"Continue?" not in told:
            told += os.read(leader, 4096)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    os.close(leader)
    assert process.returncode == 130
    assert json.loads(out)["error"]["kind"] == "interrupted"
    assert "shop/search" in project.edge.read_text()


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(project: Project) -> None:
    """As under nohup."""
    program = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); {MAIN}"
    with silent() as (port, came):
        at_silent(project, port)
        arguments = [sys.executable, "-c", program, "-c", str(project.file), "--json", "status"]
        with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert came.wait(LONGEST_SECONDS)
            process.send_signal(signal.SIGHUP)
            out, err = process.communicate(timeout=60)
    assert "interrupted" not in out + err
    assert json.loads(out)["services"]
