"""What workers take (`-n 2 --dist loadscope`): all that shares a lab or clusters goes to one worker, in whose process it is
made once; every other file is a piece of its own. Without workers nothing of this has an effect."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
# Longest first: what is begun last would end alone. tests/unit/test_house.py holds who uses the session's lab against it.
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
    "golden files": ("unit/golden/",),
}


def group(path: str) -> str:
    """Of a file by its path below tests/."""
    return next((name for name, places in GROUPS.items() if path.startswith(tuple(places))), path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers take groups in the order of their first test."""
    if hasattr(config, "workerinput"):
        names = list(GROUPS)
        places = [names.index(name) if name in names else len(names) for name in (_group_of(item.nodeid) for item in items)]
        items[:] = [item for _, item in sorted(zip(places, items, strict=True), key=lambda each: each[0])]


def _group_of(nodeid: str) -> str:
    return group(nodeid.partition("::")[0].removeprefix("tests/"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """What a group shares ends with it, not with the session: clusters that idle take their part of the machine."""
    yield
    if hasattr(item.config, "workerinput") and nextitem and _group_of(item.nodeid) != _group_of(nextitem.nodeid):
        item.session._setupstate.teardown_exact(None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group_of(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)
