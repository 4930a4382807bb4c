"""Which of the golden files are compared can only be told at the end of a run of all of these tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from migration.cli import salvage, status
from migration.clients import counters, edge_record, istio, peer_probe
from migration.shift import side_back

LIMITS = {
    salvage: ("SALVAGE_SECONDS", "ASKED_SECONDS"),
    status: ("READ_SECONDS",),
    istio: ("READ_SECONDS", "WRITE_SECONDS", "SILENT_SECONDS"),
    edge_record: ("READ_SECONDS", "WRITE_SECONDS"),
    peer_probe: ("PROBE_SECONDS",),
    counters: ("READ_SECONDS",),
    side_back: ("LOOK_SECONDS",),
}
HERE = Path(__file__).parent
RIGHTS = "test_rights.py"  # runs the cases of the others once more and compares no file
LAST = "test_every_golden_file_is_compared"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """After whatever shuffles them."""
    items.sort(key=lambda item: item.name == LAST)


class Deselected:
    """Whether any test that compares files was left out by `-m` or `-k`."""

    def __init__(self) -> None:
        self.any = False

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.any = self.any or any(HERE in item.path.parents and item.path.name != RIGHTS for item in items)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Deselected(), "golden-deselected")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server here answers or refuses; on a machine that is busy for seconds, none of them is given up."""
    for module, names in LIMITS.items():
        for name in names:
            monkeypatch.setattr(module, name, 60.0)


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether this run has every golden test."""
    files = {item.path for item in request.session.items}
    chosen = any("::" in arg for arg in request.config.args)
    seen = request.config.pluginmanager.get_plugin("golden-deselected")
    return not chosen and seen is not None and not seen.any and set(HERE.glob("test_*.py")) <= files
