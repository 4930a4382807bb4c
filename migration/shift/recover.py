"""Where to go on after a crash, a pause or somebody's hand: the journal explains, the live world decides. Pure.

Of several splits that may hold (the file's, blue's gateway's, green's gateway's), the lowest wins: a crash between writes is
finished towards blue and the step is taken again from there. A split that neither we nor the file know of is foreign. A
service found at zero that ought not to be there has been taken back by somebody, and stays back until it is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from migration.model import MANAGER, WHOLE_BP, Phase, RouteLive, ServiceState, Side, Standing
from migration.store.events import Op
from migration.store.memory import Remembered

BY_HAND = "found at zero: rolled back by hand or by a rollback that was interrupted"


@dataclass(frozen=True)
class Traces:
    """What there is of one service. `file_bp`: the stack file's split; `live` by side, None: there is no such route;
    `returned`: why it went back, as the clusters keep it, which counts unless the journal knows that it moved on since;
    `elsewhere`: another store has written here.
    """

    file_bp: int
    live: Mapping[Side, RouteLive | None]
    memory: Remembered = field(default_factory=Remembered)
    returned: str | None = None
    elsewhere: bool = False

    @property
    def splits(self) -> list[int | None]:
        """The gateways'; None: no route, or not one that we would have written."""
        return [route.split_bp if route else None for route in self.live.values()]

    @property
    def highest_bp(self) -> int:
        """What green may be serving of it, by the gateways."""
        return max(split or 0 for split in self.splits)


@dataclass(frozen=True)
class Wish:
    """What people want of it: that it does not move, that it is tried again, that others' changes are written over."""

    hold: bool = False
    retry: bool = False
    reassert: bool = False


@dataclass(frozen=True)
class Start:
    """`write`: file or gateways do not agree with the state's split. `note`: operation and reason for the journal."""

    state: ServiceState
    write: bool
    note: tuple[Op, str] | None = None


def recover(traces: Traces, wish: Wish) -> Start:
    """Where a service goes on, and what has to be written and noted for that."""
    traces = _with_later_word(traces)
    memory = traces.memory
    unmoved = memory.split_bp is None or memory.state is Standing.RETURNED
    if traces.returned is not None and not wish.retry and unmoved and None not in traces.splits:
        anything = {traces.file_bp, *traces.splits} != {0}
        return _back(traces, traces.returned, write=anything)
    foreign = _foreign(traces)
    if foreign and not wish.reassert:
        # as much as green may be serving: it is watched for that
        frozen = ServiceState(Phase.FROZEN, traces.highest_bp, cause=foreign)
        return Start(frozen, write=False, note=(Op.FREEZE, foreign))
    may_hold = [traces.file_bp, *(split for split in traces.splits if split is not None)]
    if foreign and memory.split_bp is not None:
        may_hold.append(memory.split_bp)
    target = min(may_hold)
    write = any(split != target for split in traces.splits) or traces.file_bp != target
    if target == 0:
        return _at_zero(traces, wish, was_on_green=(memory.split_bp or 0) > 0 or max(may_hold) > 0, write=write)
    return _on_green(memory, target, write=write)


def _with_later_word(traces: Traces) -> Traces:
    """Where the clusters keep no reason the journal's counts; but another store that sent the service to green again has
    spoken later.
    """
    if traces.returned is not None or traces.memory.state is not Standing.RETURNED:
        return traces
    sent_again = all(route and (route.split_bp or 0) > 0 and route.manager == MANAGER for route in traces.live.values())
    if traces.elsewhere and sent_again:
        return replace(traces, memory=Remembered())
    return replace(traces, returned=traces.memory.reason)


def _back(traces: Traces, reason: str, *, write: bool) -> Start:
    note = None if traces.memory.state is Standing.RETURNED else (Op.RETURN, reason)
    return Start(ServiceState(Phase.RETURNED, 0, cause=reason), write, note)


def _foreign(traces: Traces) -> str | None:
    """What somebody else made of it, in words."""
    memory, foreign = traces.memory, None
    known = {traces.file_bp, memory.split_bp, *memory.open_values, 0}
    for side, route in traces.live.items():
        split = route.split_bp if route else None
        ours = route is not None and route.manager == MANAGER  # ours, or the program's from the same file
        if split is None or (split not in known and not ours):
            foreign = f"its route on {side} {_what(route)}"
    if foreign is not None or memory.open_values or memory.split_bp is None:
        return foreign
    raised = traces.file_bp > max(memory.split_bp, traces.highest_bp)
    return f"the stack file was raised to {traces.file_bp / 100:g} % by hand" if raised else None


def _what(route: RouteLive | None) -> str:
    if route is None:
        return "is gone"
    what = "is not one that bluegreen wrote" if route.split_bp is None else f"is at {route.split_bp / 100:g} %"
    return f"{what}, written by {route.manager or 'another client'} at {route.changed_at or 'an unknown time'}"


def _at_zero(traces: Traces, wish: Wish, *, was_on_green: bool, write: bool) -> Start:
    cut_short = 0 in traces.memory.open_values  # a step back of our own, which says nothing against it
    back = traces.returned is not None or (was_on_green and not cut_short)
    if back and not wish.retry:
        return _back(traces, traces.returned if traces.returned is not None else BY_HAND, write=write)
    state = ServiceState(Phase.HELD, 0, cause="by configuration") if wish.hold else ServiceState(Phase.WAITING, 0)
    return Start(state, write, (Op.RETRY, "asked for") if back else None)


def _on_green(memory: Remembered, target: int, *, write: bool) -> Start:
    same = memory.split_bp == target
    phase = Phase.MOVING
    if target == WHOLE_BP:
        phase = Phase.BAKED if memory.state is Standing.BAKED and same else Phase.ARRIVED
    thawed = (Op.THAW, "agrees again") if memory.state is Standing.FROZEN else None
    return Start(ServiceState(phase, target, dwell_seconds=memory.dwell_seconds if same else 0.0), write, thawed)
