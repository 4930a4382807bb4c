"""The apply stage of `replicate` against the same writes by a bare client."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from lab.bench.clusters import client, emptied
from lab.bench.ratios import namespaces, pairs, row
from lab.bench.session import PAIRS, Bench
from lab.client import LabError
from lab.demo.story import BLUE, GREEN

if TYPE_CHECKING:
    from migration.replicate.plan import Change, Plan

CONCURRENCIES = (4, 8, 16, 32)
UNTIL_SECONDS = 590.0  # since the bench began


def apply_stage(bench: Bench) -> None:
    """A plan already made, against the same writes sent by a bare client at the best fixed concurrency."""
    from migration.replicate.apply import apply

    emptied(bench)
    plan = asyncio.run(_plan(bench))
    changes = list(plan.of("create"))
    random.Random(20).shuffle(changes)
    part = len(changes) // len(CONCURRENCIES)
    rates = {
        number: asyncio.run(_raw(bench, changes[place * part : (place + 1) * part], number))
        for place, number in enumerate(CONCURRENCIES)
    }
    best = min(rates, key=rates.__getitem__)

    async def ours() -> float:
        async with client(bench, GREEN) as green:
            await green.minor()  # connected, as in a command that has read before
            began = time.perf_counter()
            done = await apply(plan, green)
            seconds = time.perf_counter() - began
        if done.failures or done.created != len(changes):
            raise LabError(f"the apply stage made {done.created} of {len(changes)} objects: {done.failures[:1]}")
        return seconds

    times = pairs(
        PAIRS,
        lambda: asyncio.run(ours()),
        lambda: asyncio.run(_raw(bench, plan.of("create"), best)),
        before=lambda: emptied(bench),
        until=bench.began + UNTIL_SECONDS,
    )
    bench.few(len(times[0]))
    bench.add(
        row(
            f"{len(changes):,} objects, apply stage / the same writes by a bare client, {best} at a time",
            times[0],
            times[1],
        )
    )


async def _plan(bench: Bench) -> Plan:
    from migration.replicate.export import export
    from migration.replicate.plan import plan
    from migration.replicate.transform import transform
    from migration.settings.choices import in_namespaces

    async with client(bench, BLUE) as blue, client(bench, GREEN) as green:
        return await plan(transform(await export(blue, green, choices=in_namespaces(namespaces()))), green)


async def _raw(bench: Bench, changes: Sequence[Change], concurrency: int) -> float:
    """Seconds for these creates, bodies ready made."""
    import aiohttp

    from access import kubeconfig, tls

    access = kubeconfig.load(bench.story.kubeconfig(GREEN), cluster=GREEN)
    headers = {"Authorization": f"Bearer {access.token}", "Content-Type": "application/json"}
    todo = [
        (f"{access.server}{c.resource.path(c.obj['metadata'].get('namespace'))}?fieldManager=raw", json.dumps(c.obj).encode())
        for c in changes
    ]
    waiting = iter(todo)
    connector = aiohttp.TCPConnector(limit=concurrency, ssl=tls.context(access) or False)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def send() -> None:
            for url, body in waiting:
                async with session.post(url, data=body) as answer:
                    text = await answer.read()
                    if answer.status >= 300:
                        raise LabError(f"{url}: {text.decode(errors='replace')[:300]}")

        async with session.get(f"{access.server}/version") as answer:
            await answer.read()
        began = time.perf_counter()
        workers: list[Awaitable[None]] = [send() for _ in range(concurrency)]
        await asyncio.gather(*workers)
        return time.perf_counter() - began
