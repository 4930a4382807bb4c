"""Moves the entry: by which cluster's gateway requests come in. Last, after services have baked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migration.errors import BluegreenError, Held, Unreachable
from migration.model import WHOLE_BP, Side, Standing
from migration.ports import Clock, Entry, Kubernetes
from migration.settings.stack_file import Edge, StackFile
from migration.store.events import Change, Op, Outcome
from migration.store.journal import Journal
from migration.store.memory import remember
from migration.store.record import write_record
from routing.weights import effective_bp, route53

INSYNC_SECONDS = 180.0


def unready(edge: Edge, journal: Journal) -> list[str]:
    """Why the entry should not move to green yet."""
    memory = remember(journal.events)
    reasons = []
    for service, split in edge.services.items():
        if split < WHOLE_BP:
            reasons.append(f"{service} is at {split / 100:g} %")
        elif service not in memory or memory[service].state is not Standing.BAKED:
            reasons.append(f"{service} has not baked")
    return reasons


def check_ready(shares: Mapping[str, int], edge: Edge, live: Mapping[str, int], journal: Journal, *, force: bool) -> None:
    """Held where more users would come in by green than do now (by file and by Route 53) before services have baked."""
    if edge.green is None or force:
        return
    now = min(edge.green_entry_bp, live.get(edge.green, 0))
    if shares.get(edge.green, 0) > now and (why := unready(edge, journal)):
        raise Held(
            "the entry stays: " + "; ".join(why),
            remedy="`bluegreen shift` to the end of the bake, or `bluegreen entry shift --force`",
        )


def drifts(wanted: Mapping[str, int], live: Mapping[str, int]) -> bool:
    """Whether live shares are other than the weights of the wanted ones give: Route 53 has 255 steps, shares 10,000."""
    return {name: share for name, share in effective_bp(route53(wanted)).items() if share} != {
        name: share for name, share in live.items() if share
    }


async def shift_entry(
    shares: Mapping[str, int],
    *,
    entry: Entry,
    clusters: Mapping[Side, Kubernetes],
    file: StackFile,
    journal: Journal,
    clock: Clock,
    force: bool = False,
) -> int:
    """Sets the shares; gives the TTL after which resolvers have forgotten the old ones."""
    edge = file.read()
    before = dict(await entry.read())
    check_ready(shares, edge, before, journal, force=force)
    kept = {name: share for name, share in edge.entry.items() if name in shares}
    changes = [Change(cluster, before.get(cluster, 0), share, "entry") for cluster, share in shares.items()]
    ids = journal.promise(Op.ENTRY, changes)
    edge = file.write(entry=shares)
    try:
        change = await entry.write(shares)
    except BluegreenError as problem:
        if not isinstance(problem, Unreachable):  # refused: nothing was changed, so the file must not say so
            file.write(entry=kept or before)
            journal.not_done(Op.ENTRY, ids, changes, problem)
        raise
    await write_record(clusters, edge)
    deadline = clock.monotonic() + INSYNC_SECONDS
    while change and not await entry.in_effect(change):
        if clock.monotonic() > deadline:
            raise Unreachable(
                f"Route 53 has not finished change {change} within {INSYNC_SECONDS:g} s", remedy="`bluegreen entry status`"
            )
        await clock.sleep(0.25)
    now = await entry.read()
    journal.outcomes(Op.ENTRY, ids, [Outcome(cluster, now.get(cluster, 0), "in sync") for cluster in shares])
    return await entry.ttl_seconds()


@dataclass(frozen=True)
class Moved:
    """The entry is all at blue: Route 53's id of the change, and words for people."""

    change: str
    words: str


@dataclass(frozen=True)
class NotMoved:
    problem: str


async def entry_back(entry: Entry | None, shares: Mapping[str, int]) -> Moved | NotMoved:
    """Writes shares that are all at blue, over whatever is there. Waits for no resolver; raises nothing."""
    if entry is None:
        return NotMoved("the entry is at green, and no zone is configured to move it back; move it by hand")
    try:
        change = await entry.write(shares, force=True)
        ttl = await entry.ttl_seconds()
    except BluegreenError as problem:
        return NotMoved(f"the entry could not be moved back: {problem}")
    return Moved(
        change,
        f"the entry is rolled back to blue: users follow within {ttl} s (the records' TTL) plus what clients cache themselves",
    )
