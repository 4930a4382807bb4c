"""Why everything is as it is: an append-only file of JSON Lines in the store folder.

    {"seq": 7, "time": "2026-08-24T10:00:00.123Z", "fence": 3, "kind": "intent" | "outcome" | "note", "id": "3-7",
     "of": "3-6" | null, "op": "shift", "target": "shop/catalog", "before": 0, "after": 10, "reason": "..."}

On the way to green an intent is on disk (fsync) before its side effect; its outcome names it in `of`. An intent
without an outcome is open: whoever comes next looks at the live world. A last line that a crash tore is dropped when the
file is opened; any other line that cannot be read is a StoreError, because then something else wrote here.

Operations: shift (a split), rollback, entry, enroll, unenroll: with intents. Notes: start, stop, progress (dwell so far,
`after` = {service: seconds}), step (what came of the present step, `after` = {service: {blue, green, sent}}, each
{requests, errors, classes}), baseline (what blue answered so far, `after` = {service: {requests, errors, classes, latency_ms,
bins}}), effect, hold, return, keep (raised by somebody after it went back), freeze, thaw, retry, reassert, bake,
silent (gateway pods whose counters do not answer).

A disk that takes nothing: a promise raises, since nothing may be begun without it; records, outcomes and notes are kept and
written with the next line that can be, and `trouble` says so until then.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from migration import disk
from migration.errors import BluegreenError, StoreError
from migration.store.events import SPLITS, Change, Event, Kind, Op, Outcome, Value, open_intents, parsed
from migration.words import clean

log = logging.getLogger(__name__)
FILE = "journal.jsonl"
WHAT = "the journal"


class Journal:
    def __init__(self, store: Path, fence: int, wall: Callable[[], float]) -> None:
        """Raises StoreError where it cannot be read or opened for writing."""
        self.path = store / FILE
        self.fence = fence
        self._wall = wall
        disk.make_folder(store)
        self.events = read(self.path)
        self._refused: StoreError | None = None
        self._unwritten = b""
        self._seq = self.events[-1].seq if self.events else 0
        self._stream = self._open()

    def _open(self) -> IO[bytes]:
        with disk.as_store_error(self.path, f"{WHAT} cannot be opened for writing"):
            stream = self.path.open("ab+")
            try:
                stream.seek(0)
                content = stream.read()
                if content and not content.endswith(b"\n"):  # torn by a crash: it was never promised to be there
                    stream.truncate(content.rfind(b"\n") + 1)
                stream.seek(0, os.SEEK_END)
            except OSError:
                with suppress(OSError):
                    stream.close()
                raise
        return stream

    @property
    def trouble(self) -> str | None:
        """Why the last lines are not on disk yet."""
        return str(self._refused) if self._refused is not None else None

    def promise(self, op: Op, changes: Iterable[Change]) -> dict[str, str]:
        """On the way to green: ids by target, once all intents are on disk. Raises StoreError, and has them answered, where
        they are not.
        """
        changes = list(changes)
        ids = self.record(op, changes)
        if (problem := self._refused) is not None:
            self.not_done(op, ids, changes, problem)
            raise StoreError(str(problem), remedy=problem.remedy) from problem.__cause__
        return ids

    def record(self, op: Op, changes: Iterable[Change]) -> dict[str, str]:
        """On the way back, which waits for no disk: ids of the intents by target, written or not."""
        events = [self._make("intent", op, each.target, each.before, each.after, each.reason) for each in changes]
        self._append(events)
        return {event.target: event.id for event in events}

    def outcomes(self, op: Op, ids: Mapping[str, str], outcomes: Iterable[Outcome]) -> None:
        """`ids` of their intents by target; a target without one answers none."""
        self._append(
            [self._make("outcome", op, each.target, None, each.after, each.reason, ids.get(each.target)) for each in outcomes]
        )

    def not_done(self, op: Op, ids: Mapping[str, str], changes: Iterable[Change], problem: BluegreenError) -> None:
        """Answers intents of which nothing was begun."""
        self.outcomes(op, ids, [Outcome(each.target, each.before, f"not done: {problem}") for each in changes])

    def note(self, op: Op, target: str, after: Value = None, reason: str = "") -> None:
        """A line that answers no intent; not forced to disk (no fsync)."""
        self._append([self._make("note", op, target, None, after, reason)], sync=False)

    def try_again(self) -> None:
        """Writes what could not be written, if there is any."""
        if self._refused is not None:
            self._append([])

    def settle(self, splits: Mapping[str, int], reason: str) -> None:
        """Answers every open intent of a split with what is so now."""
        waiting = [event for event in open_intents(self.events) if event.op in SPLITS and event.target in splits]
        if waiting:
            self._append([self._make("outcome", e.op, e.target, None, splits[e.target], reason, e.id) for e in waiting])

    def _make(self, kind: Kind, op: str, target: str, before: Value, after: Value, reason: str, of: str | None = None) -> Event:
        self._seq += 1
        stamp = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Event(
            self._seq, stamp, self.fence, kind, f"{self.fence}-{self._seq}", of, op, target, before, after, clean(reason)
        )

    def _append(self, events: list[Event], *, sync: bool = True) -> None:
        self.events.extend(events)
        self._unwritten += b"".join(json.dumps(asdict(event), separators=(",", ":")).encode() + b"\n" for event in events)
        try:
            with disk.as_store_error(self.path, f"{WHAT} cannot be written"):
                self._flush(sync=sync)
        except StoreError as problem:
            self._refused = problem
        else:
            self._refused = None

    def _flush(self, *, sync: bool) -> None:
        while self._unwritten:
            self._unwritten = self._unwritten[os.write(self._stream.fileno(), self._unwritten) :]
        if sync:
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Raises nothing: what could not be written is tried once more, and told."""
        self.try_again()
        if self._unwritten:
            log.warning("%s; %d lines of it are lost", self._refused, self._unwritten.count(b"\n"))
        with suppress(OSError):  # what was promised is on disk by fsync
            self._stream.close()


def read(path: Path) -> list[Event]:
    """Without a last line that was torn; empty where there is no such file.

    Raises:
        StoreError: it cannot be read, or another line than the last is none of a journal.
    """
    lines = (disk.read_bytes(path, WHAT) or b"").split(b"\n")
    events = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is empty or torn
        try:
            events.append(parsed(json.loads(line)))
        except (ValueError, TypeError, RecursionError) as problem:
            raise StoreError(
                f"{path}:{number}: not a line of a journal: {line[:80].decode(errors='replace')!r}",
                remedy=f"restore {path} from a copy, or move it away: the live splits stay as they are",
            ) from problem
    return events
