"""docs/reference/cli.md, made of the commands themselves. `python -m migration.cli.reference` writes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from migration.cli.main import cli

PAGE = Path(__file__).parents[2] / "docs/reference/cli.md"
INTRODUCTION = """# Commands
Made by `python -m migration.cli.reference`; a test compares it with the commands.
Every command takes `--help` and, but for `completion` and `schema`, `--json` before or after its name;
the options of `bluegreen` come before the command's name.
[json.md](json.md) has the document that each prints with `--json`, [errors.md](errors.md) the exit codes.
"""


def reference() -> str:
    """The page: every command with its usage, its help, its arguments and its options, groups before what is in them."""
    return INTRODUCTION + "".join(_sections(cli, click.Context(cli, info_name="bluegreen")))


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    yield _section(command, context)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            within = command.commands[name]
            yield from _sections(within, click.Context(within, parent=context, info_name=name))


def _section(command: click.Command, context: click.Context) -> str:
    lines = ["", f"## {context.command_path}", "```", " ".join([context.command_path, *_usage(command, context)]), "```"]
    lines += [_paragraph(each) for each in inspect.cleandoc(command.help or "").split("\n\n")]
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if context.parent:
        options = [each for each in options if each.name != "json"]  # told once, above
    if options:
        lines += ["| option | default | what it does |", "|---|---|---|", *(_row(each, context) for each in options)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _paragraph(text: str) -> str:
    """One that begins with click's mark for it keeps its lines."""
    if text.startswith("\b"):
        return "\n".join(["```", *map(str.strip, text.splitlines()[1:]), "```\n"])
    return " ".join(text.split()) + "\n"


def _usage(command: click.Command, context: click.Context) -> list[str]:
    return [piece for piece in command.collect_usage_pieces(context) if piece]


def _row(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    default = option.get_default(context, call=False)
    shown = "" if default is None or option.is_flag or callable(default) or not option.show_default else f"`{default}`"
    return f"| {names}{value} | {shown} | {_cell(option.help or '')} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference())
