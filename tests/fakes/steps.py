"""How much work Python code does, as a count that is the same on every machine: lines run, and each turn of a loop anew."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps(act: Callable[..., object]) -> int:
    """Lines that `act` runs in this thread; a comprehension counts each of its turns."""
    count = 0

    def line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        act()
    finally:
        sys.settrace(before)
    return count
