"""The routes of both gateways, as one running shift writes and watches them.

Both are written at once. A gateway that does not answer is owed its write and gets it as soon as it does; the other is
not kept waiting. Between writes the live routes are looked at: what somebody else changed is in `foreign`, by service.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from migration.errors import BluegreenError, ForeignWrite, LostFence, Unreachable
from migration.model import Side
from migration.ports import Clock, Router

log = logging.getLogger(__name__)
SIDES: tuple[Side, Side] = ("blue", "green")
WAIT_SECONDS = 2.0
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
    ) -> None:
        """`force`: write over what others changed."""
        self.routers, self.clock, self.fence, self.force = routers, clock, fence, force
        self.owed: dict[Side, set[str]] = {side: set() for side in SIDES}
        self.foreign: dict[str, str] = {}
        self.raised: dict[str, int] = {}  # green's share of those, where somebody made it one of ours
        self.lost: LostFence | None = None  # found beside the run; whoever runs it raises it
        self.on_paid: Callable[[str], None] = lambda service: None  # for each service whose owed write a gateway took
        # services of `owed` whose last try failed; the others are being written
        self.failing: dict[Side, set[str]] = {side: set() for side in SIDES}
        self._paying: dict[Side, asyncio.Task[None]] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._under_way: dict[Side, Counter[str]] = {side: Counter() for side in SIDES}  # writes of each service
        self._record_owed: dict[Side, bool] = dict.fromkeys(SIDES, False)
        self._over: dict[Side, set[str]] = {side: set() for side in SIDES}  # whose next write goes over what others wrote
        self._writes = 0

    async def write(
        self, changed: Sequence[str], intent: Intent, wait_for: Collection[Side] = SIDES, *, over: Collection[str] = ()
    ) -> None:
        """Raises LostFence; all else that goes wrong is in `owed` and `foreign`. Those of `over` are written whatever
        somebody else made of them.

        A side that is not waited for may take its time, and one with many routes to write is waited for WAIT_SECONDS and
        goes on beside the run: what is not written yet is owed meanwhile.
        """
        for side in SIDES:
            self._over[side] |= set(over)
        self.pay(intent)
        writing = {side: self._begin(side, changed, intent) for side in SIDES}
        for task in writing.values():
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        waited = [writing[side] for side in wait_for]
        if waited:
            await asyncio.wait(waited, timeout=WAIT_SECONDS)
        if beside := [task for side, task in writing.items() if side not in wait_for and not task.done()]:
            await asyncio.wait(beside, timeout=BESIDE_SECONDS)
        if ended := [problem for task in waited if task.done() and (problem := task.exception())]:
            raise ended[0]
        if self.lost is not None:
            raise self.lost

    def _begin(self, side: Side, changed: Sequence[str], intent: Intent, *, again: bool = False) -> asyncio.Task[None]:
        """It counts as begun at once, not when its task has its turn: a `look` whose answer lies ready may come before, and
        would take what is to be written for a change of somebody else. Its task is cancelled as the run ends, not before:
        one that never had its turn would count as under way for ever.
        """
        self.owed[side] |= set(changed)
        self._under_way[side].update(changed)
        self._writes += 1
        return asyncio.ensure_future(self._write_one(side, changed, intent, again=again))

    async def _write_one(self, side: Side, changed: Sequence[str], intent: Intent, *, again: bool) -> None:
        """Notes what became of each service. `again`: it was owed, and whoever wants to know is told that it is paid."""
        splits, generation = intent
        under_way = self._under_way[side]
        problems: dict[str, BluegreenError] = dict.fromkeys(changed, Unreachable("cut short"))
        over = [service for service in changed if service in self._over[side]]
        careful = [service for service in changed if service not in self._over[side]]
        try:
            for services, force in ((over, True), (careful, self.force)):
                if not services and (changed or force):
                    continue  # nothing of this kind; without any service the record alone is written, with care
                written = await self.routers[side].write(
                    splits, changed=services, generation=generation, fence=self.fence, force=force
                )
                for service in services:
                    problems.pop(service, None)
                problems |= written.problems
                self._record_owed[side] = written.record is not None
        except LostFence as problem:
            self.lost = problem
        finally:
            for service in changed:
                under_way[service] -= 1
                if not under_way[service]:
                    del under_way[service]
        self._note(side, changed, problems, again=again)

    def _note(self, side: Side, changed: Sequence[str], problems: Mapping[str, BluegreenError], *, again: bool) -> None:
        failed = [service for service in changed if service in problems and not isinstance(problems[service], ForeignWrite)]
        for service in changed:
            problem = problems.get(service)
            if isinstance(problem, ForeignWrite):
                at = f" at {problem.when}" if problem.when else ""
                self.foreign[service] = f"{problem.who} wrote its route on {side}{at}"
            if service in failed:
                self.failing[side].add(service)
            elif service not in self._under_way[side]:
                late = again or service in self.failing[side]
                self.owed[side].discard(service)
                self.failing[side].discard(service)
                self._over[side].discard(service)
                if late and problem is None:
                    self.on_paid(service)
        if failed and not self.lost:
            many = f"{len(failed)} of {len(changed)} routes" if len(changed) > 1 else failed[0]
            log.warning("%s's gateway: %s could not be written, tried again: %s", side, many, problems[failed[0]])

    def pay(self, intent: Intent) -> None:
        """Tries once more what is owed and not being written, beside the run."""
        for side in SIDES:
            task = self._paying.get(side)
            left = sorted(self.owed[side] - self._under_way[side].keys())
            if (left or self._record_owed[side]) and (task is None or task.done()):
                self._paying[side] = asyncio.ensure_future(self._pay(side, left, intent))

    async def _pay(self, side: Side, services: Sequence[str], intent: Intent) -> None:
        await self._begin(side, services, intent, again=True)
        if self.failing[side] or self._record_owed[side]:
            await self.clock.sleep(AGAIN_SECONDS)

    async def look(self, watched: Callable[[], Mapping[str, int]]) -> None:
        """Compares the live routes with what they should serve. `watched`: splits of the services that are looked at."""
        for side in SIDES:
            writes = self._writes
            if any(self._under_way.values()):
                return
            try:
                live = await self.routers[side].read()
            except BluegreenError:
                continue  # a dead API server changes nothing; writes will tell
            if writes != self._writes:
                return  # we wrote meanwhile: what was read may be older
            if live.fence > self.fence:
                service = next(name for name, route in live.routes.items() if route.fence == live.fence)
                self.lost = LostFence(
                    f"{service} on {side} carries fence {live.fence}, ours is {self.fence}: another bluegreen took over",
                    remedy="`bluegreen status` shows where things are",
                )
                return
            for service, split in watched().items():
                route = live.routes.get(service)
                if service in self.owed[side] or (route and route.split_bp == split):
                    continue
                what = "removed it" if route is None else f"changed it at {route.changed_at}"
                self.foreign[service] = f"{route.manager if route else 'somebody'} {what} on {side}"
                self.raised[service] = max(self.raised.get(service, 0), (route.split_bp or 0) if route else 0)

    def freeze(self, service: str, who: str, raised_bp: int | None) -> None:
        """Somebody changed it elsewhere, in the file; what was seen on a gateway before says more of who it was."""
        self.foreign.setdefault(service, who)
        if raised_bp is not None:
            self.raised[service] = max(self.raised.get(service, 0), raised_bp)

    def forget(self, services: Collection[str]) -> None:
        """What others made of them is about to be written over."""
        for service in services:
            self.foreign.pop(service, None)
            self.raised.pop(service, None)

    def write_over(self) -> dict[str, str]:
        """Owes both gateways what others changed, and forgets that it was: by service, who it was."""
        written_over, self.foreign, self.raised = self.foreign, {}, {}
        for side in SIDES:
            self.owed[side] |= set(written_over)
        return written_over

    def entry_is(self, shares: Mapping[str, int]) -> None:
        """The entry has moved: the records on both clusters say so with their next write."""
        for router in self.routers.values():
            router.entry = shares

    @property
    def writing(self) -> bool:
        """Whether some service is being written for the first time. What failed is tried again and not waited for."""
        return any(self._under_way[side].keys() - self.failing[side] for side in SIDES)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Writes under way, to be cancelled at the end."""
        return [*self._paying.values(), *self._writing]
