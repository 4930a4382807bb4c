"""What every command shares: its context, plans before acts, words for people or one JSON document."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migration import discretion
from migration.cli import collection, stops
from migration.errors import BluegreenError, Held, StoreError
from migration.views import document as views
from migration.views.document import Document
from migration.words import clean

if TYPE_CHECKING:
    from migration.settings.migration_file import Migration
    from migration.store.journal import Journal
    from migration.store.lock import Lock


log = logging.getLogger(__name__)
CONFIG = "migration.yaml"


class Context:
    """Of one run of the command. With --json the document is kept until the end, since what went wrong belongs to it."""

    def __init__(self, config: Path = Path(CONFIG), as_json: bool = False) -> None:
        self.config = config
        self.as_json = as_json
        self.verbose = False
        self.command = ""  # as typed, such as "capacity release"; empty until it is known
        self.document: dict[str, Any] | None = None

    def load(self) -> Migration:
        """migration.yaml, read strictly. Raises ConfigError or StoreError."""
        from migration.settings.migration_file import load

        return load(self.config)


class Commands(click.Group):
    """Lists commands in the order in which an upgrade needs them. Notes which one is typed before its options are read:
    an error of these is told as that command's.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names as they were added, not by the alphabet."""
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's; notes the command in the context."""
        name, command, rest = super().resolve_command(ctx, args)
        ctx.ensure_object(Context).command = f"{typed(ctx)} {name}".strip()
        return name, command, rest


def typed(context: click.Context) -> str:
    """`capacity release` of "bluegreen capacity release"."""
    return context.command_path.partition(" ")[2]


pass_context = click.make_pass_decorator(Context)


yes_option = click.option("--yes", "-y", is_flag=True, help="Skip the confirmation.")


def run(task: Coroutine[Any, Any, Any]) -> Any:
    """Ends with Interrupted where a signal stops it."""
    return stops.run(task)


def run_once(task: Coroutine[Any, Any, Any]) -> Any:
    """As `run`, for a command that reads much, acts and ends within minutes."""
    with collection.seldom():
        return run(task)


def show(context: Context, document: Document) -> None:
    """For people at once; as JSON at the end of the run, by `finish`."""
    if context.as_json:
        context.document = views.as_json(document)
    else:
        for line in document.lines():
            click.echo(clean(line))


def finish(context: Context, problem: BluegreenError | None) -> int:
    """The exit code of the run, after its last words: the error on stderr, and with --json one document on stdout."""
    if problem is not None:
        lines = [f"bluegreen: {problem}", *(causes(problem) if context.verbose else ())]
        lines += [f"  next: {remedy}"] if (remedy := problem.remedy or problem.usual) else []
        click.echo(clean(discretion.without_passwords("\n".join(lines))), err=True)
    if context.as_json and (context.document is not None or problem is not None):
        document = context.document or {"version": views.VERSION, "command": context.command}
        if problem is not None:
            error = problem.as_json()
            words = {key: clean(discretion.without_passwords(error[key])) for key in ("message", "remedy") if error[key]}
            document = {**document, "error": {**error, **words}}
        click.echo(json.dumps(document, indent=2))
    return problem.exit_code if problem is not None else 0


def causes(problem: BaseException) -> list[str]:
    """What led to it, the nearest first: a library's own words, for whoever has to look further."""
    lines: list[str] = []
    visited = {id(problem)}
    while (cause := problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)) is not None:
        if id(cause) in visited:
            break
        visited.add(id(cause))
        lines.append(f"  cause: {type(cause).__module__}.{type(cause).__qualname__}: {cause}".replace("builtins.", ""))
        problem = cause
    return lines


def confirm(context: Context, plan: list[str], planned: Document | None = None, *, yes: bool) -> None:
    """The plan, then a word: --yes, or an answer on a terminal that shows the plan. Without either nothing is done, and
    `planned` is the document.
    """
    for line in plan:
        click.echo(line, err=context.as_json)
    if yes:
        return
    asked = sys.stdin.isatty() and getattr(sys.stderr if context.as_json else sys.stdout, "trouble", None) is None
    if asked:
        with stops.at_once():
            if click.confirm("Continue?", err=context.as_json):
                return
    if context.as_json and planned is not None:
        show(context, planned)
    if asked:
        raise Held("nothing was changed: the plan was declined", remedy="the same command again, when it is right")
    raise Held("nothing was changed: this is only the plan", remedy="add --yes to act")


def locked(migration: Migration, command: str) -> tuple[Lock, Journal]:
    """Lock and journal of a command that writes; the caller closes the journal and releases the lock.

    Raises:
        Locked: another command has it.
        StoreError: the store cannot be read or written.
    """
    import time

    from migration.store.journal import Journal
    from migration.store.lock import take

    lock = take(migration.store, command)
    try:
        return lock, Journal(migration.store, lock.fence, time.time)
    except BaseException:
        lock.release()
        raise


def keep(act: Callable[[float], None]) -> None:
    """A store that takes nothing is no reason to hide what was found."""
    import time

    try:
        act(time.time())
    except StoreError as problem:
        log.warning("not kept for `bluegreen shift`, which will call it never verified: %s", problem)
