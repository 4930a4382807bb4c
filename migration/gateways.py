"""The routes of both gateways, as one running shift writes and watches them.

Both are written at once. A gateway that does not answer is owed its write and gets it as soon as it does; the other is
not kept waiting. Between writes the live routes are looked at: what somebody else changed is in `foreign`, by service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from migration.errors import BluegreenError, ForeignWrite, LostFence, Unreachable
from migration.model import Side
from migration.ports import Clock, Router

log = logging.getLogger(__name__)
SIDES: tuple[Side, Side] = ("blue", "green")
WRITE_SECONDS = 5.0
AGAIN_SECONDS = 1.0
BESIDE_SECONDS = 0.25  # given to a side that is not waited for: where all is well both are written when `write` returns

Intent = tuple[Mapping[str, int], int]  # the split of each service, and the generation


class Gateways:
    def __init__(
        self,
        routers: Mapping[Side, Router],
        clock: Clock,
        fence: int,
        *,
        force: bool,
        intent: Callable[[], Intent],
        paid: Callable[[str], None],
    ) -> None:
        """`force`: write over what others changed. `intent`: what is wanted at the moment of a write. `paid` is told of
        each service whose owed write a gateway took.
        """
        self.routers, self.clock, self.fence, self.force = routers, clock, fence, force
        self.owed: dict[Side, set[str]] = {side: set() for side in SIDES}
        self.foreign: dict[str, str] = {}
        self.lost: LostFence | None = None  # found beside the run; whoever runs it raises it
        self._intent, self._paid = intent, paid
        self._paying: dict[Side, asyncio.Task[None]] = {}
        self._writes = self._under_way = 0

    async def write(self, changed: Sequence[str], wait_for: Collection[Side] = SIDES) -> None:
        """Raises LostFence; all else that goes wrong is in `owed` and `foreign`. A side that is not waited for may take
        its time: it is owed the write while it does.
        """
        beside = [side for side in SIDES if side not in wait_for]
        for side in beside:
            self.owed[side] |= set(changed)
        self.pay()
        results = await asyncio.gather(*(self._write_one(side, changed) for side in wait_for))
        for side, problem in zip(wait_for, results, strict=True):
            if problem is None:
                self.owed[side] -= set(changed)
            elif isinstance(problem, ForeignWrite):
                self.foreign[problem.target] = (
                    f"{problem.who} wrote its route on {side}{' at ' + problem.when if problem.when else ''}"
                )
            elif isinstance(problem, LostFence):
                raise problem
            else:
                self.owed[side] |= set(changed)
                log.warning("%s's gateway could not be written: %s", side, problem)
        if paying := [self._paying[side] for side in beside if side in self._paying]:
            await asyncio.wait(paying, timeout=BESIDE_SECONDS)

    async def _write_one(self, side: Side, changed: Sequence[str]) -> BluegreenError | None:
        router = self.routers[side]
        splits, generation = self._intent()
        self._writes += 1
        self._under_way += 1
        try:
            await asyncio.wait_for(
                router.write(splits, changed=changed, generation=generation, fence=self.fence, force=self.force),
                WRITE_SECONDS,
            )
        except TimeoutError:
            return Unreachable(f"{router.cluster} did not take the write within {WRITE_SECONDS:g} s")
        except BluegreenError as problem:
            return problem
        finally:
            self._under_way -= 1
        return None

    def pay(self) -> None:
        """Tries once more what is owed, beside the run."""
        for side in SIDES:
            task = self._paying.get(side)
            if self.owed[side] and (task is None or task.done()):
                self._paying[side] = asyncio.ensure_future(self._pay(side, sorted(self.owed[side])))

    async def _pay(self, side: Side, services: Sequence[str]) -> None:
        problem = await self._write_one(side, services)
        if isinstance(problem, LostFence):
            self.lost = problem
        elif isinstance(problem, ForeignWrite):
            self.foreign[problem.target] = f"{problem.who} wrote its route on {side}"
            self.owed[side].discard(problem.target)
        elif problem is None:
            self.owed[side] -= set(services)
            for service in services:
                self._paid(service)
        else:
            await self.clock.sleep(AGAIN_SECONDS)

    async def look(self, watched: Callable[[], Mapping[str, int]]) -> None:
        """Compares the live routes with what they should serve. `watched`: splits of the services that are looked at."""
        for side in SIDES:
            writes = self._writes
            if self._under_way:
                return
            try:
                live = await self.routers[side].read()
            except BluegreenError:
                continue  # a dead API server changes nothing; writes will tell
            if writes != self._writes:
                return  # we wrote meanwhile: what was read may be older
            for service, split in watched().items():
                route = live.routes.get(service)
                if service in self.owed[side] or (route and route.split_bp == split):
                    continue
                if route and route.fence > self.fence:
                    self.lost = LostFence(f"{service} on {side} carries fence {route.fence}, ours is {self.fence}")
                    return
                what = "removed it" if route is None else f"changed it at {route.changed_at}"
                self.foreign[service] = f"{route.manager if route else 'somebody'} {what} on {side}"

    def write_over(self) -> dict[str, str]:
        """Owes both gateways what others changed, and forgets that it was: by service, who it was."""
        written_over, self.foreign = self.foreign, {}
        for side in SIDES:
            self.owed[side] |= set(written_over)
        return written_over

    def entry_is(self, shares: Mapping[str, int]) -> None:
        """The entry has moved: the records on both clusters say so with their next write."""
        for router in self.routers.values():
            router.entry = shares

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._paying.values())
