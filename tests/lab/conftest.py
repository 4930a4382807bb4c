"""One lab with two clusters for all lab tests of a session; each test has a namespace of its own (`namespace`)."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from lab import processes, programs
from lab.server import Lab, LabClient
from tests.lab.support import steps
from tests.lab.support.kit import LabCluster, TwoClusters, gateway

HERE = Path(__file__).parent
LIMIT_SECONDS = 300.0  # of a lab test that says no other one, with the set-up and the end of what it shares with others


def pytest_configure() -> None:
    for name, value in processes.GO.items():  # the hundreds of calls of kubectl and of the engine too
        os.environ.setdefault(name, value)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if HERE in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.lab)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_SECONDS))
    steps.in_order(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Programs that are not built yet take longer than any test may. Where they cannot be, the first test says why."""
    if not session.config.option.collectonly and any(HERE in item.path.parents for item in session.items):
        with contextlib.suppress(programs.BuildFailed):
            programs.ensure()


def pytest_runtest_setup(item: pytest.Item) -> None:
    steps.skip_after_failure(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    steps.note(item, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """A test's own limit ends with its first failure; what then hangs while its fixtures end would hang for ever."""
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        return (yield)

    def ended(*_: object) -> None:
        pytest.fail(f"Timeout: what {item.name} leaves behind did not end within {LIMIT_SECONDS:.0f} s")

    before = signal.signal(signal.SIGALRM, ended)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab without clusters, in a root of its own."""
    programs.ensure()
    with Lab.start(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def lab_client(lab: Lab) -> LabClient:
    return lab.client


@pytest.fixture(scope="session")
def two_clusters(lab: Lab) -> Iterator[TwoClusters]:
    """Both clusters, started side by side."""
    lab.client.create_cluster("plum", "1.34")
    lab.client.create_cluster("fern", "1.36")
    both = TwoClusters(*(LabCluster(lab.client, lab.client.wait_ready(name)) for name in ("plum", "fern")))
    for cluster in both:
        cluster.api.apply(gateway("public", 80), gateway("bluegreen-peer", 15088))
    yield both
    for cluster in both:
        cluster.api.close()


@pytest.fixture
def namespace(two_clusters: TwoClusters) -> Iterator[str]:
    """A namespace of this test's own, on both clusters, deleted afterwards."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    for cluster in two_clusters:
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    for cluster in two_clusters:
        cluster.api.delete(f"/api/v1/namespaces/{name}")
