"""Routes of one gateway of Istio, of whichever kind their originals are: reads the live splits, writes them, asks the data
plane when they are in effect.

Objects come from routing/, as in the edge stack's program, and go in by server-side apply with the same manager, so that the
two are one owner. Every write of a public route carries the resourceVersion of our last read: whatever changed the object
since makes it a conflict. Then the object is read again: a higher fence means that the lock was taken over, another spec that
somebody else wrote it, neither that only something unimportant moved.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import routing
from migration.clients.edge_record import EdgeRecord, Sides
from migration.clients.limiter import Turns
from migration.clients.live_route import live_route
from migration.clients.peer_probe import PeerProbe
from migration.errors import BluegreenError, Conflict, ForeignWrite, LostFence, NotFound, Permanent, Unreachable
from migration.model import FENCE, LOCK_MANAGER, MANAGER, RouteLive, RouterState, Side
from migration.objects.kinds import Object, Resource
from migration.ports import Kubernetes, Written, returned, routes

if TYPE_CHECKING:
    pass

READ_SECONDS = 3.0
WRITE_SECONDS = 3.0
SILENT_SECONDS = 4.0  # an API server that answers nothing for so long is given up
IN_FLIGHT = 32
MOST_SILENT = 8
BACK, FORWARD, PEER = range(3)  # whose turn is first
T = TypeVar("T")


@dataclass
class _Call:
    """One write of several routes."""

    fence: int
    force: bool
    taken: Callable[[str], None] | None
    back: Collection[str]
    lost: LostFence | None = None


class IstioRouter:
    def __init__(
        self,
        kubernetes: Kubernetes,
        side: Side,
        other: routing.Peer,
        probe: tuple[str, int],
        originals: Mapping[str, Object],
        sides: Sides,
    ) -> None:
        """`other`: how this gateway reaches the other one; `probe`: address and port of its own peer listener."""
        self.cluster = kubernetes.name
        self.kubernetes = kubernetes
        self.side = side
        self.other = other
        self.originals = originals
        self._known: dict[str, RouteLive] = {}
        self._record = EdgeRecord(kubernetes, sides)
        self._peer_probe = PeerProbe(self.cluster, *probe)
        self._wanted: dict[str, int] = {}  # the latest split that was asked for
        self._unanswered: dict[str, set[int]] = defaultdict(set)  # splits that the server may have taken, and did not say so
        self._public: dict[str, int] = {}  # what the public route was last written with
        self._locks: dict[str, asyncio.Lock] = {}  # by service: its writes keep their order
        self._turns = Turns(IN_FLIGHT)
        self._answered = 0.0  # when the API server last answered a write

    @property
    def entry(self) -> Mapping[str, int]:
        """Shares by cluster, in basis points, as the record has them from its next write on."""
        return self._record.entry

    @entry.setter
    def entry(self, shares: Mapping[str, int]) -> None:
        self._record.entry = shares

    async def ready(self) -> None:
        """Fetches credentials where there are none. Raises as `Connection.ready`."""
        await self.kubernetes.ready()

    async def close(self) -> None:
        """Closes what it opened itself; the API server's client is its owner's."""
        await self._peer_probe.close()

    async def read(self) -> RouterState:
        """Routes and record as they are live. What this router knew of a route already stays known for its next write."""
        kinds = routing.used(self.originals.values())
        listed, record = await asyncio.gather(
            routes.listed(self.kubernetes, kinds, timeout_seconds=READ_SECONDS), self._record.read()
        )
        by_name = {routing.identity_of(item): item for item in listed}
        live = {}
        for service, original in self.originals.items():
            kind = original["kind"]
            if (item := by_name.get((kind, service))) is not None:
                probe = routing.probe_split(by_name.get((kind, routing.peer_of(service))) or {})
                live[service] = replace(self._live(service, item), probe_bp=probe)
        # only what is not known yet: a list that was begun before one of our writes would make the next one a false
        # conflict, and a foreign change must not become the version that we write over
        self._known = {**live, **self._known}
        generation, services, reasons = record
        return RouterState(generation, services, live, reasons)

    def _live(self, service: str, item: Object, split: int | None = None) -> RouteLive:
        return live_route(item, self.originals[service], self.side, split)

    def _resource(self, service: str) -> Resource:
        return routing.kind_of(self.originals[service]).resource

    async def write(
        self,
        splits: Mapping[str, int],
        *,
        changed: Sequence[str],
        generation: int,
        fence: int,
        force: bool = False,
        taken: Callable[[str], None] | None = None,
    ) -> Written:
        """As the port `Router` has it: each service for itself, those that go back before others, the record last."""
        back = {service for service in changed if self._goes_back(service, splits[service])}
        self._wanted |= {service: splits[service] for service in changed}
        try:
            await self.kubernetes.ready()
        except BluegreenError as problem:
            return Written(generation, dict.fromkeys(changed, problem), None if changed else problem)
        # with force nobody has read the record yet; it is read while the routes are being written
        reading = asyncio.ensure_future(self._record.read()) if force else None
        call = _Call(fence, force, taken, back)
        try:
            problems = await self._write_routes(call, changed)
            if reading is not None:
                with contextlib.suppress(BluegreenError):
                    generation = max(generation, ((await reading)[0] or 0) + 1)
        finally:
            if reading is not None:
                reading.cancel()
        if call.lost is not None:
            raise call.lost
        trouble = None
        if len(problems) < len(changed) or not changed:
            try:
                await self._record.write(splits, set(problems), generation)
            except BluegreenError as problem:
                trouble = problem
        return Written(generation, problems, trouble)

    def _goes_back(self, service: str, split: int) -> bool:
        """Below what it is at, may be at, or is on its way to."""
        known = self._known.get(service)
        if known is None or known.split_bp is None:
            return True
        return split < max(known.split_bp, self._wanted.get(service, 0))

    async def _write_routes(self, call: _Call, changed: Sequence[str]) -> dict[str, BluegreenError]:
        """By service what went wrong."""
        tasks = {service: asyncio.ensure_future(self._write_route(service, call)) for service in dict.fromkeys(changed)}
        now = asyncio.get_running_loop().time
        began, renewed = now(), False
        pending = set(tasks.values())
        try:
            while pending:
                if (left := max(began, self._answered) + SILENT_SECONDS - now()) > 0:
                    _, pending = await asyncio.wait(pending, timeout=left)
                elif not renewed and (since := await self._ready_since()) > began:
                    began, renewed = since, True  # a token ran out meanwhile: until there was a new one nothing was sent
                else:
                    break
        finally:  # also where we are cancelled ourselves
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        problems: dict[str, BluegreenError] = {}
        for service, task in tasks.items():
            if task.cancelled():
                problems[service] = Unreachable(
                    f"{self.cluster} answered nothing for {SILENT_SECONDS:g} s",
                    remedy="the same command again, once its API server answers",
                )
            elif isinstance(problem := task.exception(), BluegreenError):
                problems[service] = problem
            elif isinstance(problem, Exception):  # of its original's shape, say: no reason to leave the others where they are
                problems[service] = Permanent(
                    f"{service} on {self.cluster}: its route cannot be made: {problem!r}",
                    remedy=f"restore the stored original of {service} from git, or `bluegreen enroll {service}` again",
                )
            elif problem is not None:
                raise problem
        return problems

    async def _ready_since(self) -> float:
        """The loop's time; 0: it is not to be had."""
        try:
            return await self.kubernetes.ready()
        except BluegreenError:
            return 0.0

    async def _write_route(self, service: str, call: _Call) -> None:
        """The public route, then, when all public ones had their turn, the peer route."""
        original = self.originals[service]
        lock = self._locks.setdefault(service, asyncio.Lock())
        async with self._turns.taken(BACK if service in call.back else FORWARD), lock:
            split = self._wanted[service]  # the latest: another write may have been begun while this one waited
            await self._write_public(service, original, split, call)
            self._public[service] = split
        if call.taken is not None:
            call.taken(service)
        # after the public route: istiod sees them in this order, so a probe that answers with the new split proves both
        async with self._turns.taken(PEER), lock:
            split = self._public[service]
            await self._sent(
                self.kubernetes.apply(
                    self._resource(service),
                    routing.peer_route(original, split),
                    manager=MANAGER,
                    force=True,
                    timeout_seconds=WRITE_SECONDS,
                ),
                call,
            )

    async def _write_public(self, service: str, original: Object, split: int, call: _Call) -> None:
        resource, public = self._resource(service), routing.public_route(original, split, self.side)
        for last_try in (False, False, True):
            known = self._known.get(service)
            if known is None and not call.force:
                known = await self._sent(self._reread(service), call)
            version = None if call.force or known is None else known.resource_version
            unanswered = self._unanswered[service]
            new = split not in unanswered
            unanswered.add(split)
            try:
                written = await self._sent(
                    self.kubernetes.apply(
                        resource,
                        public,
                        manager=MANAGER,
                        force=True,
                        resource_version=version,
                        timeout_seconds=WRITE_SECONDS,
                    ),
                    call,
                )
                break
            except Conflict:
                if last_try:
                    raise
                now = await self._sent(self._reread(service), call)
                if now.fence > call.fence:
                    call.lost = LostFence(
                        f"{service} on {self.cluster} carries fence {now.fence}, ours is {call.fence}: the lock was taken over",
                        remedy="`bluegreen status` shows where things are",
                    )
                    raise call.lost from None
                ours = now.manager == MANAGER and now.split_bp in unanswered
                unanswered.clear()  # what was sent before this answer is refused by now
                if ours and now.split_bp == split:
                    return  # sent again after a lost answer: it was our own first try
                if known is not None and now.digest != known.digest and not ours:
                    who = f"{now.manager} (`pulumi up`, or another bluegreen)" if now.manager == MANAGER else now.manager
                    raise ForeignWrite(
                        f"{service}: its {resource.kind} on {self.cluster} was changed by {who} at {now.changed_at}",
                        target=service,
                        who=now.manager,
                        when=now.changed_at,
                        remedy="look at it (kubectl get --show-managed-fields), put it right, then `bluegreen shift`",
                    ) from None
            except Permanent:
                if new:
                    unanswered.discard(split)
                raise
        unanswered.clear()
        self._known[service] = self._live(service, written, split)

    async def _sent(self, asking: Coroutine[Any, Any, T], call: _Call) -> T:
        """Its answer; notes that the server answers at all. Nothing is sent any more once a fence was found higher."""
        if call.lost is not None:
            asking.close()
            raise call.lost
        try:
            answer = await asking
        except Permanent:
            self._answered = asyncio.get_running_loop().time()
            raise
        self._answered = asyncio.get_running_loop().time()
        return answer

    async def _reread(self, service: str) -> RouteLive:
        namespace, name = service.split("/", 1)
        route = await self.kubernetes.get(self._resource(service), namespace, name, timeout_seconds=READ_SECONDS)
        self._known[service] = self._live(service, route)
        return self._known[service]

    async def raise_fence(self, fence: int) -> list[str]:
        """As the port `Router` has it; given up after MOST_SILENT requests without an answer, one after the other."""
        lost: list[LostFence] = []
        changed: list[str] = []
        silent = 0  # requests without an answer, one after the other

        async def one(service: str) -> None:
            nonlocal silent
            async with self._turns.taken(FORWARD):
                if lost or silent >= MOST_SILENT:
                    return
                try:
                    changed.extend([service] if await self._mark(service, fence) else [])
                    silent = 0
                except Unreachable:
                    silent += 1
                    raise
                except NotFound:
                    pass  # gone: nothing to mark, and nobody's write can reach users by it
                except LostFence as problem:
                    lost.append(problem)

        results = await asyncio.gather(*(one(service) for service in self.originals), return_exceptions=True)
        if lost:
            raise lost[0]
        if failed := [problem for problem in results if problem is not None]:
            raise failed[0]
        return sorted(changed)

    async def _mark(self, service: str, fence: int) -> bool:
        """Whether the route is another than this router last read or wrote; then that stays known, so that the next write
        is a conflict.
        """
        namespace, name = service.split("/", 1)
        resource = self._resource(service)
        mark = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"namespace": namespace, "name": name, "annotations": {FENCE: str(fence)}},
        }
        before = now = self._known.get(service)
        for last_try in (False, False, True):
            if now is None:
                route = await self.kubernetes.get(resource, namespace, name, timeout_seconds=READ_SECONDS)
                now = self._live(service, route)
                before = before or now
            if now.fence >= fence:
                raise LostFence(
                    f"{service} on {self.cluster} carries fence {now.fence}, ours is {fence}: another bluegreen process "
                    "began here",
                    remedy="`bluegreen status` shows where things are; then the same command again",
                )
            try:
                written = await self.kubernetes.apply(
                    resource,
                    mark,
                    manager=LOCK_MANAGER,
                    force=True,
                    resource_version=now.resource_version,
                    timeout_seconds=WRITE_SECONDS,
                )
            except Conflict:
                if last_try:
                    raise
                now = None
                continue
            after = self._live(service, written)
            if before is None or before.digest == after.digest:
                self._known[service] = after
                return False
            self._known[service] = before
            return True
        raise AssertionError("the last try raises")

    async def keep_returned(self, changes: Mapping[str, str | None]) -> None:
        """As the port `Router` has it. Raises what the cluster answers."""
        await returned.write(self.kubernetes, changes)

    async def in_effect(self, service: str, split_bp: int) -> bool:
        """As the port `Router` has it. Raises Unreachable where the peer listener does not answer."""
        return await self._peer_probe.in_effect(service, split_bp)
