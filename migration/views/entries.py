"""What the commands of the entry say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from migration.views.document import Document, described
from migration.words import percent, shares


@dataclass(frozen=True)
class EntryStatus(Document):
    """Where requests come in: the shares of the clusters' gateways by Route 53, and by the stack file."""

    command: ClassVar[str] = "entry status"
    entry: Mapping[str, int] = described(
        "by cluster, the share of requests that enter there, in basis points, by Route 53's weights"
    )
    file: Mapping[str, int] = described("the same by the stack file, in basis points")
    hosts: tuple[str, ...] = described("the names whose records these are")
    drift: bool = described("whether Route 53 has other weights than the stack file asks for")
    ttl_seconds: int = described("seconds, the records' TTL: so long resolvers keep to what was before a change")
    green: str | None = described("green's name; null: the stack file names none")

    def lines(self) -> list[str]:
        """The shares in percent, and how they differ from the stack file's."""
        lines = [f"{shares(self.entry)} ({', '.join(self.hosts)}; TTL {self.ttl_seconds} s)"]
        if self.drift:
            wanted = self.file.get(self.green or "", 0) / 100
            lines.append(
                f"drift: the stack file says {shares(self.file)}; "
                f"`bluegreen entry shift --to {wanted:g}` writes that to Route 53"
            )
        return lines


@dataclass(frozen=True)
class EntryAdopted(Document):
    """Records of the hosts that were simple are weighted now, all at blue."""

    command: ClassVar[str] = "entry adopt"
    change: str | None = described("Route 53's id of the change; null: every record was weighted already, nothing was changed")
    cluster: str = described("the cluster at which all of the entry is")

    def lines(self) -> list[str]:
        """Whether records were changed, and by which change."""
        if self.change is None:
            return ["nothing to adopt: no simple record of these hosts; nothing was changed"]
        return [f"adopted: the records are weighted, all at {self.cluster} (change {self.change})"]


@dataclass(frozen=True)
class EntryPlan:
    """Shares in basis points."""

    before: Mapping[str, int] = described(
        "by cluster, the share of requests that enter there now, in basis points, by Route 53"
    )
    after: Mapping[str, int] = described("by cluster, the share after it, in basis points")
    hosts: tuple[str, ...] = described("the names whose records change")
    ttl_seconds: int = described("seconds, the records' TTL")

    def lines(self) -> list[str]:
        """What is about to be done, for the confirmation."""
        moved = ", ".join(f"{name} {percent(self.before.get(name, 0))} -> {percent(to)}" for name, to in self.after.items())
        return [
            f"entry: {moved}",
            f"  weights of {', '.join(self.hosts)} in Route 53; "
            f"resolvers follow within {self.ttl_seconds} s, some clients later",
        ]


@dataclass(frozen=True)
class EntryShifted(Document):
    """The shares of the entry that were written; with the plan alone where nothing was done."""

    command: ClassVar[str] = "entry shift"
    plan: EntryPlan = described("what it was about to do")
    entry: Mapping[str, int] | None = described(
        "by cluster, the shares in basis points, now in sync at Route 53; null: nothing was changed", default=None
    )
    ttl_seconds: int | None = described(
        "seconds for which resolvers may keep the old ones; null: nothing was changed", default=None
    )

    def lines(self) -> list[str]:
        """The shares in percent; the plan where nothing was done."""
        if self.entry is None:
            return self.plan.lines()
        return [f"entry: {shares(self.entry)}; resolvers follow within {self.ttl_seconds} s, some clients later"]
