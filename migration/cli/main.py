"""The `bluegreen` command: its groups and options, and how what went wrong becomes words and an exit code.

Nothing heavy is imported before a command needs it: `bluegreen --help` must answer at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from migration.cli import completion, entry, prepare, replicate, rollback, schema, shift, stops
from migration.cli.console import CONFIG, Commands, Context, finish, typed
from migration.cli.output import Patient, code_of, words
from migration.cli.version import print_version
from migration.discretion import without_passwords
from migration.errors import BluegreenError, InternalError, Interrupted, UsageError
from migration.words import clean


class Bluegreen(Commands):
    def invoke(self, context: click.Context) -> Any:
        """Click takes every broken pipe for stdout's, and ends without a word."""
        try:
            return super().invoke(context)
        except BrokenPipeError as problem:
            raise BrokenElsewhere from problem


class BrokenElsewhere(Exception):
    """A broken pipe that is none of stdout's, which never fails here."""


class Discreet(logging.Formatter):
    """Lines, and tracebacks among them, without the passwords that addresses may carry."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, without passwords."""
        return without_passwords(super().format(record))


def _answer_in_json(click_context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Eager, so that a value which another option refuses is told as it was asked for, wherever `--json` stands."""
    context = click_context.ensure_object(Context)
    context.command = typed(click_context)
    context.as_json = context.as_json or asked


@click.group(cls=Bluegreen, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", "-c", type=click.Path(path_type=Path), default=CONFIG, show_default=True, help="The migration's file."
)
@click.option(
    "--json",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_answer_in_json,
    help="One JSON document on stdout, logs on stderr.",
)
@click.option("--verbose", "-v", is_flag=True, help="Verbose logging to stderr; what led to an error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Print the version and exit."
)
@click.pass_context
def cli(click_context: click.Context, config: Path, verbose: bool) -> None:
    """Upgrade a Kubernetes cluster by moving its services to a new one beside it, with a way back at every moment."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Discreet("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    for noisy in ("botocore", "boto3", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    context = click_context.ensure_object(Context)
    context.config, context.verbose = config, verbose


for command in (
    prepare.preflight,
    replicate.replicate,
    prepare.capacity,
    prepare.verify,
    prepare.enroll,
    prepare.unenroll,
    shift.shift,
    rollback.rollback,
    shift.pause,
    shift.resume,
    shift.status,
    entry.entry,
    schema.schema,
    completion.completion,
):
    cli.add_command(command)


def take_json(command: click.Command, words: str) -> None:
    """`--json` after a command means what it means before it. `words`: empty hides it in the command's help."""
    command.params.append(
        click.Option(
            ["--json"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_answer_in_json,
            help=words,
            hidden=not words,
        )
    )
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            take_json(inner, words)


class CleanText(click.types.StringParamType):
    """Words of the command line end up in the journal, on clusters and in JSON, which have nothing but UTF-8."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word as UTF-8 can have it (`words.clean`)."""
        return clean(str(super().convert(value, param, ctx)))


def take_clean_text(command: click.Command) -> None:
    """Every word but paths, which are the system's."""
    for param in command.params:
        if param.type is click.STRING:
            param.type = CleanText()
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            take_clean_text(inner)


# the two that print for another program than one that reads our documents
WORDS = {"completion": "", "schema": "Only errors: the schema is JSON as it is."}
for command in cli.commands.values():
    take_json(command, WORDS.get(command.name or "", "As `bluegreen --json`."))
    take_clean_text(command)


def run(arguments: Sequence[str]) -> int:
    """One run of the command; gives its exit code. What went wrong is told here and nowhere else; an output that takes
    nothing ends no act.
    """
    streams = sys.stdout, sys.stderr
    out, err = Patient(sys.stdout), Patient(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        context = Context()
        code = finish(context, _problem(context, arguments))
        out.flush()
        if (code := code_of(out, code)) and (message := words(out)):
            click.echo(message, err=True)
        return code
    finally:
        sys.stdout, sys.stderr = streams


def _problem(context: Context, arguments: Sequence[str]) -> BluegreenError | None:
    try:
        cli.main(list(arguments), prog_name="bluegreen", standalone_mode=False, obj=context)
    except BluegreenError as raised:
        return raised
    except click.ClickException as raised:
        return _misused(context, raised, arguments)
    except (click.Abort, KeyboardInterrupt):
        return Interrupted("interrupted", remedy=stops.STATUS)
    except BrokenElsewhere as raised:
        return _unforeseen(raised.__cause__ or raised)
    except BaseException as raised:
        if not isinstance(raised, Exception) and type(raised).__name__ != "CancelledError":
            raise
        return _unforeseen(raised)
    return None


def _unforeseen(raised: BaseException) -> InternalError:
    click.echo(without_passwords("".join(traceback.format_exception(raised))), err=True)
    return InternalError(
        f"{type(raised).__name__}: {raised}; this is a fault of bluegreen",
        remedy="report it with the lines above; `bluegreen status` shows where things are",
    )


def _misused(context: Context, raised: click.ClickException, arguments: Sequence[str]) -> UsageError:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    context.as_json = context.as_json or "--json" in options  # a wrong command line is told as it asks, too
    if (asked := getattr(raised, "ctx", None)) is not None:
        context.command = typed(asked)
    bare = context.as_json and isinstance(raised, click.exceptions.NoArgsIsHelpError)  # whose words are all of the help
    message = "Missing command." if bare else clean(raised.format_message())
    return UsageError(message, remedy=f"bluegreen {context.command}".rstrip() + " --help")


def main() -> NoReturn:
    """The command's entry point: runs `sys.argv` and exits with its code."""
    stops.as_interrupts()
    while (free := os.open(os.devnull, os.O_RDWR)) < 3:
        pass  # a closed stdin, stdout or stderr: no file of ours may become it
    os.close(free)
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # closed from the start
                stream.flush()
        except (OSError, ValueError):  # told already; the interpreter would try again
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)
