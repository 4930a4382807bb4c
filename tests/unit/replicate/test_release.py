"""What a shift does with floors when a bake ends: of what has baked, of nothing that a service needs still."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from migration.errors import Forbidden, Unreachable
from migration.journal import Journal
from migration.kinds import Resource
from migration.stackfile import Edge
from migration.wiring import Opened
from tests.fakes.apiserver import FakeApiServer
from tests.unit.replicate.test_capacity import BACK, FLOOR, ROUTES, minimums, raised


def opened(blue: FakeApiServer, green: FakeApiServer) -> Opened:
    edge = Edge("plum", "fern", {}, dict.fromkeys(ROUTES, 10_000), 1)
    nothing = SimpleNamespace()
    clusters = {"blue": blue, "green": green}
    return Opened(nothing, nothing, edge, clusters, ROUTES, {}, AsyncExitStack())  # type: ignore[arg-type]


def test_floors_go_with_the_last_bake_that_needs_them(tmp_path: Path) -> None:
    async def run() -> None:
        blue, green = await raised()
        journal = Journal(tmp_path, 1, lambda: 0.0)
        try:
            release = opened(blue, green).release(journal)
            journal.note("bake", "shop/web")
            await release("shop/web")
            assert minimums(blue, green) == {"web": FLOOR, "cart": FLOOR, "worker": FLOOR, "gate": FLOOR}
            journal.note("bake", "shop/cart")
            await release("shop/cart")
            assert minimums(blue, green) == {"web": BACK, "cart": BACK, "worker": FLOOR, "gate": FLOOR}
        finally:
            journal.close()

    asyncio.run(run())


def test_what_could_not_be_put_back_is_an_error_until_it_is(tmp_path: Path) -> None:
    async def run() -> None:
        blue, green = await raised()
        journal = Journal(tmp_path, 1, lambda: 0.0)

        def trouble(verb: str, resource: Resource, name: str) -> None:
            if verb == "patch":
                raise Forbidden("not yours")

        green.trouble = trouble
        try:
            release = opened(blue, green).release(journal)
            journal.note("bake", "shop/web")
            with pytest.raises(Unreachable, match=r"fern: HorizontalPodAutoscaler shop/cart .*still a floor: not yours"):
                await release("shop/cart")
            green.trouble = lambda *_: None
            await release("shop/cart")
        finally:
            journal.close()
        assert minimums(blue, green) == {"web": BACK, "cart": BACK, "worker": FLOOR, "gate": FLOOR}

    asyncio.run(run())
