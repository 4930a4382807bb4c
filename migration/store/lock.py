"""One writer: a lock held for life, and a fencing number for what a lock cannot stop.

`STORE/lock` is held with flock: the kernel lets go of it when the process dies, however it dies. Inside stands who holds
it, to be named.
`STORE/fence` holds a number that grows whenever somebody takes the migration over; a holder whose number is lower than the
file's has lost it and stops. `rollback` never waits for the lock: it raises the fence. The routes carry the fence, too, and
it only grows there: a store that knows less than they do rises above them first.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from migration import disk
from migration.errors import Locked, LostFence
from migration.store.pause import user
from migration.words import clean

FENCE = "the migration's fence"
GUARD = "fence.lock"
TAKE_OVER_SECONDS = 0.5  # users wait for a way back; a write of the fence takes milliseconds


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; `command` is empty where the file does not say."""

    command: str = ""
    user: str = ""
    host: str = ""
    pid: int = 0
    since: str = ""

    def __str__(self) -> str:
        if not self.command:
            return "another command"
        return f"`{self.command}` of {self.user} on {self.host} (pid {self.pid}), since {self.since}"


@dataclass
class Lock:
    store: Path
    fence: int
    _stream: IO[str] | None = None

    def check(self) -> None:
        """Raises LostFence when somebody has taken over since, StoreError where that cannot be told."""
        now = read_fence(self.store)
        if now > self.fence:
            raise LostFence(
                f"somebody took this migration over (fence {now}, ours {self.fence}); this command changes nothing more",
                remedy="`bluegreen status` shows where things are",
            )

    async def rise_above(self, live: int) -> bool:
        """Makes the fence higher than the highest that the clusters carry. Whether it had to be: then another store has
        written there.

        Raises:
            LostFence: somebody has taken over in this store since.
            StoreError: the store cannot be read or written.
        """
        if live < self.fence:
            return False
        async with disk.guarded_meanwhile(self.store / GUARD, FENCE):
            self.check()
            disk.write_whole(self.store / "fence", f"{live + 1}\n", FENCE)
            self.fence = live + 1
        return True

    def release(self) -> None:
        """Lets go of it, once. Raises nothing."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            with suppress(OSError):  # who held it is words only
                stream.truncate(0)
            _close(stream)


def take(store: Path, command: str) -> Lock:
    """The lock of this migration. Changes nothing where it cannot be had.

    Raises:
        Locked: somebody else has it; named.
        StoreError: the store cannot be written, or its file system knows no locks.
    """
    disk.make_folder(store)
    path = store / "lock"
    words = {
        "pid": os.getpid(),
        "host": clean(socket.gethostname()),
        "user": user(),
        "command": command,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with disk.as_store_error(path, "the migration's lock cannot be taken"):
        stream = path.open("a+", errors="replace")
        try:
            _take(stream, store)
            stream.seek(0)
            stream.truncate()
            json.dump(words, stream)
            stream.flush()
            return Lock(store, raise_fence(store), stream)
        except BaseException:
            _close(stream)
            raise


def _take(stream: IO[str], store: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        stream.seek(0)
        holder = stream.read().strip()
        raise Locked(f"{store}: locked by {_read(holder)}", remedy="wait for it, stop it, or `bluegreen rollback`") from problem


def _close(stream: IO[str]) -> None:
    """Lets go of the lock, also where what is still to be written cannot be."""
    with suppress(OSError):
        stream.close()


async def take_over(store: Path) -> Lock:
    """A fence above everybody's, without waiting for the lock, nor long for a write of the fence. Raises StoreError."""
    disk.make_folder(store)
    async with disk.guarded_meanwhile(store / GUARD, FENCE, TAKE_OVER_SECONDS):
        return Lock(store, _raised(store))


def holder(store: Path) -> Holder | None:
    """Who holds the lock now; None too where that cannot be told. Raises nothing."""
    try:
        with (store / "lock").open(errors="replace") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(stream.read().strip())
    except OSError:
        return None
    return None


def read_fence(store: Path) -> int:
    """0: there is none yet. Raises StoreError."""
    try:
        return int(disk.read_bytes(store / "fence", FENCE) or b"0")
    except ValueError:
        return 0  # an empty file of a crash between creation and write; every raise writes it whole


def raise_fence(store: Path) -> int:
    """Raises StoreError."""
    with disk.guarded(store / GUARD, FENCE):
        return _raised(store)


def _raised(store: Path) -> int:
    fence = read_fence(store) + 1
    disk.write_whole(store / "fence", f"{fence}\n", FENCE)
    return fence


def _read(text: str) -> Holder:
    try:
        fields = json.loads(text)
        return Holder(
            str(fields["command"]), str(fields["user"]), str(fields["host"]), int(fields["pid"]), str(fields["since"])
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Holder()
