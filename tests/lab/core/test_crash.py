"""A lab that dies leaves nothing behind, and the next one of the same root cleans up what the kernel did not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.client import Lab, LabError
from lab.layout import CHECKOUT
from lab.processes import Program, Supervisor, end_leftovers, start_time
from tests.lab.support.kit import eventually

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def records(root: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in (root / "run").glob("*.json"):
        entry = json.loads(path.read_text())
        found[entry["name"]] = (entry["pid"], entry["started"])
    return found


def test_after_a_sigkill_the_root_starts_clean(tmp_path: Path) -> None:
    lab = Lab.start(tmp_path)
    try:
        lab.client.create_cluster("plum", "1.34")
        lab.client.wait_ready("plum")
        before = records(tmp_path)
        assert {"victoria-metrics", "plum/etcd", "plum/kube-apiserver", "plum/envoy", "plum/pods"} <= set(before)
        lab.process.kill()
        lab.process.wait()
    finally:
        lab.stop()
    eventually(lambda: not alive(before), "the end of all programs")
    with Lab.start(tmp_path) as again:
        assert again.client.clusters() == []
        assert not alive(before)
        kept = again.root / "lab.json"
        assert json.loads(kept.read_text())["services"]["control"] == again.client.url
    assert not alive(records(tmp_path))
    assert not kept.exists()


def test_a_root_holds_one_lab(lab: Any) -> None:
    with pytest.raises(LabError, match="runs already"):
        Lab.start(lab.root)


def test_lab_down_returns_when_the_lab_is_gone(tmp_path: Path) -> None:
    with Lab.start(tmp_path) as lab:
        began = start_time(lab.process.pid)
        before = records(tmp_path)
        command = [sys.executable, "-m", "lab", "down"]
        environment = {**os.environ, "BLUEGREEN_LAB_ROOT": str(tmp_path)}
        done = subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert start_time(lab.process.pid) != began
        assert not alive(before)
        assert (done.returncode, done.stdout) == (0, f"the lab in {tmp_path} has ended\n"), "it says so"
        done = subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "no lab runs" in done.stderr


def test_leftovers_are_known_by_pid_and_start_time(tmp_path: Path) -> None:
    """A pid that was given to somebody else since then is left alone."""
    left = subprocess.Popen(SLEEP, process_group=0)
    stranger = subprocess.Popen(SLEEP, process_group=0)
    try:
        for name, process, shift in (("left", left, 0), ("stranger", stranger, 1)):
            started = start_time(process.pid)
            assert started is not None
            entry = {"name": name, "pid": process.pid, "started": started + shift, "run": "r"}
            (tmp_path / f"{name}.json").write_text(json.dumps(entry))
        assert end_leftovers(tmp_path) == ["left"]
        assert left.wait(10) == -signal.SIGKILL
        assert stranger.poll() is None
        assert not list(tmp_path.glob("*.json"))
    finally:
        for process in (left, stranger):
            process.kill()
            process.wait()


def test_children_of_a_dead_leader_are_found_by_the_run(tmp_path: Path) -> None:
    script = f"import subprocess, sys; p = subprocess.Popen({SLEEP!r}, stdout=subprocess.DEVNULL); print(p.pid, flush=True)"
    environment = {**os.environ, "BLUEGREEN_LAB_RUN": "run-1"}
    leader = subprocess.Popen(
        [sys.executable, "-c", script], process_group=0, env=environment, stdout=subprocess.PIPE, text=True
    )
    started = start_time(leader.pid)
    child = int(leader.communicate()[0])
    begun = start_time(child)
    assert begun is not None
    entry = {"name": "leader", "pid": leader.pid, "started": started, "run": "run-1"}
    (tmp_path / "leader.json").write_text(json.dumps(entry))
    assert end_leftovers(tmp_path) == ["leader"]
    assert start_time(child) != begun


def test_a_program_that_ends_by_itself_is_started_again(tmp_path: Path) -> None:
    async def story() -> None:
        supervisor = Supervisor(tmp_path / "run")
        program = await supervisor.start(Program("one", SLEEP, tmp_path / "one.log"))
        assert program.process is not None
        first = program.process.pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(30):
            while program.restarts == 0 or not program.running:  # noqa: ASYNC110 - the supervisor has no such event
                await asyncio.sleep(0.02)
        assert program.process.pid != first
        assert records(tmp_path)["one"][0] == program.process.pid
        await supervisor.kill("one")
        assert not program.running
        await supervisor.revive("one")
        assert program.running
        await supervisor.stop_all()
        assert not program.running
        assert records(tmp_path) == {}

    asyncio.run(story())


def alive(found: dict[str, tuple[int, int]]) -> list[str]:
    return [name for name, (pid, started) in found.items() if start_time(pid) == started]
