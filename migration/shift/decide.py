"""What to do next. Pure: everything it knows is in its arguments, so that every rule of the road is a line in a table
of tests.

A service waits, moves step by step, arrives, bakes. Each step's dwell counts only while the split is in effect and
green is being judged.
Only good words advance: the dwell is over, green has answered enough requests, and (where there is a metrics store)
the store said `pass` after
the dwell was over. A step without enough requests is lengthened. Going back asks nobody: not the window, not a pause,
not the store.
Units (groups, or single services) move and return together. What went back stays back until somebody tries it again: raised
by somebody else it is written to zero once more. What somebody else changed is frozen: it never goes forward, and goes on
being judged and taken back, for as long as a bake would take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from migration.errors import ConfigError
from migration.model import WHOLE_BP, Judged, Move, Phase, ServiceState, Verdict
from migration.settings.policy import Policy
from migration.store.events import Op

Unit = tuple[str, ...]
Batches = tuple[tuple[Unit, ...], ...]
State = Mapping[str, ServiceState]
ON_GREEN = (Phase.MOVING, Phase.ARRIVED, Phase.BAKED)
JUDGED = (*ON_GREEN, Phase.FROZEN)
SETTLED = (Phase.ARRIVED, Phase.BAKED, Phase.RETURNED, Phase.HELD, Phase.FROZEN)
WAITS = "holds: waits for the metrics store"  # for its next word; not yet a reason to worry
STAYS = "holds: this shift was not asked to move it"
PARKED = "holds: `hold: true` in migration.yaml, of it or of its group"
NOTHING = Judged(Verdict.INCONCLUSIVE, "no samples yet")


@dataclass(frozen=True)
class Order:
    """In which order services move: batches of units, and what each service needs before it.

    `stay`: services that this run does not move forward. Where green serves them they are judged, and go back, like all.
    `held`: by configuration. They move no further, nor does their group; who waits for nobody else does not wait for them.
    """

    batches: Batches
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stay: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()

    def parks(self, unit: Unit) -> bool:
        return not self.held.isdisjoint(unit)


@dataclass(frozen=True)
class Observation:
    """`slow` holds only verdicts that came since the last tick; `requests` is what green answered since the step
    is in effect."""

    fast: Mapping[str, Judged] = field(default_factory=dict)
    slow: Mapping[str, Judged] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)  # why the whole step so far is not good enough to end it
    foreign: Mapping[str, str] = field(default_factory=dict)
    raised: Mapping[str, int] = field(default_factory=dict)  # to which share of green, of those that are foreign
    window_open: bool = True
    paused: str | None = None
    stuck: str | None = None  # why what must be on disk before a step cannot be written
    metrics: bool = False  # a metrics store is configured: its word is needed to advance


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


def decide(order: Order, state: State, seen: Observation, policy_of: Callable[[str], Policy], now: float) -> Decision:
    services = dict(state)
    moves: list[Move] = []
    notes: list[Note] = []
    wants: set[str] = set()
    for service, who in seen.foreign.items():
        there = services.get(service)
        if there is None or there.phase is Phase.FROZEN:
            continue
        raised = seen.raised.get(service, 0)
        if there.phase is Phase.RETURNED and raised > 0:
            moves.append(Move(service, 0, f"went back and stays back: {who}", back=True, over=True))
            notes.append(Note(Op.KEEP, service, who))
            continue
        services[service] = replace(
            there,
            phase=Phase.FROZEN,
            split_bp=max(there.split_bp, raised),
            reason=who,
            in_effect_at=now,
            dwell_seconds=0.0,
            dwell_done_at=None,
        )
        notes.append(Note(Op.FREEZE, service, who))
    guilty: dict[str, str] = {}
    for service, there in services.items():
        if there.phase is Phase.FROZEN:
            judged, why = _judge(there, seen, service, policy_of(service), now)
            services[service] = replace(judged, reason=there.reason)
            if why:
                guilty[service] = f"{why} (frozen: {there.reason})"
        elif there.phase in ON_GREEN:
            services[service], why = _judge(there, seen, service, policy_of(service), now)
            if why:
                guilty[service] = why
    units = [unit for batch in order.batches for unit in batch]
    for unit in units:
        culprits = [service for service in unit if service in guilty]
        if culprits:
            _return(unit, culprits, guilty, services, moves, notes, now)
    for unit in units:
        if order.stay.isdisjoint(unit):
            _advance(unit, services, seen, policy_of, moves, notes, wants, now, parked=order.parks(unit))
        else:
            _stay(unit, services, STAYS)
    parked = _parked(order, services)
    _start(order, services, seen, policy_of, moves, parked, now)
    done = all(
        there.phase in SETTLED and there.phase is not Phase.ARRIVED and not _watched(there, seen, service, policy_of(service))
        for service, there in services.items()
        if service not in order.stay and service not in parked
    )
    return Decision(services, tuple(moves), tuple(notes), frozenset(wants), done)


def _watched(there: ServiceState, seen: Observation, service: str, policy: Policy) -> bool:
    """Whether a frozen service that green serves still has to be looked at."""
    served = there.split_bp > 0 or seen.requests.get(service, 0) > 0
    return there.phase is Phase.FROZEN and served and there.dwell_seconds < policy.bake_seconds


def _judge(there: ServiceState, seen: Observation, service: str, policy: Policy, now: float) -> tuple[ServiceState, str | None]:
    fast, slow = seen.fast.get(service, NOTHING), seen.slow.get(service)
    elapsed = 0.0 if there.last_tick is None else max(0.0, min(now - there.last_tick, 3 * policy.sample_interval_seconds))
    there = replace(there, last_tick=now)
    if fast.verdict is Verdict.FAIL:
        return there, fast.reason
    if fast.verdict is Verdict.ERROR:
        there = replace(there, errors=there.errors + 1, slow_passed_at=None, reason=f"holds: {fast.reason}")
        if there.errors >= policy.error_limit:
            return there, f"no counters from the gateway for {there.errors} samples: {fast.reason}"
        return there, None
    there = replace(there, errors=0, reason="")
    if slow is not None:
        if slow.verdict is Verdict.FAIL:
            there = replace(there, fails=there.fails + 1, dwell_seconds=0.0, dwell_done_at=None, slow_passed_at=None)
            if there.fails >= policy.fail_limit:
                return there, slow.reason
            return replace(there, reason=f"holds: {slow.reason}"), None
        passed = slow.verdict is Verdict.PASS
        unsure = slow.verdict is Verdict.INCONCLUSIVE
        there = replace(
            there,
            slow_passed_at=now if passed else None,
            slow_unsure_at=now if unsure else None,
            slow_says="" if passed else slow.reason,
            fails=0 if passed else there.fails,
        )
        if not passed:
            there = replace(there, reason=f"holds: {slow.reason}")
    if there.in_effect_at is not None and now >= there.in_effect_at:
        needed = policy.dwell_seconds if there.phase is Phase.MOVING else policy.bake_seconds
        there = replace(there, dwell_seconds=there.dwell_seconds + min(elapsed, now - there.in_effect_at))
        if there.dwell_seconds >= needed and there.dwell_done_at is None:
            there = replace(there, dwell_done_at=now)
    return there, None


def _return(
    unit: Unit,
    culprits: Sequence[str],
    guilty: Mapping[str, str],
    services: dict[str, ServiceState],
    moves: list[Move],
    notes: list[Note],
    now: float,
) -> None:
    """The whole unit goes back, last first: who calls goes before who is called."""
    for service in reversed(unit):
        there = services[service]
        if there.phase in (Phase.HELD, Phase.RETURNED):
            continue
        why = guilty.get(service) or f"with {culprits[0]}: {guilty[culprits[0]]}"
        frozen = there.phase is Phase.FROZEN  # what its route says is not what we wrote
        if there.split_bp > 0 or frozen:
            moves.append(Move(service, 0, why, back=True, over=frozen))
        notes.append(Note(Op.RETURN, service, why))
        services[service] = ServiceState(Phase.RETURNED, last_tick=now, reason=why)


def _advance(
    unit: Unit,
    services: dict[str, ServiceState],
    seen: Observation,
    policy_of: Callable[[str], Policy],
    moves: list[Move],
    notes: list[Note],
    wants: set[str],
    now: float,
    *,
    parked: bool,
) -> None:
    """`parked`: what has arrived bakes, what is on its way stays where it is."""

    def may_go_on(service: str) -> bool | None:
        """Whether the step, or the bake, may end; None where the unit has gone back for it."""
        services[service], passed, why = _proven(services[service], seen, policy_of(service), wants, service)
        if why:
            _return(unit, [service], {service: why}, services, moves, notes, now)
            return None
        return passed

    for service in unit:
        if services[service].phase is Phase.ARRIVED:
            passed = may_go_on(service)
            if passed is None:
                return
            if passed:
                services[service] = replace(services[service], phase=Phase.BAKED)
                notes.append(Note(Op.BAKE, service, "its bake is over"))
    if parked:
        _stay(unit, services, PARKED)
        return
    moving = [service for service in unit if services[service].phase is Phase.MOVING]
    ready = bool(moving)
    for service in moving:
        passed = may_go_on(service)
        if passed is None:
            return
        ready = ready and passed
    if not ready:
        return
    if blocked := _blocked(seen):
        for service in moving:
            services[service] = replace(services[service], reason=f"holds: {blocked}")
        return
    _step(moving, services, policy_of, moves, now)


def _stay(unit: Unit, services: dict[str, ServiceState], reason: str) -> None:
    for service in unit:
        there = services[service]
        if there.phase is Phase.MOVING and there.dwell_done_at is not None and not there.reason:
            services[service] = replace(there, reason=reason)


def _parked(order: Order, services: State) -> frozenset[str]:
    """On their way, and going no further: nobody waits for them."""
    held = (service for batch in order.batches for unit in batch if order.parks(unit) for service in unit)
    return frozenset(service for service in held if services[service].phase is Phase.MOVING)


def _proven(
    there: ServiceState, seen: Observation, policy: Policy, wants: set[str], service: str
) -> tuple[ServiceState, bool, str | None]:
    """(the state with why it holds, whether its step or bake may end, why it must go back). Missing data never passes."""
    if there.in_effect_at is None or there.dwell_done_at is None:
        return there, False, None
    if seen.fast.get(service, NOTHING).verdict is Verdict.ERROR:
        return there, False, None
    if (doubt := seen.doubts.get(service)) is not None:
        return replace(there, reason=f"holds: {doubt}"), False, None
    answered = seen.requests.get(service, 0)
    passed = _slow_passed(there, seen, wants, service)
    unsure = seen.metrics and there.slow_unsure_at is not None and there.slow_unsure_at > there.dwell_done_at
    if answered < policy.min_requests or unsure:
        waited = there.inconclusive_seconds + policy.sample_interval_seconds
        few = f"{answered} of {policy.min_requests} requests" if answered < policy.min_requests else there.slow_says
        there = replace(there, inconclusive_seconds=waited, reason=f"holds: {few}")
        over = waited >= policy.inconclusive_limit_seconds
        if over and policy.on_inconclusive == "back":
            return there, False, f"{few}, {waited:.0f} s after the step's time"
        if not (over and policy.on_inconclusive == "advance"):
            return there, False, None
        passed = passed or unsure  # the store answered, and has too little to say; one that is down never advances
    if not passed and not there.reason:
        there = replace(there, reason=f"holds: {there.slow_says}" if there.slow_says else WAITS)
    return there, passed, None


def _slow_passed(there: ServiceState, seen: Observation, wants: set[str], service: str) -> bool:
    if not seen.metrics:
        return True
    wants.add(service)
    return there.slow_passed_at is not None and there.dwell_done_at is not None and there.slow_passed_at > there.dwell_done_at


def _blocked(seen: Observation) -> str | None:
    if seen.stuck:
        return seen.stuck
    if seen.paused:
        return f"paused by {seen.paused}"
    return None if seen.window_open else "outside of the windows"


def _step(
    members: Iterable[str],
    services: dict[str, ServiceState],
    policy_of: Callable[[str], Policy],
    moves: list[Move],
    now: float,
) -> None:
    """Everybody of a unit to the step above its lowest member."""
    chosen = list(members)
    lowest = min(services[service].split_bp for service in chosen)
    for service in chosen:
        target = next((step for step in policy_of(service).steps_bp if step > lowest), WHOLE_BP)
        if services[service].split_bp >= target:
            continue
        moves.append(Move(service, target, f"step to {target / 100:g} %"))
        phase = Phase.ARRIVED if target == WHOLE_BP else Phase.MOVING
        services[service] = ServiceState(phase, target, last_tick=now)


def _start(
    order: Order,
    services: dict[str, ServiceState],
    seen: Observation,
    policy_of: Callable[[str], Policy],
    moves: list[Move],
    parked: frozenset[str],
    now: float,
) -> None:
    """Begins units of the first batch that is not settled, as many as may be on their way at once."""
    batches = [[unit for unit in batch if order.stay.isdisjoint(unit)] for batch in order.batches]
    for batch in batches:
        for unit in batch:
            for service in unit:
                stuck = PARKED if order.parks(unit) else _stuck(order, services, service)
                if services[service].phase is Phase.WAITING and stuck:
                    for member in unit:
                        if services[member].phase is Phase.WAITING:
                            services[member] = replace(services[member], phase=Phase.HELD, reason=stuck)
    for batch in batches:
        if all(services[service].phase in SETTLED or service in parked for unit in batch for service in unit):
            continue
        if _blocked(seen):
            return
        for unit in batch:
            waiting = [service for service in unit if services[service].phase is Phase.WAITING]
            if not waiting or not all(
                _served(services, unit, need) for service in unit for need in order.depends_on.get(service, ())
            ):
                continue
            on_way = sum(there.phase is Phase.MOVING for there in services.values())
            if on_way and on_way + len(waiting) > policy_of(unit[0]).in_flight:
                continue
            _step(waiting, services, policy_of, moves, now)
        return


def _served(services: State, unit: Unit, need: str) -> bool:
    return need in unit or need not in services or services[need].phase in (Phase.ARRIVED, Phase.BAKED)


def _stuck(order: Order, services: State, service: str) -> str | None:
    for need in order.depends_on.get(service, ()):
        if need in services and services[need].phase in (Phase.RETURNED, Phase.HELD, Phase.FROZEN):
            return f"waits for {need}, which is {services[need].phase}"
        if need in order.stay | order.held and services[need].phase not in (Phase.ARRIVED, Phase.BAKED):
            return f"waits for {need}, which is at {services[need].split_bp / 100:g} % and which this shift does not move"
    return None


def make_order(
    services: Iterable[str],
    groups: Sequence[Sequence[str]],
    depends_on: Mapping[str, Sequence[str]],
    first_batch: int,
    batch: int,
) -> Order:
    """Units in dependency order, a few in the first batch, then more. A group is never split over batches."""
    known = sorted(services)
    unit_of: dict[str, Unit] = {}
    for group in groups:
        unit = tuple(service for service in group if service in known)
        unit_of.update(dict.fromkeys(unit, unit))
    for service in known:
        unit_of.setdefault(service, (service,))
    needs = {service: tuple(need for need in depends_on.get(service, ()) if need in known) for service in known}
    sorted_units: list[Unit] = []
    visiting: list[Unit] = []

    def visit(unit: Unit) -> None:
        if unit in sorted_units:
            return
        if unit in visiting:
            circle = " -> ".join(u[0] for u in [*visiting[visiting.index(unit) :], unit])
            raise ConfigError(
                f"services depend on each other in a circle: {circle}",
                remedy="put them into one group in migration.yaml",
            )
        visiting.append(unit)
        for service in unit:
            for need in needs[service]:
                if unit_of[need] != unit:
                    visit(unit_of[need])
        visiting.pop()
        sorted_units.append(unit)

    for service in known:
        visit(unit_of[service])
    return Order(batched(sorted_units, first_batch, batch), needs)


def batched(units: Iterable[Unit], first_batch: int, batch: int) -> Batches:
    """In their order, so many services each; a unit is never split."""
    batches: list[tuple[Unit, ...]] = []
    current: list[Unit] = []
    for unit in units:
        size = first_batch if not batches else batch
        if current and sum(map(len, current)) + len(unit) > size:
            batches.append(tuple(current))
            current = []
        current.append(unit)
    if current:
        batches.append(tuple(current))
    return tuple(batches)
