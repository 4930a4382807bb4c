"""Commands of the entry: by which cluster's gateway requests come in."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from migration.errors import ConfigError
from migration.terminal import Context, confirm, locked, pass_context, run, say, yes_option

if TYPE_CHECKING:
    from migration.wiring import Opened


@click.group()
def entry() -> None:
    """By which cluster's gateway requests come in."""


@entry.command("status")
@pass_context
def entry_status(context: Context) -> None:
    """Shares as Route 53 has them."""
    _entry(
        context,
        lambda there, client: client.read(),
        lambda shares: [f"{name} {share / 100:g} %" for name, share in shares.items()],
    )


@entry.command("adopt")
@yes_option
@pass_context
def entry_adopt(context: Context, yes: bool) -> None:
    """Make existing simple records weighted, all at blue, in one change batch."""
    confirm(context, yes, ["simple records of the edge's hosts become weighted, all at blue"])
    _entry(
        context,
        lambda there, client: client.adopt(there.edge.blue, there.edge.green),
        lambda change: [f"change {change}" if change else "nothing to adopt"],
    )


class Percent(click.FloatRange):
    """nan is neither below 0 nor above 100, and no share."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{number} is not in the range {self._describe_range()}.", param, ctx)
        return number


@entry.command("shift")
@click.option("--to", "percent", type=Percent(0, 100), default=100.0, show_default=True, help="Green's share in percent.")
@click.option("--force", is_flag=True, help="Before services have baked.")
@yes_option
@pass_context
def entry_shift(context: Context, percent: float, force: bool, yes: bool) -> None:
    """Move the entry to green (or a share of it)."""
    migration = context.load()
    share = round(percent * 100)

    async def act() -> tuple[dict[str, int], int]:
        from migration.clock import SystemClock
        from migration.entry import check_ready, shift_entry
        from migration.wiring import opened

        async with opened(migration, need=()) as there:
            client = there.entry()
            if client is None:
                raise _no_entry(there)
            shares = {there.edge.blue: 10_000 - share, there.edge.green or "": share}
            lock, journal = locked(migration, "bluegreen entry shift")
            try:
                check_ready(shares, there.edge, await client.read(), journal, force)
                confirm(context, yes, [f"entry: {', '.join(f'{name} {s / 100:g} %' for name, s in shares.items())}"])
                ttl = await shift_entry(
                    shares,
                    entry=client,
                    clusters=there.clusters,
                    file=there.file,
                    journal=journal,
                    clock=SystemClock(),
                    force=force,
                )
            finally:
                journal.close()
                lock.release()
            return shares, ttl

    shares, ttl = run(act())
    told = ", ".join(f"{name} {s / 100:g} %" for name, s in shares.items())
    say(context, {"entry": shares, "ttl_seconds": ttl}, [f"entry: {told}; resolvers follow within {ttl} s, some clients later"])


def _no_entry(there: Opened) -> ConfigError:
    return ConfigError(
        f"{there.file.path}: has no bluegreen:zone and bluegreen:hosts; allowed: a domain and a list of names in it",
        remedy=f"name them in {there.file.path}, as docs/configuration.md shows",
    )


def _entry(context: Context, act: Callable[[Opened, Any], Coroutine[Any, Any, Any]], words: Callable[[Any], list[str]]) -> None:
    migration = context.load()

    async def inner() -> Any:
        from migration.wiring import opened

        async with opened(migration, need=()) as there:
            client = there.entry()
            if client is None:
                raise _no_entry(there)
            return await act(there, client)

    found = run(inner())
    say(context, {"entry": found}, words(found))
