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


def remember(events: Iterable[Event]) -> dict[str, Remembered]:
    """Plays the journal, by service."""
    played = list(events)
    player = _Player()
    for event in played:
        player.play(event)
    for event in open_intents(played):
        if event.op in SPLITS:
            service = player.of(event.target)
            service.open_values += tuple(value for value in (event.before, event.after) if isinstance(value, int))
    return player.remembered()


class _Player:
    def __init__(self) -> None:
        self._services: dict[str, Remembered] = {}
        # of each service the last document alone is made something of: a long run has thousands
        self._steps: dict[str, Any] = {}
        self._baselines: dict[str, Any] = {}

    def of(self, service: str) -> Remembered:
        """What is known of a service so far."""
        return self._services.setdefault(service, Remembered())

    def remembered(self) -> dict[str, Remembered]:
        """By service, after the last line."""
        for service, document in self._steps.items():
            self.of(service).step = _step(document)
        for service, document in self._baselines.items():
            self.of(service).baseline = _baseline(document)
        return self._services

    def play(self, event: Event) -> None:
        """Takes over what one line says."""
        many = event.after if isinstance(event.after, Mapping) else {}
        if event.op in SPLITS:
            if event.kind == "outcome" and isinstance(event.after, int):
                self._written(event.target, event.after)
        elif event.op == Op.PROGRESS:
            for service, seconds in many.items():
                self.of(service).dwell_seconds = float(seconds)
        elif event.op == Op.STEP:
            self._steps |= many
        elif event.op == Op.BASELINE:
            self._baselines |= many
        elif event.op in STANDING and event.kind == "note":
            left = self.of(event.target)
            left.state, left.reason = STANDING[Op(event.op)], event.reason
        elif event.op in (Op.RETRY, Op.THAW):
            left = self.of(event.target)
            left.state, left.reason, left.dwell_seconds = Standing.OPEN, "", 0.0
            self._steps.pop(event.target, None)
        elif event.op == Op.UNENROLL and event.kind == "outcome":
            for known in (self._services, self._steps, self._baselines):
                known.pop(event.target, None)

    def _written(self, target: str, split_bp: int) -> None:
        """What was counted at another split is over."""
        service = self.of(target)
        if service.split_bp != split_bp:
            service.split_bp, service.dwell_seconds = split_bp, 0.0
            self._steps.pop(target, None)
            if service.state is Standing.BAKED:
                service.state = Standing.OPEN


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
