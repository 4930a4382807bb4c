"""Where to go on after a crash, a pause or somebody's hand: the journal explains, the live world decides. Pure.

Of several splits that may hold (the file's, blue's gateway's, green's gateway's), the lowest wins: a crash between
writes is finished towards blue and
the step is taken again from there. A split that neither we nor the file know of is foreign. A service found at zero
that ought not to be
there has been taken back by somebody, and stays back until it is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migration.model import MANAGER, WHOLE_BP, Phase, RouteLive, ServiceState, Standing
from migration.store.events import Op
from migration.store.memory import Remembered


@dataclass(frozen=True)
class Start:
    state: ServiceState
    write: bool  # file or gateways do not agree with state.split_bp
    note: tuple[Op, str] | None = None  # (operation, reason) for the journal


def recover(
    service: str,
    file_bp: int,
    live: Mapping[str, RouteLive | None],
    memory: Remembered | None,
    *,
    hold: bool = False,
    retry: bool = False,
    reassert: bool = False,
    returned: str | None = None,
    elsewhere: bool = False,
) -> Start:
    """`live` by side; None: there is no such route on that side. `returned`: why it went back, as the clusters keep it;
    that counts unless the journal knows that it moved on since. `elsewhere`: another store has written here; where it sent
    to green again what this one's journal has as returned, its word is the later one.
    """
    memory = memory or Remembered()
    sent_again = all(route is not None and (route.split_bp or 0) > 0 and route.manager == MANAGER for route in live.values())
    if elsewhere and sent_again and returned is None and memory.state is Standing.RETURNED:
        memory = Remembered()
    if returned is None and memory.state is Standing.RETURNED:
        returned = memory.reason
    where = {file_bp, *(route.split_bp if route else None for route in live.values())}
    unknown = memory.split_bp is None or memory.state is Standing.RETURNED
    if returned is not None and not retry and unknown and None not in where:
        note = None if memory.state is Standing.RETURNED else (Op.RETURN, returned)
        return Start(ServiceState(Phase.RETURNED, 0, cause=returned), where != {0}, note)
    splits = {side: route.split_bp if route else None for side, route in live.items()}
    known = {file_bp, memory.split_bp, *memory.open_values}
    interrupted = bool(memory.open_values)
    foreign = None
    for side, split in splits.items():
        route = live[side]
        ours = route is not None and route.manager == MANAGER  # ours, or the program's from the same file
        if split is None or (split not in known and split != 0 and not ours):
            of_others = "is not one that bluegreen wrote"
            what = "is gone" if route is None else of_others if split is None else f"is at {split / 100:g} %"
            by = f", written by {route.manager or 'somebody'} at {route.changed_at or 'an unknown time'}" if route else ""
            foreign = f"its route on {side} {what}{by}"
    if (
        foreign is None
        and not interrupted
        and memory.split_bp is not None
        and file_bp > max(memory.split_bp, *(s or 0 for s in splits.values()))
    ):
        foreign = f"the stack file was raised to {file_bp / 100:g} % by hand"
    if foreign and not reassert:
        return Start(
            # as much as green may be serving: it is watched for that
            ServiceState(Phase.FROZEN, max(s or 0 for s in splits.values()), cause=foreign),
            False,
            (Op.FREEZE, foreign),
        )
    there = [file_bp, *(split for split in splits.values() if split is not None)]
    if foreign and memory.split_bp is not None:
        there.append(memory.split_bp)
    target = min(there)
    write = any(split != target for split in splits.values()) or file_bp != target
    if target == 0:
        was_on_green = (memory.split_bp or 0) > 0 or max(there) > 0
        back = returned is not None or (was_on_green and not (interrupted and 0 in memory.open_values))
        if back and not retry:
            by_hand = "found at zero: taken back by hand or by a rollback that was cut short"
            reason = returned if returned is not None else by_hand
            note = None if memory.state is Standing.RETURNED else (Op.RETURN, reason)
            return Start(ServiceState(Phase.RETURNED, 0, cause=reason), write, note)
        note = (Op.RETRY, "asked for") if back else None
        return Start(
            ServiceState(Phase.HELD if hold else Phase.WAITING, 0, cause="by configuration" if hold else ""),
            write,
            note,
        )
    dwell = memory.dwell_seconds if memory.split_bp == target else 0.0
    phase = Phase.MOVING
    if target == WHOLE_BP:
        phase = Phase.BAKED if memory.state is Standing.BAKED and memory.split_bp == target else Phase.ARRIVED
    thawed = (Op.THAW, "agrees again") if memory.state is Standing.FROZEN else None
    return Start(ServiceState(phase, target, dwell_seconds=dwell), write, thawed)
