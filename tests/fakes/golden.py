"""What a command prints, compared with a file of tests/golden. `BLUEGREEN_GOLDEN=write` writes them anew: read the diff."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.fakes.project import Project, Ran

FOLDER = Path(__file__).parents[1] / "golden"
COMPARED: set[str] = set()  # names of the files of this run
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "TIME"),
    # what was measured, each by its place; settings and limits, which are seconds too, stay as they are
    (re.compile(r"\b(in effect after|raised in|unchanged in) \d+\.\d+ s\b"), r"\g<1> N s"),
    (re.compile(r'("seconds": )\d+\.\d+(e-\d+)?'), r"\g<1>0.0"),
    (re.compile(r"\d+ errors in \d+ requests [^(]*\(100\.00%\), blue 0 of \d+"), "ERRORS"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"'127\.0\.0\.1', \d+"), "'127.0.0.1', PORT"),
)


def same(name: str, ran: Ran, project: Project, *, warnings: bool = False) -> None:
    """`name` is the file; what differs from run to run (folder, ports, times, durations) has a word in its place.

    `warnings`: with what was logged.
    """
    text = f"exit {ran.code}\n-- stdout\n{ran.out}-- stderr\n{ran.err}"
    # a machine that is busy for seconds has a write tried again, which changes nothing of the end
    logged = [line for line in project.warnings().splitlines(keepends=True) if "could not be written, tried again" not in line]
    if warnings and logged:
        text += f"-- logged\n{''.join(logged)}"
    text = text.replace(str(project.folder), "FOLDER")
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    path = FOLDER / name
    COMPARED.add(name)
    if os.environ.get("BLUEGREEN_GOLDEN") == "write":
        path.write_text(text)
    assert path.is_file(), f"{path} is missing: BLUEGREEN_GOLDEN=write writes it"
    assert text == path.read_text()
