"""A file that is no file of a migration at all ends in one message with file, line and what to do: never a traceback, never
a machine that is out of memory.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from migration.cli.main import cli
from migration.errors import ConfigError, StoreError
from migration.settings.migration_file import load
from migration.settings.stack_file import StackFile
from migration.settings.yaml_reader import MOST_BYTES, did_you_mean, read_yaml, shown, some_of

HEAD = "version: 1\nclusters: {}\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


def refused(path: Path) -> str:
    """What both readers say; each has a remedy. A StoreError where the file is there and the system does not give it."""
    told = []
    for read in (load, lambda each: StackFile(each).read()):
        with pytest.raises((ConfigError, StoreError)) as caught:
            read(path)
        assert caught.value.remedy
        told.append(f"{caught.value} | {caught.value.remedy}")
    assert str(path) in told[0]
    return "\n".join(told)


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        pytest.param(b"a: 1\nb: \xff\n", [":2: is not UTF-8 text: byte 0xff"], id="not UTF-8"),
        pytest.param("a: 1".encode("utf-16"), [":1: is not UTF-8 text"], id="UTF-16"),
        pytest.param(b"a: 1\nb: \x00\n", [":2: broken YAML: a control character, '\\x00'"], id="a NUL byte"),
        pytest.param(b"a: 1\nb: '\x07'\n", [":2: broken YAML: a control character"], id="a bell"),
        pytest.param(b"a:\n\tb: 1\n", [":2:1: broken YAML: a tab; YAML is indented with spaces"], id="a tab"),
        pytest.param(b"a: [1,\n", ["broken YAML"], id="torn"),
        pytest.param(b"a: 1\n---\nb: 2\n", [":2:1: broken YAML", "another document"], id="two documents"),
        pytest.param(b"\n? [a]\n: 1\n", [":2: a key must be a string"], id="a list for a key"),
        pytest.param(b"\n? {a: b}\n: 1\n", [":2: a key must be a string"], id="a mapping for a key"),
        pytest.param(b"\na: !!python/object/apply:os.system [id]\n", [":2:4:", "python/object"], id="a tag of Python"),
        pytest.param(b"a: &a\n  b: *a\n", ["nested deeper than 50 levels"], id="an alias of itself"),
        pytest.param(b"a: &a {<<: *a}\n", ["nested deeper than 50 levels"], id="a merge of itself"),
        pytest.param(b"[" * 5000, ["nesting"], id="deep in brackets"),
        pytest.param(b"- " * 5000, ["nesting"], id="deep in lists"),
        pytest.param(b"[" * 60 + b"]" * 60, ["nested deeper than 50 levels"], id="a little too deep"),
        pytest.param(BOMB.encode(), ["more than 200000 values, with aliases"], id="a bomb of aliases"),
        pytest.param(b"x: 1\na: 2024-13-45\n", [":2: '2024-13-45' cannot be read as timestamp"], id="no such day"),
        pytest.param(b"x: 1\na: " + b"9" * 5000, [":2: ", "cannot be read as int"], id="a number of 5000 digits"),
        pytest.param(b"x: 1\na: !!bool maybe\n", [":2: 'maybe' cannot be read as bool"], id="no bool"),
        pytest.param(b"x: 1\na: !!int ''\n", [":2: '' cannot be read as int"], id="no int"),
        pytest.param(b"x: 1\na: !!float x\n", [":2: 'x' cannot be read as float"], id="no float"),
        pytest.param(b"x: 1\na: !!timestamp x\n", [":2: 'x' cannot be read as timestamp"], id="no time"),
        pytest.param(b"", ["must be a mapping with keys version, clusters, edge"], id="empty"),
        pytest.param(b"# nothing\n", ["got nothing"], id="a comment"),
        pytest.param(b"- a\n", ["the file: must be a mapping"], id="a list"),
        pytest.param(b"hello\n", ["the file: must be a mapping", "got 'hello'"], id="a word"),
        pytest.param(b"#" * (MOST_BYTES + 1), ["is larger than 16 MiB"], id="too large"),
    ],
)
def test_what_is_no_yaml_of_ours_is_refused_at_once_with_its_line(tmp_path: Path, raw: bytes, parts: list[str]) -> None:
    path = tmp_path / "migration.yaml"
    path.write_bytes(raw)
    began = time.process_time()
    told = refused(path)
    assert time.process_time() - began < 10
    for part in parts:
        assert part in told


@pytest.mark.parametrize(
    ("how", "parts"),
    [
        pytest.param("missing", ["No such file", "docs/reference/configuration.md", "--config"], id="no file"),
        pytest.param("folder", ["Is a directory"], id="a folder"),
        pytest.param("below a file", ["Not a directory"], id="below a file"),
        pytest.param("broken link", ["No such file", "a link to gone.yaml"], id="a broken link"),
        pytest.param("loop", ["symbolic links"], id="links in a circle"),
        pytest.param("long", ["name too long"], id="a name too long"),
        pytest.param("endless", ["is larger than"], id="a device without an end"),
    ],
)
def test_a_path_that_leads_to_no_file_is_refused_with_the_cause(tmp_path: Path, how: str, parts: list[str]) -> None:
    path = tmp_path / "migration.yaml"
    if how == "folder":
        path.mkdir()
    elif how == "below a file":
        path.write_text("")
        path = path / "migration.yaml"
    elif how == "broken link":
        path.symlink_to("gone.yaml")
    elif how == "loop":
        path.symlink_to(path)
    elif how == "long":
        path = tmp_path / ("a" * 300)
    elif how == "endless":
        path.symlink_to("/dev/zero")
    told = refused(path)
    for part in parts:
        assert part in told


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a wrong open: root, who may run the tests, may read everything."""
    path = tmp_path / "migration.yaml"
    path.write_text(HEAD)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "migration.yaml: cannot be read: Permission denied" in refused(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "migration.yaml"
    path.write_text(HEAD)
    path.chmod(0)
    assert "Permission denied" in refused(path)


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "migration.yaml").write_text('version: 1\nclusters: {}\nedge: "a\\0b"\n')
    with pytest.raises(ConfigError, match="cannot be read: embedded null byte"):
        read_yaml(Path("a\0b"), "the edge's stack file")
    with pytest.raises(ConfigError):
        load(tmp_path / "migration.yaml")


GOOD = """\
version: 1
clusters:
  plum: {kubeconfig: a, gateway: {address: 127.0.0.10}}
  fern: {kubeconfig: b, gateway: {address: 127.0.0.11}}
edge: stacks/Pulumi.edge.yaml
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("store: 2024-01-01\n", ":6: store: must be a string, got 2024-01-01: put it in quotes", id="a date"),
        pytest.param("store: 12\n", ":6: store: must be a string, got 12: put it in quotes", id="a number"),
        pytest.param("store: yes\n", ":6: store: must be a string, got true: put it in quotes", id="yes"),
        pytest.param("store: !!binary aGk=\n", ":6: store: must be a string, got b'hi'", id="bytes"),
        pytest.param('store: "a\\tb"\n', ":6: store: must be a string without control characters", id="a tab in a string"),
        pytest.param('store: "a\\0b"\n', ":6: store: must be a string without control characters", id="NUL in a string"),
        pytest.param("store: ''\n", ":6: store: must be a string, got an empty one", id="an empty string"),
        pytest.param("metrics: {url: 'http://a:99999'}\n", "must be a URL, http://... or https://...", id="no such port"),
        pytest.param("metrics: {url: 'http://[::1'}\n", "must be a URL, http://... or https://...", id="half an address"),
        pytest.param("store: ~nobody-here/x\n", ":6: store: '~nobody-here/x': there is no such home folder", id="no home"),
        pytest.param("5: 1\n", ":6: 5: a key must be a string, got 5: put it in quotes", id="a number for a key"),
        pytest.param("no: 1\n", "a key must be a string, got false: put it in quotes", id="no for a key"),
        pytest.param("~: 1\n", "a key must be a string, got nothing: put it in quotes", id="nothing for a key"),
        pytest.param("2024-01-01: 1\n", ":6: 2024-01-01: a key must be a string, got 2024-01-01", id="a date for a key"),
        pytest.param("policy: {batch: .nan}\n", ":6: policy.batch: must be a whole number", id="nan for a whole number"),
        pytest.param("policy: {dwell_seconds: .nan}\n", "from 0 to 2678400 seconds, got nan", id="nan"),
        pytest.param("policy: {dwell_seconds: .inf}\n", "from 0 to 2678400 seconds, got inf", id="inf"),
        pytest.param("policy: {dwell_seconds: -.inf}\n", "from 0 to 2678400 seconds, got -inf", id="-inf"),
        pytest.param(f"policy: {{batch: {'9' * 400}}}\n", "got a number of more than 77 digits", id="400 digits"),
        pytest.param(f"policy: {{batch: 0x{'f' * 6000}}}\n", "got a number of more than 77 digits", id="too long to print"),
        pytest.param("policy: {on_inconclusive: [hold]}\n", "must be hold | back | advance, got ['hold']", id="a list"),
        pytest.param("policy: {on_inconclusive: {a: b}}\n", "got a mapping", id="a mapping"),
        pytest.param("groups: [[a/b, [c/d]]]\n", ":6: groups[0][1]: must be namespace/name", id="a list in a group"),
        pytest.param("groups:\n- - a/b\n  - C/d\n", ":8: groups[0][1]: must be namespace/name", id="a line of a list"),
        pytest.param("singletons:\n- a/b\n- 7\n", ":8: singletons[1]: must be namespace/name", id="a singleton's line"),
        pytest.param("policy: !!set {dwell_seconds}\n", "must be a mapping with keys steps_bp", id="a set"),
    ],
)
def test_a_value_that_yaml_read_as_something_else_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "migration.yaml"
    path.write_text(GOOD + text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("number", ["1e-6", "1.0e-6", "0.000001", "1E-6", "+1e-6"])
def test_a_small_number_may_be_written_as_people_write_it(tmp_path: Path, number: str) -> None:
    """YAML 1.1 takes 1e-6 for a string; 1.2, and so every editor, for a number."""
    path = tmp_path / "migration.yaml"
    path.write_text(f"{GOOD}policy: {{false_alarm: {number}}}\n")
    assert load(path).policy.false_alarm == 1e-6


def test_aliases_that_people_write_are_read(tmp_path: Path) -> None:
    path = tmp_path / "migration.yaml"
    path.write_text(
        "\ufeff" + GOOD + "services:\n  a/b: &slow {policy: {dwell_seconds: 600}}\n  c/d: *slow\n  e/f: {<<: *slow}\n"
    )
    assert {load(path).policy_of(service).dwell_seconds for service in ("a/b", "c/d", "e/f")} == {600}


def test_an_unreadable_file_ends_the_command_with_2(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(cli, ["-c", str(tmp_path), "status"])
    assert isinstance(outcome.exception, ConfigError)
    assert outcome.exception.exit_code == 2


def test_a_long_list_of_what_is_allowed_is_cut_to_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "migration.yaml"
    path.write_text(GOOD + "policy: {dwel_seconds: 3}\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    told = str(caught.value).removeprefix(str(path))
    assert told.startswith(":6: policy.dwel_seconds: unknown key (did you mean dwell_seconds?); allowed: dwell_seconds, ")
    assert told.endswith(", ...: all 24 are in docs/reference/configuration.md#policy")
    assert told.count(",") == 3
    path.write_text(GOOD.replace("address: 127.0.0.10", "adress: x"))
    with pytest.raises(ConfigError, match=r"\(did you mean address\?\); allowed: address, port, peer_port, peer_address$"):
        load(path)


@pytest.mark.parametrize(
    ("known", "name", "told"),
    [
        (["a", "b"], "x", "a, b"),
        ([f"key{n}" for n in range(9)], "key4", "key4, key8, key7, ...: see there"),
        ([f"key{n}" for n in range(9)], "", "key0, key1, key2, ...: see there"),
    ],
)
def test_of_many_allowed_values_the_nearest_are_shown(known: list[str], name: str, told: str) -> None:
    assert some_of(known, name, "see there") == told


def test_values_are_shown_short() -> None:
    assert shown("x" * 200) == "'" + "x" * 76 + "..."
    assert shown(list(range(100))) == "100 values"
    assert shown([1, 2]) == "[1, 2]"
    assert did_you_mean("polcy", ["policy"]) == " (did you mean policy?)"
    assert did_you_mean("other", ["policy"]) == ""
