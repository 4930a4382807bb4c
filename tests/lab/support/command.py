"""`bluegreen` as people run it: in a process of its own, without a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

PATIENCE_SECONDS = 300


def begin(config: Path, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts `bluegreen --config CONFIG WORDS`; options of the command itself (`--json`) are the first words."""
    return subprocess.Popen(
        [sys.executable, "-m", "migration", "--config", str(config), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {}), "NO_COLOR": "1"},
    )


def ended(process: subprocess.Popen[str], codes: Collection[int] = (0,)) -> tuple[str, str]:
    """What it printed on stdout and on stderr, when it has ended with one of these codes and without a traceback."""
    try:
        output, told = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode in codes, f"exit {process.returncode}, expected {codes}\n{output}\n{told}"
    assert "Traceback" not in told, told
    return output, told


def run(config: Path, *words: str, codes: Collection[int] = (0,)) -> tuple[str, str]:
    return ended(begin(config, *words), codes)
