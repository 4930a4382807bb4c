"""`bluegreen` as people run it: in a process of its own, without a terminal.

The process is a fork of one that has imported all of it: the lab's tests start the command hundreds of times, and most of a
start is the same imports. tests/install and tests/unit start it from nothing.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import migration
from lab.processes import die_with_parent
from tests.lab.support.kit import eventually

PATIENCE_SECONDS = 300
# Without site-packages: what waits for the fork imports nothing.
CALLER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from lab.forked_start import run_and_pass_on
run_and_pass_on("migration.cli.main", sys.argv.pop(1))
"""
CHECKOUT = Path(migration.__file__).parents[1]


_turns = itertools.cycle(range(2))  # two runs in a row do not have sets in one order


@functools.cache
def _prefork(number: int) -> Path:
    """The socket of a process that forks; it ends with this one."""
    folder = tempfile.TemporaryDirectory(prefix="bluegreen-")
    path = Path(folder.name) / "prefork.sock"
    modules = (each.name for each in pkgutil.walk_packages(migration.__path__, "migration.") if "__main__" not in each.name)
    process = subprocess.Popen(
        [sys.executable, "-m", "lab.prefork", str(path), *modules],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )

    def end() -> None:
        process.kill()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    eventually(path.exists, "the process that forks")
    return path


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    """Starts `bluegreen WORDS`."""
    command = [sys.executable, "-S", "-c", CALLER, str(CHECKOUT), str(_prefork(next(_turns))), *words]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **streams, **options)


def begin(config: Path, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts `bluegreen --config CONFIG WORDS`; options of the command itself (`--json`) are the first words."""
    return start("--config", str(config), *words, env={**os.environ, **(environment or {}), "NO_COLOR": "1"})


def ended(process: subprocess.Popen[str], codes: Collection[int] = (0,)) -> tuple[str, str]:
    """What it printed on stdout and on stderr, when it has ended with one of these codes and without a traceback."""
    try:
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode in codes, f"exit {process.returncode}, expected {codes}\n{output}\n{errors}"
    assert "Traceback" not in errors, errors
    return output, errors


def run(config: Path, *words: str, codes: Collection[int] = (0,)) -> tuple[str, str]:
    return ended(begin(config, *words), codes)
