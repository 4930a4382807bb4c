"""A pytest plugin for CI (`-p tests.brief_coverage --cov`): what it prints is a lower bound.

Tracing everything would take as long again as the tests. So modules are traced once, where they are imported for that alone
and not as tests are collected; of each unit test the first 10 ms of processor time, and of a table of cases the first one. What
runs in loops, examples and virtual days has shown its lines by then.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import sys
import warnings
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

SECONDS = 0.01
UNIT = Path(__file__).parent / "unit"
_measuring: list[coverage.Coverage] = []  # whose data is kept, and none where nothing is measured
_traced: set[str] = set()


def _stop(*_: object) -> None:
    """A test that counts lines itself (tests/fakes/steps.py) has its own tracer, which stopping would take away: later."""
    tracer = sys.gettrace()
    if tracer is not None and not type(tracer).__module__.startswith("coverage"):
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        return
    while measuring := coverage.Coverage.current():  # in a worker there are two, one within the other
        measuring.stop()


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Before anything is imported to be collected."""
    plugin = session.config.pluginmanager.getplugin("_cov")
    if plugin is not None and plugin.cov_controller is not None:
        _measuring.append(plugin.cov_controller.cov)
        if "PYTEST_XDIST_WORKER" not in os.environ:
            _import_all(_measuring[0].get_option("run:source"))
        _stop()
        signal.signal(signal.SIGVTALRM, _stop)


def _import_all(packages: object) -> None:
    assert isinstance(packages, list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the SDKs; whoever tests these modules hears of them
        for package in map(importlib.import_module, packages):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                if not module.name.endswith("__main__"):  # which would run
                    importlib.import_module(module.name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    function = item.nodeid.partition("[")[0]
    if not _measuring or UNIT not in item.path.parents or function in _traced:
        return (yield)
    _traced.add(function)
    _measuring[0].start()
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        _stop()
