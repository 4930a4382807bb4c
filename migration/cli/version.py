"""Which bluegreen this is: the version of the installed distribution, or of the checkout that is run uninstalled."""

from __future__ import annotations

from pathlib import Path

import click

DISTRIBUTION = "bluegreen"


def version_line(checkout: Path | None = None) -> str:
    """`bluegreen X.Y.Z`; of a checkout (its folder, default: where this file is) that nobody installed, that is said too."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{DISTRIBUTION} {version(DISTRIBUTION)}"
    except PackageNotFoundError:
        import tomllib

        folder = checkout or Path(__file__).resolve().parents[2]
        try:
            number = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["version"]
        except (OSError, tomllib.TOMLDecodeError, KeyError):
            number = "(version unknown)"
        return f"{DISTRIBUTION} {number}, not installed: runs from {folder}"


def print_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """The callback of `--version`."""
    if asked and not context.resilient_parsing:
        click.echo(version_line())
        context.exit()
