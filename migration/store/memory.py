"""What a journal tells of each service: where it was left, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migration.model import Baseline, Standing, Step, Tally
from migration.store.events import SPLITS, Event, Op, open_intents

STANDING = {Op.RETURN: Standing.RETURNED, Op.FREEZE: Standing.FROZEN, Op.BAKE: Standing.BAKED}  # by the note that ends with it


@dataclass
class Remembered:
    """One service. `open_values`: splits that an intent without an outcome may have left."""

    split_bp: int | None = None
    dwell_seconds: float = 0.0
    state: Standing = Standing.OPEN
    reason: str = ""
    open_values: tuple[int, ...] = ()
    baseline: Baseline = field(default_factory=Baseline)
    step: Step = field(default_factory=Step)

    def at(self, split_bp: int) -> None:
        """Its split was written; what was counted at another one is over."""
        if self.split_bp != split_bp:
            self.dwell_seconds, self.step = 0.0, Step()
            if self.state is Standing.BAKED:
                self.state = Standing.OPEN
        self.split_bp = split_bp

    def begin_again(self) -> None:
        self.state, self.reason, self.dwell_seconds, self.step = Standing.OPEN, "", 0.0, Step()


def remember(events: Iterable[Event]) -> dict[str, Remembered]:
    """Plays the journal, by service."""
    played = list(events)
    services: dict[str, Remembered] = {}
    for event in played:
        _play(event, services)
    for event in open_intents(played):
        if event.op in SPLITS:
            service = services.setdefault(event.target, Remembered())
            service.open_values += tuple(value for value in (event.before, event.after) if isinstance(value, int))
    return services


def _play(event: Event, services: dict[str, Remembered]) -> None:
    def of(service: str) -> Remembered:
        return services.setdefault(service, Remembered())

    of_many = event.after if isinstance(event.after, Mapping) else {}
    if event.op in SPLITS and event.kind == "outcome" and isinstance(event.after, int):
        of(event.target).at(event.after)
    elif event.op == Op.PROGRESS:
        for service, seconds in of_many.items():
            of(service).dwell_seconds = float(seconds)
    elif event.op == Op.STEP:
        for service, document in of_many.items():
            of(service).step = _step(document)
    elif event.op == Op.BASELINE:
        for service, document in of_many.items():
            of(service).baseline = _baseline(document)
    elif event.op in STANDING and event.kind == "note":
        of(event.target).state = STANDING[Op(event.op)]
        of(event.target).reason = event.reason
    elif event.op in (Op.RETRY, Op.THAW):
        of(event.target).begin_again()
    elif event.op == Op.UNENROLL and event.kind == "outcome":
        services.pop(event.target, None)


# -- documents of notes ----------------------------------------------------------------------------------------------


def baseline_document(baseline: Baseline) -> dict[str, Any]:
    """As a `baseline` note has it."""
    return {**_counts(baseline.answers), "latency_ms": baseline.latency_ms, "bins": baseline.bins}


def step_document(step: Step) -> dict[str, Any]:
    """As a `step` note has it."""
    return {"blue": _counts(step.blue), "green": _counts(step.green), "sent": _counts(step.sent)}


def _counts(answers: Tally) -> dict[str, Any]:
    return {"requests": answers.requests, "errors": answers.errors, "classes": dict(answers.classes)}


def _tally(document: Mapping[str, Any]) -> Tally:
    classes = {str(name): int(count) for name, count in document["classes"].items()}
    return Tally(int(document["requests"]), int(document["errors"]), 0, classes)


def _baseline(document: Mapping[str, Any]) -> Baseline:
    try:
        latency = document["latency_ms"]
        return Baseline(_tally(document), None if latency is None else float(latency), int(document["bins"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Baseline()  # written by another version: as good as none


def _step(document: Mapping[str, Any]) -> Step:
    try:
        return Step(_tally(document["blue"]), _tally(document["green"]), _tally(document["sent"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Step()
