"""One holder, named; dead ones hold nothing; whoever was taken over knows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from migration.errors import Locked, LostFence
from migration.lock import holder, raise_fence, read_fence, take, take_over

HOLD = """
import sys
from pathlib import Path
from migration.lock import take
lock = take(Path(sys.argv[1]), "bluegreen shift")
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_is_refused_and_told_who_has_it_and_a_killed_one_has_nothing(tmp_path: Path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        fence = read_fence(tmp_path)
        with pytest.raises(Locked, match=rf"`bluegreen shift` of .*pid {other.pid}"):
            take(tmp_path, "bluegreen shift")
        assert read_fence(tmp_path) == fence
        assert f"pid {other.pid}" in str(holder(tmp_path))
        other.kill()
    assert holder(tmp_path) is None
    lock = take(tmp_path, "bluegreen shift")
    assert lock.fence == fence + 1
    lock.release()


def test_whoever_was_taken_over_is_stopped_at_its_next_look(tmp_path: Path):
    lock = take(tmp_path, "bluegreen shift")
    lock.check()
    above = take_over(tmp_path)
    assert above.fence > lock.fence
    above.check()
    with pytest.raises(LostFence, match="changes nothing more"):
        lock.check()
    lock.release()


def test_a_fence_only_grows_and_survives_an_empty_file(tmp_path: Path):
    assert [raise_fence(tmp_path) for _ in range(3)] == [1, 2, 3]
    (tmp_path / "fence").write_text("")
    assert read_fence(tmp_path) == 0
