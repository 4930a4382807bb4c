"""One server of the lab's AWS for these tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.layout import CHECKOUT, take_block
from tests.lab.support.aws import Aws, FakeControl, until
from tests.lab.support.zone import Zone


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    root: Path = tmp_path_factory.mktemp("aws")
    block, held = take_block(root)
    control = FakeControl(block.services)
    command = [sys.executable, "-m", "lab.aws", "--block", str(block), "--root", str(root), "--control", control.url]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    log = root / "aws.log"
    with held, log.open("w") as out:
        process = subprocess.Popen([*command, "--pending", "1.0"], env=env, stdout=out, stderr=out)
        try:
            until(lambda: "ready after" in log.read_text() or process.poll() is not None, "the server is ready")
            assert process.poll() is None, log.read_text()
            yield Aws(block, control)
        finally:
            process.terminate()
            process.wait(30)
            control.server.shutdown()
            control.server.server_close()


@pytest.fixture
def zone(aws: Aws) -> Iterator[Zone]:
    """A hosted zone of its own, emptied and deleted afterwards."""
    made = Zone(aws)
    yield made
    made.delete()
