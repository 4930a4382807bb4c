"""What `enroll` and `unenroll` say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from migration.views.document import Document, described
from migration.views.verify import LeftOut
from migration.words import counted


@dataclass(frozen=True)
class Enrolled(Document):
    """Services whose original route is stored and for which everything is in place that forwarding needs. No user is moved."""

    command: ClassVar[str] = "enroll"
    enroll: tuple[str, ...] = described("services to enroll, at 0 %")
    finish: tuple[str, ...] = described("services of an interrupted enroll, of which something is not in place")
    update: tuple[str, ...] = described("by cluster, forwarding objects that are missing or of an earlier version")
    left_out: tuple[LeftOut, ...] = described("services of blue that cannot be shifted; they move with the entry")
    warnings: tuple[str, ...] = described("what to look at before continuing (Argo CD)")
    enrolled: tuple[str, ...] = described("services that were enrolled", default=())
    finished: tuple[str, ...] = described("services of which all is in place now", default=())
    updated: tuple[str, ...] = described("forwarding objects that were made or updated", default=())
    generation: int | None = described("the stack file's number of writes, after it; null: it was not written", default=None)
    routes_folder: str = described("where the original routes are stored: to be reviewed and committed", default="")

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.enroll and not self.finish and not self.update

    def plan(self) -> list[str]:
        """What is about to be done, for the confirmation."""
        return [
            *(f"enroll {service} at 0 %" for service in self.enroll),
            *(f"finish {service}: enrolled, but not everything of it is in place" for service in self.finish),
            *(f"update the forwarding objects on {each}" for each in self.update),
            *self._left(),
            *(f"warning: {each}" for each in self.warnings),
        ]

    def lines(self) -> list[str]:
        """What was done, and what to commit."""
        if self.nothing:
            return ["nothing to enroll", *self._left()]
        lines = [f"updated the forwarding objects on {each}" for each in self.updated]
        lines += [f"{service}: completed an interrupted enroll" for service in self.finished]
        count = len(self.enrolled) + len(self.finished)
        if count:
            lines.append(f"{counted(count, 'service')} enrolled at 0 %: no user is moved")
            lines.append(f"  next: review and commit {self.routes_folder}, then `bluegreen shift`")
        return lines

    def _left(self) -> list[str]:
        return [f"  left out {each}" for each in self.left_out]

    def done(self, *, generation: int, routes_folder: str) -> Enrolled:
        """The plan as one that was carried out. `generation`: the stack file's after it."""
        return replace(
            self,
            enrolled=self.enroll,
            finished=self.finish,
            updated=self.update,
            generation=generation,
            routes_folder=routes_folder if self.enroll or self.finish else "",
        )


@dataclass(frozen=True)
class Unenrolled(Document):
    """Services whose original route is in place again."""

    command: ClassVar[str] = "unenroll"
    unenroll: tuple[str, ...] = described("services to unenroll")
    unenrolled: tuple[str, ...] = described("services that were unenrolled", default=())
    generation: int | None = described("the stack file's number of writes, after it; null: it was not written", default=None)

    def plan(self) -> list[str]:
        """What is about to be done, for the confirmation."""
        return [f"restore the original route of {service} on both clusters" for service in self.unenroll]

    def lines(self) -> list[str]:
        """Which services were unenrolled, and what to commit."""
        return [
            f"{counted(len(self.unenrolled), 'service')} unenrolled: {', '.join(self.unenrolled)}",
            "  next: commit the stack file and the removed routes",
        ]
