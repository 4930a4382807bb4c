"""Puts back the floors that nothing needs any more, beside the loop, until nothing is left.

One try at a time for all that has baked: a floor too many harms nobody, and stops nothing. What bakes meanwhile waits for
the next try, and that no longer than the shortest wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from migration.errors import BluegreenError
from migration.model import NEVER, Phase
from migration.shift.services import Services
from migration.shift.world import World

log = logging.getLogger(__name__)
RELEASE_AGAIN_SECONDS = 5.0  # and twice as long after each try that left something
RELEASE_AGAIN_MOST_SECONDS = 300.0
RELEASE_SECONDS = 30.0  # at most so long an ended run waits for it


class Floors:
    def __init__(self, world: World, services: Services) -> None:
        self._world, self._services = world, services
        self._releasing: asyncio.Task[None] | None = None
        self._released_at = NEVER
        self._baking, self._ended = asyncio.Event(), asyncio.Event()
        self._reported: set[str] = set()  # objects, clusters or unforeseen errors that were told

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What it has under way, to be cancelled at the end."""
        return [self._releasing] if self._releasing else []

    def baked(self) -> None:
        """Some service has."""
        self._baking.set()
        if self._world.release and (self._releasing is None or self._releasing.done()):
            self._releasing = asyncio.ensure_future(self._release())

    async def release_rest(self) -> None:
        """At the end of a run: what is left is tried at once and then every few seconds, for a while."""
        if self._releasing is None:
            return
        self._ended.set()
        self._baking.set()
        await asyncio.wait({self._releasing}, timeout=RELEASE_SECONDS)
        if not self._releasing.done():
            log.warning("floors are held still, after %g s; put them back: `bluegreen capacity release`", RELEASE_SECONDS)

    async def _release(self) -> None:
        wait = RELEASE_AGAIN_SECONDS
        while True:
            await _set_within(self._ended, self._released_at + RELEASE_AGAIN_SECONDS - self._world.clock.monotonic())
            self._baking.clear()
            baked = self._of_baked()
            left = await self._try(baked)
            self._released_at = self._world.clock.monotonic()
            self._report(left)
            if left:
                await _set_within(self._baking, RELEASE_AGAIN_SECONDS if self._ended.is_set() else wait)
                wait = min(2 * wait, RELEASE_AGAIN_MOST_SECONDS)
            elif self._of_baked() <= baked:
                return

    def _of_baked(self) -> frozenset[str]:
        return frozenset(self._services.of(Phase.BAKED))

    async def _try(self, baked: frozenset[str]) -> Mapping[str, str]:
        """What is a floor still, and why."""
        if self._world.release is None or not baked:
            return {}
        try:
            return await self._world.release(baked)
        except Exception as problem:  # would end this task, and with it the releases of all that bakes later
            return {type(problem).__name__: str(problem) if isinstance(problem, BluegreenError) else repr(problem)}

    def _report(self, left: Mapping[str, str]) -> None:
        for what, why in left.items():
            if what not in self._reported:
                self._reported.add(what)
                log.warning("floor not put back yet: %s; trying again, by hand: `bluegreen capacity release`", why)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Waits for it, so long at most."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
