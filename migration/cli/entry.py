"""Commands of the entry: which cluster's gateway receives traffic."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from migration.cli.console import Commands, Context, confirm, locked, pass_context, run, show, yes_option
from migration.errors import ConfigError
from migration.model import WHOLE_BP
from migration.views.entries import EntryAdopted, EntryPlan, EntryShifted, EntryStatus

if TYPE_CHECKING:
    from migration.cli.session import Session
    from migration.clients.route53 import Route53Entry


@click.group(cls=Commands)
def entry() -> None:
    """Which cluster's gateway receives traffic."""


@entry.command("status")
@pass_context
def entry_status(context: Context) -> None:
    """Shares as Route 53 has them, compared with the stack file."""
    migration = context.load()

    async def act() -> EntryStatus:
        from migration.cli.session import opened
        from migration.entry.move import drifts

        async with opened(migration, need=()) as session:
            client = _client(session)
            shares, ttl = await client.read(), await client.ttl_seconds()
            edge = session.edge
            return EntryStatus(shares, edge.entry, edge.hosts, drifts(edge.entry, shares), ttl, edge.green)

    show(context, run(act()))


@entry.command("adopt")
@yes_option
@pass_context
def entry_adopt(context: Context, *, yes: bool) -> None:
    """Make existing simple records weighted, all at blue, in one change batch."""
    migration = context.load()

    async def act() -> EntryAdopted:
        from migration.cli.session import opened

        async with opened(migration, need=()) as session:
            client, edge = _client(session), session.edge
            confirm(context, [f"simple records of {', '.join(edge.hosts)} become weighted, all at {edge.blue}"], yes=yes)
            return EntryAdopted(await client.adopt(edge.blue, edge.green) or None, edge.blue)

    show(context, run(act()))


def _basis_points(context: click.Context, option: click.Parameter, value: str) -> int:
    """Refused where it is no whole number of them: what is rounded away would be somebody's users, 99.996 all of them."""
    with suppress(InvalidOperation):
        share = Decimal(value) * 100
        if share.is_finite() and 0 <= share <= WHOLE_BP and share == int(share):
            return int(share)
    raise click.BadParameter(f"{value}; allowed: 0 to 100, in steps of 0.01", context, option)


@entry.command("shift")
@click.option(
    "--to",
    "share_bp",
    metavar="PERCENT",
    default="100",
    show_default=True,
    callback=_basis_points,
    help="Green's share, in steps of 0.01.",
)
@click.option("--force", is_flag=True, help="Move the entry even if services have not finished baking.")
@yes_option
@pass_context
def entry_shift(context: Context, share_bp: int, *, force: bool, yes: bool) -> None:
    """Move the entry to green (or a share of it)."""
    migration = context.load()

    async def act() -> EntryShifted:
        from migration.cli.clock import SystemClock
        from migration.cli.session import opened
        from migration.entry.move import check_ready, shift_entry

        async with opened(migration, need=()) as session:
            client = _client(session)
            shares = {session.edge.blue: WHOLE_BP - share_bp, session.edge.green or "": share_bp}
            lock, journal = locked(migration, "bluegreen entry shift")
            try:
                before = dict(await client.read())
                check_ready(shares, session.edge, before, journal, force=force)
                plan = EntryPlan(before, shares, session.edge.hosts, await client.ttl_seconds())
                if context.as_json:
                    show(context, EntryShifted(plan))  # where it is declined, or fails
                confirm(context, plan.lines(), yes=yes)
                ttl = await shift_entry(
                    shares,
                    entry=client,
                    clusters=session.clusters,
                    file=session.file,
                    journal=journal,
                    clock=SystemClock(),
                    force=force,
                )
            finally:
                journal.close()
                lock.release()
            return EntryShifted(plan, shares, ttl)

    show(context, run(act()))


def _client(session: Session) -> Route53Entry:
    client = session.entry()
    if client is None:
        raise ConfigError(
            f"{session.file.path}: has no bluegreen:zone and bluegreen:hosts; allowed: a domain and a list of names in it",
            remedy=f"name them in {session.file.path}, as docs/reference/configuration.md shows",
        )
    return client
