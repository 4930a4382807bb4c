"""Opens what a rollback works with where files are broken or clusters do not answer: as much of a session as can be had."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import routing
from migration.cli.session import Session, peers_of, reach_all, refuse_one_cluster_twice
from migration.errors import BluegreenError, ConfigError, NotFound, StoreError, Unreachable
from migration.model import WHOLE_BP, Side
from migration.objects.kinds import Object
from migration.ports import Kubernetes
from migration.settings.migration_file import Migration
from migration.settings.stack_file import Edge, StackFile, read_route
from migration.shift.witness import BESIDE_SECONDS, Held, Witness, recorded

log = logging.getLogger(__name__)
SALVAGE_SECONDS = 3.0
ASKED_SECONDS = 5.0  # for all pages of a list
T = TypeVar("T")


@dataclass
class Salvage:
    """What a way back works with. `problems`: what of the files is wrong, and which cluster is left out."""

    session: Session
    problems: Sequence[str]
    witness: Witness  # of originals, and of services that the file lacks


@asynccontextmanager
async def salvaged(path: Path, wanted: Collection[str] = ()) -> AsyncIterator[Salvage]:
    """What `opened` gives, for the way back of `wanted` (empty: of all): as much of it as can be had.

    Broken files are read as far as they go; what they do not tell is asked of the clusters, and of them alone where it is
    needed. A green that cannot be opened is left out.

    Raises:
        ConfigError, StoreError: it cannot be told which cluster is blue, or blue cannot be opened.
    """
    from migration.settings import salvage

    migration, problems = salvage.load(path)
    file = StackFile(migration.edge)
    words = None
    try:
        edge: Edge | None = file.read()
    except (ConfigError, StoreError) as problem:
        problems.append(str(problem))
        edge, words = None, salvage.read_words(file.path)
    async with AsyncExitStack() as stack:
        named = {"blue": edge.blue, "green": edge.green} if edge else dict((words or salvage.Words({})).sides)
        reached, closed = await reach_all(migration, stack)
        asking = {name: asyncio.ensure_future(_held(cluster)) for name, cluster in reached.items()}
        stack.push_async_callback(_end, asking.values())
        held: dict[str, Held] = {}
        enrolled = edge.services if edge else {}
        originals, missing = _originals(file, [name for name in wanted or enrolled if name in enrolled])
        if edge is None and words is not None:
            held = await _heard(asking, named.get("blue"), patient=not words.config.get("services"))
            records = [each.record or {} for each in held.values()]
            sides = _sides(migration, named, records)
            edge = words.edge(file.path, sides, recorded(records, [each.routes or {} for each in held.values()]))
            problems += words.problems
            originals, missing = _originals(file, [name for name in wanted or edge.services if name in edge.services])
        assert edge is not None
        if edge.blue not in migration.clusters:
            raise ConfigError(
                f"{migration.path}: clusters has no {edge.blue}, which {file.path} names as blue; "
                f"there: {', '.join(migration.clusters)}",
                remedy=f"add {edge.blue} to clusters in {migration.path}",
            )
        if edge.blue in closed:
            raise closed[edge.blue]
        names: dict[Side, str | None] = {"blue": edge.blue, "green": edge.green}
        clusters = {side: reached[name] for side, name in names.items() if name in reached}
        problems += [f"{name} is left out: {problem}" for name, problem in closed.items()]
        refuse_one_cluster_twice(migration, clusters)
        witness = Witness(
            edge,
            str(file.path),
            {side: asking[cluster.name] for side, cluster in clusters.items()},
            originals,
            missing,
            wanted,
            lambda service: _usable(file, service),
        )
        yield Salvage(Session(migration, file, edge, clusters, originals, peers_of(migration, names), stack), problems, witness)


async def _heard(asking: Mapping[str, asyncio.Task[Held]], blue: str | None, *, patient: bool) -> dict[str, Held]:
    """What the clusters told: all of them, but for those that are late where blue has told all or the file tells enough.
    Their credentials may take long, and nothing is at blue before this ends. `blue`: None where the file does not say.
    `patient`: the file tells nothing of services.
    """
    waiting = set(asking.values())
    while waiting and (blue is None or blue in asking):
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            blue = blue or routing.record_sides(task.result().record or {}).get("blue")
        if (known := asking.get(blue or "")) is not None and known.done():
            break
    first = asking.get(blue or "")
    held = first.result() if first is not None and first.done() else Held()
    whole = held.record is not None and held.routes is not None
    if waiting:
        await asyncio.wait(waiting, timeout=BESIDE_SECONDS if whole or not patient else None)
    return {name: each.result() if each.done() else Held() for name, each in asking.items()}


async def _end(tasks: Collection[asyncio.Task[Held]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _originals(file: StackFile, services: Iterable[str]) -> tuple[dict[str, Object], dict[str, str]]:
    originals: dict[str, Object] = {}
    missing: dict[str, str] = {}
    for service in services:
        try:
            originals[service] = _usable(file, service)
        except (ConfigError, StoreError) as problem:
            missing[service] = str(problem)
    return originals, missing


def _usable(file: StackFile, service: str) -> Object:
    """A stored original that routes can be made of; a ConfigError or StoreError for every other."""
    route = read_route(file.routes_folder, service)
    try:
        wrong = [*map(str, routing.refusals(route))]
        routing.public_route(route, WHOLE_BP // 2, "blue")
        routing.peer_route(route, 0)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as problem:
        wrong = [f"has a wrong shape ({problem!r})"]
    if wrong:
        raise ConfigError(
            f"the stored original route of {service} in {file.routes_folder}: {'; '.join(wrong)}",
            remedy=f"restore it from git, or `bluegreen enroll {service}` again",
        )
    return route


async def _held(cluster: Kubernetes) -> Held:
    from migration.objects.kinds import CONFIG_MAP
    from migration.ports import routes

    async def record() -> Object:
        try:
            return await cluster.get(CONFIG_MAP, routing.EDGE_NAMESPACE, routing.RECORD_NAME, timeout_seconds=SALVAGE_SECONDS)
        except NotFound:
            return {}

    async def listed() -> dict[str, Object]:
        return routing.by_service(await routes.listed(cluster, timeout_seconds=SALVAGE_SECONDS))

    async def bounded(asking: Coroutine[Any, Any, T]) -> T:
        try:
            return await asyncio.wait_for(asking, ASKED_SECONDS)
        except TimeoutError as problem:
            raise Unreachable(f"{cluster.name} did not answer within {ASKED_SECONDS:g} s") from problem

    try:
        await cluster.ready()  # before any clock starts
    except BluegreenError as problem:
        log.warning("%s", problem)
        return Held()
    first, second = await asyncio.gather(bounded(record()), bounded(listed()), return_exceptions=True)
    for came in (first, second):
        if isinstance(came, BaseException) and not isinstance(came, BluegreenError):
            raise came
    for message in dict.fromkeys(str(came) for came in (first, second) if isinstance(came, BluegreenError)):
        log.warning("%s", message)
    return Held(None if isinstance(first, BaseException) else first, None if isinstance(second, BaseException) else second)


def _sides(migration: Migration, named: Mapping[str, str | None], records: Iterable[Object]) -> dict[str, str]:
    """By the file where any part of it tells, else by the records; the other one of two clusters is green."""
    blue = named.get("blue")
    known = {side: name for side, name in named.items() if name}
    if not blue:
        candidates = {sides["blue"]: sides for record in records if "blue" in (sides := routing.record_sides(record))}
        if len(candidates) != 1:
            raise ConfigError(
                f"{migration.edge}: which cluster is blue cannot be read from it, nor from the record "
                f"({routing.EDGE_NAMESPACE}/{routing.RECORD_NAME}) on {' or '.join(migration.clusters)}",
                remedy=f"put the line `bluegreen:sides: {{blue: NAME, green: NAME}}` right in {migration.edge}",
            )
        blue, known = next(iter(candidates.items()))
    others = [name for name in migration.clusters if name != blue]
    green = known.get("green") or (others[0] if len(others) == 1 else None)
    return {"blue": blue, **({"green": green} if green else {})}
