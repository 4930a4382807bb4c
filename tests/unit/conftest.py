"""Unit tests say what is so, not how fast: a busy machine must not fail a property."""

import asyncio
import contextlib

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=50)
settings.load_profile("unit")


def pytest_collection_finish() -> None:
    """Importing a Pulumi program makes an event loop that nobody closes: the first asyncio.run() would drop it, and
    whichever test runs when it is collected would fail."""
    with contextlib.suppress(RuntimeError):  # there is none
        asyncio.get_event_loop_policy().get_event_loop().close()
    asyncio.set_event_loop(None)
