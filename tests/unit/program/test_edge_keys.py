"""The command and the program read the same stack file: neither may refuse a key of the other."""

from __future__ import annotations

from pathlib import Path

import yaml

from migration.settings.stack_file import KEYS, StackFile
from stacks import edge
from tests.unit.program.test_config import EDGE, source

EVERY = {
    **EDGE,
    "services": {},
    "generation": 3,
    "zoneId": "Z0123456789",
    "hosts": ["shop.test"],
    "ttl": 30,
    "force": False,
    "protect": True,
}


def test_the_command_accepts_the_keys_that_the_program_knows(tmp_path: Path) -> None:
    asked = source({key: value for key, value in EVERY.items() if key != "zoneId"})
    edge.parse(asked, tmp_path, "edge")
    assert {*asked._keys_read, "kind", "zoneId"} == set(KEYS)


def test_both_read_a_file_with_every_key(tmp_path: Path) -> None:
    assert set(EVERY) == set(KEYS)
    path = tmp_path / "Pulumi.edge.yaml"
    path.write_text(yaml.safe_dump({"config": {f"bluegreen:{key}": value for key, value in EVERY.items()}}))
    read, parsed = StackFile(path).read(), edge.parse(source(EVERY), tmp_path, "edge")
    assert (read.blue, read.green, read.zone, read.hosts, read.ttl_seconds, read.generation) == (
        parsed.blue,
        parsed.green,
        parsed.zone,
        parsed.hosts,
        parsed.ttl_seconds,
        parsed.intent.generation,
    )


def test_the_shipped_file_is_read_by_the_command() -> None:
    shipped = Path(__file__).parents[3] / "stacks/Pulumi.edge.yaml"
    assert StackFile(shipped).read().blue == "plum"
