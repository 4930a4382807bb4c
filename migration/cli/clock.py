"""The system's clock."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    def monotonic(self) -> float:
        """Seconds from an unknown start, for durations."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Lets the event loop go on meanwhile."""
        await asyncio.sleep(seconds)
