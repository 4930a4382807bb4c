"""The way back, planned: what a rollback is going to write, and what is to be said of what came of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from migration.errors import BluegreenError, Unreachable
from migration.model import WHOLE_BP, RouterState
from migration.settings.stack_file import Edge
from migration.shift.proof import Proof
from migration.shift.witness import Others
from migration.words import counted, some

MOST_NAMED = 5  # services of a kind that are named in words; `--json` has all


@dataclass(frozen=True)
class WayBack:
    """`services` go back; `splits`: what every route should have then; `entry`: the shares with which nobody enters by green
    any more, empty where the entry stays; `through_green`: whether users enter by green now.
    """

    services: tuple[str, ...]
    splits: Mapping[str, int]
    generation: int
    entry: Mapping[str, int] = field(default_factory=dict)
    through_green: bool = False

    def along_with(self, others: Others) -> WayBack:
        """With the services that only the clusters know of."""
        return replace(
            self,
            services=(*self.services, *others.services),
            splits={**self.splits, **dict.fromkeys(others.services, 0)},
        )


def way_back(edge: Edge, services: Sequence[str], missing: Collection[str]) -> WayBack:
    """`missing`: those asked for whose originals the files do not have. The entry goes along where all does that green
    serves.
    """
    everything = {*services, *missing} >= {service for service, split in edge.services.items() if split > 0}
    return WayBack(
        services=tuple(services),
        splits={**edge.services, **dict.fromkeys(services, 0)},
        generation=edge.generation + 1,
        entry=edge.entry_at_blue if edge.green_entry_bp and everything else {},
        through_green=bool(edge.green_entry_bp),
    )


def to_write(services: Sequence[str], filed: Mapping[str, int], live: RouterState | None) -> list[str]:
    """Those with most users on green first. What was read as back already is left out; what was not read (`live` is None)
    goes by the file's splits (`filed`).
    """
    on_green = {}
    for service in services:
        route = live.routes.get(service) if live else None
        if route is None or route.split_bp is None:
            on_green[service] = filed.get(service, 0) if live is None else WHOLE_BP
        elif route.split_bp or route.probe_bp != 0:
            on_green[service] = route.split_bp
    return sorted(on_green, key=lambda service: -on_green[service])


def doubted(services: Iterable[str], live: RouterState) -> list[str]:
    """Services whose file is not what the live route was made of."""
    return [service for service in services if (route := live.routes.get(service)) and route.split_bp is None]


def unwritten(problem: BluegreenError) -> Proof:
    """What is known of a gateway whose route was not written, by the problem."""
    return Proof.UNREACHABLE if isinstance(problem, Unreachable) else Proof.FAILED


def worst(proofs: Mapping[str, Proof]) -> Proof:
    """SERVED where there are none."""
    order = list(Proof)
    return max(proofs.values(), key=order.index, default=Proof.SERVED)


def not_back(services: Iterable[str], proofs: Mapping[str, Proof], problems: Mapping[str, BluegreenError]) -> dict[str, str]:
    """Why blue's gateway may still forward it, by service. `proofs` and `problems`: of blue's side."""
    return {
        service: str(problem) if problem else "blue's gateway does not serve it yet"
        for service in services
        if (problem := problems.get(service)) or proofs[service] is Proof.FAILED
    }


def by_problem(problems: Mapping[str, object]) -> str:
    """Services by what is wrong with them, in one line."""
    groups: dict[str, list[str]] = {}
    for service, problem in problems.items():
        groups.setdefault(str(problem), []).append(service)
    words = [f"{some(names, MOST_NAMED)}: {problem}" for problem, names in list(groups.items())[:MOST_NAMED]]
    return "; ".join(words) + (f"; and {len(groups) - MOST_NAMED} other reasons" if len(groups) > MOST_NAMED else "")


def behind(left: Mapping[str, str], services: Collection[str]) -> str:
    """What users suffer from. `left`: as of `not_back`."""
    share = f"{len(left)} of {counted(len(services), 'service')}"
    return f"blue's gateway may still forward {share} to green: {some(left)}"
