"""What Pulumi's own test support needs."""

import asyncio
import gc
import warnings
from collections.abc import Iterator

import pytest

with warnings.catch_warnings():  # pulumi_eks warns of its own old node groups while it is imported; nothing here uses them
    warnings.simplefilter("ignore", DeprecationWarning)
    import pulumi_eks  # noqa: F401


@pytest.fixture(autouse=True, scope="module")
def loop() -> Iterator[None]:
    """pulumi.runtime.test asks for the thread's loop, which tests before it may have ended; it never closes its own."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    made.close()
    asyncio.set_event_loop(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
