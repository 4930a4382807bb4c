"""A credential program that hangs must not hang the command."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from migration.clients.kubeconfig import PLUGIN_SECONDS, Access, run_exec_plugin
from migration.errors import Unreachable


def hanging(note: Path) -> Access:
    """Waits for a child of its own, as a wrapper around `aws` does."""
    plugin = {"command": "sh", "args": ["-c", f"sleep 600 & echo $! > {note}; wait"]}
    return Access("plum", "http://127.0.0.1:9", "the-kubeconfig", exec_plugin=plugin)


def running(note: Path) -> bool:
    """The child; one that nobody has waited for yet has ended all the same."""
    try:
        return Path(f"/proc/{note.read_text().strip()}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(note: Path) -> None:
    """It was sent its end when the command went on; on a busy machine it takes its time to go."""
    deadline = time.monotonic() + 10
    while running(note):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_credential_program_that_hangs_is_ended_and_named(tmp_path: Path) -> None:
    note = tmp_path / "child"
    with pytest.raises(Unreachable) as caught:
        asyncio.run(asyncio.wait_for(run_exec_plugin(hanging(note), timeout_seconds=0.5), 10))
    for part in ("the-kubeconfig", "credential program of plum (sh -c", "within 0.5 s"):
        assert part in str(caught.value)
    assert "run it by hand" in str(caught.value.remedy)
    gone(note)
    assert PLUGIN_SECONDS == 15


def test_a_credential_program_ends_with_the_command_that_asked(tmp_path: Path) -> None:
    note = tmp_path / "child"

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run_exec_plugin(hanging(note)), 0.5)

    asyncio.run(leave())
    gone(note)
