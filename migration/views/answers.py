"""What needs a line in migration.yaml before `replicate` can end well."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from migration.objects.classes import Verdict
from migration.views.document import described


@dataclass(frozen=True)
class Unanswered:
    object: str = described("the object, or who claims several (`Application shop`)")
    reason: str = described("why a person has to decide")
    add: str = described("the line that settles it, with the other answers as a comment")
    under: Literal["replicate.answers", "replicate"] = described("where the line goes in migration.yaml")


def unanswered(asked: Iterable[tuple[str, Verdict]]) -> tuple[Unanswered, ...]:
    """`asked`: name and verdict, as of Plan.unanswered."""
    return tuple(
        Unanswered(name, verdict.reason, verdict.add(name), "replicate" if verdict.instead else "replicate.answers")
        for name, verdict in asked
    )


def lines(wanted: Iterable[Unanswered]) -> list[str]:
    """For people: the lines as they stand in the file, with the reason of each. Never cut."""
    rows = list(wanted)
    if not rows:
        return []
    what = "1 object needs" if len(rows) == 1 else f"{len(rows)} objects need"
    text = [f"  {what} an answer in migration.yaml:", "    replicate:"]
    instead = [row for row in rows if row.under == "replicate"]
    for line in sorted({row.add for row in instead}):
        text.append(f"      {line}")
        text += [f"          # {row.object}: {row.reason}" for row in instead if row.add == line]
    answered = [row for row in rows if row.under != "replicate"]
    text += ["      answers:"] if answered else []
    reasons: dict[str, list[str]] = {}
    for row in answered:
        reasons.setdefault(row.reason, []).append(row.add)
    for reason, added in reasons.items():
        text += [f"        # {reason}", *(f"        {line}" for line in added)]
    return text
