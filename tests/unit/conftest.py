"""Unit tests say what is so, not how fast: a busy machine must not fail a property."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fakes.project import Project, running
from tests.fakes.refusing import refusing_port

settings.register_profile("unit", deadline=None, max_examples=50)
settings.load_profile("unit")


def pytest_collection_finish() -> None:
    """Importing a Pulumi program makes an event loop that nobody closes: the first asyncio.run() would drop it, and
    whichever test runs when it is collected would fail."""
    with contextlib.suppress(RuntimeError):  # there is none
        asyncio.get_event_loop_policy().get_event_loop().close()
    asyncio.set_event_loop(None)


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[Project]:
    """Three enrolled services on two clusters that answer (fakes on loopback), and the command on them."""
    with running(tmp_path, capsys, caplog) as made:
        yield made


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port of 127.0.0.1 where nobody listens."""
    with refusing_port() as port:
        yield port
