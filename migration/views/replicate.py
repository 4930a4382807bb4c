"""What `replicate` says: the plan and what came of it as one document, in JSON and for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from migration.objects.classes import CLASSES, Class, Verdict
from migration.objects.kinds import Resource
from migration.replicate import values
from migration.replicate.brake import Excess
from migration.replicate.compare import Change, Wait
from migration.replicate.explain import Explanation
from migration.replicate.outcome import Applied, Failure
from migration.replicate.plan import Plan
from migration.replicate.unread import unread_lines
from migration.views import answers
from migration.views.document import Document, described
from migration.views.plan import awaited_lines


@dataclass(frozen=True)
class Counts:
    create: int = described("objects that green lacks")
    update: int = described("objects that are not as they should be")
    unchanged: int = described("objects that are as they should be")
    conflict: int = described("objects with fields that another client owns on green")
    held: int = described("objects that are not written, each with `waits_for`")


@dataclass(frozen=True)
class Field:
    field: str = described("where: `spec.template.spec.containers[name=web].image`")
    what: values.What = described("what becomes of it; `unchanged` only of the keys of a Secret")
    old: Any = described("green's value; null: none, or hidden")
    new: Any = described("the value that it is to have; null: none, or hidden")
    hidden: bool = described("true: a value that may be secret; neither is shown")


@dataclass(frozen=True)
class Limit:
    what: str = described("which objects are counted: `objects`, or `workloads` alone")
    rewritten: int = described("how many objects would be rewritten")
    existing: int = described("of how many objects that green has and that may be written")
    allowed: int = described("how many objects may be")


@dataclass(frozen=True)
class PlannedObject:
    object: str = described("kind and name: `Deployment shop/web`")
    api_version: str = described("as `apiVersion` of Kubernetes: `apps/v1`", key="apiVersion")
    action: Literal["create", "update", "unchanged", "conflict", "held", "left"] = described(
        "what would be done with it; `left`: it is not written, and is not meant to be"
    )
    cls: Class = described("its class; `bluegreen replicate --explain classes` lists them", key="class")
    reason: str = described("why; empty where there is nothing to say")
    answer: str | None = described("what migration.yaml answers for it; null: nothing")
    add: str = described("the line for `replicate.answers` of migration.yaml that it lacks, with the other answers; else empty")
    waits_for: Wait | None = described("why a held object is not written, or what became of one without all of its fields")
    brought: str = described("why it is requested, where names are given: `brought by Deployment shop/web`; else empty")
    notes: tuple[str, ...] = described("what is changed on the way and has to be said")
    fields: tuple[str, ...] = described("where green's object differs from the one that it is to be")
    changes: tuple[Field, ...] = described("the same with old and new values, of objects to update and in conflict")
    lost: tuple[str, ...] = described("fields that green did not keep")


@dataclass(frozen=True)
class NotWritten:
    object: str = described("kind and name: `Deployment shop/web`")
    reason: str = described("why it is not on green as it should be")
    remedy: str = described("what to do about it")
    temporary: bool = described("true: the same again may pass (green did not answer)")


@dataclass(frozen=True)
class Note:
    object: str = described("kind and name: `Deployment shop/web`")
    note: str = described("what is not as on blue, and need not be")


@dataclass(frozen=True)
class Replicated(Document):
    """The plan, and with `--yes` what came of it. Where nothing was written (no `--yes`, kinds that could not be read, or more
    rewrites than are allowed) the numbers of what was written are 0 and the lists say what stands in the way.
    """

    command: ClassVar[str] = "replicate"
    cluster: str = described("the cluster that is written to: green")
    counts: Counts = described("objects of the plan by what would be done with them")
    objects: tuple[PlannedObject, ...] = described("every object of blue that was read")
    kinds_left_out: Mapping[str, str] = described("kinds that are never copied, each with the reason")
    awaited: Mapping[str, tuple[str, ...]] = described(
        "by tool (`Argo CD`): objects that it has to bring to green and has not yet"
    )
    unread: Mapping[str, str] = described("kinds that could not be read (`secrets`, `secrets on fern`), each with the reason")
    unanswered: tuple[answers.Unanswered, ...] = described("what needs a line in migration.yaml")
    limit: Limit | None = described("more is to be rewritten than is allowed, which needs `--force`; null: it is within")
    created: int = described("objects created")
    updated: int = described("objects updated")
    unchanged: int = described("objects that were as they should be")
    writes: int = described("requests that wrote; 0: nothing was to be done")
    applied: tuple[str, ...] = described("objects that were written, in this order")
    fallbacks: tuple[str, ...] = described("of these, those that server-side apply refuses: written by create or replace")
    failures: tuple[NotWritten, ...] = described("objects that could not be written: exit 1")
    conflicts: tuple[NotWritten, ...] = described("objects with fields that another client owns on green: exit 3")
    held: tuple[NotWritten, ...] = described("objects that are not written for another reason than a missing answer: exit 3")
    dropped: tuple[NotWritten, ...] = described("objects without fields that they have on blue: exit 3")
    notes: tuple[Note, ...] = described("what is not as on blue, and need not be")
    seconds: float = described("seconds that it took to write")

    def lines(self) -> list[str]:
        """The numbers, then each object and kind that did not come along."""
        numbers = f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged in {self.seconds:.1f} s"
        lines = [f"{self.cluster}: {numbers}"]
        for word, rows in (
            ("FAILED", self.failures),
            ("CONFLICT", self.conflicts),
            ("held", self.held),
            ("DROPPED", self.dropped),
        ):
            for row in rows:
                lines += [f"  {word} {row.object}: {row.reason}", f"      {row.remedy}"]
        lines += [f"  note {row.object}: {row.note}" for row in self.notes]
        lines += answers.lines(self.unanswered)
        return [*lines, *awaited_lines(self.awaited), *unread_lines(self.unread)]


def _limit(excess: Excess | None) -> Limit | None:
    return Limit(excess.what, excess.rewritten, excess.existing, excess.allowed) if excess else None


def replicated(plan: Plan, applied: Applied) -> Replicated:
    """`applied`: what came of it, or with which it begins (`apply.begun`)."""
    failures, conflicts, held, dropped = (
        tuple(map(_row, rows)) for rows in (applied.failures, applied.conflicts, applied.held, applied.dropped)
    )
    return Replicated(
        cluster=plan.cluster,
        counts=Counts(**plan.counts()),
        objects=tuple(objects(plan)),
        kinds_left_out={each.object: each.reason for each in plan.kinds_left},
        awaited=applied.awaited,
        unread=applied.unread,
        unanswered=answers.unanswered(applied.unanswered),
        limit=_limit(plan.excess),
        created=applied.created,
        updated=applied.updated,
        unchanged=applied.unchanged,
        writes=applied.writes,
        applied=tuple(applied.applied),
        fallbacks=tuple(applied.fallbacks),
        failures=failures,
        conflicts=conflicts,
        held=held,
        dropped=dropped,
        notes=tuple(Note(name, note) for name, note in applied.notes),
        seconds=round(applied.seconds, 3),
    )


def _row(failure: Failure) -> NotWritten:
    return NotWritten(failure.object, failure.reason, failure.remedy, failure.temporary)


def objects(plan: Plan) -> list[PlannedObject]:
    """Every object of blue that was read."""
    planned = [_planned(c.name, c.resource, c.verdict, c.action, c.reason, change=c) for c in plan.changes]
    return planned + [_planned(item.name, item.resource, item.verdict, "left") for item in plan.left]


def _planned(
    name: str, resource: Resource, verdict: Verdict, action: Any, reason: str = "", *, change: Change | None = None
) -> PlannedObject:
    differ = values.field_changes(change) if change is not None and action in ("update", "conflict") else ()
    return PlannedObject(
        name,
        resource.api_version,
        action,
        verdict.cls,
        "; ".join(dict.fromkeys(each for each in (verdict.reason, reason) if each)),
        verdict.answer.value if verdict.answer else None,
        verdict.add(name),
        change.wait if change else None,
        verdict.brought,
        tuple(verdict.notes),
        change.paths if change else (),
        tuple(Field(each.field, each.what, each.old, each.new, each.hidden) for each in differ),
        change.lost if change else (),
    )


# -- one object --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Explained(Document):
    """What becomes of one object of blue on green, and why."""

    command: ClassVar[str] = "replicate"
    form: ClassVar[str] = "--explain KIND/NAMESPACE/NAME"
    object: str = described("kind and name: `Deployment shop/web`")
    api_version: str = described("as `apiVersion` of Kubernetes: `apps/v1`", key="apiVersion")
    cls: Class | None = described("its class; null: its kind is never copied", key="class")
    about: str | None = described("what the class means")
    reason: str = described("why it is treated so; empty where there is nothing to say")
    becomes: str = described("how it is written to green")
    action: str = described("what would be done now: `create`, `update`, `unchanged`, `conflict`, `held` or `left`")
    action_reason: str = described("why, where that is not `reason`")
    sign: str = described("the rule that decided")
    brought: str = described("why it is requested")
    answer: str | None = described("what migration.yaml answers for it; null: nothing")
    answers: Mapping[str, str] = described("what it may be answered, each with what it means")
    add: str = described("the line for `replicate.answers` of migration.yaml that it lacks; else empty")
    notes: tuple[str, ...] = described("what is changed on the way and has to be said")
    fields: tuple[str, ...] = described(
        "`- path`, `~ path` and `+ path`: removed, changed and added for green; values are not shown"
    )

    def lines(self) -> list[str]:
        """The object, its class and reason, what becomes of it, and the answers that it may be given."""
        now = self.action + (f" ({self.action_reason})" if self.action_reason else "")
        lines = [
            f"{self.object} ({self.api_version})",
            *_line("class", f"{self.cls.value}: {self.about}" if self.cls else "none: its kind is never copied"),
            *_line("reason", self.reason),
            *_line("decided by", self.sign),
            *_line("on green", self.becomes),
            *_line("now", now),
            *_line("requested", self.brought),
            *_line("answer", self.answer or ("none yet" if self.add else "")),
        ]
        if self.answers:
            lines.append("  answers that it may be given in `replicate.answers` of migration.yaml:")
            lines += [f"    {self.object}: {answer:<8}  # {what}" for answer, what in self.answers.items()]
        if self.add:
            lines.append(f"  add: {self.add}")
        lines += [f"  note: {note}" for note in self.notes]
        if self.fields:
            lines.append("  changed for green (- removed, ~ changed, + added):")
            lines += [f"    {each}" for each in self.fields]
        return lines


def _line(name: str, text: str) -> list[str]:
    return [f"  {name + ':':<11} {text}"] if text else []


def explained(explanation: Explanation) -> Explained:
    """The document of one explanation."""
    return Explained(
        explanation.object,
        explanation.api_version,
        explanation.cls,
        CLASSES[explanation.cls].why if explanation.cls else None,
        explanation.reason,
        explanation.action,
        explanation.todo,
        explanation.todo_reason,
        explanation.sign,
        explanation.brought,
        explanation.answer,
        dict(explanation.answers),
        explanation.add,
        tuple(explanation.notes),
        tuple(explanation.fields),
    )


# -- the classes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassRow:
    cls: Class = described("its name", key="class")
    why: str = described("what belongs to it")
    becomes: str = described("what `replicate` does with it")


@dataclass(frozen=True)
class Classes(Document):
    """The classes of objects."""

    command: ClassVar[str] = "replicate"
    form: ClassVar[str] = "--explain classes"
    classes: tuple[ClassRow, ...] = described("all of them")

    def lines(self) -> list[str]:
        """Each class with what belongs to it and what becomes of it."""
        return [f"{row.cls.value:<14} {row.why}\n{'':<14}   -> {row.becomes}" for row in self.classes]


def classes() -> Classes:
    """All of them, in the order of objects/classes.py."""
    return Classes(tuple(ClassRow(each, about.why, about.becomes) for each, about in CLASSES.items()))
