"""A pause of the shift: the file `pause` in the store, with the name of who asked for it."""

from __future__ import annotations

from pathlib import Path

from migration.errors import StoreError
from migration.stackfile import write_whole

FILE = "pause"


def by(store: Path) -> str | None:
    """Who paused; None: nobody did, or the store cannot be read."""
    try:
        return (store / FILE).read_text().strip() or "somebody"
    except OSError:
        return None


def pause(store: Path, who: str) -> str | None:
    """Pauses; gives who had paused before, and leaves that as it is.

    Raises:
        StoreError: it cannot be written, so nothing is paused.
    """
    if (before := by(store)) is not None:
        return before
    try:
        write_whole(store / FILE, who)
    except OSError as problem:
        raise StoreError(
            f"{store / FILE} cannot be written: {problem.strerror}; nothing is paused",
            remedy="make room or give the right to write there, then `bluegreen pause`; or stop the shift (Ctrl-C)",
        ) from problem
    return None


def resume(store: Path) -> str | None:
    """Ends a pause; gives who had paused.

    Raises:
        StoreError: it cannot be ended.
    """
    before = by(store)
    try:
        (store / FILE).unlink(missing_ok=True)
    except NotADirectoryError:
        return None
    except OSError as problem:
        raise StoreError(
            f"{store / FILE} cannot be removed: {problem.strerror}; still paused", remedy=f"rm {store / FILE}"
        ) from problem
    return before
