"""Keeps Python's garbage collector from going through what a one-shot command has read, again and again.

Reading 20,000 objects makes millions of dictionaries that stay until the command ends. Each time the collector starts it
walks through them in search of cycles and finds none: two thirds of the processor time of a large `replicate`. What is
not in a cycle is freed at once without it, so a command that ends within minutes needs it only as a bound on memory.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# How many containers (dictionaries, lists, objects) may come into being and stay between two collections. All of them
# garbage in cycles, at some 250 bytes each, would be a quarter of a gigabyte: the most that is held in vain.
MOST_YOUNG = 1_000_000


@contextmanager
def seldom(most_young: int = MOST_YOUNG) -> Iterator[None]:
    """Within, the collector looks once at each object and never again at what survived; after it, all is as before.

    Not for what runs for hours: a cycle that survived one collection and is dropped later stays until the end.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(most_young, 1_000, 1_000)
    gc.callbacks.append(_set_aside)
    try:
        yield
    finally:
        gc.callbacks.remove(_set_aside)
        gc.set_threshold(*before)
        gc.unfreeze()


def _set_aside(phase: str, _: dict[str, int]) -> None:
    if phase == "stop":
        gc.freeze()
