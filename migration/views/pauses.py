"""What `pause` and `resume` say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from migration.views.document import Document, described


@dataclass(frozen=True)
class Paused(Document):
    """A running shift moves nothing forward, keeps judging, and rolls back what turns bad."""

    command: ClassVar[str] = "pause"
    by: str = described("who paused: the login name")
    already: bool = described("whether it was paused before; then nothing was changed")
    paused: bool = described("true", default=True)

    def lines(self) -> list[str]:
        """Who paused, and what ends it."""
        if self.already:
            return [f"already paused by {self.by}: nothing was changed; `bluegreen resume` ends it"]
        return [f"paused by {self.by}: nothing moves forward, what turns bad is still rolled back; `bluegreen resume` ends it"]


@dataclass(frozen=True)
class Resumed(Document):
    """Shifts move on."""

    command: ClassVar[str] = "resume"
    by: str | None = described("who had paused; null: it was not paused, so nothing was changed")
    paused: bool = described("false", default=False)

    def lines(self) -> list[str]:
        """Whose pause is over, and what goes on."""
        if self.by is None:
            return ["it was not paused: nothing was changed; if no shift runs (`bluegreen status`), `bluegreen shift`"]
        return [f"the pause of {self.by} is over: a running shift continues; if none runs, `bluegreen shift`"]
