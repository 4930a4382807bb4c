"""Which tests run, and where.

Groups: all that shares a lab or clusters runs together, where it is made once and ends with the last that uses it; every
other file is a group of its own. Workers (`-n`) take a group at a time.

Wide tables: of a test marked `wide(N)` N cases, spread evenly, run each time, and the others are `long`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
# Longest first: what is begun last would end alone. tests/unit/test_house.py holds it against the fixtures of a session.
GROUPS: dict[str, Sequence[str]] = {
    "the session's lab": (
        *(f"lab/{folder}/" for folder in ("counters", "routing", "shift")),
        *(f"lab/core/test_{name}.py" for name in ("clusters", "crash", "pods_answer")),
        "lab/aws/test_aws_real_cluster.py",
        "lab/demo/test_settle.py",
        "lab/pulumi/test_plugin_",
        "lab/replicate/test_live.py",
    ),
    "a pair of control planes": ("lab/replicate/",),
    "an upgrade": ("lab/program/",),
    "installs": ("install/",),
    "the stand-in for AWS": ("lab/aws/",),
    "golden files": ("unit/golden/",),
    "the product's source": (  # read and parsed once
        *(f"unit/test_{name}.py" for name in ("dependencies", "house", "no_decision_by_text", "words")),
        *(f"unit/migration/test_{name}.py" for name in ("bad_input", "next_commands")),
        "unit/routing/test_one_place.py",
    ),
}


def group(path: str) -> str:
    """Of a file by its path below tests/."""
    return next((name for name, places in GROUPS.items() if path.startswith(tuple(places))), path)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    _keep_some_of_wide_tables(items)  # before `-m` chooses
    yield
    _keep_groups_together(items)  # after all that shuffles


def _keep_some_of_wide_tables(items: Sequence[pytest.Item]) -> None:
    tables = defaultdict(list)
    for item in items:
        if marker := item.get_closest_marker("wide"):
            tables[item.nodeid.partition("[")[0], int(marker.args[0])].append(item)
    for (_, kept), cases in tables.items():
        cases.sort(key=lambda item: item.nodeid)
        chosen = {len(cases) * number // kept for number in range(kept)}
        for index in set(range(len(cases))) - chosen:
            cases[index].add_marker("long")


def _keep_groups_together(items: list[pytest.Item]) -> None:
    """Whatever shuffles them, a group stays together; workers take them in the order of their first tests."""
    places = {name: place for place, name in enumerate(dict.fromkeys([*GROUPS, *(_group_of(item.nodeid) for item in items)]))}
    items.sort(key=lambda item: places[_group_of(item.nodeid)])


def _group_of(nodeid: str) -> str:
    return group(nodeid.partition("::")[0].removeprefix("tests/"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """What a group shares ends with it, not with the session: clusters that idle take their part of the machine."""
    yield
    if nextitem and _group_of(item.nodeid) != _group_of(nextitem.nodeid):
        item.session._setupstate.teardown_exact(None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group_of(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)
