"""The live view of `bluegreen shift` on a terminal: a line a service."""

from __future__ import annotations

from collections.abc import Callable

from rich.live import Live
from rich.table import Table

from migration.model import Phase
from migration.policy import Policy
from migration.shift import Shown

COLOURS = {
    Phase.RETURNED: "red",
    Phase.FROZEN: "magenta",
    Phase.ARRIVED: "green",
    Phase.BAKED: "bold green",
    Phase.MOVING: "cyan",
}


class View:
    def __init__(self, policy_of: Callable[[str], Policy]) -> None:
        self._policy_of = policy_of
        self._live = Live(refresh_per_second=4)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def show(self, shown: Shown) -> None:
        self._live.update(table(shown, self._policy_of))


def table(shown: Shown, policy_of: Callable[[str], Policy]) -> Table:
    made = Table("service", "green", "phase", "errors green", "errors blue", "left", "says", box=None, expand=True)
    for service, there in shown.services.items():
        policy, fast = policy_of(service), shown.fast.get(service)
        needed = policy.bake_seconds if there.phase is Phase.ARRIVED else policy.dwell_seconds
        left = f"{max(0.0, needed - there.dwell_seconds):.0f} s" if there.phase in (Phase.MOVING, Phase.ARRIVED) else ""
        made.add_row(
            service,
            f"{there.split_bp / 100:g} %",
            f"[{COLOURS.get(there.phase, 'white')}]{there.phase}[/]",
            _rate(fast.green_rate if fast else None),
            _rate(fast.blue_rate if fast else None),
            left,
            there.reason or (fast.reason if fast else ""),
        )
    return made


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.1%}"
