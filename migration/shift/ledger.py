"""Fence and journal of a rollback, as far as they can be had: a full disk or a torn journal stands in nobody's way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration.errors import StoreError
from migration.settings.stack_file import Edge
from migration.shift.rolled import REASON
from migration.store.events import Change, Op, Outcome
from migration.store.journal import Journal
from migration.store.lock import Lock, take_over


@dataclass(frozen=True)
class Ledger:
    """`problems`: what could not be had, in words."""

    lock: Lock
    journal: Journal | None
    problems: tuple[str, ...] = ()

    def enter(self, edge: Edge, services: Sequence[str], reason: str) -> str | None:
        """Gives why it is not on disk."""
        if self.journal is None:
            return None
        ids = self.journal.record(Op.ROLLBACK, [Change(s, edge.services.get(s), 0, reason) for s in services])
        self.journal.outcomes(Op.ROLLBACK, ids, [Outcome(service, 0, reason) for service in services])
        for service in services:
            if edge.services.get(service, 0) > 0:
                self.journal.note(Op.RETURN, service, reason=words(reason))
        return self.journal.trouble

    def close(self) -> None:
        """Closes the journal where there is one. Raises nothing."""
        if self.journal is not None:
            self.journal.close()


async def open_ledger(store: Path, wall: Callable[[], float]) -> Ledger:
    """Raises nothing."""
    problems = []
    try:
        lock = await take_over(store)
    except StoreError as problem:
        lock = Lock(store, 0)
        problems.append(f"{problem}; a running `bluegreen shift` does not know: stop it")
    journal = None
    try:
        journal = Journal(store, lock.fence, wall)
    except StoreError as problem:
        problems.append(f"this is not in the journal: {problem}")
    return Ledger(lock, journal, tuple(problems))


def words(reason: str) -> str:
    """Why a service went back, as the journal, the clusters and `status` have it."""
    return reason if reason == REASON else f"{REASON}: {reason}"
