"""Users who enter by a green that cannot be written: its gateway keeps its old split, and only the entry takes them off it."""

from __future__ import annotations

import asyncio
import logging

from migration.entry.move import NotMoved, entry_back
from migration.model import Phase
from migration.shift.gateways import Gateways
from migration.shift.services import Services
from migration.shift.world import World
from migration.shift.writer import Writer

log = logging.getLogger(__name__)
AGAIN_SECONDS = 5.0


class LeaveGreen:
    def __init__(self, world: World, services: Services, gateways: Gateways, writer: Writer) -> None:
        self._world, self._services, self._gateways, self._writer = world, services, gateways, writer
        self._leaving: asyncio.Task[None] | None = None
        self._reported: str | None = None  # why the entry is still at green

    @property
    def under_way(self) -> bool:
        """Whether the entry is being moved to blue, or was just tried."""
        return self._leaving is not None and not self._leaving.done()

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What it has under way, to be cancelled at the end."""
        return [self._leaving] if self._leaving else []

    def if_stuck(self) -> None:
        """Begins it, beside the loop, where a service went back that green's gateway still serves."""
        failing = self._gateways.failing["green"]
        stuck = sorted(service for service in failing if self._services[service].phase is Phase.RETURNED)
        if stuck and "green" in self._writer.entry_sides and not self.under_way:
            why = f"green's gateway is unreachable and still serves what was rolled back: {', '.join(stuck)}"
            self._leaving = asyncio.ensure_future(self._leave(why))

    async def _leave(self, why: str) -> None:
        edge = self._world.file.known or self._world.file.read()
        back = await entry_back(self._world.entry, edge.entry_at_blue)
        if isinstance(back, NotMoved):
            if back.problem != self._reported:
                log.warning("%s; users who enter through green's gateway keep its old split", back.problem)
            self._reported = back.problem
            await self._world.clock.sleep(AGAIN_SECONDS)
            return
        log.warning("%s: %s", why, back.words)
        await self._writer.entry_is_back(edge, edge.entry_at_blue, why)
