"""`bluegreen schema`: what migration.yaml may hold, for editors."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON schema of migration.yaml.

    Editors complete and check the file by it: save it beside migration.yaml and name it in the first line there,
    `# yaml-language-server: $schema=migration.schema.json`. Reads no file.
    """
    from migration.settings import schema as settings

    click.echo(json.dumps(settings.schema(), indent=2))
