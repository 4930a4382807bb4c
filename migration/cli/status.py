"""Where everything is: what the file wants, what the gateways hold and whether they can be watched, what the journal
remembers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from migration.errors import BluegreenError, Forbidden, Unreachable
from migration.model import WHOLE_BP, Phase, RouterState, Side
from migration.ports import Router
from migration.settings.stack_file import Edge
from migration.store import returned
from migration.store.journal import FILE, read
from migration.store.lock import holder
from migration.store.memory import Remembered, remember
from migration.store.pause import ends
from migration.views.state import ApiServer, Running, ServiceRow, Status, Watched

READ_SECONDS = 5.0
SHIFT = "bluegreen shift"  # as its lock names it


class Pages(Protocol):
    """The pages of one gateway's pods, as `shift` reads them."""

    urls: tuple[str, ...]

    async def silent(self) -> Mapping[str, str]:
        """URL -> why it does not answer, in a time that is short and known. Raises nothing of the network."""
        ...


async def status(
    edge: Edge,
    routers: Mapping[Side, Router],
    pages: Mapping[Side, Pages],
    store: Path,
    paused: str | None,
    ways: Mapping[Side, str] = MappingProxyType({}),
) -> Status:
    """Reads both clusters and all pages at once. A cluster, a page or a journal that cannot be read is said in the result.

    `ways`: the command by which people see whether they reach the cluster of a side.
    """
    names: dict[Side, str | None] = {"blue": edge.blue, "green": edge.green}
    states, silences = await asyncio.gather(
        asyncio.gather(*(_read(router, names[side] or side) for side, router in routers.items())),
        asyncio.gather(*(each.silent() for each in pages.values())),
    )
    answers, silent = dict(zip(routers, states, strict=True)), dict(zip(pages, silences, strict=True))
    live = {side: state for side, state in answers.items() if isinstance(state, RouterState)}
    problem = None
    memory: Mapping[str, Remembered] = {}
    try:
        memory = remember(read(store / FILE))
    except BluegreenError as raised:
        problem = str(raised)
    back = returned.kept(live)
    running = holder(store)
    rows = [row(name, split, live, memory.get(name), back.get(name)) for name, split in edge.services.items()]
    shifting = running is not None and running.command in ("", SHIFT)
    return Status(
        sides=names,
        entry=dict(edge.entry),
        generation=edge.generation,
        gateways={side: _api(names[side] or side, state, ways.get(side)) for side, state in answers.items()},
        counters={side: Watched(names[side] or side, len(pages[side].urls), dict(silent[side])) for side in pages},
        lock=Running(**asdict(running)) if running else None,
        paused=paused,
        journal=problem,
        services=rows,
        pause_ends=ends(store) if paused else None,
        unwatched=() if shifting else tuple(each.service for each in rows if needs_eyes(each)),
    )


def unseen(current: Status, broken: BluegreenError | None) -> BluegreenError | None:
    """The error with which `status` ends where it could not look at all that it shows: a monitor must not take shares of the
    stack file for what users get. `broken`: what is wrong with the journal, which weighs less than a cluster. Pure.
    """
    unreachable = {side: api for side, api in current.gateways.items() if not api.reachable}
    if not unreachable:
        return broken
    reasons = [f"{side} is not seen: {api.problem}" for side, api in unreachable.items()]
    remedies = [api.remedy for api in unreachable.values() if api.remedy]
    if broken is not None:
        reasons.append(f"the journal cannot be read: {broken}")
        remedies += [broken.remedy] if broken.remedy else []
    kind = Forbidden if all(api.kind == Forbidden.kind for api in unreachable.values()) else Unreachable
    remedy = "; ".join([*dict.fromkeys(remedies), "then `bluegreen status` again"])
    return kind("; ".join(reasons), remedy=remedy)


def _api(cluster: str, state: RouterState | BluegreenError, way: str | None) -> ApiServer:
    if isinstance(state, RouterState):
        return ApiServer(cluster, reachable=True)
    remedy = (way if isinstance(state, Unreachable) else None) or state.remedy or state.usual
    return ApiServer(cluster, reachable=False, problem=str(state), kind=state.kind, remedy=remedy)


async def _read(router: Router, cluster: str) -> RouterState | BluegreenError:
    """What the cluster holds, or why that is not known."""
    try:
        await router.ready()
        return await asyncio.wait_for(router.read(), READ_SECONDS)
    except TimeoutError:
        return Unreachable(
            f"cluster {cluster} did not answer within {READ_SECONDS:g} s", remedy="the same command again, later"
        )
    except BluegreenError as problem:
        return problem


def row(
    service: str, split: int, live: Mapping[Side, RouterState], memory: Remembered | None, returned_for: str | None
) -> ServiceRow:
    """`split`: the file's. `memory`: of this store's journal; where that knows nothing, `returned_for` tells why the service
    went back by another store's.
    """
    known = memory is not None and (bool(memory.state) or memory.split_bp is not None)
    kept = None if known else returned_for
    routes = {side: state.routes.get(service) for side, state in live.items()}
    splits = {side: route.split_bp if route else None for side, route in routes.items()}
    return ServiceRow(
        service=service,
        file=split,
        blue=splits.get("blue"),
        green=splits.get("green"),
        state=_phase(split, memory, kept),
        reason=kept if kept is not None else memory.reason if memory else "",
        missing=tuple(side for side, route in routes.items() if route is None),
    )


def needs_eyes(shown: ServiceRow) -> bool:
    """By what the gateways hold; of a side that was not seen, or that somebody else wrote, the file's share counts."""
    shares: dict[Side, int | None] = {"blue": shown.blue, "green": shown.green}
    live = [0 if side in shown.missing else shown.file if share is None else share for side, share in shares.items()]
    return shown.state is not Phase.BAKED and max(live) > 0


def _phase(split: int, memory: Remembered | None, kept: str | None) -> Phase:
    if memory is not None and memory.state:
        return Phase(memory.state)
    if kept is not None:
        return Phase.RETURNED
    return Phase.WAITING if split == 0 else Phase.ARRIVED if split == WHOLE_BP else Phase.MOVING
