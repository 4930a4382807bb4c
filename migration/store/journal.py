"""Why everything is as it is: an append-only file of JSON Lines in the store folder.

    {"seq": 7, "time": "2026-08-24T10:00:00.123Z", "fence": 3, "kind": "intent" | "outcome" | "note", "id": "3-7",
    "of": "3-6" | null,
     "op": "shift", "target": "shop/catalog", "before": 0, "after": 10, "reason": "..."}

On the way to green an intent is on disk (fsync) before its side effect; its outcome names it in `of`. An intent
without an outcome is open: whoever comes next looks at the live world. A last line that a crash tore is dropped when the
file is opened; any other line that cannot be read is a StoreError, because then something else wrote here.

Operations: shift (a split), rollback, entry, enroll, unenroll: with intents. Notes: start, stop, progress (dwell so far,
`after` = {service: seconds}), step (what came of the present step, `after` = {service: {blue, green, sent}}, each
{requests, errors, classes}), baseline (what blue answered so far, `after` = {service: {requests, errors, classes, latency_ms,
bins}}), effect, hold, return, keep (raised by somebody after it went back), freeze, thaw, retry, reassert, bake,
silent (gateway pods whose counters do not answer).

A disk that takes nothing: an intent raises, since nothing may be begun without it; outcomes and notes are kept and written
with the next line that can be, and `trouble` says so until then.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

from migration import disk
from migration.errors import StoreError
from migration.model import Baseline, Step, Tally
from migration.words import clean

log = logging.getLogger(__name__)
FILE = "journal.jsonl"
WHAT = "the journal"
Kind = Literal["intent", "outcome", "note"]


@dataclass(frozen=True)
class Event:
    seq: int
    time: str
    fence: int
    kind: Kind
    id: str
    of: str | None
    op: str
    target: str
    before: Any = None
    after: Any = None
    reason: str = ""


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

    def intents(self, op: str, changes: Iterable[tuple[str, Any, Any, str]], *, needed: bool = True) -> dict[str, str]:
        """(target, before, after, reason) each. Gives the id by target.

        `needed`: all are on disk when this returns, or it raises StoreError. On the way back they are not.
        """
        made = [self._make("intent", op, target, before, after, reason) for target, before, after, reason in changes]
        self._append(made)
        ids = {event.target: event.id for event in made}
        if needed and self._refused is not None:
            problem = self._refused
            self.outcomes(op, ids, {event.target: (event.before, f"not done: {problem}") for event in made})
            raise StoreError(str(problem), remedy=problem.remedy) from problem.__cause__
        return ids

    def outcomes(self, op: str, ids: Mapping[str, str], results: Mapping[str, tuple[Any, str]]) -> None:
        made = [
            self._make("outcome", op, target, None, after, why, ids.get(target)) for target, (after, why) in results.items()
        ]
        self._append(made)

    def note(self, op: str, target: str, after: Any = None, reason: str = "", *, before: Any = None) -> None:
        self._append([self._make("note", op, target, before, after, reason)], sync=False)

    def try_again(self) -> None:
        """Writes what could not be written, if there is any."""
        if self._refused is not None:
            self._append([])

    def settle(self, splits: Mapping[str, int], reason: str) -> None:
        """Answers every open intent of a split with what is so now."""
        waiting = [event for event in open_intents(self.events) if event.op in ("shift", "rollback") and event.target in splits]
        made = [self._make("outcome", e.op, e.target, None, splits[e.target], reason, e.id) for e in waiting]
        if made:
            self._append(made)

    def _make(self, kind: Kind, op: str, target: str, before: Any, after: Any, reason: str, of: str | None = None) -> Event:
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
                self._flush(sync)
        except StoreError as problem:
            self._refused = problem
        else:
            self._refused = None

    def _flush(self, sync: bool) -> None:
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
            events.append(_event(json.loads(line)))
        except (ValueError, TypeError, RecursionError) as problem:
            raise StoreError(
                f"{path}:{number}: not a line of a journal: {line[:80].decode(errors='replace')!r}",
                remedy=f"restore {path} from a copy, or move it away: the live splits stay as they are",
            ) from problem
    return events


def _event(told: dict[str, Any]) -> Event:
    event = Event(**told)
    texts = (event.time, event.kind, event.id, event.op, event.target, event.reason, event.of or "")
    if not isinstance(event.seq, int) or not isinstance(event.fence, int) or not all(isinstance(each, str) for each in texts):
        raise TypeError("of another shape")
    return event


def open_intents(events: Iterable[Event]) -> list[Event]:
    """Intents that no outcome answers, newest last."""
    waiting: dict[str, Event] = {}
    for event in events:
        if event.kind == "intent":
            waiting[event.id] = event
        elif event.kind == "outcome" and event.of:
            waiting.pop(event.of, None)
    return list(waiting.values())


@dataclass
class Remembered:
    """What the journal tells of one service: where we left it, and why."""

    split_bp: int | None = None
    dwell_seconds: float = 0.0
    state: str = ""  # "", returned, frozen, baked
    reason: str = ""
    open_values: tuple[int, ...] = ()  # splits an open intent may have left
    baseline: Baseline = field(default_factory=Baseline)
    step: Step = field(default_factory=Step)


def remember(events: Iterable[Event]) -> dict[str, Remembered]:
    """Plays the journal. Pure."""
    known = list(events)
    services: dict[str, Remembered] = {}

    def of(service: str) -> Remembered:
        return services.setdefault(service, Remembered())

    for event in known:
        if event.op in ("shift", "rollback") and event.kind == "outcome" and isinstance(event.after, int):
            entry = of(event.target)
            if entry.split_bp != event.after:
                entry.dwell_seconds, entry.step = 0.0, Step()
                if entry.state == "baked":
                    entry.state = ""
            entry.split_bp = event.after
        elif event.op == "progress" and isinstance(event.after, Mapping):
            for service, seconds in event.after.items():
                of(service).dwell_seconds = float(seconds)
        elif event.op == "step" and isinstance(event.after, Mapping):
            for service, told in event.after.items():
                of(service).step = _step(told)
        elif event.op == "baseline" and isinstance(event.after, Mapping):
            for service, told in event.after.items():
                of(service).baseline = _baseline(told)
        elif event.op in ("return", "freeze", "bake") and event.kind == "note":
            entry = of(event.target)
            entry.state = {"return": "returned", "freeze": "frozen", "bake": "baked"}[event.op]
            entry.reason = event.reason
        elif event.op in ("retry", "thaw"):
            entry = of(event.target)
            entry.state, entry.reason, entry.dwell_seconds, entry.step = "", "", 0.0, Step()
        elif event.op == "unenroll" and event.kind == "outcome":
            services.pop(event.target, None)
    for event in open_intents(known):
        if event.op in ("shift", "rollback"):
            of(event.target).open_values += tuple(value for value in (event.before, event.after) if isinstance(value, int))
    return services


def told_baseline(baseline: Baseline) -> dict[str, Any]:
    """As a `baseline` note has it."""
    return {**_told(baseline.answers), "latency_ms": baseline.latency_ms, "bins": baseline.bins}


def told_step(step: Step) -> dict[str, Any]:
    """As a `step` note has it."""
    return {"blue": _told(step.blue), "green": _told(step.green), "sent": _told(step.sent)}


def _told(answers: Tally) -> dict[str, Any]:
    return {"requests": answers.requests, "errors": answers.errors, "classes": dict(answers.classes)}


def _answers(told: Mapping[str, Any]) -> Tally:
    classes = {str(name): int(count) for name, count in told["classes"].items()}
    return Tally(int(told["requests"]), int(told["errors"]), 0, classes)


def _baseline(told: Mapping[str, Any]) -> Baseline:
    try:
        latency = told["latency_ms"]
        return Baseline(_answers(told), None if latency is None else float(latency), int(told["bins"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Baseline()  # written by another version: as good as none


def _step(told: Mapping[str, Any]) -> Step:
    try:
        return Step(_answers(told["blue"]), _answers(told["green"]), _answers(told["sent"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Step()
