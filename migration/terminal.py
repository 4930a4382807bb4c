"""What every command shares: its context, plans before acts, words for people or one JSON document."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migration import collection
from migration.errors import Held

if TYPE_CHECKING:
    from migration.config import Migration
    from migration.journal import Journal
    from migration.lock import Lock


log = logging.getLogger(__name__)


class Context:
    def __init__(self, config: Path, as_json: bool) -> None:
        self.config = config
        self.as_json = as_json

    def load(self) -> Migration:
        from migration.config import load

        return load(self.config)


pass_context = click.make_pass_decorator(Context)


yes_option = click.option("--yes", "-y", is_flag=True, help="Act without asking.")


def run(task: Coroutine[Any, Any, Any]) -> Any:
    import asyncio  # late: a third of the time that `bluegreen --help` takes

    return asyncio.run(task)


def run_once(task: Coroutine[Any, Any, Any]) -> Any:
    """As `run`, for a command that reads much, acts and ends within minutes."""
    with collection.seldom():
        return run(task)


def say(context: Context, document: Any, lines: list[str]) -> None:
    if context.as_json:
        click.echo(json.dumps(document, default=plain, indent=2))
    else:
        for line in lines:
            click.echo(line)


def plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return list(value) if isinstance(value, (tuple, set, frozenset)) else str(value)


def confirm(context: Context, yes: bool, plan: list[str]) -> None:
    """The plan, then a word: --yes, or an answer on a terminal. Without either nothing is done."""
    for line in plan:
        click.echo(line, err=context.as_json)
    if yes:
        return
    if not sys.stdin.isatty():
        raise Held("nothing was changed: this is only the plan", remedy="add --yes to act")
    click.confirm("Go on?", abort=True, err=context.as_json)


def locked(migration: Migration, command: str) -> tuple[Lock, Journal]:
    import time

    from migration.journal import Journal
    from migration.lock import take

    lock = take(migration.store, command)
    return lock, Journal(migration.store, lock.fence, time.time)


def keep(act: Callable[[float], None]) -> None:
    """A store that takes nothing is no reason to hide what was found."""
    import time

    try:
        act(time.time())
    except OSError as problem:
        log.warning("not kept for `bluegreen shift`, which will call it never verified: %s", problem)
