"""What a run begins with: for each service where it goes on, and what has to be written and noted for that. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from migration.errors import Held
from migration.model import Move, Phase, RouterState, ServiceState, Side
from migration.settings.stack_file import Edge
from migration.shift.recover import Start, Traces, Wish, recover
from migration.shift.world import Rules
from migration.store import returned
from migration.store.memory import Remembered

STAYS_BACK = (Phase.RETURNED, Phase.FROZEN)


@dataclass(frozen=True)
class Beginning:
    """`kept`: reasons by service that the clusters keep of those that went back."""

    starts: Mapping[str, Start]
    moves: tuple[Move, ...]
    kept: Mapping[str, str]

    def states(self, now: float) -> dict[str, ServiceState]:
        """A frozen service is watched from now on, whatever its gateways serve."""
        return {
            service: replace(start.state, in_effect_at=now) if start.state.phase is Phase.FROZEN else start.state
            for service, start in self.starts.items()
        }

    def to_keep(self) -> dict[str, str | None]:
        """What the clusters should keep from now on: reasons of those that went back, None of those that were tried again."""
        back = {
            service: start.state.reason
            for service, start in self.starts.items()
            if start.state.phase is Phase.RETURNED and service not in self.kept
        }
        on = [s for s in self.kept if s in self.starts and self.starts[s].state.phase not in STAYS_BACK]
        return {**back, **dict.fromkeys(on)}


def beginning(
    edge: Edge,
    live: Mapping[Side, RouterState],
    memory: Mapping[str, Remembered],
    rules: Rules,
    retry: Collection[str],
    *,
    elsewhere: bool,
) -> Beginning:
    """`live`: what each gateway's cluster holds. `elsewhere`: another store has written there."""
    kept = returned.kept(live)
    starts: dict[str, Start] = {}
    moves: list[Move] = []
    for service, split in edge.services.items():
        routes = {side: state.routes.get(service) for side, state in live.items()}
        wish = Wish(hold=service in rules.held, retry=service in retry, reassert=rules.reassert)
        traces = Traces(split, routes, memory.get(service, Remembered()), kept.get(service), elsewhere)
        start = starts[service] = recover(traces, wish)
        if start.write and start.state.phase is not Phase.FROZEN:
            highest = max(split, *((route.split_bp or 0) if route else 0 for route in routes.values()))
            back = start.state.split_bp < highest
            moves.append(Move(service, start.state.split_bp, "as it was left", back=back))
    return Beginning(starts, tuple(moves), kept)


def refuse_older(edge: Edge, live: int, path: Path) -> None:
    """Of another store's file only the newest tells where users should be; an older one would take them back."""
    if edge.generation < live:
        raise Held(
            f"{path} is of generation {edge.generation}, live is {live}, which another store wrote: nothing was changed",
            remedy=f"get the newest {path.name} (git pull), then `bluegreen shift`; `bluegreen rollback` needs none",
        )
