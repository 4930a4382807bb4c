"""What `capacity` and `capacity release` say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from migration.capacity.floors import FloorChange, Floors
from migration.model import Side
from migration.views.document import Document, described
from migration.words import counted


@dataclass(frozen=True)
class Floor:
    side: Side = described("of which cluster")
    cluster: str = described("its name")
    object: str = described(
        "kind and name: `HorizontalPodAutoscaler shop/web`; empty: all of the cluster, which cannot be read"
    )
    field: str = described("`minReplicas` or `replicas`")
    before: int | None = described("how many replicas it was; null: nothing was set")
    after: int = described("how many replicas it is to be")
    reason: str = described("why this number")
    problem: str = described("why it is not so; empty where it is")

    def __str__(self) -> str:
        if not self.object:
            return f"{self.cluster}: {self.problem}"
        was = "none" if self.before is None else str(self.before)
        change = f"{was} -> {self.after}" if self.before != self.after else f"stays {was}"
        why = self.problem or self.reason
        return f"{self.cluster}: {self.object} {self.field} {change}" + (f" ({why})" if why else "")


def floor(change: FloorChange, problem: str = "") -> Floor:
    """The row of a change. `problem`: why it could not be done; empty: the change's own."""
    name = f"{change.resource.kind} {change.namespace}/{change.name}" if change.name else ""
    return Floor(
        *(change.side, change.cluster, name, change.field, change.before, change.after, change.reason),
        problem or change.problem,
    )


@dataclass(frozen=True)
class Capacity(Document):
    """The floors (minimum numbers of replicas) that both clusters are to hold while the migration runs."""

    command: ClassVar[str] = "capacity"
    floors: tuple[Floor, ...] = described("what is to be raised; empty: every floor holds already")
    raised: tuple[Floor, ...] = described("of these, what was raised, and on green is ready")
    failed: tuple[Floor, ...] = described("of these, what was not, each with its problem: exit 3")
    seconds: float = described("seconds that it took, with the wait for pods to be ready")

    def lines(self) -> list[str]:
        """How many floors were raised, and each that was not."""
        if not self.floors:
            return ["every floor holds already"]
        done = f"{counted(len(self.raised), 'floor')} raised in {self.seconds:.1f} s"
        return [done, *(f"  FAILED {each}" for each in self.failed)]


def planned(changes: Iterable[FloorChange]) -> Capacity:
    """The document before anything is raised."""
    return Capacity(tuple(map(floor, changes)), (), (), 0.0)


def raised(plan: Capacity, floors: Floors) -> Capacity:
    """The plan with what came of it."""
    failed = tuple(floor(change, why) for change, why in floors.failed)
    return replace(plan, raised=tuple(map(floor, floors.done)), failed=failed, seconds=round(floors.seconds, 3))


@dataclass(frozen=True)
class Released(Document):
    """The floors that are put back to what was there before `capacity`."""

    command: ClassVar[str] = "capacity release"
    floors: tuple[Floor, ...] = described("what is to be put back; empty: no floor is held")
    released: tuple[Floor, ...] = described("what was put back")
    kept: tuple[Floor, ...] = described("what stays a floor for now, each with the reason")
    failed: tuple[Floor, ...] = described("what is a floor still, each with its problem: exit 3")

    def lines(self) -> list[str]:
        """How many floors were put back, and each that was not."""
        lines = [f"  kept {each}" for each in self.kept] + [f"  FAILED {each}" for each in self.failed]
        if not self.floors and not lines:
            return ["no floor is held"]
        if not self.floors and not self.failed:
            return ["nothing to put back yet", *lines]
        return [f"{counted(len(self.released), 'floor')} put back", *lines]


def releasing(changes: Iterable[FloorChange]) -> Released:
    """The document before anything is put back."""
    listed = list(changes)
    kept, failed = (tuple(floor(c) for c in listed if keep(c)) for keep in (_kept, _failed))
    return Released(tuple(floor(c) for c in listed if not _kept(c) and not _failed(c)), (), kept, failed)


def released(plan: Released, came: Iterable[FloorChange]) -> Released:
    """The plan with what came of it."""
    done = releasing(came)
    return replace(done, floors=plan.floors, released=done.floors)


def plan_lines(document: Capacity | Released) -> list[str]:
    """What is about to be done, for the confirmation: a line for each floor."""
    word = "put back" if isinstance(document, Released) else "raise"
    lines = [f"{word} {each}" for each in document.floors if not each.problem]
    lines += [f"cannot {word} {each}" for each in document.floors if each.problem]
    if isinstance(document, Released):
        lines += [f"keep {each}" for each in document.kept] + [f"cannot put back {each}" for each in document.failed]
    return lines


def _kept(change: FloorChange) -> bool:
    return change.kept


def _failed(change: FloorChange) -> bool:
    return bool(change.problem) and not change.kept
