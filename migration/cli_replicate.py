"""`bluegreen replicate`: copies blue's objects to green."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from migration.errors import Held
from migration.terminal import Context, confirm, keep, pass_context, run_once, say, yes_option

if TYPE_CHECKING:
    from migration.config import Migration
    from migration.wiring import Opened


@click.command()
@yes_option
@click.option("--force", is_flag=True, help="Take over fields that others own on green.")
@click.option("--despite-unread", multiple=True, metavar="KIND|all", help="Go on although this kind could not be read.")
@pass_context
def replicate(context: Context, yes: bool, force: bool, despite_unread: tuple[str, ...]) -> None:
    """Copy blue's objects to green."""
    migration = context.load()

    async def act() -> None:
        from migration import verdicts
        from migration.wiring import opened

        async with opened(migration) as there:

            def changed() -> None:
                keep(lambda wall: verdicts.replicated(migration.store, there.clusters["green"].name, wall))

            await copy(context, migration, there, yes=yes, force=force, despite_unread=despite_unread, changed=changed)

    run_once(act())


async def copy(
    context: Context,
    migration: Migration,
    there: Opened,
    *,
    yes: bool,
    force: bool = False,
    despite_unread: Sequence[str] = (),
    changed: Callable[[], None] = lambda: None,
) -> None:
    """What `replicate` does on two clusters that answer; ends with an error where green lacks something of blue. Calls
    `changed` where green is not as it was.
    """
    from migration.replicate.apply import apply, refuse_unread
    from migration.replicate.export import export
    from migration.replicate.outcome import Applied
    from migration.replicate.plan import plan
    from migration.replicate.transform import transform

    blue, green = there.clusters["blue"], there.clusters["green"]
    bundle = await export(
        blue, green, choices=migration.replicate, enrolled=there.edge.services, singletons=migration.singletons
    )
    planned = await plan(transform(bundle), green)
    if context.as_json and not yes:
        say(context, planned.as_json(), [])
        raise Held("nothing was changed: this is only the plan", remedy="add --yes to act")
    if yes:
        try:
            refuse_unread(planned.unread, despite_unread, planned.asked)
        except Held:
            nothing = Applied(planned.cluster, unread=dict(planned.unread), unanswered=planned.unanswered())
            say(context, {**planned.as_json(), **nothing.as_json()}, planned.lines())
            raise
    if planned.of("create", "update", "conflict") or not yes:
        confirm(context, yes, planned.lines())
    applied = await apply(planned, green, force=force, despite_unread=despite_unread)
    if applied.writes:
        changed()
    say(context, {**planned.as_json(), **applied.as_json()}, applied.lines())
    if problem := applied.verdict():
        raise problem
