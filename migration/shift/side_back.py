"""One gateway on the way back: what its cluster showed, what was written there, and what is known of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from migration.errors import BluegreenError, Unreachable
from migration.model import RouterState, Side
from migration.ports import Clock, Router, Written
from migration.shift.proof import Proof, probe
from migration.shift.way_back import WayBack, doubted, to_write, unwritten
from migration.shift.witness import Others, Witness

log = logging.getLogger(__name__)
LOOK_SECONDS = 1.5  # for a look at what is live; without it the file tells with whom to begin
CREDENTIALS_SECONDS = 0.3  # given to green's before blue is written by the files alone
EFFECT_SECONDS = 10.0  # without progress
UNPROVEN_SECONDS = 3.0  # a gateway's peer listener that has not answered by then cannot be asked from here
PROBE_SECONDS = 0.02


class SideBack:
    """`opening`: ends when the cluster's credentials are there, by a time-out of its own at last. `public`: is set when
    all public routes of the first write have had their turn.
    """

    def __init__(
        self, side: Side, router: Router, way: WayBack, clock: Clock, fence: int, witness: Witness | None, back: set[str]
    ) -> None:
        """`back`: filled with services whose route the API server has taken, or had already."""
        self.side, self.router = side, router
        self._way, self._clock, self._fence, self._witness, self._back = way, clock, fence, witness, back
        self.opening = asyncio.ensure_future(router.ready())
        self.asked = False  # its cluster could be looked at
        self.live: RouterState | None = None  # as it was before the first write
        self.written: Written | None = None
        self.taken: set[str] = set()
        self.doubted: list[str] = []
        self.public = asyncio.Event()

    @property
    def problems(self) -> Mapping[str, BluegreenError]:
        """Why a route was not written, by service."""
        return self.written.problems if self.written else {}

    async def write(self, filed: Mapping[str, int], openings: Iterable[asyncio.Future[None]]) -> None:
        """All whose file is sure. `filed`: the stack file's splits; `openings`: of all sides."""
        services = self._way.services
        try:
            await self.opening
        except BluegreenError as problem:
            self.written = Written(self._way.generation, dict.fromkeys(services, problem))
            return
        looked = self._clock.monotonic()
        self.live, self.asked = await look(self.router), True
        left = to_write(services, filed, self.live)
        if self._witness is not None:
            left = await self._sure(self._witness, left, looked, list(openings))
        self._back |= set(services) - {*left, *self.doubted}
        self.written = await self._write(self._way.splits, left, self._way.generation, first=len(left))

    async def _sure(
        self, witness: Witness, left: list[str], looked: float, openings: Sequence[asyncio.Future[None]]
    ) -> list[str]:
        """Whose file the live route speaks for. Without a live route the clusters' word is waited for, a moment."""
        if self.live is not None:
            self.doubted = doubted(left, self.live)
            return [service for service in left if service not in self.doubted]
        others = [opening for opening in openings if opening is not self.opening]
        if self.side == "blue" and others:  # whose word is worth a moment, but not its credentials' time
            await asyncio.wait(others, timeout=CREDENTIALS_SECONDS)
        patience = LOOK_SECONDS if all(opening.done() for opening in openings) else 0.0
        warn(await witness.settle(left, max(0.0, patience - (self._clock.monotonic() - looked))))
        return left

    async def _write(self, splits: Mapping[str, int], changed: Sequence[str], generation: int, *, first: int) -> Written:
        def taken(service: str) -> None:
            self.taken.add(service)
            self._back.add(service)
            if len(self.taken) == first:
                self.public.set()

        return await self.router.write(
            splits, changed=changed, generation=generation, fence=self._fence, force=True, taken=taken
        )

    async def rest(self, others: asyncio.Future[Others] | None) -> None:
        """After all whose file is sure: what has to be settled, then what the file does not know of."""
        if self._witness is None or others is None:
            return
        if self.doubted:
            warn(await self._witness.settle(self.doubted))
            await self._more(self.doubted)
        await self._more(list((await others).services))

    async def _more(self, services: Sequence[str]) -> None:
        before = self.written
        if not services or before is None:
            return
        if not self.asked:
            problem = self.opening.exception() or Unreachable("does not answer")
            assert isinstance(problem, BluegreenError)
            self.written = replace(before, problems={**before.problems, **dict.fromkeys(services, problem)})
            return
        now = {name: split for name, split in self._way.splits.items() if name not in before.problems}
        again = await self._write({**now, **dict.fromkeys(services, 0)}, services, before.generation, first=0)
        self.written = Written(again.generation, {**before.problems, **again.problems}, again.record)

    def settled(self, services: Iterable[str], late: Iterable[str]) -> None:
        """Nobody waits for it any longer. `late`: those of `services` that were to be written after all whose file is sure."""
        gone = Unreachable(f"{self.router.cluster} does not answer")
        if self.written is None:
            self.written = Written(self._way.generation, dict.fromkeys(services, gone))
        elif cut := [service for service in (*self.doubted, *late) if service not in self.taken]:
            self.written = replace(self.written, problems={**dict.fromkeys(cut, gone), **self.written.problems})

    async def effect(self, services: Iterable[str]) -> dict[str, Proof]:
        """By service what the gateway says of itself, or why its route was not written."""
        names = list(services)
        proofs = {service: unwritten(self.problems[service]) for service in names if service in self.problems}
        left = [service for service in names if service not in self.problems]
        heard, since = False, self._clock.monotonic()
        while left:
            answers = await asyncio.gather(*(probe(self.router, service, 0) for service in left))
            proofs |= zip(left, answers, strict=True)
            heard = heard or any(answer is not Proof.ACCEPTED for answer in answers)
            still = [service for service in left if proofs[service] is not Proof.SERVED]
            if len(still) < len(left):
                left, since = still, self._clock.monotonic()
            elif self._clock.monotonic() - since > (EFFECT_SECONDS if heard else UNPROVEN_SECONDS):
                break
            await self._clock.sleep(PROBE_SECONDS)
        return proofs


async def look(router: Router) -> RouterState | None:
    """What is live there; None: it was not read in time."""
    try:
        return await asyncio.wait_for(router.read(), LOOK_SECONDS)
    except (BluegreenError, TimeoutError):
        return None


def warn(lines: Iterable[str]) -> None:
    """Each line as a warning of the log."""
    for line in lines:
        log.warning("%s", line)
