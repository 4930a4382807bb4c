"""What came of a run: what was written, what was not and what to do about it, and with which error the command ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from migration.errors import BluegreenError, Held
from migration.objects.classes import Verdict
from migration.words import counted


@dataclass(frozen=True)
class Failure:
    """One object that was not written as it should be. `temporary`: another try may succeed."""

    object: str
    reason: str
    remedy: str
    temporary: bool = False


@dataclass
class Applied:
    """What came of it. `writes` counts requests that wrote, so that "nothing to do" can be told from "done again"."""

    cluster: str
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    writes: int = 0
    applied: list[str] = field(default_factory=list)  # what was written, in the order of writing
    fallbacks: list[str] = field(default_factory=list)  # objects that server-side apply refuses: written by create or replace
    failures: list[Failure] = field(default_factory=list)
    conflicts: list[Failure] = field(default_factory=list)
    held: list[Failure] = field(default_factory=list)
    dropped: list[Failure] = field(default_factory=list)  # there, but without fields that green's definition does not keep
    notes: list[tuple[str, str]] = field(default_factory=list)  # what is not as on blue, and need not be
    lacking: int = 0  # of what is held: what green should have and lacks
    unanswered: list[tuple[str, Verdict]] = field(default_factory=list)  # what a person has to say something about
    awaited: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by tool: what it has to bring to green, and has not
    unread: dict[str, str] = field(default_factory=dict)  # kinds that could not be read: nothing is known of their objects
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether green has all that it should have."""
        return self.verdict() is None

    def verdict(self) -> BluegreenError | None:
        """What to end with: green lacks something that it should have, or nobody said what is to become of something."""
        if self.failures:
            return BluegreenError(
                f"{counted(len(self.failures), 'object')} could not be written",
                remedy="fix each as its line above says, then `bluegreen replicate` again",
            )
        take_over = "resolve the conflicts (`bluegreen replicate --force` takes the fields over; no limit on rewrites then)"
        lacks = [
            (len(self.conflicts), "object", "in conflict", take_over),
            (self.lacking, "object", "held", "resolve what holds each of them"),
            (len(self.dropped), "object", "without all of its fields", "make green's definitions those of blue"),
            (len(self.unanswered), "object", "without an answer", "add the lines above to migration.yaml"),
            *(
                (len(names), "object", f"that {tool} deploys", f"let {tool} deploy to {self.cluster}")
                for tool, names in self.awaited.items()
            ),
            (len(self.unread), "kind", "that could not be read", "let the kubeconfigs' users list these kinds"),
        ]
        shortfalls = [(f"{counted(count, one)} {what}", remedy) for count, one, what, remedy in lacks if count]
        if not shortfalls:
            return None
        return Held(
            f"cluster {self.cluster} lacks what blue has: {', '.join(what for what, _ in shortfalls)}",
            remedy=f"{', '.join(remedy for _, remedy in shortfalls)}, then `bluegreen replicate` again",
        )
