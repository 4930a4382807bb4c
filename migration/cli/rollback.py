"""The command `rollback`: everything, or some services, back to blue."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from migration.cli import stops
from migration.cli.console import Context, pass_context, run, show
from migration.errors import BluegreenError, Interrupted, Unreachable, UsageError
from migration.shift.proof import Proof
from migration.shift.rolled import REASON, RollbackResult, SoFar
from migration.views.rolled import RolledBack
from migration.words import some

if TYPE_CHECKING:
    from pathlib import Path

    from migration.cli.salvage import Salvage
    from migration.cli.session import Session

log = logging.getLogger(__name__)


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE ...]")
@click.option("--reason", default=REASON, show_default=True, help="Recorded in the journal.")
@pass_context
def rollback(context: Context, services: tuple[str, ...], reason: str) -> None:
    """Everything, or the named services, back to blue.

    Immediate: no confirmation, no lock, does not wait for green.
    """

    so_far = SoFar()

    async def act() -> tuple[RollbackResult, Session]:
        import asyncio

        from migration.cli.salvage import salvaged

        try:
            async with salvaged(context.config, services) as salvage:
                return await _roll_back(salvage, services, reason, so_far), salvage.session
        except asyncio.CancelledError:
            show(context, RolledBack.of(so_far.result()))
            raise

    try:
        rolled, session = run(act())
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
            remedy=_finish(rolled, session, again),
        )


def _finish(rolled: RollbackResult, session: Session, again: str) -> str:
    """What to do first, and then the same command again: alone it helps nobody while blue is dead or forbidden."""
    from migration.settings.stack_file import route_path

    before = []
    if blue := _reach_blue(rolled, session):
        before.append(blue)
    if rolled.lost:
        files = some(str(route_path(session.file.routes_folder, service)) for service in rolled.lost)
        before.append(f"restore from version control: {files}")
    if rolled.through_green:
        return "; ".join((*before, f"`{again}`, which moves the entry back, too"))
    if before:
        return "; ".join((*before, f"then `{again}` again"))
    return f"`{again}` again finishes what is left" if rolled.not_back else f"put that right, then `{again}` again"


def _reach_blue(rolled: RollbackResult, session: Session) -> str:
    import routing

    blue = session.clusters["blue"]
    kubectl = f"kubectl --kubeconfig {blue.access.source} --context {blue.access.context}"
    if rolled.in_effect.get("blue") is Proof.UNREACHABLE:
        return f"reach {blue.name}'s API server ({kubectl} version)"
    if "blue" in rolled.refused:
        kinds = routing.used(session.originals.values())
        asked = " && ".join(f"{kubectl} auth can-i patch {kind.resource.name} -A" for kind in kinds)
        return f"get the right to write routes on {blue.name} ({asked})"
    return ""


async def _roll_back(salvage: Salvage, services: tuple[str, ...], reason: str, so_far: SoFar) -> RollbackResult:
    import time

    from migration.cli.clock import SystemClock
    from migration.shift import rollback as way_back
    from migration.shift.ledger import open_ledger

    session = salvage.session
    if services:
        await _refuse_unknown(salvage, services)
    for problem in salvage.problems:
        log.warning("%s", problem)
    if not services and (nothing := await _nothing_there(salvage)):
        return nothing
    ledger = await open_ledger(session.migration.store, time.time)
    try:
        return await way_back.rollback(
            session.edge,
            [name for name in services or session.edge.services if name in session.originals],
            way_back.Means(
                session.routers(), session.entry(), session.file, ledger, SystemClock(), session.clusters, salvage.witness
            ),
            reason=reason,
            so_far=so_far,
        )
    finally:
        ledger.close()


async def _refuse_unknown(salvage: Salvage, services: tuple[str, ...]) -> None:
    """Where no name is known to anybody: not to the stack file, and not to the clusters."""
    from migration.settings.named import not_enrolled
    from migration.settings.yaml_reader import meant

    enrolled, path = salvage.session.edge.services, salvage.session.file.path
    if any(name in enrolled for name in services):
        return
    others = await salvage.witness.others()
    if others.services or others.lost:
        return
    message = not_enrolled(services, enrolled)
    if unread := await _unread(salvage):
        raise Unreachable(
            f"nothing was done: {message}, and {unread} could not be asked", remedy=_restore(path, " ".join(services))
        )
    near = [close for name in services if (close := meant(name, enrolled))]
    again = f"`bluegreen rollback {' '.join(near)}`; " if near else ""
    raise UsageError(message, remedy=f"{again}`bluegreen rollback` without a name rolls everything back")


async def _nothing_there(salvage: Salvage) -> RollbackResult | None:
    """Where neither the stack file nor the clusters know of a service that green may serve. Changes nothing.

    Raises:
        Unreachable: the file lists none, and blue's cluster, which knows better, cannot be asked.
    """
    edge, path = salvage.session.edge, salvage.session.file.path
    if edge.services or edge.green_entry_bp:
        return None
    others = await salvage.witness.others()
    if others.services or others.lost:
        return None
    if "blue" in await salvage.witness.silent():
        raise Unreachable(
            f"nothing was done: {path} lists no service, and {await _unread(salvage)} could not be asked whether a gateway "
            "forwards any to green",
            remedy=_restore(path),
        )
    return RollbackResult(
        nothing=f"nothing to roll back: {path} lists no service, {edge.blue}'s gateway forwards none to green, and the "
        f"entry is at {edge.blue}; nothing was changed"
    )


async def _unread(salvage: Salvage) -> str:
    """Names of the clusters that did not tell what their gateways forward."""
    edge = salvage.session.edge
    return " and ".join((edge.blue if side == "blue" else edge.green) or side for side in await salvage.witness.silent())


def _restore(path: Path, services: str = "") -> str:
    again = f"bluegreen rollback {services}".rstrip()
    return f"`bluegreen status` says why; if services were enrolled, restore {path} from version control, then `{again}`"
