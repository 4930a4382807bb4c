"""Writes the splits of a run: forward intent, file, gateways, outcome; back gateways first, file and journal after.

A gateway that cannot be written is owed its write (shift/gateways.py). A file that cannot be is owed it here, and nothing goes
forward meanwhile. What somebody else changed in the file is found here too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from migration.errors import BluegreenError
from migration.model import Move, Phase, ServiceState, Side
from migration.settings.stack_file import Change as FileChange
from migration.settings.stack_file import Edge
from migration.shift.effect import Effect
from migration.shift.gateways import SIDES, Gateways, Intent
from migration.shift.observe import Observer
from migration.shift.report import Reporter
from migration.shift.services import Services
from migration.shift.world import World
from migration.store.events import Change, Op, Outcome
from migration.store.record import write_record

log = logging.getLogger(__name__)
BLUE: frozenset[Side] = frozenset({"blue"})


class Writer:
    """Owns the generation, by whose gateways users come in, and what the file does not have yet."""

    def __init__(
        self, world: World, services: Services, gateways: Gateways, observer: Observer, reporter: Reporter, effect: Effect
    ) -> None:
        self._world, self._services, self._gateways = world, services, gateways
        self._observer, self._reporter, self._effect = observer, reporter, effect
        self.generation = 0
        self.entry_sides: frozenset[Side] = BLUE
        self.owed: dict[str, int] = {}  # splits that the file does not have yet
        self._trouble: str | None = None  # why no step was written down the last time
        self._reported: str | None = None

    def begin(self, edge: Edge, generation: int) -> None:
        """Takes over the entry's sides and the generation with which the run begins."""
        self.generation, self.entry_sides = generation, sides_of_entry(edge)

    @property
    def intent(self) -> Intent:
        """What both gateways should have now."""
        return self._services.splits(), self.generation

    @property
    def stuck(self) -> str | None:
        """Why what must be on disk before a step cannot be written."""
        return self._trouble or self._world.journal.trouble

    # -- splits ------------------------------------------------------------------------------------------------------

    async def forward(self, moves: Sequence[Move], before: Mapping[str, ServiceState]) -> None:
        """Raises LostFence, and what kept file or journal from being written; then no gateway was."""
        targets, changes = _targets(moves), _changes(moves, before)
        self._reporter.baselines(targets)  # blue may fall silent by this
        self._observer.step_written(targets)
        ids = self._world.journal.promise(Op.SHIFT, changes)
        try:
            self.generation = self._world.file.write(services=targets, generation=self.generation + 1).generation
        except BluegreenError as problem:
            self._world.journal.not_done(Op.SHIFT, ids, changes, problem)
            raise
        await self._gateways.write(list(targets), self.intent)
        self._written(moves, ids)

    async def back(self, moves: Sequence[Move], before: Mapping[str, ServiceState]) -> None:
        """Raises LostFence alone."""
        targets = _targets(moves)
        over = [move.service for move in moves if move.over]
        self.generation += 1
        self._gateways.forget(over)
        users = [side for side in SIDES if side in self.entry_sides]
        await self._gateways.write(list(targets), self.intent, wait_for=users, over=over)
        self._write_file(targets)
        self._written(moves, self._world.journal.record(Op.SHIFT, _changes(moves, before)))

    def _written(self, moves: Iterable[Move], ids: Mapping[str, str]) -> None:
        foreign = self._gateways.foreign
        done = [Outcome(move.service, move.to_bp, move.reason) for move in moves if move.service not in foreign]
        self._world.journal.outcomes(Op.SHIFT, ids, done)
        for move in moves:
            log.info("%s: %g %%: %s", move.service, move.to_bp / 100, move.reason)
            self._effect.watch(move.service)

    # -- the entry ---------------------------------------------------------------------------------------------------

    async def entry_is_back(self, edge: Edge, shares: Mapping[str, int], why: str) -> None:
        """The entry is all at blue, by `shares`: file, journal and records follow, as well as they can."""
        self.entry_sides = BLUE
        self._gateways.entry_is(shares)
        changes = [Change(name, edge.entry.get(name, 0), share, why) for name, share in shares.items()]
        ids = self._world.journal.record(Op.ENTRY, changes)
        try:
            edge = self._world.file.write(entry=shares, generation=self.generation + 1)
            self.generation = edge.generation
        except BluegreenError as problem:
            self.not_written(problem)
        self._world.journal.outcomes(Op.ENTRY, ids, [Outcome(name, share, why) for name, share in shares.items()])
        await write_record(self._world.clusters, edge)

    # -- the file ----------------------------------------------------------------------------------------------------

    def _write_file(self, splits: Mapping[str, int]) -> None:
        """What the gateways have already."""
        self.see_file()
        try:
            edge = self._world.file.write(services={**self.owed, **splits}, generation=self.generation)
        except BluegreenError as problem:
            self.owed |= splits
            self.not_written(problem)
        else:
            self.generation, self.owed, self._trouble = edge.generation, {}, None

    def not_written(self, problem: BluegreenError) -> None:
        """A disk that takes nothing may take it again, a file that is broken may be mended."""
        self._trouble = self._world.journal.trouble or str(problem)
        if self._trouble != self._reported:
            log.warning("%s; nothing moves forward, what turns bad is rolled back", self._trouble)
        self._reported = self._trouble

    def try_again(self) -> None:
        """Writes what file and journal are owed, if they take it now."""
        if self.owed:
            self._write_file({})
        else:
            self._trouble = None
        self._world.journal.try_again()

    def see_file(self) -> None:
        """Takes over what somebody else changed in it; what of that freezes services is in `foreign` of the gateways."""
        try:
            change = self._world.file.changed_by_others()
            if change is None:
                return
            edge = self._world.file.read()
        except BluegreenError as problem:
            self.not_written(problem)
            return
        if self._gateways.force:
            self.owed |= {service: split for service, split in self._services.splits().items() if service in change.services}
            return
        for each in foreign_of(change, edge, self._services.states):
            self._gateways.freeze(each.service, f"{self._world.file.path} was changed: {each.change}", each.raised_bp)
        if change.whole:
            self.entry_sides = sides_of_entry(edge)


@dataclass(frozen=True)
class Foreign:
    """A service that is frozen by what somebody else made of the file. `raised_bp`: green's share there, where ours is 0."""

    service: str
    change: str
    raised_bp: int | None = None


def foreign_of(change: FileChange, edge: Edge, states: Mapping[str, ServiceState]) -> list[Foreign]:
    """Those whose shares were changed; all of them, where sides or entry were. `edge`: the file as it is now. Pure."""
    foreign = []
    for service, state in states.items():
        if service in change.services:
            now = edge.services.get(service, 0)
            if state.phase is Phase.RETURNED and now == 0 and service in edge.services:
                continue  # as it is on the gateways
            foreign.append(Foreign(service, change.services[service], now if state.split_bp == 0 else None))
        elif change.whole and state.phase not in (Phase.RETURNED, Phase.HELD):
            foreign.append(Foreign(service, change.text))
    return foreign


def sides_of_entry(edge: Edge) -> frozenset[Side]:
    """By whose gateways users come in."""
    names: dict[Side, str] = {"blue": edge.blue, "green": edge.green or ""}
    return frozenset(side for side in SIDES if edge.entry.get(names[side], 0) > 0) or BLUE


def _targets(moves: Iterable[Move]) -> dict[str, int]:
    return {move.service: move.to_bp for move in moves}


def _changes(moves: Iterable[Move], before: Mapping[str, ServiceState]) -> list[Change]:
    return [Change(move.service, before[move.service].split_bp, move.to_bp, move.reason) for move in moves]
