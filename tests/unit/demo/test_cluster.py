"""What a cluster of the lab tells of itself while its folder comes and goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lab.cluster import control_plane
from lab.cluster.cluster import Cluster
from lab.layout import Block


def test_a_cluster_is_described_while_its_folder_is_being_removed(tmp_path: Path) -> None:
    addresses = Block(9).cluster(1)
    nothing: Any = None
    cluster = Cluster("plum", "1.36", addresses, tmp_path / "plum", nothing, nothing)
    cluster.access = control_plane.write_access("plum", addresses, cluster.folder)
    before = cluster.describe()
    document = json.loads((cluster.folder / "kubeconfig").read_text())
    assert document["clusters"][0]["cluster"]["certificate-authority-data"] == before["ca"]
    shutil.rmtree(cluster.folder)
    assert cluster.describe() == before
