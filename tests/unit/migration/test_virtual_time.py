"""The tests' own clock: what never ends fails soon instead of spinning."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.clock import MOST_SECONDS, Spinning, run


async def waiting_for_nothing(seconds: float) -> None:
    while True:  # noqa: ASYNC110 - what the loop is to end
        await asyncio.sleep(seconds)


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["time stands still", "time goes on"])
def test_a_condition_that_never_comes_ends_the_test(seconds: float) -> None:
    with pytest.raises(Spinning):
        run(waiting_for_nothing(seconds))


def test_a_wait_that_nothing_ends_ends_the_test() -> None:
    with pytest.raises(Spinning):
        run(asyncio.Event().wait())


def test_long_waits_take_no_time() -> None:
    async def long() -> float:
        await asyncio.sleep(MOST_SECONDS - 1)
        return asyncio.get_running_loop().time()

    assert run(long()) == MOST_SECONDS - 1


def test_a_task_whose_failure_is_never_read_fails_the_test():
    async def fails() -> None:
        raise KeyError("shop/catalog")

    async def goes_on() -> str:
        beside = asyncio.ensure_future(fails())
        await asyncio.wait([beside])
        return "arrived"

    with pytest.raises(AssertionError, match="nobody looked at"):
        run(goes_on())
