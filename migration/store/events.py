"""The lines of a journal as data: operations, what is about to change, what came of it. store/journal.py keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Kind = Literal["intent", "outcome", "note"]
# Before and after of a split or an entry share: basis points; of a note: what store/journal.py says of its operation.
Value = int | Mapping[str, Any] | Sequence[str] | None
RUN = "shift"  # target of a note that is of the whole run, not of one service


class Op(StrEnum):
    """What a line is of. Shift to unenroll have intents and outcomes, the others are notes."""

    SHIFT = "shift"  # a split
    ROLLBACK = "rollback"
    ENTRY = "entry"
    ENROLL = "enroll"
    UNENROLL = "unenroll"
    START = "start"
    STOP = "stop"
    PROGRESS = "progress"
    STEP = "step"
    BASELINE = "baseline"
    EFFECT = "effect"
    HOLD = "hold"
    RETURN = "return"
    KEEP = "keep"  # raised by somebody after it went back
    FREEZE = "freeze"
    THAW = "thaw"
    RETRY = "retry"
    REASSERT = "reassert"
    BAKE = "bake"
    SILENT = "silent"  # gateway pods whose counters do not answer


SPLITS = (Op.SHIFT, Op.ROLLBACK)  # operations whose outcomes say where a service is


@dataclass(frozen=True)
class Change:
    """What is about to be done to one target: a service, or for the entry a cluster."""

    target: str
    before: Value
    after: Value
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What is so now. `after` is the value before where nothing was done."""

    target: str
    after: Value
    reason: str


@dataclass(frozen=True)
class Event:
    """One line. `op` is an Op, or a word of another version."""

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


def parsed(document: dict[str, Any]) -> Event:
    """Raises TypeError where it is no line of a journal."""
    event = Event(**document)
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
