"""One run of the bench: the lab that it measures on, its rows so far, and the time that it may take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.bench.ratios import Row, table
from lab.client import Lab, LabError
from lab.demo.story import Story

PAIRS = 3
LIMIT_SECONDS = 750.0  # since the bench began
PROGRAM_SECONDS = 180.0
BIN = Path(sys.executable).parent


@dataclass
class Bench:
    lab: Lab
    story: Story
    say: Callable[[str], None]
    began: float
    rows: list[Row]

    def add(self, measurement: Row) -> None:
        self.rows.append(measurement)
        self.say(table([measurement]).splitlines()[1].strip())

    def few(self, done: int) -> None:
        if done < PAIRS:
            self.say(f"only {done} of {PAIRS} pairs: this machine is busy with something else")

    def in_time(self) -> None:
        if time.monotonic() > self.began + LIMIT_SECONDS:
            raise LabError(f"the bench is not done after {LIMIT_SECONDS:.0f} s: this machine is busy with something else")

    def run(self, *command: str, given: str | None = None, expect: Sequence[int] = (0,)) -> str:
        """One whole program that ends with an expected code; what it printed."""
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False,
            env={**os.environ, **self.story.project.environment}, cwd=self.story.project.folder,
        )  # fmt: skip
        if done.returncode not in expect:
            raise LabError(f"{' '.join(command[:6])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return done.stdout


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
