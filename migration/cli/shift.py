"""Commands of the shift: move, pause, see where things are."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from migration.cli import stops
from migration.cli.console import Context, confirm, pass_context, run, show, yes_option
from migration.errors import BluegreenError, ConfigError, Held, Interrupted, TakenBack, UsageError
from migration.views.moved import ShiftEnd, ShiftPlan, why_behind
from migration.views.pauses import Paused, Resumed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from migration.cli.session import Session
    from migration.shift.loop import Shift
    from migration.shift.world import Result, Rules
    from migration.store.lock import Lock
    from migration.views.live import View
    from migration.views.state import Status

ALL = "all"  # of --retry: whatever went back


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE ...]")
@yes_option
@click.option("--retry", multiple=True, metavar="SERVICE|all", help="Retry a service that was rolled back.")
@click.option("--reassert", is_flag=True, help="Overwrite what another client changed, for all services.")
@pass_context
def shift(context: Context, services: tuple[str, ...], *, yes: bool, retry: tuple[str, ...], reassert: bool) -> None:
    """Move services to green step by step; roll back at once what turns bad. Continues where it was left.

    With names only these move (a group moves together). The others keep their share: what green serves of them is judged
    and rolled back all the same.
    """
    migration = context.load()
    asked = Asked(services, yes, retry, reassert)

    async def act() -> ShiftEnd:
        from migration.cli.session import opened
        from migration.store.lock import take

        lock = take(migration.store, "bluegreen shift")  # before any question: a second one should not be asked
        try:
            async with opened(migration) as session:
                return await _shift(context, session, lock, asked)
        finally:
            lock.release()

    end = run(act())
    show(context, end)
    if (problem := _problem(end, services)) is not None:
        raise problem


@dataclass(frozen=True)
class Asked:
    """The command line of `shift`. `services`: empty for all."""

    services: tuple[str, ...]
    yes: bool
    retry: tuple[str, ...]
    reassert: bool


def _problem(end: ShiftEnd, named: tuple[str, ...]) -> BluegreenError | None:
    """Why the run does not end with 0: the most urgent of what its document says."""
    again = " ".join(("bluegreen shift", *named))
    frozen = [service for service in end.frozen if service not in end.plan.stays]
    if end.interrupted:
        left = f"; not watched from here on: {', '.join(end.between())}" if end.between() else ""
        return Interrupted(f"interrupted; the state is saved{left}", remedy=f"`{again}` continues from here")
    if frozen:
        return Held(
            f"changed by another client, so frozen, and no longer watched: {', '.join(frozen)}",
            remedy=f"undo that change and `{again}`; or `{again} --reassert` to write over it; "
            f"or `bluegreen rollback {' '.join(frozen)}`",
        )
    if end.returned:
        return TakenBack(
            f"rolled back automatically: {', '.join(end.returned)}",
            services=tuple(end.returned),
            remedy=f"fix it on green, then `bluegreen verify {' '.join(end.returned)}` and `{_retry(end.returned, named)}`",
        )
    if end.behind:
        went_back = [service for service in end.behind if service in end.plan.returned]
        return Held(
            f"not on green: {', '.join(end.behind)}",
            remedy=f"`{_retry(went_back, named)}` retries what was rolled back"
            if went_back
            else f"`{again}` when the reason is gone",
        )
    return None


def _retry(services: Iterable[str], named: Collection[str]) -> str:
    """Where only some were to move, these alone are."""
    words = [f"--retry {service}" for service in services]
    return " ".join(("bluegreen shift", *(services if named else ()), *words))


async def _shift(context: Context, session: Session, lock: Lock, asked: Asked) -> ShiftEnd:
    import time

    from migration.cli.clock import SystemClock
    from migration.enroll.steps import require_hop
    from migration.shift.loop import Shift
    from migration.shift.world import World
    from migration.store.journal import Journal

    if not session.edge.services:
        raise ConfigError(f"{session.file.path}: no service is enrolled", remedy="`bluegreen enroll`")
    named = _named(asked, session.edge.services)
    rules = session.rules(reassert=asked.reassert, services=asked.services)
    retried = _retried(asked, named, rules)
    await require_hop(session.clusters, session.peers, session.originals)
    plan = _plan(session, rules, retried)
    for line in plan.warnings():
        click.echo(line, err=True)
    if context.as_json:
        show(context, ShiftEnd(plan))  # of a run that is not begun
    counters, metrics = session.counters(), session.metrics()  # what is wrong with them is said before any question
    confirm(context, plan.lines(), yes=asked.yes)
    journal = Journal(session.migration.store, lock.fence, time.time)
    world = World(
        routers=session.routers(),
        counters=counters,
        metrics=metrics,
        clock=SystemClock(),
        file=session.file,
        journal=journal,
        lock=lock,
        entry=session.entry(),
        clusters=session.clusters,
        release=session.release(),
    )
    try:
        return await _move(context, Shift(world, rules), plan, retried)
    finally:
        journal.close()


def _named(asked: Asked, enrolled: Collection[str]) -> frozenset[str]:
    """Which services --retry names. Raises UsageError for one that is not enrolled."""
    from migration.cli.choice import ENROLL
    from migration.settings.named import refuse_not_enrolled

    named = frozenset(enrolled) if ALL in asked.retry else frozenset(asked.retry)
    refuse_not_enrolled(sorted(named), enrolled, option="--retry", remedy=ENROLL)
    return named


def _retried(asked: Asked, named: frozenset[str], rules: Rules) -> frozenset[str]:
    """Those of them that are to move. Raises UsageError for one that was named by itself and is not."""
    unmoved = sorted(named & rules.order.stay)
    if unmoved and ALL not in asked.retry:
        raise UsageError(
            f"--retry {', '.join(unmoved)}: not among the services that are to move",
            remedy=" ".join(("bluegreen shift", *asked.services, *unmoved, *(f"--retry {name}" for name in asked.retry))),
        )
    return named - rules.order.stay


async def _move(context: Context, moving: Shift, plan: ShiftPlan, retried: frozenset[str]) -> ShiftEnd:
    import asyncio

    loop = asyncio.get_running_loop()
    for number in stops.SIGNALS:  # SIGHUP: the terminal was closed, or a connection to it
        loop.add_signal_handler(number, moving.stop.set)
    view = view_of(context, moving.rules)
    if view:
        moving.on_tick = view.show
    try:
        if view:
            view.start()
        result = await moving.run(retried)
        return _end(plan, result, interrupted=moving.stop.is_set())
    except BluegreenError:
        if moving.state:  # how far it came is worth as much where it ended with an error
            show(context, _end(plan, moving.result()))
        raise
    finally:
        if view:
            view.stop()


def _end(plan: ShiftPlan, result: Result, *, interrupted: bool = False) -> ShiftEnd:
    return ShiftEnd(
        plan,
        begun=True,
        interrupted=interrupted,
        arrived=result.arrived,
        returned=result.returned,
        behind={name: why_behind(result.splits.get(name, 0), why) for name, why in result.behind.items()},
        frozen=result.frozen,
        splits=result.splits,
        unverified=plan.unverified,
    )


def _plan(session: Session, rules: Rules, retried: frozenset[str]) -> ShiftPlan:
    """Raises StoreError where the journal, or what `verify` kept, cannot be read."""
    import time

    from migration.model import WHOLE_BP, Standing
    from migration.store import journal, verdicts
    from migration.store import pause as pauses
    from migration.store.memory import remember

    edge, store = session.edge, session.migration.store
    batches = [[unit for unit in batch if rules.order.stay.isdisjoint(unit)] for batch in rules.order.batches]
    moved = {service for batch in batches for unit in batch for service in unit}
    memory = remember(journal.read(store / journal.FILE))
    returned = {
        service: memory[service].reason
        for service in sorted(moved - retried)
        if service in memory and memory[service].state is Standing.RETURNED
    }
    held, paused = tuple(sorted(moved & rules.held)), rules.paused()
    doubtful = [s for s, split in edge.services.items() if s in moved and split < WHOLE_BP and s not in held]
    return ShiftPlan(
        blue=edge.blue,
        green=edge.green or "",
        steps_bp=rules.policy.steps_bp,
        dwell_seconds=rules.policy.dwell_seconds,
        batches=[batch for batch in batches if batch],
        splits=dict(edge.services),
        held=held,
        returned=returned,
        stays=tuple(sorted(rules.order.stay)),
        unverified=verdicts.doubts(store, edge.green or "", doubtful),
        paused=paused,
        pause_ends=pauses.ends(store) if paused else None,
        window_open=rules.window_open(time.time()),
    )


def view_of(context: Context, rules: Rules) -> View | None:
    """The live table, on a terminal that can move its cursor; else what is logged, line by line, has to do."""
    if context.as_json or not sys.stdout.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        return None
    from migration.views.live import View

    return View(rules.policy_of)


@click.command()
@pass_context
def pause(context: Context) -> None:
    """Stop moving forward; a running shift keeps judging, and rolls back what turns bad."""
    migration = context.load()
    from migration.store import pause as pauses

    before = pauses.pause(migration.store)
    show(context, Paused(before or pauses.user(), already=before is not None))


@click.command()
@pass_context
def resume(context: Context) -> None:
    """End a pause."""
    migration = context.load()
    from migration.store import pause as pauses

    show(context, Resumed(pauses.resume(migration.store)))


@click.command()
@pass_context
def status(context: Context) -> None:
    """Where every service is: file, gateways, journal; which gateway pods cannot be watched.

    Exits with 1 where a cluster or the journal could not be read; shows what it could see all the same.
    """
    migration = context.load()

    async def act() -> Status:
        from migration.cli.session import opened, way_to
        from migration.cli.status import status as look
        from migration.store import pause as pauses

        async with opened(migration, need=()) as session:
            pages = session.counters(as_far_as_known=True)
            ways = {side: way_to(cluster, migration.path) for side, cluster in session.clusters.items()}
            return await look(session.edge, session.routers(), pages, migration.store, pauses.paused(migration.store), ways)

    current = run(act())
    show(context, current)
    from migration.cli.status import unseen
    from migration.store import journal

    broken: BluegreenError | None = None
    if current.journal is not None:
        try:
            journal.read(migration.store / journal.FILE)
        except BluegreenError as problem:  # what was said, with its kind and remedy
            broken = problem
    if (trouble := unseen(current, broken)) is not None:
        raise trouble
