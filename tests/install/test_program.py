"""The environment that Pulumi makes (`toolchain: uv`) has the program's imports and the command, and `make`'s stays whole."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import programs
from tests.install.installing import CHECKOUT, UV, Run

IMPORTS = (
    "import stacks.network, stacks.cluster, stacks.edge, components.cluster, pulumi, pulumi_aws, pulumi_eks, pulumi_kubernetes;"
    "print('imported', pulumi.__file__)"
)
# What of lab and development must not be in it.
FOREIGN = "import importlib.util; print([n for n in ('moto', 'mypy', 'pytest', 'dnslib', 'h2') if importlib.util.find_spec(n)])"
# The program itself, as the language host runs it, on mocks: the network's stack.
MOCKED = """
import pulumi, runpy
seen = []
class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        seen.append(args.typ)
        return args.name, dict(args.inputs)
    def call(self, args):
        return {}
pulumi.runtime.set_mocks(Mocks(), project="bluegreen", stack="network")
settings = {"kind": "network", "zones": '["eu-west-1a", "eu-west-1b"]', "nat": "one"}
pulumi.runtime.set_all_config({f"bluegreen:{key}": value for key, value in settings.items()})
@pulumi.runtime.test
def build():
    runpy.run_path("__main__.py", run_name="__main__")
build()
print(sorted(set(seen)))
"""


@pytest.fixture
def project(checkout: Path) -> Iterator[Path]:
    """The copy of the checkout, in which nothing is installed yet, at the same place for each test."""
    yield checkout
    for name in (".venv", ".venv-dev"):
        shutil.rmtree(checkout / name, ignore_errors=True)


@pytest.fixture(scope="session")
def uv_toolchain() -> Path:
    """Pulumi's own uv toolchain, as a program."""
    return programs.build_beside(Path(__file__).with_name("uv_toolchain.go"))


def is_whole(run: Run, project: Path) -> None:
    """The program's imports, where Pulumi would run it, the command beside them, and nothing else."""
    python = project / ".venv/bin/python"
    assert f"imported {project / '.venv'}" in run(python, "-c", IMPORTS, cwd=project).stdout
    assert run(python, "-c", FOREIGN, cwd=project).stdout == "[]\n"
    assert "preflight" in run(project / ".venv/bin/bluegreen", "--help", cwd=project.parent).stdout


@pytest.mark.parametrize("words", [("sync",), ("sync", "--inexact")], ids=" ".join)
def test_uv_sync_gives_command_and_program(words: tuple[str, ...], project: Path, run: Run) -> None:
    run(UV, *words, "-q", cwd=project)
    is_whole(run, project)


def test_pulumi_finds_the_programs_imports(project: Path, run: Run, uv_toolchain: Path) -> None:
    run(uv_toolchain, project, "install", cwd=project)
    is_whole(run, project)
    said = run(uv_toolchain, project, "run", "-c", MOCKED, cwd=project).stdout
    assert "aws:ec2/vpc:Vpc" in said
    is_whole(run, project)


def test_the_first_up_of_a_fresh_clone_makes_the_environment(project: Path, run: Run, uv_toolchain: Path) -> None:
    assert f"imported {project / '.venv'}" in run(uv_toolchain, project, "run", "-c", IMPORTS, cwd=project).stdout


def names(folder: Path) -> list[str]:
    """Packages and commands in an environment."""
    return sorted(path.name for part in ("bin", "lib/*/site-packages") for path in folder.glob(f"{part}/*"))


def test_two_environments_of_the_project_leave_each_other_alone(project: Path, run: Run, uv_toolchain: Path) -> None:
    """As `make` has it, with the command's own packages alone: lab and tools take a minute to install."""
    own = {"UV_PROJECT_ENVIRONMENT": ".venv-dev"}
    words = ("sync", "-q", "--frozen", "--no-default-groups")
    run(UV, *words, cwd=project, env=own)
    before = names(project / ".venv-dev")
    run(uv_toolchain, project, "install", cwd=project)
    assert names(project / ".venv-dev") == before
    assert not [name for name in before if name.startswith("pulumi")]
    made = names(project / ".venv")
    run(UV, *words, cwd=project, env=own)
    assert names(project / ".venv") == made
    is_whole(run, project)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_what_pulumi_syncs_leaves_the_environment_of_make_alone(project: Path, run: Run, uv_toolchain: Path) -> None:
    run("make", "-s", ".venv-dev/.ready", cwd=project)
    run(uv_toolchain, project, "install", cwd=project)
    python = project / ".venv-dev/bin/python"
    run(python, "-c", "import moto, dnslib, mypy, pytest, jsonschema, pulumi_eks, migration, lab.demo.story", cwd=project)
    before = names(project / ".venv")
    run("make", "-s", "-B", ".venv-dev/.ready", cwd=project)
    assert names(project / ".venv") == before
    is_whole(run, project)


def test_the_lock_is_the_one_of_pyproject(checkout: Path, run: Run) -> None:
    run(UV, "lock", "--check", cwd=checkout)


def test_the_lock_names_only_the_public_registry() -> None:
    lock = tomllib.loads((CHECKOUT / "uv.lock").read_text())
    sources = {json.dumps(package["source"], sort_keys=True) for package in lock["package"]}
    assert sources == {'{"editable": "."}', '{"registry": "https://pypi.org/simple"}'}
