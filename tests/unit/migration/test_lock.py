"""One holder, named; dead ones hold nothing; whoever was taken over knows it."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from migration.disk import GUARD_SECONDS
from migration.errors import Locked, LostFence, StoreError
from migration.store.lock import TAKE_OVER_SECONDS, holder, raise_fence, read_fence, take, take_over
from tests.fakes.clock import run

HOLD = """
import sys
from pathlib import Path
from migration.store.lock import take
lock = take(Path(sys.argv[1]), "bluegreen shift")
print("held", flush=True)
sys.stdin.read()
"""


def test_only_a_living_process_holds_the_lock(tmp_path: Path):
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
    assert holder(tmp_path) is None, "a killed one has nothing"
    lock = take(tmp_path, "bluegreen shift")
    assert lock.fence == fence + 1
    lock.release()


def test_a_holder_that_was_taken_over_is_stopped_at_its_next_look(tmp_path: Path):
    lock = take(tmp_path, "bluegreen shift")
    lock.check()
    above = run(take_over(tmp_path))
    assert above.fence > lock.fence
    above.check()
    with pytest.raises(LostFence, match="changes nothing more"):
        lock.check()
    lock.release()


def test_a_fence_only_grows(tmp_path: Path):
    assert [raise_fence(tmp_path) for _ in range(3)] == [1, 2, 3]


def test_an_empty_fence_file_is_fence_0(tmp_path: Path):
    raise_fence(tmp_path)
    (tmp_path / "fence").write_text("")
    assert read_fence(tmp_path) == 0


@pytest.mark.parametrize(("how", "seconds"), [("rise above", GUARD_SECONDS), ("take over", TAKE_OVER_SECONDS)])
def test_watching_users_continues_while_a_stopped_process_holds_the_fence(tmp_path: Path, how: str, seconds: float) -> None:
    lock = take(tmp_path, "bluegreen shift")
    looks: list[float] = []

    async def watch() -> None:
        while True:
            looks.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.05)

    async def both() -> float:
        watching = asyncio.ensure_future(watch())
        with pytest.raises(StoreError, match=f"held by another process for more than {seconds:g} s"):
            await (lock.rise_above(7) if how == "rise above" else take_over(tmp_path))
        watching.cancel()
        return asyncio.get_running_loop().time()

    with (tmp_path / "fence.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        took = run(both())
    assert seconds <= took < seconds + 0.1
    assert len(looks) >= seconds / 0.05
    lock.release()


def test_a_fence_that_is_free_again_is_taken(tmp_path: Path) -> None:
    async def both() -> int:
        with (tmp_path / "fence.lock").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            taking = asyncio.ensure_future(take_over(tmp_path))
            await asyncio.sleep(TAKE_OVER_SECONDS / 2)
            assert not taking.done()
        return (await taking).fence

    assert run(both()) == read_fence(tmp_path) == 1
