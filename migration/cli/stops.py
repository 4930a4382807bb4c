"""SIGINT, SIGTERM and SIGHUP end a command in its own words: `interrupted`, exit 130, a document with what is known so far.

A signal cancels what the command waits for, so that everything is closed as it should be; a second one does not wait for
that. `shift` takes the first one itself, to write down where it is. What a process was told to ignore (nohup) it ignores.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from migration.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STATUS = "`bluegreen status` shows where things are"


def as_interrupts() -> None:
    """From the start of the process on: Python by itself dies of two of them without a word."""
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def handled(by: Callable[[int, Any], Any]) -> Iterator[None]:
    """Restores at its end what was before, whoever took the signals over meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield  # nobody else is told of signals
        return
    before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, by)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def at_once() -> Any:
    """For a question: nobody waits for its answer any longer."""
    return handled(signal.default_int_handler)


def run(task: Coroutine[Any, Any, Any]) -> Any:
    """Raises Interrupted where a signal came before the task had ended."""
    import asyncio  # late: a third of the time that `bluegreen --help` takes

    stopped = False

    async def stoppable() -> Any:
        nonlocal stopped
        main, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert main is not None

        def stop(*_: object) -> None:
            nonlocal stopped
            if stopped:
                raise KeyboardInterrupt
            stopped = True
            main.cancel()
            loop.call_soon_threadsafe(lambda: None)  # wakes it up

        with handled(stop):
            return await task

    with handled(signal.default_int_handler):  # which asyncio would give back as the system has them
        try:
            return asyncio.run(stoppable())
        except asyncio.CancelledError:
            if not stopped:
                raise
            raise Interrupted("interrupted", remedy=STATUS) from None
