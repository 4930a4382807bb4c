"""Commands before the shift: preflight, capacity, verify, enroll (and unenroll)."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from migration.cli.console import Commands, Context, confirm, keep, locked, pass_context, run_once, show, yes_option
from migration.errors import Held
from migration.words import counted

if TYPE_CHECKING:
    from migration.cli.session import Session
    from migration.settings.migration_file import Migration
    from migration.views.verify import Verified

AGAIN = "each line above says what to do; then"


@click.command()
@pass_context
def preflight(context: Context) -> None:
    """Look for what would break on green before anything moves."""
    migration = context.load()

    async def act() -> list[Any]:
        from migration.cli import progress
        from migration.cli.session import opened
        from migration.preflight.run import preflight as look

        async with opened(migration) as session:
            blue, green = session.clusters["blue"], session.clusters["green"]
            async with progress.shown(f"reading {blue.name} and {green.name}", quiet=context.as_json):
                return await look(
                    blue,
                    green,
                    ignore=migration.ignore,
                    singletons=migration.singletons,
                    choices=migration.replicate,
                    enrolled=session.edge.services,
                    aws=session.aws(),
                )

    from migration.views import preflight as views

    document = views.preflight(run_once(act()))
    show(context, document)
    if document.blocking:
        raise Held(
            counted(document.blocking, "blocking finding"),
            remedy="fix them, or waive a known one under `ignore:` in migration.yaml (`CODE:OBJECT`, or `CODE` for all of a "
            "check); then `bluegreen preflight` again",
        )


@click.group(cls=Commands, invoke_without_command=True)
@yes_option
@click.pass_context
def capacity(command: click.Context, *, yes: bool) -> None:
    """Hold as many replicas on both clusters as blue runs now."""
    if command.invoked_subcommand is None:
        _raise_floors(command.obj, yes=yes)


def _raise_floors(context: Context, *, yes: bool) -> None:
    migration = context.load()

    async def act() -> None:
        from migration.capacity.floors import apply_floors, plan_floors
        from migration.cli import progress
        from migration.cli.session import opened
        from migration.views import capacity as views

        async with opened(migration) as session:
            blue, green = session.clusters["blue"], session.clusters["green"]
            changes = await plan_floors(blue, green, choices=migration.replicate, singletons=migration.singletons)
            planned = views.planned(changes)
            if changes:
                confirm(context, views.plan_lines(planned), planned, yes=yes)
            async with progress.shown("raising floors", quiet=context.as_json) as wait:
                done = await apply_floors(changes, blue, green, progress=wait.at)
        show(context, views.raised(planned, done))
        if not done.ok:
            raise Held(
                f"{counted(len(done.failed), 'floor does', 'floors do')} not hold", remedy=f"{AGAIN} `bluegreen capacity` again"
            )

    run_once(act())


@capacity.command("release")
@click.argument("services", nargs=-1, metavar="[SERVICE ...]")
@yes_option
@pass_context
def capacity_release(context: Context, services: tuple[str, ...], *, yes: bool) -> None:
    """Put back what was there before `capacity`: of the named services, or of everything."""
    migration = context.load()

    async def act() -> None:
        from migration.capacity.release import plan_release, release
        from migration.cli.session import opened
        from migration.model import Standing
        from migration.settings.named import refuse_not_enrolled
        from migration.store.journal import FILE, read
        from migration.store.memory import remember
        from migration.views import capacity as views

        async with opened(migration, need=()) as session:
            splits = session.edge.services
            everything = "`bluegreen capacity release` without a name puts everything back"
            refuse_not_enrolled(services, splits, remedy=everything)
            memory = remember(read(migration.store / FILE))
            baked = {name for name, known in memory.items() if known.state is Standing.BAKED}
            keep = {
                name: f"is at {split / 100:g} % and has not baked"
                for name, split in splits.items()
                # with names: of these alone, whatever state they are in; without: but for what is on its way
                if name not in baked and (name not in services if services else split > 0)
            }
            blue, green = session.clusters["blue"], session.clusters["green"]
            changes = await plan_release(blue, green, originals=session.originals, services=services or None, keep=keep)
            planned = views.releasing(changes)
            if planned.floors:
                confirm(context, views.plan_lines(planned), planned, yes=yes)
            came = views.released(planned, await release(changes, blue, green))
        show(context, came)
        if came.failed:
            raise Held(
                f"{counted(len(came.failed), 'floor is', 'floors are')} not put back",
                remedy=f"{AGAIN} `bluegreen capacity release` again",
            )

    run_once(act())


def _seconds(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    with suppress(ValueError):
        if math.isfinite(seconds := float(value)) and seconds >= 0:
            return seconds
    raise click.BadParameter(f"{value}; allowed: a number of seconds, 0 or more", context, option)


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE ...]")
@click.option(
    "--timeout",
    "timeout_seconds",
    metavar="SECONDS",
    default="120",
    show_default=True,
    callback=_seconds,
    help="How long to wait for what is still starting on green; 0 looks once. What green lacks is not waited for.",
)
@click.option("--patience", "patience_seconds", hidden=True, callback=_seconds)  # its name of before
@pass_context
def verify(context: Context, services: tuple[str, ...], timeout_seconds: float, patience_seconds: float | None) -> None:
    """Ask every service on green by its gateway, past DNS.

    SERVICE is NAMESPACE/NAME of a VirtualService. Without names: every enrolled service; before any is enrolled, all of
    blue that can be shifted. Exits with 3 where one fails, or cannot be verified.
    """
    migration = context.load()
    seconds = timeout_seconds if patience_seconds is None else patience_seconds

    async def act() -> Verified:
        from migration.cli.session import opened

        async with opened(migration) as session:
            return await _verify(context, migration, session, services, seconds)

    document = run_once(act())
    show(context, document)
    if not document.verdicts:
        raise Held(
            "nothing was verified: blue has no service that can be asked", remedy="`bluegreen verify NAMESPACE/NAME` names one"
        )
    bad = [v for v in document.verdicts if not v.ok]
    if bad:
        reasons = []
        for outcome, words in (("failed", "not good on green"), ("not verified", "not verified")):
            if names := [v.service for v in bad if v.outcome == outcome]:
                reasons.append(f"{words}: {', '.join(names)}")
        remedies = list(dict.fromkeys(v.remedy for v in bad if v.remedy))
        raise Held("; ".join(reasons), remedy=remedies[0] if len(remedies) == 1 else f"{AGAIN} `bluegreen verify` again")


async def _verify(
    context: Context, migration: Migration, session: Session, services: tuple[str, ...], seconds: float
) -> Verified:
    import routing
    from migration.cli import progress
    from migration.enroll.steps import candidates
    from migration.objects import kinds
    from migration.ports import routes
    from migration.settings.named import refuse_unknown
    from migration.store import verdicts as kept
    from migration.verify.request import Check
    from migration.verify.run import verify as check
    from migration.views.verify import verified

    blue, green = session.clusters["blue"], session.clusters["green"]
    names, left = list(dict.fromkeys(services)) or list(session.edge.services), []
    if services:
        listings = [await routes.listed(cluster, metadata_only=True) for cluster in (blue, green)]
        live = {kinds.full_name(route) for listing in listings for route in listing}
        known = {*session.edge.services, *(name for name in live if not routing.is_peer(name))}
        refuse_unknown(
            services,
            known,
            lacks=f"neither {blue.name} nor {green.name} has {routing.called()}",
            heading="there are",
            remedy=f"a service is NAMESPACE/NAME of {routing.called(article=True)}; `bluegreen verify` without a name asks all",
        )
    if not names:
        listed = await candidates(blue, (), ())
        names = [c.service for c in listed if not c.refusals]
        left = [(c.service, c.reasons) for c in listed if c.refusals]
    own = {
        name: Check(s.check.path if s.check.path != "/" else None, s.check.host, s.check.status)
        for name, s in migration.services.items()
    }
    async with progress.shown(f"verifying on {green.name}", quiet=context.as_json) as wait:
        at = progress.announced(wait, seconds, "--timeout 0 looks once")
        verdicts = await check(
            names,
            session.cluster_of("blue").gateway,
            session.cluster_of("green").gateway,
            blue,
            green,
            probe=session.probe,
            checks=own,
            enrolled=session.originals,
            listeners={"blue": session.peers["green"], "green": session.peers["blue"]},  # of that side's gateway
            patience_seconds=seconds,
            progress=at,
        )
    keep(lambda wall: kept.keep(migration.store, green.name, verdicts, wall))
    return verified(green.name, verdicts, left)


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE ...]")
@yes_option
@pass_context
def enroll(context: Context, services: tuple[str, ...], *, yes: bool) -> None:
    """Enroll services: save their original routes and create the forwarding objects. Moves nothing.

    SERVICE is NAMESPACE/NAME of a VirtualService of blue that is bound to a gateway. Without names: every one that can be
    shifted. Again after an interruption it completes what is missing.
    """
    migration = context.load()

    async def act() -> None:
        from migration.cli.session import opened

        async with opened(migration) as session:
            await take_in(context, migration, session, services, yes=yes)

    run_once(act())


async def take_in(context: Context, migration: Migration, session: Session, services: tuple[str, ...], *, yes: bool) -> None:
    """What `enroll` does on two clusters that answer: new services, and those that an interrupted run left unfinished."""
    from migration.enroll import argo, steps
    from migration.store.journal import FILE, read
    from migration.views.enroll import Enrolled
    from migration.views.verify import LeftOut

    listed = await steps.candidates(session.clusters["blue"], services, list(session.edge.services))
    again = await steps.unfinished(
        session.clusters,
        session.edge,
        session.originals,
        wanted=services,
        events=read(migration.store / FILE),
    )
    hop = await steps.hop_lacks(session.clusters, session.peers, session.originals)
    chosen = [c for c in listed if not c.refusals or services]
    steps.refuse_unshiftable([*chosen, *again])
    planned = Enrolled(
        tuple(c.service for c in chosen),
        tuple(c.service for c in again),
        tuple(steps.hop_lines(session.clusters, hop)),
        tuple(LeftOut(c.service, c.reasons) for c in listed if c.refusals and not services),
        tuple(await argo.warnings(session.clusters["blue"], {c.service: c.original for c in chosen})),
    )
    if planned.nothing:
        show(context, planned)
        return
    confirm(context, planned.plan(), planned, yes=yes)
    lock, journal = locked(migration, "bluegreen enroll")
    edge = session.edge
    try:
        await steps.mend_hop(session.clusters, hop)
        if chosen or again:
            edge = await steps.enroll(
                [*chosen, *again], clusters=session.clusters, peers=session.peers, file=session.file, journal=journal
            )
    finally:
        journal.close()
        lock.release()
    show(context, planned.done(generation=edge.generation, routes_folder=str(session.file.routes_folder)))


@click.command()
@click.argument("services", nargs=-1, required=True, metavar="SERVICE ...")
@yes_option
@click.option("--force", is_flag=True, help="Unenroll services that still have traffic on both clusters.")
@pass_context
def unenroll(context: Context, services: tuple[str, ...], *, yes: bool, force: bool) -> None:
    """Unenroll services: restore their original routes, then remove the forwarding objects.

    SERVICE is NAMESPACE/NAME of an enrolled service; `bluegreen status` lists them.
    """
    migration = context.load()
    names = tuple(dict.fromkeys(services))

    async def act() -> None:
        from migration.cli.session import opened
        from migration.enroll import steps
        from migration.settings.named import refuse_not_enrolled
        from migration.views.enroll import Unenrolled

        async with opened(migration) as session:
            refuse_not_enrolled(names, session.edge.services)
            if not force:
                steps.refuse_between(session.edge, names)
            planned = Unenrolled(names)
            confirm(context, planned.plan(), planned, yes=yes)
            lock, journal = locked(migration, "bluegreen unenroll")
            try:
                edge = await steps.unenroll(names, clusters=session.clusters, file=session.file, journal=journal, force=force)
            finally:
                journal.close()
                lock.release()
        show(context, Unenrolled(names, names, edge.generation))

    run_once(act())
