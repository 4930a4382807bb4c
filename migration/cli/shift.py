"""Commands of the shift: move, roll back, pause, see where things are."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from migration.cli import stops
from migration.cli.console import Context, confirm, pass_context, run, show, yes_option
from migration.errors import BluegreenError, ConfigError, Held, Interrupted, TakenBack, Unreachable, UsageError
from migration.shift.rolled import REASON, Proof, RollbackResult, SoFar
from migration.views.moved import ShiftEnd, ShiftPlan, why_behind
from migration.views.pauses import Paused, Resumed
from migration.views.rolled import RolledBack
from migration.words import some

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from migration.cli.session import Opened, Salvaged
    from migration.shift.world import Result, Rules
    from migration.store.lock import Lock
    from migration.views.live import View
    from migration.views.state import Status

log = logging.getLogger(__name__)


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE ...]")
@yes_option
@click.option("--retry", multiple=True, metavar="SERVICE|all", help="Try a service again that went back.")
@click.option("--reassert", is_flag=True, help="Write over what somebody else changed, of all services.")
@pass_context
def shift(context: Context, services: tuple[str, ...], yes: bool, retry: tuple[str, ...], reassert: bool) -> None:
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
            async with opened(migration) as there:
                return await _shift(context, there, lock, asked)
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
            f"changed by somebody else, so frozen, and not watched from here on: {', '.join(frozen)}",
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
            remedy=f"`{_retry(went_back, named)}` tries again what went back"
            if went_back
            else f"`{again}` when the reason is gone",
        )
    return None


def _retry(services: Iterable[str], named: Collection[str]) -> str:
    """Where only some were to move, these alone are."""
    words = [f"--retry {service}" for service in services]
    return " ".join(("bluegreen shift", *(services if named else ()), *words))


async def _shift(context: Context, there: Opened, lock: Lock, asked: Asked) -> ShiftEnd:
    import asyncio
    import time

    from migration.cli.choice import ENROLL
    from migration.cli.clock import SystemClock
    from migration.enroll.steps import require_hop
    from migration.settings.named import refuse_not_enrolled
    from migration.shift.loop import Shift
    from migration.shift.world import World
    from migration.store.journal import Journal

    edge = there.edge
    if not edge.services:
        raise ConfigError(f"{there.file.path}: no service is enrolled", remedy="`bluegreen enroll`")
    retried = frozenset(edge.services) if "all" in asked.retry else frozenset(asked.retry)
    refuse_not_enrolled(sorted(retried), edge.services, option="--retry", remedy=ENROLL)
    rules = there.rules(reassert=asked.reassert, services=asked.services)
    if "all" in asked.retry:
        retried -= rules.order.stay
    if unmoved := sorted(retried & rules.order.stay):
        raise UsageError(
            f"--retry {', '.join(unmoved)}: not among the services that are to move",
            remedy=" ".join(("bluegreen shift", *asked.services, *unmoved, *(f"--retry {name}" for name in asked.retry))),
        )
    await require_hop(there.clusters, there.peers, there.originals)
    plan = _plan(there, rules, retried)
    for line in plan.warnings():
        click.echo(line, err=True)
    if context.as_json:
        show(context, ShiftEnd(plan))  # of a run that is not begun
    counters, metrics = there.counters(), there.metrics()  # what is wrong with them is said before any question
    confirm(context, asked.yes, plan.lines())
    journal = Journal(there.migration.store, lock.fence, time.time)
    world = World(
        routers=there.routers(),
        counters=counters,
        metrics=metrics,
        clock=SystemClock(),
        file=there.file,
        journal=journal,
        lock=lock,
        entry=there.entry(),
        clusters=there.clusters,
        release=there.release(),
    )
    moving = Shift(world, rules)
    loop = asyncio.get_running_loop()
    for number in stops.SIGNALS:  # SIGHUP: the terminal was closed, or a connection to it
        loop.add_signal_handler(number, moving.stop.set)
    view = view_of(context, rules)
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
        journal.close()


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


def _plan(there: Opened, rules: Rules, retried: frozenset[str]) -> ShiftPlan:
    """Raises StoreError where the journal, or what `verify` kept, cannot be read."""
    import time

    from migration.model import WHOLE_BP, Standing
    from migration.store import journal, verdicts
    from migration.store import pause as pauses
    from migration.store.memory import remember

    edge, store = there.edge, there.migration.store
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
@click.argument("services", nargs=-1, metavar="[SERVICE ...]")
@click.option("--reason", default=REASON, show_default=True, help="Recorded in the journal.")
@pass_context
def rollback(context: Context, services: tuple[str, ...], reason: str) -> None:
    """Everything, or the named services, back to blue.

    Immediate: no confirmation, no lock, does not wait for green.
    """

    so_far = SoFar()

    async def act() -> tuple[RollbackResult, Opened]:
        import asyncio

        from migration.cli.session import salvaged

        try:
            async with salvaged(context.config, services) as saved:
                return await _roll_back(saved, services, reason, so_far), saved.opened
        except asyncio.CancelledError:
            show(context, RolledBack.of(so_far.result()))
            raise

    try:
        rolled, there = run(act())
    except Interrupted as problem:
        problem.remedy = f"`{' '.join(('bluegreen rollback', *services))}` again; {stops.STATUS}"
        raise
    show(context, RolledBack.of(rolled))
    if not rolled.complete:
        at_green = rolled.not_back or rolled.through_green
        again = " ".join(("bluegreen rollback", *(() if rolled.through_green else services)))  # without names: the entry, too
        raise BluegreenError(
            ("rollback is not complete: " if at_green else "users are served by blue, but not all is done: ")
            + "; ".join(rolled.problems or ("blue's gateway does not serve it yet",)),
            remedy=_finish(rolled, there, again),
        )


def _finish(rolled: RollbackResult, there: Opened, again: str) -> str:
    """What to do first, and then the same command again: alone it helps nobody while blue is dead or forbidden."""
    from migration.settings.stack_file import route_path

    before = []
    if blue := _reach_blue(rolled, there):
        before.append(blue)
    if rolled.lost:
        files = some(str(route_path(there.file.routes_folder, service)) for service in rolled.lost)
        before.append(f"restore from version control: {files}")
    if rolled.through_green:
        return "; ".join((*before, f"`{again}`, which moves the entry back, too"))
    if before:
        return "; ".join((*before, f"then `{again}` again"))
    return f"`{again}` again finishes what is left" if rolled.not_back else f"put that right, then `{again}` again"


def _reach_blue(rolled: RollbackResult, there: Opened) -> str:
    blue = there.clusters["blue"]
    kubectl = f"kubectl --kubeconfig {blue.access.source} --context {blue.access.context}"
    if rolled.in_effect.get("blue") is Proof.UNREACHABLE:
        return f"reach {blue.name}'s API server ({kubectl} version)"
    if "blue" in rolled.refused:
        asked = f"{kubectl} auth can-i patch virtualservices.networking.istio.io -A"
        return f"get the right to write routes on {blue.name} ({asked})"
    return ""


async def _roll_back(saved: Salvaged, services: tuple[str, ...], reason: str, so_far: SoFar) -> RollbackResult:
    import time

    from migration.cli.clock import SystemClock
    from migration.shift.rollback import open_books
    from migration.shift.rollback import rollback as go_back

    there = saved.opened
    if services:
        await _refuse_unknown(saved, services)
    for problem in saved.told:
        log.warning("%s", problem)
    if not services and (nothing := await _nothing_there(saved)):
        return nothing
    books = await open_books(there.migration.store, time.time)
    try:
        return await go_back(
            there.edge,
            [name for name in services or there.edge.services if name in there.originals],
            routers=there.routers(),
            entry=there.entry(),
            file=there.file,
            books=books,
            clock=SystemClock(),
            clusters=there.clusters,
            reason=reason,
            witness=saved.witness,
            so_far=so_far,
        )
    finally:
        if books.journal is not None:
            books.journal.close()


async def _refuse_unknown(saved: Salvaged, services: tuple[str, ...]) -> None:
    """Where no name is known to anybody: not to the stack file, and not to the clusters."""
    from migration.settings.named import not_enrolled
    from migration.settings.yaml_reader import meant

    enrolled, path = saved.opened.edge.services, saved.opened.file.path
    if any(name in enrolled for name in services):
        return
    others = await saved.witness.others()
    if others.services or others.lost:
        return
    told = not_enrolled(services, enrolled)
    if unread := await _unread(saved):
        raise Unreachable(
            f"nothing was done: {told}, and {unread} could not be asked", remedy=_restore(path, " ".join(services))
        )
    near = [close for name in services if (close := meant(name, enrolled))]
    again = f"`bluegreen rollback {' '.join(near)}`; " if near else ""
    raise UsageError(told, remedy=f"{again}`bluegreen rollback` without a name rolls everything back")


async def _nothing_there(saved: Salvaged) -> RollbackResult | None:
    """Where neither the stack file nor the clusters know of a service that green may serve. Changes nothing.

    Raises:
        Unreachable: the file lists none, and blue's cluster, which knows better, cannot be asked.
    """
    edge, path = saved.opened.edge, saved.opened.file.path
    if edge.services or edge.green_entry_bp:
        return None
    others = await saved.witness.others()
    if others.services or others.lost:
        return None
    if "blue" in await saved.witness.silent():
        raise Unreachable(
            f"nothing was done: {path} lists no service, and {await _unread(saved)} could not be asked whether a gateway "
            "forwards any to green",
            remedy=_restore(path),
        )
    return RollbackResult(
        nothing=f"nothing to roll back: {path} lists no service, {edge.blue}'s gateway forwards none to green, and the "
        f"entry is at {edge.blue}; nothing was changed"
    )


async def _unread(saved: Salvaged) -> str:
    """Names of the clusters that did not tell what their gateways forward."""
    edge = saved.opened.edge
    return " and ".join((edge.blue if side == "blue" else edge.green) or side for side in await saved.witness.silent())


def _restore(path: Path, services: str = "") -> str:
    again = f"bluegreen rollback {services}".rstrip()
    return f"`bluegreen status` says why; if services were enrolled, restore {path} from version control, then `{again}`"


@click.command()
@pass_context
def pause(context: Context) -> None:
    """Stop moving forward; a running shift goes on judging, and rolls back what turns bad."""
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

        async with opened(migration, need=()) as there:
            pages = there.counters(as_far_as_known=True)
            ways = {side: way_to(cluster, migration.path) for side, cluster in there.clusters.items()}
            return await look(there.edge, there.routers(), pages, migration.store, pauses.paused(migration.store), ways)

    found = run(act())
    show(context, found)
    from migration.cli.status import unseen
    from migration.store import journal

    broken: BluegreenError | None = None
    if found.journal is not None:
        try:
            journal.read(migration.store / journal.FILE)
        except BluegreenError as problem:  # what was said, with its kind and remedy
            broken = problem
    if (trouble := unseen(found, broken)) is not None:
        raise trouble
