"""Virtual time: an event loop whose waits take none. Sleeps, time-outs and ticks happen in order, at once.

What would go on for ever (a condition that never comes true, asked again and again) takes no time here either, so it
would spin: the loop gives up after so much virtual time, or after so many rounds in which time stands still.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
EPOCH = 1_780_000_000.0
MOST_SECONDS = 7200.0
MOST_ROUNDS_AT_ONCE = 20_000


class Spinning(RuntimeError):
    """Virtual time goes on and nothing comes of it."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.rounds = 0
        self.most = MOST_SECONDS

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise Spinning("everything waits and nothing will happen")
        self.rounds = 0 if timeout > 0 else self.rounds + 1
        self.now += max(0.0, timeout)
        if self.now > self.most or self.rounds > MOST_ROUNDS_AT_ONCE:
            reason = f"at {self.now:.0f} s of virtual time, after {self.rounds} rounds without any: it would never end"
            self.most, self.rounds = self.now + MOST_SECONDS, 0  # the loop still has to end its tasks
            raise Spinning(reason)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

        self.tasks: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        return self.selector.now

    def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        self.tasks.append(task := super().create_task(*args, **kwargs))
        return task

    def dropped(self) -> list[BaseException]:
        """What tasks ended with and nobody looked at.

        asyncio says so when the garbage collector finds them, which is in another test, in the middle of whatever that does.
        """
        ended = [task for task in self.tasks if task.done() and not task.cancelled()]
        return [problem for task in ended if task._log_traceback and (problem := task.exception())]


class FakeClock:
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        try:
            return EPOCH + asyncio.get_running_loop().time()
        except RuntimeError:
            return EPOCH

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Its result. A task beside it that failed unseen fails the test, unless the run itself ended in an exception."""
    loop = VirtualLoop()
    dropped: list[BaseException] = []
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            result = runner.run(coroutine)
    finally:
        dropped += loop.dropped()
    if dropped:
        raise AssertionError("a task ended with an exception that nobody looked at") from dropped[0]
    return result
