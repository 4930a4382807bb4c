"""Bad input: one clear message naming file, key and remedy; exit 2; nothing changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from migration.cli import cli
from migration.config import load
from migration.errors import ConfigError
from migration.stackfile import StackFile

GOOD = """\
clusters:
  plum: {kubeconfig: a, context: plum, gateway: {address: 127.0.0.10}}
  fern: {kubeconfig: a, context: fern, gateway: {address: 127.0.0.11}}
edge: stacks/Pulumi.edge.yaml
"""
EDGE = "config:\n  bluegreen:sides: {blue: plum, green: fern}\n  bluegreen:services: {a/b: 0}\n  bluegreen:generation: 1\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param(GOOD + "polcy: {}\n", ["5", "polcy", "did you mean policy"], id="unknown key"),
        pytest.param(GOOD + "policy:\n  dwel_seconds: 3\n", ["6", "dwel_seconds", "dwell_seconds"], id="unknown policy key"),
        pytest.param(GOOD + "policy: {error_rate_limit: 3}\n", ["error_rate_limit", "is 3", "from 0 to 1"], id="out of range"),
        pytest.param(GOOD + "policy: {steps_bp: [10, 20000]}\n", ["steps_bp[1]", "20000", "10000"], id="weight out of range"),
        pytest.param(GOOD + "policy: {steps_bp: [10, 500]}\n", ["steps_bp", "end with 10000"], id="steps that do not arrive"),
        pytest.param(
            GOOD.replace("context: fern", "context: plum"), ["fern", "same cluster as plum"], id="the same cluster twice"
        ),
        pytest.param(GOOD.replace("127.0.0.11", "127.0.0.10"), ["gateway of plum too"], id="the same gateway twice"),
        pytest.param(GOOD + "policy: {[\n", ["broken YAML", "mend"], id="broken YAML"),
        pytest.param(GOOD + "edge: other\n", ["given twice", "line 4"], id="a key twice"),
        pytest.param(GOOD + "windows: [noon]\n", ["windows[0]", "Mon-Fri"], id="not a window"),
        pytest.param("clusters: {}\nedge: x\n", ["clusters"], id="no clusters"),
    ],
)
def test_migration_yaml(tmp_path: Path, text: str, parts: list[str]):
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
        pytest.param("config:", "confg:", ["config"], id="no config"),
    ],
)
def test_the_stack_file(tmp_path: Path, old: str, new: str, parts: list[str]):
    path = tmp_path / "Pulumi.edge.yaml"
    path.write_text(EDGE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        StackFile(path).read()
    for part in [str(path), *parts]:
        assert part in str(caught.value)


def test_an_unreachable_cluster_is_named_with_its_context(tmp_path: Path):
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/Pulumi.edge.yaml").write_text(EDGE.replace("{a/b: 0}", "{}"))
    contexts = "".join(f"- {{name: {n}, context: {{cluster: {n}, user: u}}}}\n" for n in ("plum", "fern"))
    servers = "".join(f"- {{name: {n}, cluster: {{server: 'http://127.0.0.1:9'}}}}\n" for n in ("plum", "fern"))
    (tmp_path / "a").write_text(f"users: [{{name: u, user: {{token: t}}}}]\ncontexts:\n{contexts}clusters:\n{servers}")
    (tmp_path / "migration.yaml").write_text(GOOD)
    outcome = CliRunner().invoke(cli, ["-c", str(tmp_path / "migration.yaml"), "enroll", "--yes"])
    problem = outcome.exception
    assert getattr(problem, "exit_code", None) == 1, problem
    assert "plum" in str(problem)
    assert "context" in f"{problem} {problem.remedy}"
    assert not (tmp_path / ".bluegreen").exists()


def test_numbers_that_pulumi_saved_as_strings_are_numbers(tmp_path: Path):
    path = tmp_path / "Pulumi.edge.yaml"
    path.write_text(EDGE.replace("generation: 1", "generation: '7'\n  bluegreen:ttl: '5'"))
    edge = StackFile(path).read()
    assert (edge.generation, edge.ttl_seconds) == (7, 5)


def test_writing_keeps_comments_and_grows_the_generation(tmp_path: Path):
    path = tmp_path / "Pulumi.edge.yaml"
    path.write_text("# ours\n" + EDGE + "  other:key: 'kept'  # yes\n")
    file = StackFile(path)
    file.read()
    assert file.write(services={"a/b": 250}).generation == 2
    text = path.read_text()
    assert "# ours" in text
    assert "'kept'  # yes" in text
    assert "a/b: 250" in text
