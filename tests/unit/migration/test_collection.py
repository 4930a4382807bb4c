"""The garbage collector leaves what a one-shot command has read alone, within a bound, and is as before afterwards."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from migration.cli import collection
from migration.cli.console import run_once
from migration.cli.main import cli
from migration.errors import BluegreenError


class Node:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def starts() -> Iterator[list[int]]:
    """The generation of each collection that is begun during the test."""
    seen: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            seen.append(about["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def test_what_was_read_is_not_searched_for_garbage(starts: list[int]) -> None:
    with collection.seldom():
        starts.clear()
        read = [{"number": [number]} for number in range(100_000)]
        assert (len(read), starts) == (100_000, [])


def test_garbage_in_cycles_is_collected_before_it_is_more_than_the_bound() -> None:
    made: weakref.WeakSet[Node] = weakref.WeakSet()
    most = 0
    with collection.seldom(1_000):
        for _ in range(10_000):
            made.add(Node())
            most = max(most, len(made))
    assert 100 < most <= 1_000


def test_what_survives_is_looked_at_once() -> None:
    with collection.seldom(1_000):
        kept = [[number] for number in range(5_000)]
        young = gc.get_count()[0]
        assert gc.get_freeze_count() > 4_000
        assert young <= 1_001
    assert len(kept) == 5_000


def test_all_is_as_before_when_a_command_has_failed() -> None:
    before = (gc.get_threshold(), len(gc.callbacks), gc.isenabled())

    async def act() -> None:
        assert gc.get_threshold()[0] == collection.MOST_YOUNG
        raise BluegreenError("green is gone")

    with pytest.raises(BluegreenError):
        run_once(act())
    assert (gc.get_threshold(), len(gc.callbacks), gc.isenabled()) == before
    assert gc.get_freeze_count() == 0


@pytest.fixture
def thresholds(tmp_path: Path) -> Iterator[list[int]]:
    """The collector's threshold at each request that a command of this process sends to an API server."""
    seen: list[int] = []

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(gc.get_threshold()[0])
            self.close_connection = True  # no answer: the command ends

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        names = ("plum", "fern")
        contexts = "".join(f"- {{name: {name}, context: {{cluster: {name}, user: u}}}}\n" for name in names)
        clusters = "".join(f"- {{name: {name}, cluster: {{server: '{url}/{name}'}}}}\n" for name in names)
        (tmp_path / "kubeconfig").write_text(
            f"users: [{{name: u, user: {{token: t}}}}]\ncontexts:\n{contexts}clusters:\n{clusters}current-context: plum\n"
        )
        (tmp_path / "migration.yaml").write_text(
            "version: 1\nclusters:\n"
            "  plum: {kubeconfig: kubeconfig, context: plum, gateway: {address: 127.0.0.10}, counters: {url: 'http://127.0.0.1:9'}}\n"
            "  fern: {kubeconfig: kubeconfig, context: fern, gateway: {address: 127.0.0.11}, counters: {url: 'http://127.0.0.1:9'}}\n"
            "edge: Pulumi.edge.yaml\n"
        )
        (tmp_path / "Pulumi.edge.yaml").write_text(
            "config:\n  bluegreen:sides: {blue: plum, green: fern}\n  bluegreen:entry: {plum: 10000, fern: 0}\n"
            "  bluegreen:services: {}\n  bluegreen:generation: 1\n"
        )
        yield seen
        server.shutdown()


@pytest.mark.parametrize(
    ("command", "seldom"),
    [
        pytest.param(["preflight"], True, id="preflight"),
        pytest.param(["replicate", "--yes"], True, id="replicate"),
        pytest.param(["capacity", "--yes"], True, id="capacity"),
        pytest.param(["verify"], True, id="verify"),
        pytest.param(["enroll", "--yes"], True, id="enroll"),
        pytest.param(["shift", "--yes"], False, id="shift runs for hours"),
    ],
)
def test_commands_that_end_soon_collect_seldom(tmp_path: Path, thresholds: list[int], command: list[str], seldom: bool) -> None:
    CliRunner().invoke(cli, ["-c", str(tmp_path / "migration.yaml"), *command])
    assert thresholds, "the command asked an API server"
    assert {each == collection.MOST_YOUNG for each in thresholds} == {seldom}
    assert gc.get_threshold()[0] != collection.MOST_YOUNG
