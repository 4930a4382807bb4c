"""The text of a plan of `replicate`: what is remarkable by name, the rest counted. The lines to add to migration.yaml are
never cut; the rest is, unless it is asked for in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from migration.objects.classes import Action
from migration.replicate import refusal, values
from migration.replicate.compare import Change, Wait
from migration.replicate.plan import COUNTED, Plan
from migration.replicate.unread import unread_lines
from migration.views import answers
from migration.words import FULL, counted, first, named

MOST_OBJECTS = 40  # of each kind of line
MOST_NAMES = 12  # on one line
MOST_FIELDS = 8  # of one object
MOST_REASONS = 12  # of what is left out
MOST_AWAITED = 5


def plan_lines(plan: Plan, *, full: bool = False) -> list[str]:
    """The plan for people, with the lines that migration.yaml lacks. `full`: cut nowhere."""
    counts = plan.counts()
    lines = [f"{plan.cluster}: " + ", ".join(f"{counts[action]} {word}" for action, word in COUNTED)]
    lines += _creates(plan.of("create"), full)
    lines += _changes(plan.of("update"), "update", full)
    lines += _changes(plan.of("conflict"), "conflict", full)
    lines += _changes([change for change in plan.of("unchanged") if change.wait is Wait.DROPPED], "dropped", full)
    held = [change for change in plan.of("held") if change.wait is not Wait.ANSWER]
    lines += _pairs([(f"  held {c.name}: {c.reason}", f"      {refusal.held_remedy(c)}") for c in held], full)
    lines += _not_running(plan, full)
    lines += first([f"  note {name}: {note}" for name, note in plan.notes()], MOST_OBJECTS, full=full, what="notes")
    lines += answers.lines(answers.unanswered(plan.unanswered()))
    lines += _left_out(plan, full)
    lines += awaited_lines(plan.awaited, full=full)
    lines += unread_lines(plan.unread)
    if plan.excess is not None:
        lines.append(f"  LIMIT {plan.excess}")
    return lines


def _creates(changes: Iterable[Change], full: bool) -> list[str]:
    """Every object by its name: under what brought it where a part is copied, else by kind and namespace."""
    groups: dict[str, list[str]] = {}
    for change in changes:
        meta = change.obj["metadata"]
        if brought := change.verdict.brought:
            groups.setdefault(f"  create, {brought}", []).append(change.name)
        else:
            where = f" in {meta['namespace']}" if meta.get("namespace") else ""
            groups.setdefault(f"  create {change.resource.kind}{where}", []).append(meta["name"])
    lines = [f"{head}: {named(names, MOST_NAMES, full=full)}" for head, names in groups.items()]
    return first(lines, MOST_OBJECTS, full=full, what="lines of objects to create")


def _changes(changes: Iterable[Change], word: str, full: bool) -> list[str]:
    """Each with what it changes, green's value first."""
    blocks: list[tuple[str, ...]] = []
    for change in changes:
        fields = [f"      {values.line(each, full=full)}" for each in values.field_changes(change)]
        reason = f": {change.reason}" if change.reason else ""
        shown = () if word == "dropped" else first(fields, MOST_FIELDS, full=full, indent="      ")
        blocks.append((f"  {word} {change.name}{reason}", *shown))
    return _pairs(blocks, full)


def _pairs(blocks: list[tuple[str, ...]], full: bool) -> list[str]:
    left = 0 if full else len(blocks) - MOST_OBJECTS
    lines = [line for block in (blocks[:MOST_OBJECTS] if left > 0 else blocks) for line in block]
    return [*lines, f"  … and {left} more objects; {FULL}"] if left > 0 else lines


def _not_running(plan: Plan, full: bool) -> list[str]:
    """What comes along stopped or suspended, a line for each reason."""
    words = {Action.STOP: "at 0 replicas", Action.SUSPEND: "suspended"}
    groups: dict[tuple[Action, str], list[str]] = {}
    for change in plan.changes:
        if change.verdict.action in words and change.action in ("create", "update", "unchanged"):
            groups.setdefault((change.verdict.action, change.verdict.reason), []).append(change.name)
    return [f"  {words[action]} ({reason}): {named(names, 4, full=full)}" for (action, reason), names in groups.items()]


def _left_out(plan: Plan, full: bool) -> list[str]:
    """The most frequent reasons, each with its number."""
    reasons = Counter(item.verdict.reason for item in plan.left if not item.verdict.unanswered)
    often = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    rest = [] if full else often[MOST_REASONS:]
    lines = [f"  left out: {count} ({reason})" for reason, count in often[: len(often) - len(rest)]]
    if rest:
        lines.append(f"  left out: {sum(count for _, count in rest)} (for {len(rest)} other reasons; {FULL})")
    if plan.kinds_left:
        kinds = f": {', '.join(each.object for each in plan.kinds_left)}" if full else ""
        lines.append(f"  left out: {counted(len(plan.kinds_left), 'kind')} of which each cluster has its own{kinds}")
    return lines


def awaited_lines(awaited: Mapping[str, tuple[str, ...]], *, full: bool = False) -> list[str]:
    """What green lacks until another tool brings it."""
    return [
        f"  {counted(len(names), 'object')} that {tool} deploys, not on green yet: {named(names, MOST_AWAITED, full=full)}"
        for tool, names in awaited.items()
    ]
