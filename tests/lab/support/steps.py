"""Tests that are steps of one story: a module marked `steps` shares a world, and each of its tests goes on from where the
last one ended. They run in the file's order, whatever shuffles the others. After the first that fails, and where one before
was left out, the rest are skipped: they would fail for its reason.
"""

from __future__ import annotations

import inspect

import pytest

ENDED = pytest.StashKey[dict[str, str]]()  # of the session: the outcome of each step by module and name


def _is_step(item: pytest.Item) -> bool:
    return item.get_closest_marker("steps") is not None


def _line(item: pytest.Item) -> int:
    assert isinstance(item, pytest.Function)
    return int(item.function.__code__.co_firstlineno)


def _key(item: pytest.Item, name: str) -> str:
    """Of a step of the same module; not its node id, where workers write a group behind the name."""
    return f"{item.path}::{name}"


def in_order(items: list[pytest.Item]) -> None:
    """Puts the steps of each module into the file's order, at the places that they have together."""
    places: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        if _is_step(item):
            places.setdefault(str(item.path), []).append(index)
    for indexes in places.values():
        ordered = sorted((items[index] for index in indexes), key=_line)
        for index, item in zip(indexes, ordered, strict=True):
            items[index] = item


def skip_after_failure(item: pytest.Item) -> None:
    """Skips a step unless all steps before it in its file have passed."""
    if not _is_step(item):
        return
    assert isinstance(item, pytest.Function)
    ended = item.session.stash.setdefault(ENDED, {})
    for name in _names_before(item):
        outcome = ended.get(_key(item, name))
        if outcome == "failed":
            pytest.skip(f"a step after {name}, which failed")
        if outcome is None:
            pytest.skip(f"a step after {name}, which was not run: run the whole of {item.path.name}")


def _names_before(item: pytest.Function) -> list[str]:
    tests = inspect.getmembers(item.module, lambda each: inspect.isfunction(each) and each.__name__.startswith("test_"))
    lines = {name: test.__code__.co_firstlineno for name, test in tests if test.__module__ == item.module.__name__}
    return sorted((name for name, line in lines.items() if line < _line(item)), key=lines.__getitem__)


def note(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keeps how a step ended; that it was skipped is no failure of its own: the one before it keeps the blame."""
    if _is_step(item) and (report.failed or report.when == "call"):
        item.session.stash.setdefault(ENDED, {})[_key(item, item.name)] = report.outcome
