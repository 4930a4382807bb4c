"""Commands of the shift: move, take back, pause, see where things are."""

from __future__ import annotations

import logging
import os
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from migration.errors import BluegreenError, ConfigError, Held, Interrupted, TakenBack
from migration.terminal import Context, confirm, pass_context, run, say, show, yes_option
from migration.views.pauses import Paused, Resumed

if TYPE_CHECKING:
    from migration.wiring import Opened
    from migration.witness import Others

log = logging.getLogger(__name__)


@click.command()
@yes_option
@click.option("--retry", multiple=True, metavar="SERVICE|all", help="Try a service again that went back.")
@click.option("--reassert", is_flag=True, help="Write over what somebody else changed.")
@pass_context
def shift(context: Context, yes: bool, retry: tuple[str, ...], reassert: bool) -> None:
    """Move services to green step by step; take back at once what turns bad. Goes on where it was left."""
    migration = context.load()

    async def act() -> Any:
        from migration.lock import take
        from migration.wiring import opened

        lock = take(migration.store, "bluegreen shift")  # before any question: a second one should not be asked
        try:
            async with opened(migration) as there:
                return await _shift(context, there, lock, yes, retry, reassert)
        finally:
            lock.release()

    result, interrupted, unverified = run(act())
    document = {**asdict(result), "unverified": unverified}
    lines = [f"arrived: {', '.join(result.arrived) or 'none'}"]
    lines += [f"went back: {service}: {why}" for service, why in result.returned.items()]
    lines += [f"frozen: {service}: {why}" for service, why in result.frozen.items()]
    lines += [f"behind: {service}{': ' + why if why else ''}" for service, why in result.behind.items()]
    say(context, document, lines)
    if interrupted:
        raise Interrupted("interrupted; the state is saved", remedy="`bluegreen shift` goes on from here")
    if result.frozen:
        raise Held(
            f"frozen, and not watched from here on: {', '.join(result.frozen)}",
            remedy="put it right and `bluegreen shift` again, `bluegreen shift --reassert`, or `bluegreen rollback SERVICE`",
        )
    if result.returned:
        names = " ".join(f"--retry {service}" for service in result.returned)
        raise TakenBack(
            f"went back: {', '.join(result.returned)}",
            services=tuple(result.returned),
            remedy=f"mend it, then `bluegreen shift {names}`",
        )
    if result.behind:
        raise Held(
            f"not on green: {', '.join(result.behind)}", remedy="`bluegreen shift --retry SERVICE` tries again what went back"
        )


async def _shift(
    context: Context, there: Opened, lock: Any, yes: bool, retry: tuple[str, ...], reassert: bool
) -> tuple[Any, bool, dict[str, str]]:
    import asyncio
    import time

    from migration import verdicts
    from migration.clock import SystemClock
    from migration.enroll import require_hop
    from migration.journal import Journal
    from migration.model import WHOLE_BP
    from migration.shift import Shift
    from migration.world import World

    edge = there.edge
    if not edge.services:
        raise ConfigError("no service is enrolled", remedy="`bluegreen enroll`")
    unknown = [name for name in retry if name not in edge.services and name != "all"]
    if unknown:
        raise ConfigError(
            f"--retry {', '.join(unknown)}: not enrolled; there: {', '.join(edge.services)}",
            remedy="name one of these, or `--retry all`",
        )
    rules = there.rules(reassert=reassert)
    await require_hop(there.clusters, there.peers, there.originals)
    steps = ", ".join(f"{step / 100:g} %" for step in rules.policy.steps_bp)
    plan = [f"{edge.blue} -> {edge.green}, steps {steps}, dwell {rules.policy.dwell_seconds:g} s"]
    for number, batch in enumerate(rules.order.batches, start=1):
        plan.append(f"  batch {number}: " + ", ".join("+".join(unit) for unit in batch))
    moves = [s for s, split in edge.services.items() if split < WHOLE_BP and s not in rules.held]
    unverified = verdicts.doubts(there.migration.store, edge.green or "", moves)
    for service, why in unverified.items():
        click.echo(f"warning: {service}: {why}; `bluegreen verify {service}`", err=True)
    counters, metrics = there.counters(), there.metrics()
    confirm(context, yes, plan)
    journal = Journal(there.migration.store, lock.fence, time.time)
    world = World(
        there.routers(),
        counters,
        metrics,
        SystemClock(),
        there.file,
        journal,
        lock,
        there.entry(),
        there.clusters,
        there.release(),
    )
    moving = Shift(world, rules)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, moving.stop.set)
    view = None
    if sys.stdout.isatty() and not context.as_json and not os.environ.get("NO_COLOR"):
        from migration.live import View

        view = View(rules.policy_of)
        moving.on_tick = view.show
    try:
        if view:
            view.start()
        result = await moving.run(frozenset(edge.services) if "all" in retry else frozenset(retry))
        return result, moving.stop.is_set(), unverified
    finally:
        if view:
            view.stop()
        journal.close()


def _known(others: Others) -> bool:
    return bool(others.services or others.lost)


@click.command()
@click.argument("services", nargs=-1)
@click.option("--reason", default="asked for", help="For the journal.")
@pass_context
def rollback(context: Context, services: tuple[str, ...], reason: str) -> None:
    """Everything, or the named services, back to blue. At once: asks nobody, waits for no lock and for no green."""

    async def act() -> Any:
        import time

        from migration.clock import SystemClock
        from migration.rollback import open_books
        from migration.rollback import rollback as go_back
        from migration.wiring import salvaged

        async with salvaged(context.config, services) as saved:
            there = saved.opened
            unknown = [name for name in services if name not in there.edge.services]
            if unknown and len(unknown) == len(services) and not _known(await saved.witness.others()):
                raise ConfigError(
                    f"not enrolled: {', '.join(unknown)}; there: {', '.join(there.edge.services)}",
                    remedy="`bluegreen rollback` without a name takes everything back",
                )
            for problem in saved.told:
                log.warning("%s", problem)
            books = open_books(there.migration.store, time.time)
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
                )
            finally:
                if books.journal is not None:
                    books.journal.close()

    rolled = run(act())
    lines = []
    count = f"{len(rolled.back)} services" if not rolled.not_back else f"{len(rolled.back)} of {len(rolled.services)} services"
    if rolled.in_effect.get("blue") is None:
        lines.append(f"{count} at blue: its API server took the routes; its gateway's peer listener cannot be asked from here")
    elif rolled.back:
        lines.append(f"{count} at blue, in effect after {rolled.seconds:.2f} s")
    lines += [f"not back: {service}: {why}" for service, why in rolled.not_back.items()]
    if rolled.in_effect.get("green") is False:
        by_it = "users leave it with the entry" if rolled.entry else "nobody comes in by it"
        lines.append(f"green's gateway could not be told and keeps its last split; {by_it}")
    if rolled.entry:
        lines.append(rolled.entry)
    say(context, {**asdict(rolled), "back": rolled.back, "complete": rolled.complete}, lines)
    if not rolled.complete:
        back = not rolled.not_back
        begin = "users are served by blue, but not all is done: " if back else "the way back is not complete: "
        raise BluegreenError(
            begin + "; ".join(rolled.problems or ("blue's gateway does not serve it yet",)),
            remedy="`bluegreen rollback` again",
        )


@click.command()
@pass_context
def pause(context: Context) -> None:
    """Stop moving forward; analysis and the way back go on."""
    migration = context.load()
    from migration import pause as pauses

    show(context, Paused(pauses.pause(migration.store)))


@click.command()
@pass_context
def resume(context: Context) -> None:
    """End a pause."""
    migration = context.load()
    from migration import pause as pauses

    pauses.resume(migration.store)
    show(context, Resumed())


@click.command()
@pass_context
def status(context: Context) -> None:
    """Where every service is: file, gateways, journal; which gateway pods cannot be watched."""
    migration = context.load()

    async def act() -> Any:
        from migration.status import status as look
        from migration.wiring import opened, paused

        async with opened(migration, need=()) as there:
            pages = there.counters(as_far_as_known=True)
            return await look(there.edge, there.routers(), pages, migration.store, paused(migration))

    found = run(act())
    say(context, found.as_json(), found.lines())
