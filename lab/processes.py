"""Starts the lab's programs and sees that none outlives the lab.

Three nets, since each has a hole:

1. A child asks the kernel to be killed when its parent dies (PR_SET_PDEATHSIG): catches a SIGKILL of the lab.
2. Each child leads a process group, ended as a whole when the lab ends.
3. Before it executes the program, the child itself writes RUN/NAME.json with its pid and its start time (clock ticks since
   boot, field 22 of /proc/PID/stat). The next start ends what is still alive of these: a pid counts only with the same
   start time, so a number that was given to somebody else since then is left alone. What a dead leader's group still holds
   is known by the run's id in its environment (BLUEGREEN_LAB_RUN).

A program that ends without being asked is started again, as a kubelet would, with growing pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 4.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.3, 10.0
STEADY_SECONDS = 30.0
RUN_VARIABLE = "BLUEGREEN_LAB_RUN"
GO = {"GOGC": "300"}  # most of the programs are Go's and make much garbage as they start: a few 0.1 GB buy seconds

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Program:
    """One program of the lab: how it is started and, while it runs, its process."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    process: asyncio.subprocess.Process | None = None
    wanted: bool = True
    restarts: int = 0
    keeper: asyncio.Task[None] | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def last_words(self) -> str:
        """The last line of the log that looks like a reason."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-40:]
        except OSError:
            return ""
        bad = [line for line in lines if any(word in line.lower() for word in ("error", "fatal", "panic", "critical"))]
        return (bad or lines or [""])[-1][:400]


class Supervisor:
    """Holds the running programs of one lab. All methods run in the event loop's thread: PDEATHSIG watches that thread."""

    def __init__(self, run_folder: Path) -> None:
        self.run_folder = run_folder
        self.run_id = uuid.uuid4().hex
        self.programs: dict[str, Program] = {}
        run_folder.mkdir(parents=True, exist_ok=True)

    async def start(self, program: Program) -> Program:
        """Starts it and keeps it running until `stop` or `kill`. Raises when it cannot be executed at all."""
        if program.name in self.programs and self.programs[program.name].running:
            raise RuntimeError(f"{program.name} already runs")
        program.wanted = True
        self.programs[program.name] = program
        await self._spawn(program)
        program.keeper = asyncio.create_task(self._keep(program), name=f"keep {program.name}")
        return program

    async def stop(self, name: str, grace: float = GRACE_SECONDS) -> None:
        """SIGTERM to the group, SIGKILL after `grace`; returns when the program is gone."""
        program = self.programs.pop(name, None)
        if program is not None:
            await self._end(program, grace)

    async def kill(self, name: str) -> None:
        """SIGKILL, and it stays down until `revive`: for tests of what happens then."""
        program = self.programs[name]
        await self._end(program, grace=0)

    async def revive(self, name: str) -> None:
        """Starts again what `kill` ended."""
        program = self.programs[name]
        if not program.running:
            await self.start(program)

    async def stop_all(self, names: Sequence[str] | None = None, grace: float = GRACE_SECONDS) -> None:
        """Ends these programs (all, when not told) at the same time."""
        await asyncio.gather(*(self.stop(name, grace) for name in list(names if names is not None else self.programs)))

    async def _spawn(self, program: Program) -> None:
        record = self.run_folder / f"{program.name.replace('/', '.')}.json"
        parent, run_id, name = os.getpid(), self.run_id, program.name

        def before_exec() -> None:
            die_with_parent()
            if os.getppid() != parent:  # the lab died between fork and prctl
                os._exit(1)
            text = json.dumps({"name": name, "pid": os.getpid(), "started": start_time(os.getpid()), "run": run_id})
            temporary = f"{record}.new"
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.write(handle, text.encode())
            os.close(handle)
            os.rename(temporary, record)  # noqa: PTH104 - few calls between fork and exec

        program.log.parent.mkdir(parents=True, exist_ok=True)
        with program.log.open("ab") as log:
            program.process = await asyncio.create_subprocess_exec(
                *program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=program.cwd,
                env={**GO, **os.environ, **program.env, RUN_VARIABLE: run_id},
                preexec_fn=before_exec,
                process_group=0,
            )
        program.started.set()

    async def _keep(self, program: Program) -> None:
        pause = FIRST_PAUSE_SECONDS
        while program.wanted and program.process is not None:
            began = time.monotonic()
            code = await program.process.wait()
            if not program.wanted:
                return
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            program.restarts += 1
            print(f"{program.name} ended with {code}: {program.last_words()}; starting it again", file=sys.stderr)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            await self._spawn(program)

    async def _end(self, program: Program, grace: float) -> None:
        program.wanted = False
        if program.keeper is not None:
            program.keeper.cancel()
        process = program.process
        if process is None:
            return
        if process.returncode is None:
            if grace:
                _signal_group(process.pid, signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), grace)
            _signal_group(process.pid, signal.SIGKILL)
            await process.wait()
        (self.run_folder / f"{program.name.replace('/', '.')}.json").unlink(missing_ok=True)


def die_with_parent() -> None:
    """Asks the kernel to kill this process when the thread that forked it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is no such process (a zombie counts as none)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - runs between fork and exec
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def end_leftovers(run_folder: Path, patience: float = 10.0) -> list[str]:
    """Ends what a crashed run recorded in this folder and is still alive; returns the names. Waits until it is gone."""
    names: list[str] = []
    waiting: list[tuple[int, int]] = []
    for record in sorted(run_folder.glob("*.json")):
        try:
            entry: dict[str, Any] = json.loads(record.read_text())
            pid, started, run = int(entry["pid"]), entry["started"], str(entry["run"])
        except (OSError, ValueError, KeyError, TypeError):
            record.unlink(missing_ok=True)
            continue
        alive = [(pid, started)] if started is not None and start_time(pid) == started else []
        alive += [(member, begun) for member, begun in _group(pid, run) if member != pid]
        for member, begun in alive:
            if start_time(member) == begun:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(member, signal.SIGKILL)
        if alive:
            names.append(str(entry.get("name", pid)))
            waiting += alive
        record.unlink(missing_ok=True)
    deadline = time.monotonic() + patience
    while any(start_time(pid) == started for pid, started in waiting) and time.monotonic() < deadline:
        time.sleep(0.02)
    return names


def _group(leader: int, run: str) -> list[tuple[int, int]]:
    """Members of the leader's process group that carry the run's id in their environment."""
    marker = f"{RUN_VARIABLE}={run}".encode()
    members = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if os.getpgid(int(folder.name)) != leader or marker not in (folder / "environ").read_bytes().split(b"\0"):
                continue
        except OSError:
            continue
        started = start_time(int(folder.name))
        if started is not None:
            members.append((int(folder.name), started))
    return members


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
