"""`make` sets up its own environment, says what is missing where it cannot, and the hooks run where their settings change."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# In place of python3: its venv has a python that pretends to have pip, or stops before that as Debian's does.
PYTHON = """\
#!/bin/sh
case "$*" in
*"-m venv"*)
  for folder; do :; done
  mkdir -p "$folder/bin"
  cp "$0" "$folder/bin/python"
  [ -n "$NO_VENV" ] && { echo "ensurepip is not available" >&2; exit 1; }
  touch "$folder/pip" ;;
*"-m pip --version"*) test -e "$(dirname "$0")/../pip" ;;
*"-m pip install"*) test -e "$(dirname "$0")/../pip" && touch "$(dirname "$0")/uv" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "bin/python3"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def make(checkout: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}", **more}
    environment.pop("MAKEFLAGS", None)
    return subprocess.run(["make", *words], cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def test_without_venv_it_says_what_to_install(checkout: Path) -> None:
    done = make(checkout, ".venv-dev/bin/uv", NO_VENV="1")
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stderr
    assert not (checkout / ".venv-dev").exists(), "nothing is left"
    assert make(checkout, ".venv-dev/bin/uv").returncode == 0


def test_an_environment_that_stopped_half_way_is_made_anew(checkout: Path) -> None:
    half = checkout / ".venv-dev/bin"
    half.mkdir(parents=True)
    shutil.copy(checkout / "bin/python3", half / "python")
    done = make(checkout, ".venv-dev/bin/uv")
    assert done.returncode == 0, done.stderr
    assert (half / "uv").exists()


def test_help_lists_every_target_that_people_use(checkout: Path) -> None:
    told = make(checkout, "help").stdout
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [name for name in targets.split() if name not in told and name not in ("help", "programs")] == []


@pytest.mark.parametrize("hook", ["lock", "ruff", "format", "types", "layers"])
def test_a_hook_runs_where_only_its_settings_change(hook: str) -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (found,) = [each for each in repo["hooks"] if each["id"] == hook]
    assert re.search(found["files"], "pyproject.toml")
    assert hook == "lock" or re.search(found["files"], "migration/cli/main.py")
    assert not re.search(found["files"], "docs/guides/lab.md")


def test_its_environment_is_never_that_of_pulumi(checkout: Path) -> None:
    """Pulumi's toolchain syncs .venv; tests/install proves that each leaves the other alone."""
    told = make(checkout, "-n", ".venv-dev/.ready").stdout
    syncs = [line for line in told.splitlines() if " sync " in line]
    assert len(syncs) == 1
    assert syncs[0].startswith("UV_PROJECT_ENVIRONMENT=.venv-dev ")
