"""The live view of `bluegreen shift` on a terminal: a line a service."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from migration.model import Phase
from migration.settings.policy import Policy
from migration.shift.world import Shown

COLOURS = {
    Phase.RETURNED: "red",
    Phase.FROZEN: "magenta",
    Phase.ARRIVED: "green",
    Phase.BAKED: "bold green",
    Phase.MOVING: "cyan",
}


class View:
    """Redraws the table in place. What is logged meanwhile goes above it instead of through it.

    With NO_COLOR it is the same without colours: rich's Console looks at it by itself.
    """

    def __init__(self, policy_of: Callable[[str], Policy], console: Console | None = None) -> None:
        self._policy_of = policy_of
        self._live = Live(console=console, refresh_per_second=4)
        self._streams: list[tuple[logging.StreamHandler[Any], Any]] = []

    def start(self) -> None:
        """Draws the table, and leads the log's lines around it."""
        self._live.start()
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and sys.stderr.isatty():
                self._streams.append((handler, handler.setStream(sys.stderr)))  # which is the table's own now

    def stop(self) -> None:
        """Leaves the last table standing; the log writes as before."""
        for handler, stream in self._streams:
            handler.setStream(stream)
        self._live.stop()

    def show(self, shown: Shown) -> None:
        """Draws one tick."""
        self._live.update(table(shown, self._policy_of))


def table(shown: Shown, policy_of: Callable[[str], Policy]) -> Table:
    """A row for each service: shares, phase, rates and the seconds that are left of its dwell."""
    grid = Table(box=None, expand=True, pad_edge=False)
    grid.add_column("service", no_wrap=True)
    for name, width in (("green", 7), ("phase", 8), ("errors", 7), ("blue's", 7), ("left", 7)):
        grid.add_column(name, width=width, no_wrap=True, justify="left" if name == "phase" else "right")
    grid.add_column("", ratio=1, no_wrap=True, overflow="ellipsis")
    for service, state in shown.services.items():
        policy, fast = policy_of(service), shown.fast.get(service)
        needed = policy.bake_seconds if state.phase is Phase.ARRIVED else policy.dwell_seconds
        left = f"{max(0.0, needed - state.dwell_seconds):.0f} s" if state.phase in (Phase.MOVING, Phase.ARRIVED) else ""
        grid.add_row(
            service,
            f"{state.split_bp / 100:g} %",
            Text(str(state.phase), COLOURS.get(state.phase, "")),
            _rate(fast.green_rate if fast else None),
            _rate(fast.blue_rate if fast else None),
            left,
            Text(state.reason or (fast.reason if fast else "")),
        )
    return grid


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.1%}"
