"""The `bluegreen` command: its groups and options, and how what went wrong becomes words and an exit code.

Nothing heavy is imported before a command needs it: `bluegreen --help` must answer at once.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import NoReturn

import click

from migration import cli_completion, cli_entry, cli_prepare, cli_replicate, cli_shift
from migration.errors import BluegreenError
from migration.terminal import Context
from migration.version import print_version

CONFIG = "migration.yaml"


class InOrder(click.Group):
    """Lists commands in the order in which an upgrade needs them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", "-c", type=click.Path(path_type=Path), default=CONFIG, show_default=True, help="The migration's file."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, logs on stderr.")
@click.option("--verbose", "-v", is_flag=True, help="Tell more on stderr.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Print the version and exit."
)
@click.pass_context
def cli(context: click.Context, config: Path, as_json: bool, verbose: bool) -> None:
    """Upgrade a Kubernetes cluster by moving its services to a new one beside it, with a way back at every moment."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    for noisy in ("botocore", "boto3", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    context.obj = Context(config, as_json)


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
):
    cli.add_command(command)


def _answer_in_json(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        context.ensure_object(Context).as_json = True


def take_json(command: click.Command) -> None:
    """`--json` after a command means what it means before it."""
    words = "As `bluegreen --json`."
    command.params.append(click.Option(["--json"], is_flag=True, expose_value=False, callback=_answer_in_json, help=words))
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            take_json(inner)


for command in cli.commands.values():
    take_json(command)
cli.add_command(cli_completion.completion)  # a script for the shell: never JSON


def main() -> NoReturn:
    try:
        cli.main(standalone_mode=False)
        code = 0
    except BluegreenError as problem:
        click.echo(f"bluegreen: {problem}", err=True)
        if problem.remedy:
            click.echo(f"  next: {problem.remedy}", err=True)
        code = problem.exit_code
    except click.ClickException as problem:
        problem.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("bluegreen: interrupted", err=True)
        code = 130
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
