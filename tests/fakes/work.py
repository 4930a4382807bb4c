"""Counts work instead of seconds, which a busy machine would make longer."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class TooMuch(AssertionError):
    """More work than allowed: said at once, not when it is done."""


@dataclass
class Work:
    calls: int = 0


@contextmanager
def counted(most: int | None = None) -> Iterator[Work]:
    """Calls of functions, in this thread and in those that begin meanwhile."""
    work = Work()

    def see(frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            work.calls += 1
            if most is not None and work.calls > most:
                raise TooMuch(f"more than {most} calls")

    before, collects = sys.getprofile(), gc.isenabled()
    gc.collect()
    gc.disable()  # what others left behind is not this one's work
    threading.setprofile(see)
    sys.setprofile(see)
    try:
        yield work
    finally:
        sys.setprofile(before)
        threading.setprofile(before)
        if collects:
            gc.enable()
