"""One writer: a lock held for life, and a fencing number for what a lock cannot stop.

`STORE/lock` is held with flock: the kernel lets go of it when the process dies, however it dies. Inside stands who
holds it, to be named.
`STORE/fence` holds a number that grows whenever somebody takes the migration over; a holder whose number is lower
than the file's has lost it
and stops. `rollback` never waits for the lock: it raises the fence. The routes carry the fence, too, and it only grows
there: a store that knows less than they do rises above them first.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from migration.errors import Locked, LostFence
from migration.stackfile import write_whole


@dataclass
class Lock:
    store: Path
    fence: int
    _stream: IO[str] | None = None

    def check(self) -> None:
        """Raises LostFence when somebody has taken over since."""
        now = read_fence(self.store)
        if now > self.fence:
            raise LostFence(
                f"somebody took this migration over (fence {now}, ours {self.fence}); this command changes nothing more",
                remedy="`bluegreen status` shows where things are",
            )

    def rise_above(self, live: int) -> bool:
        """Makes the fence higher than the highest that the clusters carry. Whether it had to be: then another store has
        written there.

        Raises:
            LostFence: somebody has taken over in this store since.
        """
        if live < self.fence:
            return False
        with _guarded(self.store):
            self.check()
            write_whole(self.store / "fence", f"{live + 1}\n")
            self.fence = live + 1
        return True

    def release(self) -> None:
        if self._stream is not None:
            self._stream.truncate(0)
            self._stream.close()
            self._stream = None


def take(store: Path, command: str) -> Lock:
    """The lock of this migration, or Locked naming its holder. Changes nothing in that case."""
    store.mkdir(parents=True, exist_ok=True)
    stream = (store / "lock").open("a+")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        stream.seek(0)
        holder = stream.read().strip()
        stream.close()
        raise Locked(
            f"{store}: locked by {_describe(holder)}", remedy="wait for it, stop it, or `bluegreen rollback`"
        ) from problem
    stream.seek(0)
    stream.truncate()
    json.dump(
        {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "user": user(),
            "command": command,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        stream,
    )
    stream.flush()
    return Lock(store, raise_fence(store), stream)


def take_over(store: Path) -> Lock:
    """A fence above everybody's, without waiting for the lock."""
    store.mkdir(parents=True, exist_ok=True)
    return Lock(store, raise_fence(store))


def holder(store: Path) -> str | None:
    """Who holds the lock now, in words."""
    try:
        stream = (store / "lock").open("a+")
    except OSError:
        return None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            return _describe(stream.read().strip())
    return None


def read_fence(store: Path) -> int:
    try:
        return int((store / "fence").read_text())
    except FileNotFoundError:
        return 0
    except ValueError:
        return 0  # an empty file of a crash between creation and write; every raise writes it whole


def raise_fence(store: Path) -> int:
    with _guarded(store):
        fence = read_fence(store) + 1
        write_whole(store / "fence", f"{fence}\n")
        return fence


@contextmanager
def _guarded(store: Path) -> Iterator[None]:
    with (store / "fence.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def user() -> str:
    """The login name, or its number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _describe(text: str) -> str:
    try:
        there = json.loads(text)
        return f"`{there['command']}` of {there['user']} on {there['host']} (pid {there['pid']}), since {there['since']}"
    except (ValueError, KeyError, TypeError):
        return "another command"
