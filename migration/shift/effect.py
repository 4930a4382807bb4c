"""When a split that was written is in effect: each gateway is asked, beside the loop, until it serves it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from migration.model import Hold, HoldKind, Side
from migration.ports import Clock, Router
from migration.shift.gateways import SIDES, Gateways
from migration.shift.observe import Observer
from migration.shift.proof import Proof, probe
from migration.shift.report import Reporter
from migration.shift.services import Services
from migration.store.events import Op
from migration.store.journal import Journal

PROBE_SECONDS = 0.05
UNPROVEN_SECONDS = 10.0  # after these a gateway that cannot be asked from here is believed, and one that answers is told of


class Effect:
    def __init__(
        self,
        routers: Mapping[Side, Router],
        clock: Clock,
        journal: Journal,
        gateways: Gateways,
        services: Services,
        observer: Observer,
        reporter: Reporter,
    ) -> None:
        self._routers, self._clock, self._journal, self._gateways = routers, clock, journal, gateways
        self._services, self._observer, self._reporter = services, observer, reporter
        self._watching: dict[str, asyncio.Task[None]] = {}

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What it has under way, to be cancelled at the end."""
        return list(self._watching.values())

    def watch(self, service: str) -> None:
        """From the beginning, at the split that is written now."""
        if (task := self._watching.pop(service, None)) is not None:
            task.cancel()
        self._watching[service] = asyncio.ensure_future(self._watch(service, self._services[service].split_bp))

    async def _watch(self, service: str, split_bp: int) -> None:
        proofs = await self._until_served(service, split_bp)
        now = self._clock.monotonic()
        if self._services.in_effect(service, split_bp, now):
            self._observer.step_in_effect(service, now)
            proven = all(proof is Proof.SERVED for proof in proofs.values())
            self._journal.note(Op.EFFECT, service, after=split_bp, reason="in effect" if proven else "accepted, not proven")

    async def _until_served(self, service: str, split_bp: int) -> Mapping[Side, Proof]:
        """A probe that cannot be sent from here proves nothing; then time must do."""
        began, reported = self._clock.monotonic(), False
        while True:
            answers = await asyncio.gather(*(probe(self._routers[side], service, split_bp) for side in SIDES))
            proofs: dict[Side, Proof] = dict(zip(SIDES, answers, strict=True))
            owed = any(service in self._gateways.owed[side] for side in SIDES)
            late = not owed and self._clock.monotonic() - began > UNPROVEN_SECONDS
            enough = (Proof.SERVED, Proof.ACCEPTED) if late else (Proof.SERVED,)
            if all(proof in enough for proof in proofs.values()):
                return proofs
            if late and not reported:
                reported = True
                sides = " and ".join(side for side, proof in proofs.items() if proof is Proof.FAILED)
                hold = Hold(HoldKind.GATEWAY, f"{sides}'s gateway does not serve {split_bp / 100:g} % yet")
                self._reporter.hold(service, split_bp, hold, logging.WARNING)
            await self._clock.sleep(PROBE_SECONDS)
