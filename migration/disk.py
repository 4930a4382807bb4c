"""What the migration keeps on disk is read and written here, so that whatever the operating system refuses becomes one
kind of failure: a StoreError with the file, what it is, the system's own word and the next command.

A write is whole or not at all: a new file beside the old one, fsync, rename.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO

from migration.errors import StoreError

log = logging.getLogger(__name__)
GUARD_SECONDS = 2.0  # a file's own lock is held for one read and one write; who holds it longer has been stopped
GUARD_AGAIN_SECONDS = 0.01

Signature = tuple[int, int, int]  # when it was written, how long, which file

_REMEDIES = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): "make room (df -h {folder})",
    (errno.EACCES, errno.EPERM): "get the right to it (ls -ld {path} {folder})",
    (errno.EROFS,): "make its file system writable, or set `store:` in migration.yaml to a folder on another one",
    (errno.EEXIST, errno.ENOTDIR): "move the file that stands where a folder should be away (ls -ld {file})",
    (errno.EISDIR,): "move the folder that stands where a file should be away (ls -ld {path})",
    (errno.ENOENT, errno.ELOOP): "see where it leads to (ls -ld {path} {folder}), and make that or take the link away",
    (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP): (
        "its file system knows no locks: set `store:` in migration.yaml to a folder on a local disk"
    ),
    (errno.EMFILE, errno.ENFILE): "let more files be open at once (ulimit -n 4096)",
    (errno.EIO, errno.ESTALE): "see what the kernel says of the disk (dmesg)",
}


def trouble(path: Path, what: str, problem: OSError, remedy: str | None = None) -> StoreError:
    """`what`: the file in words, and what could not be done with it, such as "the migration's lock cannot be taken"."""
    word = problem.strerror or str(problem) or type(problem).__name__
    known = next((text for numbers, text in _REMEDIES.items() if problem.errno in numbers), "see to it (ls -ld {path})")
    mend = remedy or f"{known.format(path=path, folder=path.parent, file=_in_the_way(path))}, then the same command again"
    return StoreError(f"{path}: {what}: {word}", remedy=mend)


def _in_the_way(path: Path) -> Path:
    """The file that stands where this path needs a folder."""
    for each in (path, *path.parents):
        with suppress(OSError):  # a name too long, a folder that may not be looked into
            if each.exists() and not each.is_dir():
                return each
    return path


@contextmanager
def as_store_error(path: Path, what: str, remedy: str | None = None) -> Iterator[None]:
    """What the operating system refuses within, as a StoreError."""
    try:
        yield
    except OSError as problem:
        raise trouble(path, what, problem, remedy) from problem


def make_folder(path: Path, what: str = "the migration's store") -> None:
    """With the folders above it. `what`: it in words. Raises StoreError."""
    with as_store_error(path, f"{what} cannot be made"):
        path.mkdir(parents=True, exist_ok=True)


def read_bytes(path: Path, what: str) -> bytes | None:
    """None: there is no such file.

    Raises:
        StoreError: there is one, or its folder is none, and it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise trouble(path, f"{what} cannot be read", problem) from problem


def remove(path: Path, what: str) -> None:
    """Nothing where it is gone already."""
    with as_store_error(path, f"{what} cannot be taken away"):
        path.unlink(missing_ok=True)


def signature_of(status: os.stat_result) -> Signature:
    """By what it is known that a file was written meanwhile."""
    return status.st_mtime_ns, status.st_size, status.st_ino


def write_whole(path: Path, text: str, what: str = "it") -> Signature:
    """The file is as it was or as it shall be, also after a power cut. Keeps the mode; follows a symbolic link.
    Gives by what our own content is known as long as nobody else writes.

    Raises:
        StoreError: it is as it was.
    """
    with as_store_error(path, f"{what} cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path = Path(os.path.realpath(path))
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fchmod(stream.fileno(), path.stat().st_mode & 0o777 if path.exists() else 0o644)
                os.fsync(stream.fileno())
                written = signature_of(os.fstat(stream.fileno()))
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink(missing_ok=True)
            raise
    try:
        _sync(path.parent)
    except OSError as problem:  # the file is whole and new; only a power cut now could bring the old one back
        log.warning("%s is written, but a power cut may bring the old one back: %s", path, problem.strerror)
    return written


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def guarded(path: Path, what: str) -> Iterator[None]:
    """Alone for one read and one write, by a lock on `path`, which stays there empty. Not for where an event loop runs
    that watches users: it would stand still meanwhile.

    Raises:
        StoreError: the lock cannot be had, at once or within GUARD_SECONDS: a process that holds it was stopped.
    """
    with _opened(path, what) as stream:
        until = time.monotonic() + GUARD_SECONDS
        while not _taken(stream, path, what):
            if time.monotonic() > until:
                raise _held(path, what, GUARD_SECONDS)
            time.sleep(GUARD_AGAIN_SECONDS)
        yield


@asynccontextmanager
async def guarded_meanwhile(path: Path, what: str, seconds: float = GUARD_SECONDS) -> AsyncIterator[None]:
    """As `guarded`, while the event loop goes on."""
    import asyncio

    now = asyncio.get_running_loop().time
    with _opened(path, what) as stream:
        until = now() + seconds
        while not _taken(stream, path, what):
            if now() > until:
                raise _held(path, what, seconds)
            await asyncio.sleep(GUARD_AGAIN_SECONDS)
        yield


@contextmanager
def _opened(path: Path, what: str) -> Iterator[IO[str]]:
    with as_store_error(path, f"{what} cannot be locked"):
        stream = path.open("a")
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


def _taken(stream: IO[str], path: Path, what: str) -> bool:
    with as_store_error(path, f"{what} cannot be locked"):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _held(path: Path, what: str, seconds: float) -> StoreError:
    return StoreError(
        f"{path}: {what} is held by another process for more than {seconds:g} s",
        remedy=f"see who it is (fuser -v {path}); a stopped one is ended with kill -9, then the same command again",
    )
