"""What `status` shows: where every service is, and what of the migration cannot be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from migration.model import Phase, Side
from migration.views.document import Document, described
from migration.words import NAMED, counted, percent, shares, some


@dataclass(frozen=True)
class ServiceRow:
    """One enrolled service. Shares are green's, in basis points (2500 is 25 %)."""

    service: str = described("namespace/name of its route")
    file: int = described("green's share that the stack file wants, in basis points")
    blue: int | None = described(
        "the share in basis points that the route on blue holds; null: unreachable, no route, or not one that bluegreen wrote"
    )
    green: int | None = described("the same of the route on green, in basis points")
    state: Phase = described("waiting | moving | arrived (at 100 %) | baked | returned (rolled back) | frozen")
    reason: str = described("why it is returned or frozen; empty: nothing is known")
    missing: tuple[Side, ...] = described("sides whose cluster answers and has no route of it")

    def line(self, width: int, reachable: Mapping[Side, bool]) -> str:
        """One line, the name filled up to `width`. `reachable`: by side, whether its cluster was read."""
        return f"{self.service:<{width}}  {percent(self.file):>8}  {self.state:<8}  {self._details(reachable)}".rstrip()

    def _details(self, reachable: Mapping[Side, bool]) -> str:
        live: dict[Side, int | None] = {"blue": self.blue, "green": self.green}
        wrong = [
            f"{side} {self._word(side, split)}" for side, split in live.items() if reachable.get(side) and split != self.file
        ]
        drift = f"drift: file {percent(self.file)}, {', '.join(wrong)}" if wrong else ""
        return "; ".join(filter(None, (self.reason, drift)))

    def _word(self, side: Side, split: int | None) -> str:
        if side in self.missing:
            return "has no route"
        return "has a route that bluegreen did not write" if split is None else percent(split)

    def drifts(self, reachable: Mapping[Side, bool]) -> bool:
        """Whether a gateway that was read holds another share than the file wants."""
        live: dict[Side, int | None] = {"blue": self.blue, "green": self.green}
        return any(reachable.get(side) and split != self.file for side, split in live.items())


@dataclass(frozen=True)
class ApiServer:
    """Whether the cluster of one side could be read."""

    cluster: str = described("its name")
    reachable: bool = described("whether its API server listed the routes within 5 s")
    problem: str | None = described("why not; null: it is reachable", default=None)
    kind: str | None = described("the same as a kind of error: `unreachable`, `forbidden`; null: it is reachable", default=None)
    remedy: str | None = described("what to do about it; null: it is reachable", default=None)


@dataclass(frozen=True)
class Watched:
    """The pages of counters of one gateway's pods."""

    cluster: str = described("its name")
    pages: int = described("how many pages migration.yaml has")
    silent: Mapping[str, str] = described("pages that cannot be used, by URL: why")

    def lines(self) -> list[str]:
        """The pages that cannot be used, and what that means for `shift`; nothing where all answer."""
        lines = [f"{self.cluster}: the gateway's counters at {url} {why}" for url, why in self.silent.items()]
        if not lines:
            return []
        answering = self.pages - len(self.silent)
        if answering:
            return [*lines, f"{self.cluster}: {answering} of {self.pages} pages of counters answer; `shift` judges by these"]
        return [*lines, f"{self.cluster}: no page of counters answers: `shift` would be blind and roll services back"]


@dataclass(frozen=True)
class Running:
    """The command that holds the lock of this store."""

    command: str = described('as typed, such as "bluegreen shift"; empty: not known')
    user: str = described("its user; empty: not known")
    host: str = described("where it runs; empty: not known")
    pid: int = described("the number of its process there; 0: not known")
    since: str = described("ISO 8601; empty: not known")

    def line(self) -> str:
        """Which command runs, in one line."""
        if not self.command:
            return "running: another command"
        return f"running: `{self.command}` of {self.user} on {self.host} (pid {self.pid}), since {self.since}"


@dataclass(frozen=True)
class Status(Document):
    """Where every service is, by the stack file, the gateways and the journal, as far as it could be seen. Where a cluster or
    the journal could not, it ends with an error beside these fields: a cluster weighs more (`unreachable`; `forbidden` where
    that is all there is), and the message names both.
    """

    command: ClassVar[str] = "status"
    sides: Mapping[Side, str | None] = described("the clusters' names by side; null: the stack file names none")
    entry: Mapping[str, int] = described(
        "by cluster, the share of requests that enter there, in basis points, by the stack file"
    )
    generation: int = described("the stack file's number of writes: it grows with every write")
    gateways: Mapping[Side, ApiServer] = described("by side, whether its cluster could be read")
    counters: Mapping[Side, Watched] = described("by side, its gateway's counters; no side without pages in migration.yaml")
    lock: Running | None = described("which command holds the lock; null: none runs on this store")
    paused: str | None = described("who paused; null: not paused")
    journal: str | None = described("why the journal cannot be read (then states come from the splits alone); null: it can")
    services: Sequence[ServiceRow] = described("every enrolled service")
    unwatched: tuple[str, ...] = described(
        "services that green serves (by the gateways' shares; by the file's where a gateway's is not known), that have not "
        "baked, and that no running shift of this store watches"
    )
    pause_ends: str | None = described("what ends the pause, in words; null: not paused", default=None)

    def lines(self) -> list[str]:
        """What cannot be seen, then a line for each service, then what to do about them."""
        blue, green = self.sides["blue"], self.sides["green"]
        lines = [f"blue {blue}, green {green}, entry: {shares(self.entry)}, generation {self.generation}"]
        lines += [
            f"{side} is not seen: {api.cluster} cannot be read: {api.problem}"
            for side, api in self.gateways.items()
            if not api.reachable
        ]
        if self.gateways and not any(api.reachable for api in self.gateways.values()):
            lines.append("shares below are the stack file's; what users get is not known")
        lines += [line for watched in self.counters.values() for line in watched.lines()]
        lines += [self.lock.line()] if self.lock else []
        lines += [f"paused by {self.paused}: nothing moves forward; {self.pause_ends}"] if self.paused else []
        if self.journal:
            lines.append(f"the journal cannot be read; states below come from the shares alone: {self.journal}")
        if not self.services:
            return [*lines, "no service is enrolled; next: `bluegreen enroll`"]
        reachable = {side: api.reachable for side, api in self.gateways.items()}
        width = max(len(row.service) for row in self.services)
        lines += [row.line(width, reachable) for row in self.services]
        drifting = [row.service for row in self.services if row.drifts(reachable)]
        if drifting and not self.lock:  # else the command that runs is just writing
            lines.append(
                f"drift of {counted(len(drifting), 'service')}: a command was interrupted, or another client changed it; "
                "`bluegreen shift` continues from the lowest share, or names who it was; "
                f"`bluegreen rollback {drifting[0] if len(drifting) == 1 else 'SERVICE'}` puts it back to blue at once"
            )
        if retry := [f"--retry {row.service}" for row in self.services if row.state is Phase.RETURNED]:
            lines.append(f"returned stays at blue until it is tried again: `bluegreen shift {' '.join(retry[:NAMED])}`")
        if frozen := [row.service for row in self.services if row.state is Phase.FROZEN]:
            lines.append(
                "frozen goes no further: undo that change and `bluegreen shift`, or `bluegreen shift --reassert` to write over "
                f"it, or `bluegreen rollback {' '.join(frozen[:NAMED])}`"
            )
        if self.unwatched:
            lines.append(
                f"no shift runs here: {some(self.unwatched)} {'is' if len(self.unwatched) == 1 else 'are'} served by green and "
                "not watched; `bluegreen shift` continues"
            )
        return lines
