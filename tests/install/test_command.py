"""The command, installed in each usual way into an empty environment, starts; every module that it has can be imported."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest

from tests.install.installing import CHECKOUT, UV, Run

VERSION = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
# Imports every module of every package that is installed by name, and tells how many there are and what came with them.
WALK = """
import importlib, importlib.metadata, importlib.util, json, pkgutil, sys
packages = [name for name in ("migration", "routing", "manifests", "access") if importlib.util.find_spec(name)]
modules = [m.name for p in packages for m in pkgutil.walk_packages(importlib.import_module(p).__path__, p + ".")]
for name in modules:
    if not name.endswith("__main__"):
        importlib.import_module(name)
there = [name for name in ("components", "stacks", "lab", "tests", "moto", "mypy", "pulumi") if importlib.util.find_spec(name)]
place = importlib.util.find_spec("migration").origin
print(json.dumps({"modules": modules, "there": there, "place": place}))
"""
# Nobody listens on ports 1 and 2: the command gets as far as its clients, and fails as it should.
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: plum, cluster: {server: "http://127.0.0.1:1"}}, {name: fern, cluster: {server: "http://127.0.0.1:2"}}]
contexts: [{name: plum, context: {cluster: plum, user: nobody}}, {name: fern, context: {cluster: fern, user: nobody}}]
users: [{name: nobody, user: {token: none}}]
"""
MIGRATION = """
clusters:
  plum: {kubeconfig: nowhere.kubeconfig, context: plum, gateway: {address: 127.0.0.1, port: 80, peer_port: 15088},
         counters: {url: "http://127.0.0.1:1/stats/prometheus", dialect: istio}}
  fern: {kubeconfig: nowhere.kubeconfig, context: fern, gateway: {address: 127.0.0.2, port: 80, peer_port: 15088},
         counters: {url: "http://127.0.0.1:1/stats/prometheus", dialect: istio}}
edge: edge.yaml
metrics: {url: "http://127.0.0.1:1", dialect: istio}
"""
EDGE = """
config:
  bluegreen:kind: edge
  bluegreen:zone: shop.test
  bluegreen:hosts: [shop.test]
  bluegreen:sides: {blue: plum, green: fern}
  bluegreen:clusters: {plum: {stack: plum}, fern: {stack: fern}}
  bluegreen:entry: {plum: 10000, fern: 0}
  bluegreen:generation: 0
"""


def starts(run: Run, command: Path, python: Path, folder: Path) -> None:
    """Help, version, `python -m migration`, and a command that needs every client."""
    folder.mkdir()
    assert "preflight" in run(command, "--help", cwd=folder).stdout
    assert run(command, "--version", cwd=folder).stdout == f"bluegreen {VERSION}\n"
    assert "preflight" in run(python, "-m", "migration", "--help", cwd=folder).stdout
    (folder / "nowhere.kubeconfig").write_text(KUBECONFIG)
    (folder / "migration.yaml").write_text(MIGRATION)
    (folder / "edge.yaml").write_text(EDGE)
    failed = run(command, "preflight", cwd=folder, code=1)
    assert "Traceback" not in failed.stderr
    assert "http://127.0.0.1:1" in failed.stderr


@pytest.fixture(scope="module")
def pip_installed(checkout: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new virtual environment after `pip install .`, by the pip that is here already."""
    folder = tmp_path_factory.mktemp("pip")
    python = folder / "venv/bin/python"
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    quietly = ("-q", "--no-compile", "--disable-pip-version-check", "--no-input")
    run(sys.executable, "-m", "pip", "--python", python, "install", *quietly, checkout, cwd=folder)
    return folder / "venv/bin"


def test_pip_install_gives_a_command_that_starts(pip_installed: Path, run: Run, tmp_path: Path) -> None:
    starts(run, pip_installed / "bluegreen", pip_installed / "python", tmp_path / "work")


def test_the_wheel_has_exactly_the_modules_of_the_command(pip_installed: Path, run: Run, tmp_path: Path) -> None:
    told = json.loads(run(pip_installed / "python", "-c", WALK, cwd=tmp_path).stdout)
    there = {
        ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
        for package in ("migration", "routing", "manifests", "access")
        for path in (CHECKOUT / package).rglob("*.py")
    }
    assert {name for name in there if not name.endswith("__init__")} <= set(told["modules"])
    assert told["there"] == []
    assert "site-packages" in told["place"]


def test_uv_tool_install_gives_a_command_that_starts(checkout: Path, run: Run, tmp_path: Path) -> None:
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    run(UV, "tool", "install", "-q", checkout, cwd=tmp_path, env=places)
    starts(run, tmp_path / "bin/bluegreen", tmp_path / "tools/bluegreen/bin/python", tmp_path / "work")


def test_a_checkout_that_is_not_installed_says_so(checkout: Path, run: Run, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    run(UV, "venv", "-q", tmp_path / "venv", cwd=tmp_path)
    run(UV, "pip", "install", "-q", "--python", python, "click", cwd=tmp_path)
    said = run(python, "-m", "migration", "--version", cwd=checkout).stdout
    assert said == f"bluegreen {VERSION}, not installed: runs from {checkout}\n"
