"""Commands before the shift: look, copy, size, check, take services in (and let them go)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from migration.errors import ConfigError, Held
from migration.terminal import Context, confirm, keep, locked, pass_context, run_once, say, yes_option

if TYPE_CHECKING:
    from migration.config import Migration
    from migration.wiring import Opened


@click.command()
@pass_context
def preflight(context: Context) -> None:
    """Look for what would break on green before anything moves."""
    migration = context.load()

    async def act() -> list[Any]:
        from migration.preflight import preflight as look
        from migration.wiring import opened

        async with opened(migration) as there:
            return await look(
                there.clusters["blue"],
                there.clusters["green"],
                ignore=migration.ignore,
                singletons=migration.singletons,
                choices=migration.replicate,
                enrolled=there.edge.services,
                aws=there.aws(),
            )

    findings = run_once(act())
    lines = [f"{f.code} {f.severity:<8} {f.status:<7} {f.object}: {f.evidence}\n      {f.remedy}" for f in findings]
    held = [f for f in findings if f.status != "waived" and f.severity == "blocking"]
    lines.append(f"{len(findings)} findings, {len(held)} of them hold" if findings else "nothing found")
    say(context, {"findings": [asdict(f) for f in findings]}, lines)
    if held:
        raise Held(f"{len(held)} findings hold", remedy="mend them, or waive a known one under `ignore:`")


@click.group(invoke_without_command=True)
@yes_option
@click.pass_context
def capacity(command: click.Context, yes: bool) -> None:
    """Hold as many replicas on both clusters as blue runs now."""
    if command.invoked_subcommand is None:
        _raise_floors(command.obj, yes)


def _raise_floors(context: Context, yes: bool) -> None:
    migration = context.load()

    async def act() -> None:
        from migration.capacity import apply_floors, plan_floors
        from migration.wiring import opened

        async with opened(migration) as there:
            blue, green = there.clusters["blue"], there.clusters["green"]
            changes = await plan_floors(blue, green, choices=migration.replicate, singletons=migration.singletons)
            if changes:
                confirm(context, yes, [str(change) for change in changes])
            done = await apply_floors(changes, blue, green)
        bad = [f"  {change}: {why}" for change, why in done.failed]
        document = {"raised": len(done.done), "failed": [[str(c), why] for c, why in done.failed], "seconds": done.seconds}
        say(context, document, [f"{len(done.done)} floors raised" if changes else "every floor holds already", *bad])
        if not done.ok:
            raise Held(f"{len(done.failed)} floors do not hold", remedy="see above, then `bluegreen capacity` again")

    run_once(act())


@capacity.command("release")
@click.argument("services", nargs=-1)
@yes_option
@pass_context
def capacity_release(context: Context, services: tuple[str, ...], yes: bool) -> None:
    """Put back what was there before `capacity`: of the named services, or of everything."""
    migration = context.load()

    async def act() -> list[Any]:
        from migration.capacity import plan_release, release
        from migration.journal import FILE, read, remember
        from migration.wiring import opened

        async with opened(migration, need=()) as there:
            splits = there.edge.services
            if unknown := [name for name in services if name not in splits]:
                raise ConfigError(
                    f"not enrolled: {', '.join(unknown)}; there: {', '.join(splits) or 'none'}",
                    remedy="`bluegreen capacity release` without a name puts everything back",
                )
            memory = remember(read(migration.store / FILE))
            baked = {name for name, known in memory.items() if known.state == "baked"}
            keep = {
                name: f"is at {split / 100:g} % and has not baked"
                for name, split in splits.items()
                # with names: of these alone, whatever state they are in; without: but for what is on its way
                if name not in baked and (name not in services if services else split > 0)
            }
            blue, green = there.clusters["blue"], there.clusters["green"]
            changes = await plan_release(blue, green, originals=there.originals, services=services or None, keep=keep)
            if any(not change.kept and not change.problem for change in changes):
                confirm(context, yes, [str(change) for change in changes])
            return await release(changes, blue, green)

    came = run_once(act())
    failed = [change for change in came if change.problem]
    kept = [change for change in came if change.kept]
    back = [change for change in came if not change.problem and not change.kept]
    say(
        context,
        {name: [str(change) for change in each] for name, each in (("released", back), ("kept", kept), ("failed", failed))},
        [f"{len(back)} floors put back" if came else "no floor is held", *(f"  {change}" for change in (*kept, *failed))],
    )
    if failed:
        raise Held(f"{len(failed)} floors are not put back", remedy="see above, then `bluegreen capacity release` again")


@click.command()
@click.argument("services", nargs=-1)
@click.option("--patience", type=float, default=120.0, show_default=True, help="Seconds to wait for what is still starting.")
@pass_context
def verify(context: Context, services: tuple[str, ...], patience: float) -> None:
    """Ask every service on green by its gateway, past DNS."""
    migration = context.load()

    async def act() -> tuple[list[Any], list[str]]:
        from migration import verdicts as kept
        from migration.clients.probe import ask
        from migration.enroll import candidates
        from migration.request import Check
        from migration.verify import verify as check
        from migration.wiring import opened

        async with opened(migration) as there:
            names, left = list(services) or list(there.edge.services), []
            if not names:
                found = await candidates(there.clusters["blue"], (), ())
                names = [c.service for c in found if not c.refusals]
                left = [
                    f"left out {c.service}, which moves with the entry: {'; '.join(c.refusals)}" for c in found if c.refusals
                ]
            own = {
                name: Check(s.check.path if s.check.path != "/" else None, s.check.host, s.check.status)
                for name, s in migration.services.items()
            }
            verdicts = await check(
                names,
                there.cluster_of("blue").gateway,
                there.cluster_of("green").gateway,
                there.clusters["blue"],
                there.clusters["green"],
                probe=ask,
                checks=own,
                enrolled=there.originals,
                listeners={"blue": there.peers["green"], "green": there.peers["blue"]},  # of that side's gateway
                patience_seconds=patience,
            )
            keep(lambda wall: kept.keep(migration.store, there.clusters["green"].name, verdicts, wall))
            return verdicts, left

    verdicts, left = run_once(act())
    lines = [f"{'ok  ' if v.ok else 'FAIL'} {v.service}: {'; '.join(v.problems or v.evidence)}" for v in verdicts]
    say(context, {"verdicts": [asdict(v) for v in verdicts], "left_out": left}, [*lines, *left])
    if not verdicts:
        raise Held(
            "nothing was verified: no service of blue can be asked", remedy="`bluegreen verify NAMESPACE/NAME` names one"
        )
    bad = [v for v in verdicts if not v.ok]
    if bad:
        told = []
        for outcome, words in (("failed", "not good on green"), ("not verified", "not verified")):
            if names := [v.service for v in bad if v.outcome == outcome]:
                told.append(f"{words}: {', '.join(names)}")
        raise Held("; ".join(told), remedy=next((v.remedy for v in bad if v.remedy), None))


@click.command()
@click.argument("services", nargs=-1)
@yes_option
@pass_context
def enroll(context: Context, services: tuple[str, ...], yes: bool) -> None:
    """Take services in: store their original routes, make what forwarding needs. Moves nothing."""
    migration = context.load()

    async def act() -> None:
        from migration.wiring import opened

        async with opened(migration) as there:
            await take_in(context, migration, there, services, yes=yes)

    run_once(act())


async def take_in(context: Context, migration: Migration, there: Opened, services: tuple[str, ...], *, yes: bool) -> None:
    """What `enroll` does on two clusters that answer: new services, and those that a cut-short run left unfinished."""
    from migration import argo
    from migration import enroll as steps
    from migration.journal import FILE, read

    found = await steps.candidates(there.clusters["blue"], services, list(there.edge.services))
    again = await steps.unfinished(
        there.clusters,
        there.peers,
        there.edge,
        there.originals,
        wanted=services,
        events=read(migration.store / FILE),
    )
    hop = await steps.hop_lacks(there.clusters, there.peers, there.originals)
    mended = steps.told(there.clusters, hop)
    chosen = [c for c in found if not c.refusals or services]
    left = [f"  left out {c.service}: {'; '.join(c.refusals)}" for c in found if c.refusals and not services]
    warned = await argo.warnings(there.clusters["blue"], {c.service: c.original for c in chosen})
    plan = [f"enrol {c.service} at 0 %" for c in chosen]
    plan += [f"finish {c.service}: enrolled, but not everything of it is in place" for c in again]
    plan += [f"bring what routes forward by up to date on {line}" for line in mended]
    plan += left + [f"  take care: {line}" for line in warned]
    if not chosen and not again and not mended:
        say(context, {"enrolled": [], "finished": [], "left_out": left}, ["nothing to enrol", *left])
        return
    confirm(context, yes, plan)
    lock, journal = locked(migration, "bluegreen enroll")
    edge = there.edge
    try:
        await steps.mend_hop(there.clusters, hop)
        if chosen or again:
            edge = await steps.enroll(
                [*chosen, *again], clusters=there.clusters, peers=there.peers, file=there.file, journal=journal
            )
    finally:
        journal.close()
        lock.release()
    say(
        context,
        {
            "enrolled": [c.service for c in chosen],
            "finished": [c.service for c in again],
            "mended": mended,
            "generation": edge.generation,
            "left_out": left,
            "warnings": warned,
        },
        [
            *(f"what routes forward by is up to date on {line}" for line in mended),
            *(f"{c.service}: what a cut-short enroll had left out is in place" for c in again),
            f"{len(chosen) + len(again)} services enrolled; review and commit {there.file.routes_folder}",
        ],
    )


@click.command()
@click.argument("services", nargs=-1, required=True)
@yes_option
@click.option("--force", is_flag=True, help="Also services that are between the clusters.")
@pass_context
def unenroll(context: Context, services: tuple[str, ...], yes: bool, force: bool) -> None:
    """Put original routes back, then take away what they needed."""
    migration = context.load()

    async def act() -> None:
        from migration import enroll as steps
        from migration.wiring import opened

        async with opened(migration) as there:
            confirm(context, yes, [f"put the original route of {service} back" for service in services])
            lock, journal = locked(migration, "bluegreen unenroll")
            try:
                await steps.unenroll(services, clusters=there.clusters, file=there.file, journal=journal, force=force)
            finally:
                journal.close()
                lock.release()
        say(context, {"unenrolled": list(services)}, [f"{len(services)} services let go"])

    run_once(act())
