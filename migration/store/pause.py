"""A person's word that nothing goes forward: the file STORE/pause, with who said so. Analysis and the way back go on."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from migration import disk
from migration.words import clean

FILE = "pause"


def pause(store: Path) -> str | None:
    """In the name of `user()`. Gives who had paused before, and leaves that as it is. Raises StoreError."""
    before = disk.read_bytes(store / FILE, "the pause")
    if before is None:
        disk.write_whole(store / FILE, user(), "the pause")
        return None
    return before.decode(errors="replace").strip() or "somebody"


def resume(store: Path) -> str | None:
    """Gives who had paused; None: nobody had. Raises StoreError."""
    before = paused(store)
    disk.remove(store / FILE, "the pause")
    return before


def paused(store: Path) -> str | None:
    """Who paused. What is there and cannot be read is a pause, too: somebody may have said so. Raises nothing."""
    path = store / FILE
    try:
        return path.read_text(errors="replace").strip() or "somebody"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        return f"somebody ({path} cannot be read: {problem.strerror})"


def ends(store: Path) -> str:
    """What ends the pause, in words. Raises nothing."""
    path = store / FILE
    if path.is_dir():
        return f"{path} is a folder: move it away (ls -ld {path}), which ends the pause"
    return "`bluegreen resume` ends it"


def user() -> str:
    """The login name; `uid 0` of a user who has none."""
    try:
        return clean(getpass.getuser())
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
