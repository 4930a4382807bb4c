"""Where everything is: what the file wants, what the gateways hold and whether they can be watched, what the journal
remembers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from migration import returned
from migration.errors import BluegreenError
from migration.journal import FILE, read, remember
from migration.lock import holder
from migration.model import RouterState, Side
from migration.ports import Router
from migration.stackfile import Edge


class Pages(Protocol):
    """The pages of one gateway's pods, as `shift` reads them."""

    urls: tuple[str, ...]

    async def silent(self) -> Mapping[str, str]:
        """URL -> why it does not answer, in a time that is short and known. Raises nothing of the network."""
        ...


@dataclass(frozen=True)
class Watched:
    """Of one gateway: how many pages it has, and which of them tell nothing now (URL -> why)."""

    cluster: str
    pages: int
    silent: Mapping[str, str]

    def lines(self) -> list[str]:
        told = [f"{self.cluster}: the gateway's counters at {url} {why}" for url, why in self.silent.items()]
        if not told:
            return []
        answering = self.pages - len(self.silent)
        if answering:
            return [*told, f"{self.cluster}: {answering} of {self.pages} pages of counters answer; `shift` goes on by these"]
        return [*told, f"{self.cluster}: no page of counters answers: `shift` would be blind and take services back"]


@dataclass(frozen=True)
class Status:
    edge: Edge
    services: list[dict[str, Any]]
    gateways: dict[str, str]  # side -> "reachable" or what is wrong
    counters: dict[str, Watched]  # side -> its gateway's pages; no side without pages in migration.yaml
    holder: str | None
    paused: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "sides": {"blue": self.edge.blue, "green": self.edge.green},
            "entry": dict(self.edge.entry),
            "generation": self.edge.generation,
            "gateways": self.gateways,
            "counters": {side: asdict(watched) for side, watched in self.counters.items()},
            "lock": self.holder,
            "paused": self.paused,
            "services": self.services,
        }

    def lines(self) -> list[str]:
        entry = ", ".join(f"{name} {share / 100:g} %" for name, share in self.edge.entry.items())
        told = [f"blue {self.edge.blue}, green {self.edge.green}, entry: {entry}, generation {self.edge.generation}"]
        told += [f"{side}'s gateway: {word}" for side, word in self.gateways.items() if word != "reachable"]
        told += [line for watched in self.counters.values() for line in watched.lines()]
        told += [f"running: {self.holder}"] if self.holder else []
        told += [f"paused by {self.paused}"] if self.paused else []
        told += [] if self.services else ["no service is enrolled; next: `bluegreen enroll`"]
        width = max((len(row["service"]) for row in self.services), default=0)
        for row in self.services:
            live = {row["blue"], row["green"], row["file"]} - {None}
            drift = "" if len(live) == 1 else f"  file {row['file']}, blue {row['blue']}, green {row['green']}"
            told.append(
                f"{row['service']:<{width}}  {row['file'] / 100:>6g} %  {row['state']}{drift}  {row['reason']}".rstrip()
            )
        return told


async def status(
    edge: Edge, routers: Mapping[Side, Router], pages: Mapping[Side, Pages], store: Path, paused: str | None
) -> Status:
    gateways: dict[str, str] = {}
    counters: dict[str, Watched] = {}
    live: dict[Side, RouterState] = {}

    async def one(side: Side) -> None:
        try:
            await routers[side].ready()
            live[side] = await asyncio.wait_for(routers[side].read(), 5.0)
            gateways[side] = "reachable"
        except TimeoutError:
            gateways[side] = "did not answer within 5 s"
        except BluegreenError as problem:
            gateways[side] = str(problem)

    async def watch(side: Side) -> None:
        cluster = (edge.blue if side == "blue" else edge.green) or side
        counters[side] = Watched(cluster, len(pages[side].urls), dict(await pages[side].silent()))

    await asyncio.gather(*(one(side) for side in routers), *(watch(side) for side in pages))
    counters = {side: counters[side] for side in pages}  # in a steady order
    memory = remember(read(store / FILE))
    back = returned.kept(live)
    rows = []
    for service, split in edge.services.items():
        there = memory.get(service)
        splits = {
            side: (r.split_bp if (r := live[side].routes.get(service)) else None) if side in live else None for side in routers
        }
        known = there is not None and (bool(there.state) or there.split_bp is not None)
        kept = back.get(service) if not known else None  # by another store; ours knows better what it did since
        state = (there.state if there else "") or (
            "returned" if kept is not None else "waiting" if split == 0 else "arrived" if split == 10_000 else "moving"
        )
        rows.append(
            {
                "service": service,
                "file": split,
                "blue": splits.get("blue"),
                "green": splits.get("green"),
                "state": state,
                "reason": kept if kept is not None else there.reason if there else "",
            }
        )
    return Status(edge, rows, gateways, counters, holder(store), paused)
