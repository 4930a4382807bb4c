"""Bad input: one clear message naming file, key and remedy; exit 2; nothing changed."""

from __future__ import annotations

import ast
import asyncio
import errno
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from migration.cli.entry import entry_shift
from migration.cli.main import cli, run, take_json
from migration.cli.salvage import salvaged
from migration.cli.session import Session, opened
from migration.errors import BluegreenError, ConfigError, StoreError
from migration.settings.migration_file import load
from migration.settings.stack_file import Edge, StackFile
from tests.fakes.disk import refusing
from tests.fakes.sources import modules

GOOD = """\
version: 1
clusters:
  plum: {kubeconfig: a, context: plum, gateway: {address: 127.0.0.10}}
  fern: {kubeconfig: a, context: fern, gateway: {address: 127.0.0.11}}
edge: stacks/Pulumi.edge.yaml
"""
EDGE = "config:\n  bluegreen:sides: {blue: plum, green: fern}\n  bluegreen:services: {a/b: 0}\n  bluegreen:generation: 1\n"


def kubeconfig(**servers: str) -> str:
    """A context for each server; the first is current."""
    contexts = "".join(f"- {{name: {n}, context: {{cluster: {n}, user: u}}}}\n" for n in servers)
    clusters = "".join(f"- {{name: {n}, cluster: {{server: '{url}'}}}}\n" for n, url in servers.items())
    users = "users: [{name: u, user: {token: t}}]\n"
    return f"current-context: {next(iter(servers))}\n{users}contexts:\n{contexts}clusters:\n{clusters}"


def counters(text: str) -> str:
    return GOOD.replace("127.0.0.10}", f"127.0.0.10}}, counters: {text}")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param(GOOD + "polcy: {}\n", [":6:", "polcy", "did you mean policy"], id="unknown key"),
        pytest.param(GOOD + "policy:\n  dwel_seconds: 3\n", [":7:", "dwel_seconds", "dwell_seconds"], id="unknown policy key"),
        pytest.param(
            GOOD + "policy: {error_rate_limit: 3}\n",
            ["error_rate_limit: must be a number from 0 to 0.99 of the answers", "got 3"],
            id="out of range",
        ),
        pytest.param(
            GOOD + "policy: {steps_bp: [10, 20000]}\n",
            ["steps_bp[1]: must be a whole number from 1 to 10000 basis points, got 20000"],
            id="weight out of range",
        ),
        pytest.param(GOOD + "policy: {steps_bp: [10, 500]}\n", ["steps_bp", "end with 10000"], id="steps that do not arrive"),
        pytest.param(
            GOOD.replace("context: fern", "context: plum"), ["fern", "same cluster as plum"], id="the same cluster twice"
        ),
        pytest.param(GOOD.replace("127.0.0.11", "127.0.0.10"), ["gateway of plum too"], id="the same gateway twice"),
        pytest.param(GOOD + "policy: {[\n", ["broken YAML", "fix"], id="broken YAML"),
        pytest.param(GOOD + "edge: other\n", ["given twice", "line 5"], id="a key twice"),
        pytest.param(GOOD + "windows: [noon]\n", ["windows[0]", "Mon-Fri"], id="not a window"),
        pytest.param("clusters: {}\nedge: x\n", ["clusters"], id="no clusters"),
        pytest.param(GOOD + "ignore: [BG30]\n", [":6:", "ignore[0]", "'BG30'", "did you mean BG30"], id="no such code"),
        pytest.param(
            GOOD + "ignore: ['BG999:Deployment a/b']\n",
            ["'BG999:Deployment a/b': no such code", "docs/reference/configuration.md#codes-for-ignore"],
            id="no such code of an object",
        ),
        pytest.param(GOOD + "policy: {windows_seconds: []}\n", ["windows_seconds", "at least one"], id="no window to judge by"),
        pytest.param(
            GOOD + "services: {a/b: {policy: {batch: 9}}}\n",
            ["a/b.policy.batch", "under `policy:`"],
            id="a batch of one service",
        ),
        pytest.param(counters("{}"), ["plum.counters", "neither url nor urls"], id="counters of nothing"),
        pytest.param(counters("{url: 'http://a', urls: ['http://b']}"), ["both url and urls"], id="url and urls"),
        pytest.param(counters("{urls: []}"), ["counters.urls", "one URL for each"], id="no pods"),
        pytest.param(counters("{urls: ['http://a', 'http://a']}"), ["counters.urls", "none twice"], id="a pod twice"),
        pytest.param(counters("{urls: ['http://a', 10.0.0.1]}"), ["counters.urls[1]", "http://"], id="a pod that is no URL"),
        pytest.param(counters("{urls: 'http://a'}"), ["counters.urls", "a list"], id="a text for pods"),
    ],
)
def test_a_mistake_in_migration_yaml_is_refused_with_its_place(tmp_path: Path, text: str, parts: list[str]):
    path = tmp_path / "migration.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    told = f"{caught.value} {caught.value.remedy}"
    assert str(path) in told
    for part in parts:
        assert part in told
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        pytest.param("a/b: 0", "a/b: 10001", ["a/b", "10001", "0 to 10000"], id="split out of range"),
        pytest.param("green: fern", "green: plum", ["both plum"], id="one cluster on both sides"),
        pytest.param("generation: 1", "generation: -1", ["generation"], id="generation"),
        pytest.param("config:", "confg:", ["config", "docs/reference/configuration.md"], id="no config"),
        pytest.param("bluegreen:services", "bluegreen:service", ["mean bluegreen:services"], id="unknown key"),
        pytest.param("  bluegreen:gen", "  bluegreen:entri: {}\n  bluegreen:gen", ["mean bluegreen:entry"], id="a letter off"),
        pytest.param("green: fern", "gren: fern", ["bluegreen:sides.gren", "did you mean green"], id="unknown side"),
        pytest.param(
            "green: fern", "green: 5", ["bluegreen:sides.green", "must be a string, got 5"], id="a number for a cluster"
        ),
        pytest.param("services:", "hosts: shop.test\n  bluegreen:services:", [":3:", "'shop.test'", "a list"], id="a host"),
        pytest.param(
            "services:", "hosts: 5\n  bluegreen:services:", ["bluegreen:hosts: must be a list", "got 5"], id="hosts: 5"
        ),
        pytest.param(
            "services:",
            "hosts: [5]\n  bluegreen:services:",
            ["bluegreen:hosts[0]: must be a string, got 5"],
            id="a number for a host",
        ),
        pytest.param(
            "services:", "zone: [a.b]\n  bluegreen:services:", ["bluegreen:zone: must be a string"], id="a list for a zone"
        ),
        pytest.param(
            "services:", "kind: cluster\n  bluegreen:services:", ["bluegreen:kind", "edge"], id="another stack's file"
        ),
        pytest.param("services:", "entry: {fren: 10000}\n  bluegreen:services:", ["mean fern"], id="entry at a stranger"),
    ],
)
def test_a_mistake_in_the_stack_file_is_refused_with_its_place(tmp_path: Path, old: str, new: str, parts: list[str]):
    path = tmp_path / "Pulumi.edge.yaml"
    path.write_text(EDGE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        StackFile(path).read()
    for part in [str(path), *parts]:
        assert part in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("plum", "fern"),
    [
        pytest.param("{kubeconfig: a, context: x, ", "{kubeconfig: a, ", id="the current context, told and untold"),
        pytest.param("{kubeconfig: a, context: x, ", "{kubeconfig: a, context: z, ", id="two contexts of one server"),
        pytest.param("{kubeconfig: a, ", "{kubeconfig: b, ", id="a copy of the kubeconfig"),
    ],
)
@pytest.mark.parametrize("command", [["shift", "--yes"], ["rollback"]], ids=" ".join)
def test_one_cluster_under_two_names_is_refused_before_anything_is_done(
    tmp_path: Path, plum: str, fern: str, command: list[str]
):
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/Pulumi.edge.yaml").write_text(EDGE.replace("{a/b: 0}", "{}"))
    (tmp_path / "a").write_text(kubeconfig(x="https://one.test", z="https://ONE.test:443/"))
    (tmp_path / "b").write_text((tmp_path / "a").read_text())
    text = GOOD.replace("{kubeconfig: a, context: plum, ", plum).replace("{kubeconfig: a, context: fern, ", fern)
    (tmp_path / "migration.yaml").write_text(text)
    outcome = CliRunner().invoke(cli, ["-c", str(tmp_path / "migration.yaml"), *command])
    assert isinstance(outcome.exception, ConfigError), outcome.exception
    told = f"{outcome.exception} {outcome.exception.remedy}"
    for part in (
        "migration.yaml:4: clusters.fern",
        "same cluster as plum",
        "https://",
        "two different clusters",
        "set kubeconfig",
    ):
        assert part in told
    assert not (tmp_path / ".bluegreen/journal.jsonl").exists()


def test_only_a_misspelt_service_is_refused_before_a_shift(tmp_path: Path):
    path = tmp_path / "migration.yaml"
    enrolled = Edge("plum", "fern", {"plum": 10_000}, {"shop/payments": 0, "shop/catalog": 0}, 1)

    def rules(text: str) -> Any:
        path.write_text(GOOD + text)
        return Session(load(path), StackFile(path), enrolled, {}, {}, {}, AsyncExitStack()).rules()

    for text, parts in {
        "services: {shop/paymnts: {hold: true}}\n": [":6", "services.shop/paymnts", "did you mean shop/payments"],
        "services: {shop/catalog: {depends_on: [shop/payment]}}\n": ["depends_on[0]", "shop/payment is not enrolled"],
        "groups: [[shop/payments, shop/catalgo]]\n": ["groups[0][1]", "did you mean shop/catalog"],
    }.items():
        with pytest.raises(ConfigError) as caught:
            rules(text)
        for part in [str(path), "bluegreen enroll", *parts]:
            assert part in f"{caught.value} {caught.value.remedy}"
    assert rules("services: {other/thing: {hold: true}}\n").held == {"other/thing"}, "others may come later"


def test_a_service_that_is_not_enrolled_yet_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture, refusing: int):
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/Pulumi.edge.yaml").write_text(EDGE)
    (tmp_path / "stacks/edge.routes").mkdir()
    (tmp_path / "stacks/edge.routes/a.b.yaml").write_text("kind: VirtualService\nmetadata: {name: b, namespace: a}\nspec: {}\n")
    (tmp_path / "a").write_text(kubeconfig(plum=f"http://127.0.0.1:{refusing}", fern=f"http://127.0.0.1:{refusing}/fern"))
    path = tmp_path / "migration.yaml"
    path.write_text(GOOD + "services: {other/thing: {hold: true}}\n")
    for command in (["preflight"], ["rollback", "no/such"]):
        caplog.clear()
        outcome = CliRunner().invoke(cli, ["-c", str(path), *command])
        assert getattr(outcome.exception, "remedy", None)
        assert ("other/thing is not enrolled" in caplog.text) is (command[0] == "preflight")


@pytest.mark.parametrize("share", ["nan", "101", "-1", "inf", "0.004", "99.996", "100.001", "1e-9", "half", ""])
def test_a_share_of_the_entry_that_is_none_is_refused(share: str):
    outcome = CliRunner().invoke(cli, ["entry", "shift", "--to", share])
    assert outcome.exit_code == 2
    assert f"Invalid value for '--to': {share}; allowed: 0 to 100, in steps of 0.01" in outcome.output


@pytest.mark.parametrize(
    ("share", "basis_points"), [("0.01", 1), ("0.29", 29), ("99.99", 9999), ("100", 10_000), ("0", 0), ("2.50", 250)]
)
def test_a_share_of_the_entry_is_read_as_it_is_written(share: str, basis_points: int):
    made = entry_shift.make_context("shift", ["--to", share])
    assert made.params["share_bp"] == basis_points


def test_every_mistake_in_a_file_or_an_option_has_a_next_command():
    bare = [
        f"{name}:{node.lineno}"
        for name, tree in modules("migration").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ConfigError"
        if not any(keyword.arg == "remedy" for keyword in node.keywords)
    ]
    assert bare == []


@pytest.mark.parametrize("command", [["pause"], ["resume"]], ids=" ".join)
@pytest.mark.parametrize("where", ["before", "after"])
def test_json_is_asked_for_before_a_command_or_after_it(
    tmp_path: Path, command: list[str], where: str, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "migration.yaml").write_text(GOOD)
    asked = ["--json", *command] if where == "before" else [*command, "--json"]
    assert run(["-c", str(tmp_path / "migration.yaml"), *asked]) == 0
    assert json.loads(capsys.readouterr().out)["paused"] == (command == ["pause"])


MISUSED = {  # the command of the document, and what is wrong with it
    "verify": [
        ["verify", "--timeout", "-1"],
        ["verify", "--timeout", "soon"],
        ["verify", "--patience", "nan"],
        ["verify", "--bogus"],
        ["verify", "--timeout"],
    ],
    "entry shift": [["entry", "shift", "--to", "0.004"], ["entry", "shift", "--to", "101"], ["entry", "shift", "now"]],
    "entry": [["entry", "bogus"], ["entry", "--bogus"], ["entry"]],
    "unenroll": [["unenroll"]],
    "capacity release": [["capacity", "release", "--bogus"]],
    "completion": [["completion", "tcsh"], ["completion"], ["completion", "bash"]],
    "": [["bogus"], ["--bogus", "verify"], []],
}


@pytest.mark.parametrize(
    ("command", "words"),
    [pytest.param(command, words, id=" ".join(words)) for command, rows in MISUSED.items() for words in rows],
)
def test_a_wrong_command_line_is_reported_as_json_wherever_that_is_asked_for(
    command: str, words: list[str], capsys: pytest.CaptureFixture[str]
):
    for at in {0, *([1] if words[:1] == command.split()[:1] else []), len(words)}:
        if words[at - 1 : at] == ["--timeout"]:
            continue  # there it is the option's value
        line = [*words[:at], "--json", *words[at:]]
        assert run(line) == 2, line
        document = json.loads(capsys.readouterr().out)
        assert (document["command"], document["error"]["kind"]) == (command, "usage"), line
        assert len(document["error"]["message"].splitlines()) < 6, line


@pytest.mark.parametrize(
    "line", [["--json", "odd"], ["odd", "--json"], ["odd", "--bad", "x", "--json"], ["odd", "--json", "--bad=x"]]
)
def test_whatever_is_raised_while_a_command_line_is_read_is_reported_as_json(
    line: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Of a callback or a type of an option: an error of ours has no context of click's, and may come before `--json`."""

    def refuse(*_: object) -> None:
        raise ConfigError("no such thing", remedy="another")

    odd = click.Command("odd", params=[click.Option(["--bad"], callback=refuse)], callback=lambda **_: None)
    take_json(odd, "")
    monkeypatch.setitem(cli.commands, "odd", odd)
    assert run(line) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["error"]["kind"]) == ("odd", "config")


def test_a_value_that_looks_like_the_option_is_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["-c", str(tmp_path / "none.yaml"), "rollback", "--reason", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_every_command_takes_json_but_the_one_that_prints_a_script():
    def names(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from names(inner, (*path, name))

    every = list(names(cli))
    assert ("entry", "status") in every
    lacking = {path for path in every if "--json" not in CliRunner().invoke(cli, [*path, "--help"]).output}
    assert lacking == {("completion",)}


def test_stdout_of_schema_is_the_schema_with_json_as_without(capsys: pytest.CaptureFixture[str]):
    printed = []
    for line in (["schema"], ["--json", "schema"], ["schema", "--json"]):
        assert run(line) == 0
        printed.append(capsys.readouterr().out)
    assert printed == [printed[0]] * 3
    assert json.loads(printed[0])["$schema"]


def test_an_unreachable_cluster_is_named_with_its_context(tmp_path: Path, refusing: int):
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/Pulumi.edge.yaml").write_text(EDGE.replace("{a/b: 0}", "{}"))
    (tmp_path / "a").write_text(kubeconfig(plum=f"http://127.0.0.1:{refusing}", fern=f"http://127.0.0.1:{refusing}/fern"))
    (tmp_path / "migration.yaml").write_text(GOOD)
    outcome = CliRunner().invoke(cli, ["-c", str(tmp_path / "migration.yaml"), "enroll", "--yes"])
    problem = outcome.exception
    assert isinstance(problem, BluegreenError), problem
    assert problem.exit_code == 1, problem
    assert "plum" in str(problem)
    assert "context" in f"{problem} {problem.remedy}"
    assert not (tmp_path / ".bluegreen").exists()


def test_numbers_that_pulumi_saved_as_strings_are_numbers(tmp_path: Path):
    path = tmp_path / "Pulumi.edge.yaml"
    path.write_text(EDGE.replace("generation: 1", "generation: '7'\n  bluegreen:ttl: '5'"))
    edge = StackFile(path).read()
    assert (edge.generation, edge.ttl_seconds) == (7, 5)


def test_writing_keeps_comments(tmp_path: Path):
    path = tmp_path / "Pulumi.edge.yaml"
    path.write_text("# ours\n" + EDGE + "  other:key: 'kept'  # yes\n")
    file = StackFile(path)
    file.read()
    file.write(services={"a/b": 250})
    text = path.read_text()
    assert "# ours" in text
    assert "'kept'  # yes" in text
    assert "a/b: 250" in text


def test_writing_raises_the_generation(tmp_path: Path):
    path = tmp_path / "Pulumi.edge.yaml"
    path.write_text(EDGE)
    file = StackFile(path)
    file.read()
    assert file.write(services={"a/b": 250}).generation == 2


def test_a_missing_kubeconfig_of_green_is_an_error_but_not_for_a_rollback(tmp_path: Path):
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/Pulumi.edge.yaml").write_text(EDGE.replace("{a/b: 0}", "{}"))
    (tmp_path / "migration.yaml").write_text(GOOD.replace("{kubeconfig: a, context: fern", "{kubeconfig: gone"))
    (tmp_path / "a").write_text(kubeconfig(plum="https://127.0.0.1:9"))

    async def sides() -> list[str]:
        async with opened(load(tmp_path / "migration.yaml"), need=()) as there:
            return list(there.routers())

    async def saved() -> tuple[list[str], str]:
        async with salvaged(tmp_path / "migration.yaml") as there:
            return list(there.session.routers()), " ".join(there.problems)

    with pytest.raises(ConfigError, match="gone"):
        asyncio.run(sides())
    there, told = asyncio.run(saved())
    assert there == ["blue"]
    assert "fern is left out" in told


def test_a_write_that_failed_is_not_in_the_next_one(tmp_path: Path):
    path = tmp_path / "Pulumi.edge.yaml"
    path.write_text(EDGE.replace("{a/b: 0}", "{a/b: 0, c/d: 100}"))
    file = StackFile(path)
    file.read()
    file.write(services={"c/d": 200})

    with refusing(tmp_path, "rename", errno.ENOSPC), pytest.raises(StoreError, match="stack file cannot be written: No space"):
        file.write(services={"a/b": 5000})
    assert file.write(services={"c/d": 0}).services == {"a/b": 0, "c/d": 0}
