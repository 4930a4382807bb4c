"""What `shift` is about to do, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from migration.model import WHOLE_BP
from migration.views.document import Document, described
from migration.words import percent, some


@dataclass(frozen=True)
class ShiftPlan:
    """Shares are green's, in basis points (2500 is 25 %)."""

    blue: str = described("the cluster that services leave")
    green: str = described("the cluster that they go to")
    steps_bp: tuple[int, ...] = described("the shares that each service takes, one after the other, in basis points")
    dwell_seconds: float = described("seconds that each step lasts at least")
    batches: Sequence[Sequence[Sequence[str]]] = described(
        "what moves, one batch after the other: groups of services that move together"
    )
    splits: Mapping[str, int] = described("green's share of each enrolled service now, by the stack file, in basis points")
    held: tuple[str, ...] = described("services with `hold: true` in migration.yaml: they do not move")
    returned: Mapping[str, str] = described("services that were rolled back before, and why: they do not move without --retry")
    stays: tuple[str, ...] = described(
        "services that were not named: where green serves them they are judged and may be rolled back"
    )
    unverified: Mapping[str, str] = described("why a service that moves is not known to work on green")
    paused: str | None = described("who paused; nothing moves until `bluegreen resume`; null: not paused")
    window_open: bool = described(
        "whether the time is in one of the `windows` of migration.yaml; outside of them nothing moves"
    )
    pause_ends: str | None = described("what ends the pause, in words; null: not paused", default=None)

    def lines(self) -> list[str]:
        """Batches, what does not move and why, and whether it is paused."""
        steps = ", ".join(percent(step) for step in self.steps_bp)
        lines = [f"{self.blue} -> {self.green}, steps {steps}, at least {self.dwell_seconds:g} s each"]
        for number, batch in enumerate(self.batches, start=1):
            lines.append(f"  batch {number}: " + ", ".join(map(self._unit, batch)))
        if not any(self._moves(service) for batch in self.batches for unit in batch for service in unit):
            lines.append("  nothing to move: what is at 100 % is watched until its bake is over")
        lines += [f"  held: {service}: services.{service}.hold is true in migration.yaml" for service in self.held]
        lines += [f"  stays at blue: {s}: rolled back: {why}; `--retry {s}` tries it again" for s, why in self.returned.items()]
        served = [service for service in self.stays if self.splits[service]]
        if served:
            shares = some(f"{service} at {percent(self.splits[service])}" for service in served)
            lines.append(f"  not named: {shares}: judged, rolled back if they turn bad, not moved forward")
        if self.paused:
            lines.append(f"paused by {self.paused}: nothing moves forward; {self.pause_ends}")
        if not self.window_open:
            lines.append("outside of the windows in migration.yaml: nothing moves forward until one opens")
        return lines

    def warnings(self) -> list[str]:
        """A line for each service that is not known to work on green."""
        return [f"warning: {service}: {why}; `bluegreen verify {service}`" for service, why in self.unverified.items()]

    def _moves(self, service: str) -> bool:
        return self.splits[service] < WHOLE_BP and service not in self.held and service not in self.returned

    def _unit(self, unit: Sequence[str]) -> str:
        words = [self._service(service) for service in unit]
        return words[0] if len(words) == 1 else f"[{' + '.join(words)}, together]"

    def _service(self, service: str) -> str:
        split = self.splits[service]
        return f"{service} {percent(split)}" + (f" -> {percent(WHOLE_BP)}" if self._moves(service) else "")


@dataclass(frozen=True)
class ShiftEnd(Document):
    """What became of each service that was to move; with the plan alone where it was not begun."""

    command: ClassVar[str] = "shift"
    plan: ShiftPlan = described("what it was about to do")
    begun: bool = described("whether it was begun; false: nothing was changed", default=False)
    interrupted: bool = described("whether it was stopped (Ctrl-C, SIGTERM); its state is saved", default=False)
    arrived: tuple[str, ...] = described("services at 100 % of those that it was to move", default=())
    returned: Mapping[str, str] = described("services that it rolled back, and why", default_factory=dict)
    behind: Mapping[str, str] = described("services that did not get to 100 %, and why", default_factory=dict)
    frozen: Mapping[str, str] = described(
        "services that another client changed, and how: they move no further", default_factory=dict
    )
    splits: Mapping[str, int] = described(
        "green's share of each enrolled service as this run left it, in basis points", default_factory=dict
    )
    unverified: Mapping[str, str] = described("as in the plan", default_factory=dict)

    def between(self) -> list[str]:
        """Served by both clusters, and watched by nobody when this has ended."""
        return [service for service, split in self.splits.items() if 0 < split < WHOLE_BP]

    def lines(self) -> list[str]:
        """What became of each service: those at 100 % first."""
        lines = [f"arrived: {', '.join(self.arrived) or 'none'}"]
        lines += [f"rolled back: {service}: {why}" for service, why in self.returned.items()]
        lines += [f"frozen: {service}: {why}" for service, why in self.frozen.items()]
        lines += [self._behind(service, why) for service, why in self.behind.items()]
        lines += [
            f"not named: {service} stays at {percent(self.splits[service])}, and is not watched from here on; "
            f"`bluegreen shift {service}` moves it, `bluegreen rollback {service}` puts it back"
            for service in self.between()
            if service in self.plan.stays and service not in self.frozen
        ]
        return lines

    def _behind(self, service: str, why: str) -> str:
        split = self.splits.get(service, 0)
        return f"left at {percent(split)}: {service}: {why}" if split else f"not moved: {service}: {why}"


def why_behind(split_bp: int, why: str) -> str:
    """`why`: what the loop knows; empty where nothing but the end of the run kept the service."""
    return why or ("this ended before its next step" if split_bp else "its turn had not come")
