"""`bluegreen completion`: the script by which a shell completes commands and options. It calls `bluegreen` for each answer."""

from __future__ import annotations

import click

from migration.cli.console import Context
from migration.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
# click looks for it in the environment before it reads any argument: https://click.palletsprojects.com/shell-completion/
VARIABLE = "_BLUEGREEN_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: add  eval "$(bluegreen completion bash)"  to ~/.bashrc (bash 4.4 or newer)
    zsh:  add  eval "$(bluegreen completion zsh)"   to ~/.zshrc, after compinit
    fish: bluegreen completion fish > ~/.config/fish/completions/bluegreen.fish
    """
    if context.ensure_object(Context).as_json:
        raise UsageError(
            "completion prints a script for the shell, never JSON; allowed: no --json", remedy=f"bluegreen completion {shell}"
        )
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, f"click has no completion for {shell}"
    click.echo(kind(context.find_root().command, {}, "bluegreen", VARIABLE).source())
