"""`bluegreen replicate`: copies blue's objects to green."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from migration.cli.console import Context, confirm, keep, pass_context, run_once, show, yes_option
from migration.errors import Held

if TYPE_CHECKING:
    from migration.cli.session import Session
    from migration.settings.choices import Choices
    from migration.settings.migration_file import Migration


@click.command()
@click.argument("names", nargs=-1, metavar="[SERVICE|NAMESPACE ...]")
@click.option("--kind", "of_kinds", multiple=True, metavar="KIND", help="Only objects of this kind; may be repeated.")
@click.option(
    "--explain",
    metavar="KIND/NAMESPACE/NAME|classes",
    help="Say what becomes of one object and why, or list the classes of objects. Writes nothing.",
)
@yes_option
@click.option(
    "--force",
    is_flag=True,
    help="Take over fields that others own on green, and rewrite more of what it has than is allowed.",
)
@click.option("--despite-unread", multiple=True, metavar="KIND|all", help="Continue although this kind could not be read.")
@click.option("--full", is_flag=True, help="Show all of the plan: every name, every field, values at their full length.")
@pass_context
def replicate(
    context: Context,
    names: tuple[str, ...],
    of_kinds: tuple[str, ...],
    explain: str | None,
    yes: bool,
    force: bool,
    despite_unread: tuple[str, ...],
    full: bool,
) -> None:
    """Copy blue's objects to green.

    Without names: everything that green does not have by itself. NAMESPACE: all that is in it. SERVICE (NAMESPACE/NAME of
    a VirtualService): the route, the workloads behind it and what they need. Both bring the cluster-wide objects that
    they depend on; the plan says what brought each. What is updated is shown as green's value -> the new one; of Secrets
    only whether a key changes.

    Nothing is started twice, shared or rerun: what acts outside the cluster, takes work from a queue or keeps data waits
    for an answer in migration.yaml, and the plan prints the lines to add. Exits with 3 while something is held without
    an answer, in conflict or unread, and where there is something to write and no confirmation.

    Where green has 10 objects or more, a run that would rewrite more than 30 % of them, or of its workloads, is refused
    without --force (`replicate.rewrites` in migration.yaml): most likely blue is the wrong cluster. Creating is free.
    """
    if explain is not None and explain.lower() == "classes":
        from migration.views.replicate import classes

        show(context, classes())
        return
    migration = context.load()
    migration = replace(migration, replicate=replace(migration.replicate, only=names, kinds=of_kinds))

    async def act() -> None:
        from migration.cli.session import opened
        from migration.store import verdicts

        async with opened(migration) as session:
            if explain is not None:
                await tell(context, migration, session, explain)
                return

            def changed() -> None:
                keep(lambda wall: verdicts.replicated(migration.store, session.clusters["green"].name, wall))

            await copy(
                context, migration, session, yes=yes, force=force, despite_unread=despite_unread, full=full, changed=changed
            )

    run_once(act())


async def tell(context: Context, migration: Migration, session: Session, name: str) -> None:
    """What `--explain` does: one object, as the plan would have it. Writes nothing."""
    from migration.cli import progress
    from migration.objects import kinds
    from migration.objects.classes import WRITTEN
    from migration.replicate import explain
    from migration.replicate.export import bundle, learn
    from migration.replicate.plan import plan
    from migration.replicate.transform import transform
    from migration.views.replicate import explained

    blue, green = session.clusters["blue"], session.clusters["green"]
    async with progress.shown(f"reading {blue.name} and {green.name}", quiet=context.as_json):
        known = await learn(
            blue, green, choices=migration.replicate, enrolled=session.edge.services, singletons=migration.singletons
        )
        resource, obj = explain.find(known, name)
        objects = await bundle(known, blue) if obj is not None else None
    if obj is None or objects is None:
        explanation = explain.of_kind_left_out(resource, name)
    else:
        item = explain.item_of([*objects.items, *objects.left], obj, resource)
        if item.verdict.action in WRITTEN:
            # what decides about it on green: its definition may come along, an autoscaler may have its replicas, its
            # namespace may stay behind
            beside = [each for each in objects.items if each is item or each.resource.kind in explain.BESIDE]
            spaces = [each for each in objects.left if each.resource == kinds.NAMESPACE]
            transformed = transform(replace(objects, items=beside, left=spaces))
            change = next(each for each in (await plan(transformed, green)).changes if each.name == item.name)
            copied = transformed.items[beside.index(item)].obj
            explanation = explain.explain(known, item, copied, change.action, change.reason)
        else:
            explanation = explain.explain(known, item, None)
    show(context, explained(explanation))


async def copy(
    context: Context,
    migration: Migration,
    session: Session,
    *,
    yes: bool,
    force: bool = False,
    despite_unread: Sequence[str] = (),
    full: bool = False,
    changed: Callable[[], None] = lambda: None,
) -> None:
    """What `replicate` does on two clusters that answer; ends with an error where green lacks something of blue. Calls
    `changed` where green is not as it was.
    """
    from migration.cli import progress
    from migration.replicate import brake
    from migration.replicate.apply import apply, begun
    from migration.replicate.export import export
    from migration.replicate.plan import plan
    from migration.replicate.transform import transform
    from migration.replicate.unread import refuse_unread
    from migration.views.plan import plan_lines
    from migration.views.replicate import replicated

    blue, green = session.clusters["blue"], session.clusters["green"]
    async with progress.shown(f"reading {blue.name} and {green.name}", quiet=context.as_json):
        bundle = await export(
            blue, green, choices=migration.replicate, enrolled=session.edge.services, singletons=migration.singletons
        )
        planned = await plan(transform(bundle), green, limit=migration.replicate.rewrites, force=force)
    before, _ = begun(planned)
    try:
        if yes:
            refuse_unread(planned.unread, despite_unread, planned.asked)
        brake.refuse(planned.excess, force=force, command=_command(migration.replicate))
    except Held:
        for line in plan_lines(planned, full=full):
            click.echo(line, err=context.as_json)
        if context.as_json:
            show(context, replicated(planned, before))
        raise
    writes = planned.of("create", "update", "conflict")
    if not yes and not writes and before.ok:  # ends as it would with --yes: there is nothing to ask for
        for line in (*plan_lines(planned, full=full), "nothing to do"):
            click.echo(line, err=context.as_json)
        if context.as_json:
            show(context, replicated(planned, before))
        return
    if writes or not yes:
        confirm(context, plan_lines(planned, full=full), replicated(planned, before), yes=yes)
    async with progress.shown(f"writing to {green.name}", quiet=context.as_json) as wait:
        applied = await apply(planned, green, force=force, despite_unread=despite_unread, progress=wait.at)
    if applied.writes:
        changed()
    show(context, replicated(planned, applied))
    if problem := applied.verdict():
        raise problem


def _command(choices: Choices) -> str:
    """The command as it was given, with what it was asked to copy."""
    words = ("bluegreen replicate", *choices.only, *(f"--kind {kind}" for kind in choices.kinds))
    return " ".join(words)
