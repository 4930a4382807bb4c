"""In which order services move: batches of units (groups, or single services), in the order of what they need. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from migration.errors import ConfigError

Unit = tuple[str, ...]
Batches = tuple[tuple[Unit, ...], ...]


@dataclass(frozen=True)
class Order:
    """In which order services move: batches of units, and what each service needs before it.

    `stay`: services that this run does not move forward. Where green serves them they are judged, and go back, like all.
    `held`: by configuration. They move no further, nor does their group; who waits for nobody else does not wait for them.
    """

    batches: Batches
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stay: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()

    def parks(self, unit: Unit) -> bool:
        """Whether a service of the unit is held, so that none of it moves."""
        return not self.held.isdisjoint(unit)


def make_order(
    services: Iterable[str],
    groups: Sequence[Sequence[str]],
    depends_on: Mapping[str, Sequence[str]],
    first_batch: int,
    batch: int,
) -> Order:
    """Units in dependency order, a few in the first batch, then more. A group is never split over batches."""
    known = sorted(services)
    unit_of: dict[str, Unit] = {}
    for group in groups:
        unit = tuple(service for service in group if service in known)
        unit_of.update(dict.fromkeys(unit, unit))
    for service in known:
        unit_of.setdefault(service, (service,))
    needs = {service: tuple(need for need in depends_on.get(service, ()) if need in known) for service in known}
    sorted_units: list[Unit] = []
    visiting: list[Unit] = []

    def visit(unit: Unit) -> None:
        if unit in sorted_units:
            return
        if unit in visiting:
            circle = " -> ".join(u[0] for u in [*visiting[visiting.index(unit) :], unit])
            raise ConfigError(
                f"services depend on each other in a circle: {circle}",
                remedy="put them into one group in migration.yaml",
            )
        visiting.append(unit)
        for service in unit:
            for need in needs[service]:
                if unit_of[need] != unit:
                    visit(unit_of[need])
        visiting.pop()
        sorted_units.append(unit)

    for service in known:
        visit(unit_of[service])
    return Order(batched(sorted_units, first_batch, batch), needs)


def batched(units: Iterable[Unit], first_batch: int, batch: int) -> Batches:
    """In their order, so many services each; a unit is never split."""
    batches: list[tuple[Unit, ...]] = []
    current: list[Unit] = []
    for unit in units:
        size = first_batch if not batches else batch
        if current and sum(map(len, current)) + len(unit) > size:
            batches.append(tuple(current))
            current = []
        current.append(unit)
    if current:
        batches.append(tuple(current))
    return tuple(batches)
