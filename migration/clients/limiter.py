"""How many requests may be in flight at once: as many as the API server bears, found out while it works.

A fixed rate is either slow on a large server (client-go's 5 a second made a thousand objects take half an hour) or rude
to a small one. This grows by one for every full round of answers that came in time and halves when the server pushes
back or answers get slow.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

START = 16
LEAST = 2
SLOW_FACTOR = 8.0
SLOW_SECONDS = 1.0


class Limiter:
    """Additive increase, multiplicative decrease. `limit` is public to be shown and tested."""

    def __init__(self, *, start: int = START, most: int = 32) -> None:
        self.limit = float(min(start, most))
        self.most = most
        self.in_flight = 0
        self._fastest = float("inf")
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._shrunk = 0.0

    async def enter(self) -> None:
        """Waits until one more request may be sent; first come, first served."""
        if self.in_flight < int(self.limit) and not self._waiters:
            self.in_flight += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.in_flight -= 1
                self._wake()
            else:
                waiter.cancel()
            raise

    def leave(self, seconds: float, *, pressed: bool) -> None:
        """A request was answered; `pressed`: the server asked for fewer."""
        self.in_flight -= 1
        now = time.monotonic()
        self._fastest = min(self._fastest, seconds)
        slow = seconds > SLOW_SECONDS and seconds > self._fastest * SLOW_FACTOR
        if pressed or slow:
            # answers that were under way together tell one thing, not many
            if now - self._shrunk > max(seconds, 0.2):
                self._shrunk = now
                self.limit = max(float(LEAST), self.limit / 2 if pressed else self.limit * 0.8)
        elif self.in_flight + 1 >= int(self.limit) or self._waiters:
            self.limit = min(float(self.most), self.limit + 1 / self.limit)
        self._wake()

    def _wake(self) -> None:
        while self._waiters and self.in_flight < int(self.limit):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(None)


class Turns:
    """So many at once; among those that wait the lowest rank is first, then who came first."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    @asynccontextmanager
    async def taken(self, rank: int) -> AsyncIterator[None]:
        """Within, one of the places is taken. The lowest `rank` waits least."""
        if self._free > 0:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (rank, next(self._count), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
