"""What a run says, in the journal and in the log: each thing once, and figures now and then."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping

from migration.model import NEVER, Baseline, GatewayCounters, Hold, HoldKind, Phase, Side
from migration.ports import Clock
from migration.shift.decide import JUDGED, Note
from migration.shift.observe import Observer
from migration.shift.services import Services
from migration.store.events import RUN, Op
from migration.store.journal import Journal
from migration.store.memory import baseline_document, step_document

log = logging.getLogger(__name__)
SILENT_SECONDS = 10.0  # a gateway pod that comes and goes is told no more often
WORDS = {Op.RETURN: "rolled back", Op.KEEP: "kept at blue", Op.FREEZE: "frozen", Op.BAKE: "baked"}


class Reporter:
    def __init__(self, journal: Journal, clock: Clock, services: Services, observer: Observer) -> None:
        self._journal, self._clock, self._services, self._observer = journal, clock, services, observer
        self._holds: dict[str, Hold | None] = {}  # the last that was told
        self._baselines: dict[str, Baseline] = {}  # as they were noted last
        self._silent: dict[Side, tuple[frozenset[str], float]] = {}  # pages of gateway pods, and when they were told

    def known(self, service: str, baseline: Baseline) -> None:
        """The journal has it."""
        self._baselines[service] = baseline

    def decided(self, notes: Iterable[Note]) -> None:
        """Writes notes into the journal and the log."""
        for note in notes:
            self._journal.note(note.op, note.service, reason=note.reason)
            level = logging.INFO if note.op is Op.BAKE else logging.WARNING
            log.log(level, "%s: %s: %s", note.service, WORDS[note.op], note.reason)

    def holds(self) -> None:
        """Why a service does not go on though its dwell is over (or green's numbers are bad), once per reason: figures in it
        may grow without being told again.
        """
        for service, state in self._services.states.items():
            late = state.dwell_done_at is not None or state.fails or state.errors
            hold = state.hold if late else None
            if hold is not None and hold.kind is HoldKind.STORE_AWAITED:
                continue
            if hold is not None and not hold.same_as(self._holds.get(service)):
                self.hold(service, state.split_bp, hold)
            self._holds[service] = hold

    def hold(self, service: str, split_bp: int, hold: Hold, level: int = logging.INFO) -> None:
        """Why a service stays at its split (basis points), into the journal and the log."""
        self._journal.note(Op.HOLD, service, after=split_bp, reason=str(hold))
        log.log(level, "%s: %s", service, hold)

    def silent(self, readings: Mapping[Side, GatewayCounters]) -> None:
        """The others count on; which pod is not watched is told once, and of one that comes and goes now and then."""
        now = self._clock.monotonic()
        for side, reading in readings.items():
            pages = frozenset(reading.silent)
            before, at = self._silent.get(side, (frozenset(), NEVER))
            if pages == before or now - at < SILENT_SECONDS:
                continue
            why = "; ".join(reading.silent.values()) or "all gateway pods' counters answer again"
            self._journal.note(Op.SILENT, side, after=sorted(pages), reason=why)
            log.warning("%s's gateway: %s%s", side, why, "; the others are counted" if pages else "")
            self._silent[side] = pages, now

    def reasserted(self, written_over: Mapping[str, str]) -> None:
        """`written_over`: by service, who had changed it."""
        for service, who in written_over.items():
            self._journal.note(Op.REASSERT, service, after=self._services[service].split_bp, reason=who)

    def progress(self) -> None:
        """How far each dwell and bake is, so that a run after this one goes on from there."""
        under_way = self._services.of(Phase.MOVING, Phase.ARRIVED)
        if under_way:
            dwell = {service: round(self._services[service].dwell_seconds, 3) for service in under_way}
            self._journal.note(Op.PROGRESS, RUN, after=dwell)
            steps = {service: step_document(self._observer.step(service)) for service in under_way}
            self._journal.note(Op.STEP, RUN, after=steps)

    def baselines(self, services: Collection[str] = ()) -> None:
        """What blue showed so far, for a run after this one: at 100 % nobody can ask it any more. Of all that green serves,
        or of these.
        """
        known = {service: self._observer.baseline(service) for service in services or self._services.of(*JUDGED)}
        new = {service: baseline for service, baseline in known.items() if baseline != self._baselines.get(service)}
        if new:
            self._journal.note(Op.BASELINE, RUN, after={service: baseline_document(each) for service, each in new.items()})
            self._baselines |= new
