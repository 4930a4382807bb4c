"""A pytest plugin for CI (`-p tests.brief_coverage --cov`): lines are traced in unit tests alone, and of each test only in
its first 20 ms of processor time. Tracing all of them takes as long again as the tests; what runs in loops, examples and
virtual days has shown its lines by then. So what it prints is a lower bound."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

SECONDS = 0.02
UNIT = Path(__file__).parent / "unit"


_measuring: list[coverage.Coverage] = []


def _stop(*_: object) -> None:
    """A test that counts lines itself (tests/fakes/steps.py) has its own tracer, which stopping would take away: later."""
    tracer = sys.gettrace()
    if tracer is not None and not type(tracer).__module__.startswith("coverage"):
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        return
    for measuring in _measuring:
        measuring.stop()


def pytest_collection_finish() -> None:
    """Importing has been traced; the tests start it again. What is stopped is `current` no more, so it is kept here."""
    if measuring := coverage.Coverage.current():
        _measuring.append(measuring)
        _stop()
        signal.signal(signal.SIGVTALRM, _stop)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    if not _measuring or UNIT not in item.path.parents:
        return (yield)
    _measuring[0].start()
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        _stop()
