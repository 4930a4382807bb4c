"""Says how far a long wait is: on a terminal one line of stderr that is rewritten, else a line of the log a minute.

A command that reads 20,000 objects or waits for pods must not look as if it hung; a pipeline's log must not fill up.
Only what is shown is decided here; the steps call `Progress.at` as they go on, or nothing at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from migration.cli.clock import SystemClock

log = logging.getLogger(__name__)
REDRAWN_SECONDS = 1.0
LOGGED_SECONDS = 60.0
Step = Callable[[int, int, str], None]  # done, of how many, what has just been done or is waited for


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds from an unknown start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits without holding up the event loop."""
        ...


@dataclass
class Progress:
    """How far one wait is. `of` 0: how much there is to do is not known."""

    what: str
    done: int = 0
    of: int = 0
    last: str = ""

    def at(self, done: int, of: int, last: str) -> None:
        """Notes how far it is: done, of how many, and what was done last or is waited for."""
        self.done, self.of, self.last = done, of, last


def text(progress: Progress, seconds: float, *, width: int = 0) -> str:
    """`writing to fern: 120 of 800 (Deployment shop/web), 35 s`; cut to `width` where that is not 0."""
    head = progress.what
    if progress.of:
        head += f": {progress.done} of {progress.of}"
    ago = f", {seconds:.0f} s" if seconds < 120 else f", {seconds / 60:.0f} min"
    last = f" ({progress.last})" if progress.last else ""
    if width and len(head + last + ago) > width:
        room = width - len(head + ago) - len(" (…)")
        last = f" ({progress.last[:room]}…)" if room > 8 else ""
    whole = head + last + ago
    return whole[:width] if width else whole


class Line:
    """One line of stderr that is rewritten. What the log says meanwhile goes above it. A terminal that is gone is left
    alone: the work goes on without the line.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._to = write
        self._shown = 0
        self._gone = False

    def _write(self, words: str) -> None:
        if not self._gone:
            try:
                self._to(words)
            except (OSError, ValueError):  # ValueError: closed
                self._gone = True

    def show(self, line: str) -> None:
        """Writes the line over the one before."""
        self._write(f"\r{line.ljust(self._shown)}")
        self._shown = len(line)

    def erase(self) -> None:
        """Leaves the terminal's line empty."""
        if self._shown:
            self._write(f"\r{' ' * self._shown}\r")
            self._shown = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """As a filter of the log's handlers: takes the line away before they write theirs."""
        self.erase()
        return True


@asynccontextmanager
async def shown(
    what: str, *, quiet: bool = False, clock: Clock | None = None, line: Line | None = None
) -> AsyncIterator[Progress]:
    """Within, how far it is can be seen. `quiet`: never rewrites a line (--json); `line`: where to, tests say."""
    progress = Progress(what)
    clock = clock or SystemClock()
    if line is None and not quiet and sys.stderr.isatty():
        line = Line(_to_stderr)
    telling = asyncio.ensure_future(_rewrite(progress, clock, line) if line else _log(progress, clock))
    handlers = logging.getLogger().handlers if line else []
    for handler in handlers:
        handler.addFilter(line)  # type: ignore[arg-type]  # `line` is set where there are handlers
    try:
        yield progress
    finally:
        for handler in handlers:
            handler.removeFilter(line)  # type: ignore[arg-type]  # as above
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
        if line:
            line.erase()


def announced(progress: Progress, longest_seconds: float, hint: str) -> Step:
    """Like `progress.at`; the first time that there is something to wait for the log says at once for what and how long."""
    said = False

    def at(done: int, of: int, last: str) -> None:
        nonlocal said
        progress.at(done, of, last)
        if not said and done < of and longest_seconds > 0:
            said = True
            log.info("waiting up to %g s for %d of %d (%s); %s", longest_seconds, of - done, of, last, hint)

    return at


async def _rewrite(progress: Progress, clock: Clock, line: Line) -> None:
    began = clock.monotonic()
    while True:
        await clock.sleep(REDRAWN_SECONDS)
        line.show(text(progress, clock.monotonic() - began, width=shutil.get_terminal_size().columns - 1))


async def _log(progress: Progress, clock: Clock) -> None:
    began = clock.monotonic()
    while True:
        await clock.sleep(LOGGED_SECONDS)
        log.info("still %s", text(progress, clock.monotonic() - began))


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()
