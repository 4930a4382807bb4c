"""What to do next. Pure: everything it knows is in its arguments, so that every rule of the road is a line in a table of tests.

A service waits, moves step by step, arrives, bakes. Only good words advance: the dwell is over, green has answered enough
requests, and (where there is a metrics store) the store said `pass` after the dwell was over. A step without enough requests
is lengthened. Going back asks nobody: not the window, not a pause, not the store. Units (groups, or single services) move
and return together. What went back stays back until somebody tries it again: raised by somebody else it is written to zero
once more. What somebody else changed is frozen: it never goes forward, and goes on being judged and taken back, for as long
as a bake would take.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from migration.model import WHOLE_BP, Hold, HoldKind, Move, Phase, ServiceState
from migration.settings.policy import Policy
from migration.shift.judge import Observation, judge, prove
from migration.shift.order import Batches, Order, Unit
from migration.store.events import Op

State = Mapping[str, ServiceState]
ON_GREEN = (Phase.MOVING, Phase.ARRIVED, Phase.BAKED)
JUDGED = (*ON_GREEN, Phase.FROZEN)
SETTLED = (Phase.ARRIVED, Phase.BAKED, Phase.RETURNED, Phase.HELD, Phase.FROZEN)
AT_GREEN = (Phase.ARRIVED, Phase.BAKED)
STAYS = Hold(HoldKind.UNASKED, "this shift was not asked to move it")
PARKED = Hold(HoldKind.PARKED, "`hold: true` in migration.yaml, of it or of its group")
CLOSED = Hold(HoldKind.WINDOW, "outside of the windows")


@dataclass(frozen=True)
class Note:
    op: Op  # RETURN, KEEP, FREEZE or BAKE
    service: str
    reason: str


@dataclass(frozen=True)
class Decision:
    state: State
    moves: tuple[Move, ...] = ()
    notes: tuple[Note, ...] = ()
    wants_slow: frozenset[str] = frozenset()  # whose step hangs on the store's word now
    done: bool = False


class Turn:
    """One decision as it grows: what the services become, and what is to be written and noted of them."""

    def __init__(self, services: State, observation: Observation, policy_of: Callable[[str], Policy], now: float) -> None:
        self.services = dict(services)
        self.observation, self.policy_of, self.now = observation, policy_of, now
        self.moves: list[Move] = []
        self.notes: list[Note] = []
        self.wants: set[str] = set()

    def of(self, unit: Collection[str], phase: Phase) -> list[str]:
        """Services of the unit that are in this phase."""
        return [service for service in unit if self.services[service].phase is phase]

    def note(self, op: Op, service: str, reason: str) -> None:
        """Something to be written into the journal."""
        self.notes.append(Note(op, service, reason))

    def hold(self, services: Collection[str], hold: Hold) -> None:
        """Says why these services do not go on."""
        for service in services:
            self.services[service] = replace(self.services[service], hold=hold)

    def stay(self, unit: Unit, hold: Hold) -> None:
        """Of those whose dwell is over and who have no other reason to stay."""
        self.hold([s for s in unit if _is_over(self.services[s]) and self.services[s].hold is None], hold)

    def back(self, unit: Unit, guilty: Mapping[str, str]) -> None:
        """The whole unit goes back, last first: who calls goes before who is called. `guilty`: why, by service."""
        first = next(service for service in unit if service in guilty)
        for service in reversed(unit):
            state = self.services[service]
            if state.phase in (Phase.HELD, Phase.RETURNED):
                continue
            why = guilty.get(service) or f"with {first}: {guilty[first]}"
            frozen = state.phase is Phase.FROZEN  # what its route says is not what we wrote
            if state.split_bp > 0 or frozen:
                self.moves.append(Move(service, 0, why, back=True, over=frozen))
            self.note(Op.RETURN, service, why)
            self.services[service] = ServiceState(Phase.RETURNED, last_tick=self.now, cause=why)

    def step(self, members: Sequence[str]) -> None:
        """Everybody of a unit to the step above its lowest member."""
        lowest = min(self.services[service].split_bp for service in members)
        for service in members:
            target = next((step for step in self.policy_of(service).steps_bp if step > lowest), WHOLE_BP)
            if self.services[service].split_bp >= target:
                continue
            self.moves.append(Move(service, target, f"step to {target / 100:g} %"))
            phase = Phase.ARRIVED if target == WHOLE_BP else Phase.MOVING
            self.services[service] = ServiceState(phase, target, last_tick=self.now)

    def may_end(self, unit: Unit, service: str) -> bool | None:
        """Whether the step, or the bake, of a service may end; None where its unit has gone back for it."""
        proven = prove(self.services[service], self.observation.of(service), self.policy_of(service))
        self.services[service] = proven.state
        if proven.asks_store:
            self.wants.add(service)
        if proven.guilty:
            self.back(unit, {service: proven.guilty})
            return None
        return proven.passed


def decide(order: Order, state: State, observation: Observation, policy_of: Callable[[str], Policy], now: float) -> Decision:
    """What each service becomes at this tick, and which moves and notes that takes. `now`: monotonic."""
    turn = Turn(state, observation, policy_of, now)
    _freeze(turn)
    guilty = _judge_all(turn)
    units = [unit for batch in order.batches for unit in batch]
    for unit in units:
        if not guilty.keys().isdisjoint(unit):
            turn.back(unit, guilty)
    for unit in units:
        if order.stay.isdisjoint(unit):
            _advance(turn, unit, order)
        else:
            turn.stay(unit, STAYS)
    parked = _parked(order, turn.services)
    _start(turn, order, parked)
    done = all(
        service in order.stay or service in parked or _is_done(turn, service, state) for service, state in turn.services.items()
    )
    return Decision(turn.services, tuple(turn.moves), tuple(turn.notes), frozenset(turn.wants), done)


def _is_over(state: ServiceState) -> bool:
    return state.phase is Phase.MOVING and state.dwell_done_at is not None


def _is_done(turn: Turn, service: str, state: ServiceState) -> bool:
    return state.phase in SETTLED and state.phase is not Phase.ARRIVED and not _watched(turn, service, state)


def _watched(turn: Turn, service: str, state: ServiceState) -> bool:
    """Whether a frozen service that green serves still has to be looked at."""
    served = state.split_bp > 0 or turn.observation.requests.get(service, 0) > 0
    return state.phase is Phase.FROZEN and served and state.dwell_seconds < turn.policy_of(service).bake_seconds


def _freeze(turn: Turn) -> None:
    """What somebody else changed."""
    for service, who in turn.observation.foreign.items():
        state = turn.services.get(service)
        if state is None or state.phase is Phase.FROZEN:
            continue
        raised = turn.observation.raised.get(service, 0)
        if state.phase is Phase.RETURNED and raised > 0:
            turn.moves.append(Move(service, 0, f"was rolled back and stays there: {who}", back=True, over=True))
            turn.note(Op.KEEP, service, who)
            continue
        turn.services[service] = replace(
            state,
            phase=Phase.FROZEN,
            split_bp=max(state.split_bp, raised),
            cause=who,
            hold=None,
            in_effect_at=turn.now,
            dwell_seconds=0.0,
            dwell_done_at=None,
        )
        turn.note(Op.FREEZE, service, who)


def _judge_all(turn: Turn) -> dict[str, str]:
    """Who must go back, and why."""
    guilty: dict[str, str] = {}
    for service, state in turn.services.items():
        if state.phase not in JUDGED:
            continue
        judgement = judge(state, turn.observation.of(service), turn.policy_of(service), turn.now)
        frozen = state.phase is Phase.FROZEN  # holds at nothing: it does not move
        turn.services[service] = replace(judgement.state, hold=None) if frozen else judgement.state
        if judgement.guilty:
            guilty[service] = f"{judgement.guilty} (frozen: {state.cause})" if frozen else judgement.guilty
    return guilty


def _advance(turn: Turn, unit: Unit, order: Order) -> None:
    """What has arrived bakes; what is on its way takes its next step, unless it is parked."""
    for service in turn.of(unit, Phase.ARRIVED):
        passed = turn.may_end(unit, service)
        if passed is None:
            return
        if passed:
            turn.services[service] = replace(turn.services[service], phase=Phase.BAKED)
            turn.note(Op.BAKE, service, "its bake is over")
    if order.parks(unit):
        turn.stay(unit, PARKED)
        return
    moving = turn.of(unit, Phase.MOVING)
    ready = bool(moving)
    for service in moving:
        passed = turn.may_end(unit, service)
        if passed is None:
            return
        ready = ready and passed
    if not ready:
        return
    if blocked := _blocked(turn.observation):
        turn.hold(moving, blocked)
    else:
        turn.step(moving)


def _parked(order: Order, services: State) -> frozenset[str]:
    """On their way, and going no further: nobody waits for them."""
    held = (service for batch in order.batches for unit in batch if order.parks(unit) for service in unit)
    return frozenset(service for service in held if services[service].phase is Phase.MOVING)


def _blocked(observation: Observation) -> Hold | None:
    """Why nothing goes forward now."""
    if observation.stuck:
        return Hold(HoldKind.DISK, observation.stuck, observation.stuck)
    if observation.paused:
        return Hold(HoldKind.PAUSED, f"paused by {observation.paused}", observation.paused)
    return None if observation.window_open else CLOSED


def _start(turn: Turn, order: Order, parked: frozenset[str]) -> None:
    """Begins units of the first batch that is not settled, as many as may be on their way at once."""
    services = turn.services
    batches: Batches = tuple(tuple(unit for unit in batch if order.stay.isdisjoint(unit)) for batch in order.batches)
    for batch in batches:
        for unit in batch:
            _hold_waiting(turn, order, unit)
    for batch in batches:
        if all(services[service].phase in SETTLED or service in parked for unit in batch for service in unit):
            continue
        if not _blocked(turn.observation):
            for unit in batch:
                _start_unit(turn, order, unit)
        return


def _hold_waiting(turn: Turn, order: Order, unit: Unit) -> None:
    """Where one of a unit can never begin, none of it does."""
    for service in unit:
        stuck = str(PARKED) if order.parks(unit) else _stuck(order, turn.services, service)
        if turn.services[service].phase is Phase.WAITING and stuck:
            for member in turn.of(unit, Phase.WAITING):
                turn.services[member] = replace(turn.services[member], phase=Phase.HELD, cause=stuck)


def _start_unit(turn: Turn, order: Order, unit: Unit) -> None:
    waiting = turn.of(unit, Phase.WAITING)
    needs = [need for service in unit for need in order.depends_on.get(service, ())]
    if not waiting or not all(_served(turn.services, unit, need) for need in needs):
        return
    on_way = sum(state.phase is Phase.MOVING for state in turn.services.values())
    if on_way and on_way + len(waiting) > turn.policy_of(unit[0]).in_flight:
        return
    turn.step(waiting)


def _served(services: State, unit: Unit, need: str) -> bool:
    return need in unit or need not in services or services[need].phase in AT_GREEN


def _stuck(order: Order, services: State, service: str) -> str | None:
    for need in order.depends_on.get(service, ()):
        if need in services and services[need].phase in (Phase.RETURNED, Phase.HELD, Phase.FROZEN):
            return f"waits for {need}, which is {services[need].phase}"
        if need in order.stay | order.held and services[need].phase not in AT_GREEN:
            return f"waits for {need}, which is at {services[need].split_bp / 100:g} % and which this shift does not move"
    return None
