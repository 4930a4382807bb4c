"""Installs of a copy of the checkout, in empty environments, from the real registry; uv's cache keeps them quick."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.install.installing import CHECKOUT, UV, Run, clean_environment

LIMIT_SECONDS = 240.0
LEFT_OUT = (".venv*", ".lab", ".git", ".*_cache", ".bluegreen", ".hypothesis", "__pycache__", "*.egg-info", "tests", "docs")


def _registry_answers() -> bool:
    try:
        socket.create_connection(("pypi.org", 443), timeout=10).close()
    except OSError:
        return bool(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"))
    return True


@pytest.fixture(scope="session", autouse=True)
def _needs_the_registry() -> None:
    if not _registry_answers():
        pytest.skip("pypi.org cannot be reached: nothing can be installed")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, so that nothing is written into it."""
    copy = tmp_path_factory.mktemp("install") / "bluegreen"
    shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return copy


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command to its end and returns it; fails with what it said unless it ends with `code`. Programs are found on
    PATH, where uv is and this test's own environment is not. Compiled files are kept for all: what is installed anew at the
    same place is the same file, and the SDKs take longer to compile than to install."""
    bin = tmp_path_factory.mktemp("bin")
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("compiled"))}
    (bin / "uv").symlink_to(UV)
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join([str(bin), *(part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part != own)])

    def go(
        *words: str | Path, cwd: Path, code: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        argv = [str(word) for word in words]
        environment = clean_environment({"PATH": path} | compiled | dict(env or {}))
        done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS)
        assert done.returncode == code, f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    return go
