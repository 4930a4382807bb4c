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

from migration import cli_completion, cli_entry, cli_prepare, cli_replicate, cli_schema, cli_shift
from migration.discretion import without_passwords
from migration.errors import BluegreenError, InternalError, Interrupted, UsageError
from migration.terminal import CONFIG, Commands, Context, finish, typed
from migration.version import print_version
from migration.words import clean


class Discreet(logging.Formatter):
    """Lines, and tracebacks among them, without the passwords that addresses may carry."""

    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))


def _answer_in_json(click_context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Eager, so that a value which another option refuses is told as it was asked for, wherever `--json` stands."""
    context = click_context.ensure_object(Context)
    context.command = typed(click_context)
    context.as_json = context.as_json or asked


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
    cli_prepare.preflight,
    cli_replicate.replicate,
    cli_prepare.capacity,
    cli_prepare.verify,
    cli_prepare.enroll,
    cli_prepare.unenroll,
    cli_shift.shift,
    cli_shift.rollback,
    cli_shift.pause,
    cli_shift.resume,
    cli_shift.status,
    cli_entry.entry,
    cli_schema.schema,
    cli_completion.completion,
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
    """One run of the command; gives its exit code. What went wrong is told here and nowhere else."""
    context = Context()
    streams = sys.stdout, sys.stderr
    problem: BluegreenError | None = None
    try:
        cli.main(list(arguments), prog_name="bluegreen", standalone_mode=False, obj=context)
    except BluegreenError as raised:
        problem = raised
    except click.ClickException as raised:
        problem = _misused(context, raised, arguments)
    except (click.Abort, KeyboardInterrupt):
        problem = Interrupted("interrupted", remedy="`bluegreen status` shows where things are")
    except BrokenPipeError:
        raise
    except SystemExit:
        if sys.stdout is not streams[0]:  # nobody reads on: click has wrapped both, and makes an exit with 1 of it
            sys.stdout, sys.stderr = streams
            raise BrokenPipeError from None
        raise
    except BaseException as raised:
        if not isinstance(raised, Exception) and type(raised).__name__ != "CancelledError":
            raise
        click.echo(without_passwords(traceback.format_exc()), err=True)
        problem = InternalError(
            f"{type(raised).__name__}: {raised}; this is a fault of bluegreen",
            remedy="report it with the lines above; `bluegreen status` shows where things are",
        )
    return finish(context, problem)


def _misused(context: Context, raised: click.ClickException, arguments: Sequence[str]) -> UsageError:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    context.as_json = context.as_json or "--json" in options  # a wrong command line is told as it asks, too
    if (asked := getattr(raised, "ctx", None)) is not None:
        context.command = typed(asked)
    bare = context.as_json and isinstance(raised, click.exceptions.NoArgsIsHelpError)  # whose words are all of the help
    told = "Missing command." if bare else clean(raised.format_message())
    return UsageError(told, remedy=f"bluegreen {context.command}".rstrip() + " --help")


def main() -> NoReturn:
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `bluegreen status | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141  # as a shell has it for SIGPIPE
    except OSError as problem:  # a full disk behind `bluegreen status > FILE`
        code = 1
        with contextlib.suppress(OSError):
            click.echo(f"bluegreen: stdout cannot be written: {problem.strerror}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
