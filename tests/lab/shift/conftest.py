"""Two services on both clusters, enrolled at 0."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.client import LabClient
from tests.lab.support.kit import LabCluster, eventually
from tests.lab.support.shifting import Project


@pytest.fixture
def project(
    tmp_path: Path, lab_client: LabClient, two_clusters: tuple[LabCluster, LabCluster], namespace: str
) -> Iterator[Project]:
    def make(cluster: LabCluster, name: str) -> None:
        cluster.workload(namespace, name, host=f"{name}.{namespace}.test")

    with ThreadPoolExecutor() as pool:
        for made in [pool.submit(make, cluster, name) for cluster in two_clusters for name in ("good", "bad")]:
            made.result()
    project = Project(tmp_path, lab_client, two_clusters, namespace)
    try:
        project.run("enroll", "--yes", *project.services)
        for service in project.services:
            eventually(lambda s=service: project.split(s) == (0, 0), f"the probe of {service} at 0")
        yield project
    finally:
        project.close()
