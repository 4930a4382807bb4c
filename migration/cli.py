"""The `bluegreen` command: reads options, prints plans, asks, calls a step, turns its result into words and an exit
code.

Nothing heavy is imported before a command needs it: `bluegreen --help` must answer at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from migration.errors import BluegreenError, ConfigError, Held, Interrupted, TakenBack

if TYPE_CHECKING:
    from migration.config import Migration
    from migration.wiring import Opened

CONFIG = "migration.yaml"


class _Context:
    def __init__(self, config: Path, as_json: bool) -> None:
        self.config = config
        self.as_json = as_json

    def load(self) -> Migration:
        from migration.config import load

        return load(self.config)


pass_context = click.make_pass_decorator(_Context)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", "-c", type=click.Path(path_type=Path), default=CONFIG, show_default=True, help="The migration's file."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, logs on stderr.")
@click.option("--verbose", "-v", is_flag=True, help="Tell more on stderr.")
@click.pass_context
def cli(context: click.Context, config: Path, as_json: bool, verbose: bool) -> None:
    """Upgrade a Kubernetes cluster by moving its services to a new one beside it, with a way back at every moment."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    for noisy in ("botocore", "boto3", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    context.obj = _Context(config, as_json)


yes_option = click.option("--yes", "-y", is_flag=True, help="Act without asking.")


def main() -> NoReturn:
    try:
        cli.main(standalone_mode=False)
        code = 0
    except BluegreenError as problem:
        click.echo(f"bluegreen: {problem}", err=True)
        if problem.remedy:
            click.echo(f"  next: {problem.remedy}", err=True)
        code = problem.exit_code
    except click.ClickException as problem:
        problem.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("bluegreen: interrupted", err=True)
        code = 130
    sys.stdout.flush()
    sys.exit(code)


def _run(task: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(task)


def _say(context: _Context, document: Any, lines: list[str]) -> None:
    if context.as_json:
        click.echo(json.dumps(document, default=_plain, indent=2))
    else:
        for line in lines:
            click.echo(line)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return list(value) if isinstance(value, (tuple, set, frozenset)) else str(value)


def _confirm(context: _Context, yes: bool, plan: list[str]) -> None:
    """The plan, then a word: --yes, or an answer on a terminal. Without either nothing is done."""
    for line in plan:
        click.echo(line, err=context.as_json)
    if yes:
        return
    if not sys.stdin.isatty():
        raise Held("nothing was changed: this is only the plan", remedy="add --yes to act")
    click.confirm("Go on?", abort=True, err=context.as_json)


# -- before the shift ------------------------------------------------------------------------------------------------


@cli.command()
@pass_context
def preflight(context: _Context) -> None:
    """Look for what would break on green before anything moves."""
    migration = context.load()

    async def act() -> list[Any]:
        from migration.preflight import preflight as look
        from migration.wiring import opened

        async with opened(migration) as there:
            return await look(
                there.clusters["blue"], there.clusters["green"], ignore=migration.ignore, singletons=migration.singletons
            )

    findings = _run(act())
    lines = [f"{f.code} {f.severity:<8} {f.status:<7} {f.object}: {f.evidence}\n      {f.remedy}" for f in findings]
    _say(context, {"findings": [asdict(f) for f in findings]}, lines or ["nothing found"])
    held = [f for f in findings if f.status != "waived" and f.severity == "blocking"]
    if held:
        raise Held(f"{len(held)} findings hold", remedy="mend them, or waive a known one under `ignore:`")


@cli.command()
@yes_option
@click.option("--force", is_flag=True, help="Take over fields that others own on green.")
@pass_context
def replicate(context: _Context, yes: bool, force: bool) -> None:
    """Make green have what blue has."""
    migration = context.load()

    async def act() -> None:
        from migration.apply import apply
        from migration.export import ExportOptions, export
        from migration.plan import plan
        from migration.transform import TransformOptions, transform
        from migration.wiring import opened

        async with opened(migration) as there:
            blue, green = there.clusters["blue"], there.clusters["green"]
            options = ExportOptions(enrolled=frozenset(there.edge.services), green=await green.discover())
            bundle = transform(
                await export(blue, options=options), options=TransformOptions(singletons=frozenset(migration.singletons))
            )
            planned = await plan(bundle, green)
            if planned.of("create", "update", "conflict") or not yes:
                _confirm(context, yes, planned.lines())
            applied = await apply(planned, green, force=force)
        words = (
            f"{applied.created} created, {applied.updated} updated, {applied.unchanged} unchanged in {applied.seconds:.1f} s"
        )
        bad = [f"  {f.object}: {f.reason}\n      {f.remedy}" for f in (*applied.failures, *applied.conflicts, *applied.held)]
        _say(context, applied.as_json(), [words, *bad])
        if not applied.ok:
            raise BluegreenError(
                f"{len(applied.failures)} objects could not be written", remedy="mend them and `bluegreen replicate` again"
            )

    _run(act())


@cli.command()
@yes_option
@pass_context
def capacity(context: _Context, yes: bool) -> None:
    """Hold as many replicas on both clusters as blue runs now."""
    migration = context.load()

    async def act() -> None:
        from migration.capacity import apply_floors, plan_floors
        from migration.wiring import opened

        async with opened(migration) as there:
            blue, green = there.clusters["blue"], there.clusters["green"]
            changes = await plan_floors(blue, green)
            if changes:
                _confirm(context, yes, [str(change) for change in changes])
            done = await apply_floors(changes, blue, green)
        bad = [f"  {change}: {why}" for change, why in done.failed]
        document = {"raised": len(done.done), "failed": [[str(c), why] for c, why in done.failed], "seconds": done.seconds}
        _say(context, document, [f"{len(done.done)} floors hold", *bad])
        if not done.ok:
            raise Held(f"{len(done.failed)} floors do not hold", remedy="see above, then `bluegreen capacity` again")

    _run(act())


@cli.command()
@click.argument("services", nargs=-1)
@click.option("--patience", type=float, default=120.0, show_default=True, help="Seconds to wait for what is still starting.")
@pass_context
def verify(context: _Context, services: tuple[str, ...], patience: float) -> None:
    """Ask every service on green by its gateway, past DNS."""
    migration = context.load()

    async def act() -> list[Any]:
        from migration.clients.probe import ask
        from migration.enroll import candidates
        from migration.verify import Check
        from migration.verify import verify as check
        from migration.wiring import opened

        async with opened(migration) as there:
            names = list(services) or list(there.edge.services)
            if not names:
                names = [c.service for c in await candidates(there.clusters["blue"], (), ()) if not c.refusals]
            own = {
                name: Check(s.check.path if s.check.path != "/" else None, s.check.host, s.check.status)
                for name, s in migration.services.items()
            }
            return await check(
                names,
                there.cluster_of("blue").gateway,
                there.cluster_of("green").gateway,
                there.clusters["blue"],
                there.clusters["green"],
                probe=ask,
                checks=own,
                patience_seconds=patience,
            )

    verdicts = _run(act())
    lines = [f"{'ok  ' if v.ok else 'FAIL'} {v.service}: {'; '.join(v.problems or v.evidence)}" for v in verdicts]
    _say(context, {"verdicts": [asdict(v) for v in verdicts]}, lines)
    bad = [v.service for v in verdicts if not v.ok]
    if bad:
        raise Held(f"not good on green: {', '.join(bad)}", remedy=next((v.remedy for v in verdicts if v.remedy), None))


@cli.command()
@click.argument("services", nargs=-1)
@yes_option
@pass_context
def enroll(context: _Context, services: tuple[str, ...], yes: bool) -> None:
    """Take services in: store their original routes, make what forwarding needs. Moves nothing."""
    migration = context.load()

    async def act() -> None:
        from migration import enroll as steps
        from migration.wiring import opened

        async with opened(migration) as there:
            found = await steps.candidates(there.clusters["blue"], services, list(there.edge.services))
            chosen = [c for c in found if not c.refusals or services]
            left = [f"  left out {c.service}: {'; '.join(c.refusals)}" for c in found if c.refusals and not services]
            plan = [f"enrol {c.service} at 0 %" for c in chosen] + left
            if not chosen:
                _say(context, {"enrolled": [], "left_out": left}, ["nothing to enrol", *left])
                return
            _confirm(context, yes, plan)
            lock, journal = _locked(migration, "bluegreen enroll")
            try:
                edge = await steps.enroll(chosen, clusters=there.clusters, peers=there.peers, file=there.file, journal=journal)
            finally:
                journal.close()
                lock.release()
        _say(
            context,
            {"enrolled": [c.service for c in chosen], "generation": edge.generation, "left_out": left},
            [f"{len(chosen)} services enrolled; review and commit {there.file.routes_folder}"],
        )

    _run(act())


@cli.command()
@click.argument("services", nargs=-1, required=True)
@yes_option
@click.option("--force", is_flag=True, help="Also services that are between the clusters.")
@pass_context
def unenroll(context: _Context, services: tuple[str, ...], yes: bool, force: bool) -> None:
    """Put original routes back, then take away what they needed."""
    migration = context.load()

    async def act() -> None:
        from migration import enroll as steps
        from migration.wiring import opened

        async with opened(migration) as there:
            _confirm(context, yes, [f"put the original route of {service} back" for service in services])
            lock, journal = _locked(migration, "bluegreen unenroll")
            try:
                await steps.unenroll(services, clusters=there.clusters, file=there.file, journal=journal, force=force)
            finally:
                journal.close()
                lock.release()
        _say(context, {"unenrolled": list(services)}, [f"{len(services)} services let go"])

    _run(act())


def _locked(migration: Migration, command: str) -> tuple[Any, Any]:
    import time

    from migration.journal import Journal
    from migration.lock import take

    lock = take(migration.store, command)
    return lock, Journal(migration.store, lock.fence, time.time)


# -- the shift -------------------------------------------------------------------------------------------------------


@cli.command()
@yes_option
@click.option("--retry", multiple=True, metavar="SERVICE|all", help="Try a service again that went back.")
@click.option("--reassert", is_flag=True, help="Write over what somebody else changed.")
@pass_context
def shift(context: _Context, yes: bool, retry: tuple[str, ...], reassert: bool) -> None:
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

    result, interrupted = _run(act())
    document = asdict(result)
    lines = [f"arrived: {', '.join(result.arrived) or 'none'}"]
    lines += [f"went back: {service}: {why}" for service, why in result.returned.items()]
    lines += [f"frozen: {service}: {why}" for service, why in result.frozen.items()]
    lines += [f"behind: {service}{': ' + why if why else ''}" for service, why in result.behind.items()]
    _say(context, document, lines)
    if interrupted:
        raise Interrupted("interrupted; the state is saved", remedy="`bluegreen shift` goes on from here")
    if result.frozen:
        raise Held(f"frozen: {', '.join(result.frozen)}", remedy="put it right, or `bluegreen shift --reassert`")
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
    context: _Context, there: Opened, lock: Any, yes: bool, retry: tuple[str, ...], reassert: bool
) -> tuple[Any, bool]:
    import time

    from migration.clock import SystemClock
    from migration.journal import Journal
    from migration.shift import Shift, World

    edge = there.edge
    if not edge.services:
        raise ConfigError("no service is enrolled", remedy="`bluegreen enroll`")
    unknown = [name for name in retry if name not in edge.services and name != "all"]
    if unknown:
        raise ConfigError(f"--retry {', '.join(unknown)}: not enrolled; there: {', '.join(edge.services)}")
    rules = there.rules(reassert=reassert)
    plan = [
        f"{edge.blue} -> {edge.green}, steps {', '.join(f'{s / 100:g} %' for s in rules.policy.steps_bp)}, dwell {rules.policy.dwell_seconds:g} s"
    ]
    for number, batch in enumerate(rules.order.batches, start=1):
        plan.append(f"  batch {number}: " + ", ".join("+".join(unit) for unit in batch))
    _confirm(context, yes, plan)
    journal = Journal(there.migration.store, lock.fence, time.time)
    world = World(there.routers(), there.counters(), there.metrics(), SystemClock(), there.file, journal, lock)
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
        return result, moving.stop.is_set()
    finally:
        if view:
            view.stop()
        journal.close()


@cli.command()
@click.argument("services", nargs=-1)
@click.option("--reason", default="asked for", help="For the journal.")
@pass_context
def rollback(context: _Context, services: tuple[str, ...], reason: str) -> None:
    """Everything, or the named services, back to blue. At once: asks nobody, waits for no lock and for no green."""
    migration = context.load()

    async def act() -> Any:
        import time

        from migration.clock import SystemClock
        from migration.journal import Journal
        from migration.lock import take_over
        from migration.rollback import rollback as go_back
        from migration.wiring import opened

        async with opened(migration, need=()) as there:
            unknown = [name for name in services if name not in there.edge.services]
            if unknown:
                raise ConfigError(f"not enrolled: {', '.join(unknown)}; there: {', '.join(there.edge.services)}")
            lock = take_over(migration.store)
            journal = Journal(migration.store, lock.fence, time.time)
            try:
                return await go_back(
                    there.edge,
                    list(services or there.edge.services),
                    routers=there.routers(),
                    entry=there.entry(),
                    file=there.file,
                    journal=journal,
                    lock=lock,
                    clock=SystemClock(),
                    clusters=there.clusters,
                    reason=reason,
                )
            finally:
                journal.close()

    rolled = _run(act())
    lines = (
        [f"{len(rolled.services)} services at blue, in effect after {rolled.seconds:.2f} s"]
        if rolled.in_effect.get("blue")
        else []
    )
    if rolled.in_effect.get("green") is False:
        by_it = "users leave it with the entry" if rolled.entry else "nobody comes in by it"
        lines.append(f"green's gateway could not be told and keeps its last split; {by_it}")
    if rolled.entry:
        lines.append(rolled.entry)
    _say(context, {**asdict(rolled), "complete": rolled.complete}, lines)
    if not rolled.complete:
        raise BluegreenError(
            "the way back is not complete: " + "; ".join(rolled.problems or ("blue's gateway does not serve it yet",)),
            remedy="`bluegreen rollback` again",
        )


@cli.command()
@pass_context
def pause(context: _Context) -> None:
    """Stop moving forward; analysis and the way back go on."""
    migration = context.load()
    import getpass

    from migration.stackfile import write_whole

    write_whole(migration.store / "pause", getpass.getuser())
    _say(context, {"paused": True}, ["paused; `bluegreen resume` goes on"])


@cli.command()
@pass_context
def resume(context: _Context) -> None:
    """End a pause."""
    migration = context.load()
    (migration.store / "pause").unlink(missing_ok=True)
    _say(context, {"paused": False}, ["no pause; a running shift goes on, else `bluegreen shift`"])


@cli.command()
@pass_context
def status(context: _Context) -> None:
    """Where every service is: file, gateways, journal."""
    migration = context.load()

    async def act() -> Any:
        from migration.status import status as look
        from migration.wiring import opened, paused

        async with opened(migration, need=()) as there:
            return await look(there.edge, there.routers(), migration.store, paused(migration))

    found = _run(act())
    _say(context, found.as_json(), found.lines())


# -- the entry -------------------------------------------------------------------------------------------------------


@cli.group()
def entry() -> None:
    """By which cluster's gateway requests come in."""


@entry.command("status")
@pass_context
def entry_status(context: _Context) -> None:
    """Shares as Route 53 has them."""
    _entry(
        context,
        lambda there, client: client.read(),
        lambda shares: [f"{name} {share / 100:g} %" for name, share in shares.items()],
    )


@entry.command("adopt")
@yes_option
@pass_context
def entry_adopt(context: _Context, yes: bool) -> None:
    """Make existing simple records weighted, all at blue, in one change batch."""
    _confirm(context, yes, ["simple records of the edge's hosts become weighted, all at blue"])
    _entry(
        context,
        lambda there, client: client.adopt(there.edge.blue, there.edge.green),
        lambda change: [f"change {change}" if change else "nothing to adopt"],
    )


@entry.command("shift")
@click.option(
    "--to", "percent", type=click.FloatRange(0, 100), default=100.0, show_default=True, help="Green's share in percent."
)
@click.option("--force", is_flag=True, help="Before services have baked.")
@yes_option
@pass_context
def entry_shift(context: _Context, percent: float, force: bool, yes: bool) -> None:
    """Move the entry to green (or a share of it)."""
    migration = context.load()
    share = round(percent * 100)

    async def act() -> tuple[dict[str, int], int]:
        from migration.clock import SystemClock
        from migration.entry import check_ready, shift_entry
        from migration.wiring import opened

        async with opened(migration, need=()) as there:
            client = there.entry()
            if client is None:
                raise ConfigError(f"{there.file.path}: has no bluegreen:zone and bluegreen:hosts", remedy="name them there")
            shares = {there.edge.blue: 10_000 - share, there.edge.green or "": share}
            lock, journal = _locked(migration, "bluegreen entry shift")
            try:
                check_ready(shares, there.edge, await client.read(), journal, force)
                _confirm(context, yes, [f"entry: {', '.join(f'{name} {s / 100:g} %' for name, s in shares.items())}"])
                ttl = await shift_entry(
                    shares,
                    entry=client,
                    clusters=there.clusters,
                    file=there.file,
                    journal=journal,
                    clock=SystemClock(),
                    force=force,
                )
            finally:
                journal.close()
                lock.release()
            return shares, ttl

    shares, ttl = _run(act())
    told = ", ".join(f"{name} {s / 100:g} %" for name, s in shares.items())
    _say(
        context, {"entry": shares, "ttl_seconds": ttl}, [f"entry: {told}; resolvers follow within {ttl} s, some clients later"]
    )


def _entry(
    context: _Context, act: Callable[[Opened, Any], Coroutine[Any, Any, Any]], words: Callable[[Any], list[str]]
) -> None:
    migration = context.load()

    async def inner() -> Any:
        from migration.wiring import opened

        async with opened(migration, need=()) as there:
            client = there.entry()
            if client is None:
                raise ConfigError(f"{there.file.path}: has no bluegreen:zone and bluegreen:hosts", remedy="name them there")
            return await act(there, client)

    found = _run(inner())
    _say(context, {"entry": found}, words(found))


if __name__ == "__main__":
    main()
