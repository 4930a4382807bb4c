"""One lab with two clusters for all lab tests of a session; each test has a namespace of its own (`namespace`)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import programs
from lab.server import Lab, LabClient
from tests.lab.support.kit import LabCluster, TwoClusters, gateway


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)
    # The session's lab, once it is up, takes its part of the machine to the end: those with a lab of their own go first.
    items.sort(key=lambda item: here in item.path.parents and "lab" in getattr(item, "fixturenames", ()))


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
