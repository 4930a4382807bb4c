"""A disk that refuses: one kind of call to the operating system fails, for files below one folder, as it really would.

Python's file objects write in C, past anything that can be replaced: so the files that are opened get a `flush` of ours.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# what each call is refused with, as file systems do
REFUSALS: dict[str, tuple[int, ...]] = {
    "read": (errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE),
    "create": (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EMFILE, errno.EDQUOT),
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "fsync": (errno.ENOSPC, errno.EIO),
    "fchmod": (errno.EPERM,),
    "rename": (errno.ENOSPC, errno.EACCES, errno.EROFS),
    "unlink": (errno.EACCES, errno.EROFS),
    "mkdir": (errno.ENOSPC, errno.EACCES, errno.EROFS),
    "flock": (errno.ENOLCK, errno.EOPNOTSUPP),
}


@contextmanager
def refusing(folder: Path, call: str, number: int, only: Callable[[Path], bool] = lambda path: True) -> Iterator[list[str]]:
    """Gives what was refused: names of files. `only`: which files below the folder."""
    refused: list[str] = []

    def check(kind: str, path: Any) -> None:
        if kind != call or not isinstance(path, str | os.PathLike):
            return
        target = Path(os.path.abspath(path))  # noqa: PTH100 - a link is not followed: it is the name that counts
        if target.is_relative_to(folder) and only(target):
            refused.append(target.name)
            raise OSError(number, os.strerror(number), str(path))

    def name_of(handle: Any) -> str:
        return os.readlink(f"/proc/self/fd/{handle if isinstance(handle, int) else handle.fileno()}")  # noqa: PTH115

    def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        writes = set(mode) & set("wax+")
        check("create" if writes else "read", file)
        stream = real["open"](file, mode, *args, **options)
        if writes and call == "write" and isinstance(stream, io.TextIOWrapper):
            stream.flush = lambda: check("write", name_of(stream))  # type: ignore[method-assign]
        return stream

    def os_open(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            check("create", path)
        handle: int = real["os_open"](path, flags, *args, **options)
        return handle

    def with_path(kind: str, act: Callable[..., Any], at: int = 0) -> Callable[..., Any]:
        def inner(*args: Any, **options: Any) -> Any:
            check(kind, args[at])
            return act(*args, **options)

        return inner

    def with_handle(kind: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def inner(handle: Any, *args: Any) -> Any:
            check(kind, name_of(handle))
            return act(handle, *args)

        return inner

    real: dict[str, Any] = {"open": io.open, "os_open": os.open}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", opened)
        patch.setattr(os, "open", os_open)
        patch.setattr(os, "mkdir", with_path("mkdir", os.mkdir))
        patch.setattr(os, "unlink", with_path("unlink", os.unlink))
        patch.setattr(os, "replace", with_path("rename", os.replace, 1))
        for name in ("write", "fsync", "fchmod"):
            patch.setattr(os, name, with_handle(name, getattr(os, name)))
        patch.setattr(fcntl, "flock", with_handle("flock", fcntl.flock))
        yield refused
