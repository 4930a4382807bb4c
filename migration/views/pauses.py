"""What `pause` and `resume` say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from migration.views.document import Document, told


@dataclass(frozen=True)
class Paused(Document):
    command: ClassVar[str] = "pause"
    by: str = told("who paused: the login name")
    paused: bool = told("true", default=True)

    def lines(self) -> list[str]:
        return [f"paused by {self.by}; `bluegreen resume` ends it"]


@dataclass(frozen=True)
class Resumed(Document):
    command: ClassVar[str] = "resume"
    paused: bool = told("false", default=False)

    def lines(self) -> list[str]:
        return ["not paused; a running shift continues, else `bluegreen shift`"]
