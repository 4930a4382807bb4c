"""`bluegreen --version` of what is installed, of a checkout that is not, and of neither."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from migration.cli.main import cli
from migration.cli.version import version_line


@pytest.fixture
def _not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_the_installed_version_is_printed_before_any_file_is_read() -> None:
    done = CliRunner().invoke(cli, ["-c", "/nowhere/migration.yaml", "--version"])
    assert (done.exit_code, done.output) == (0, f"bluegreen {importlib.metadata.version('bluegreen')}\n")


@pytest.mark.usefixtures("_not_installed")
def test_a_checkout_that_is_not_installed_prints_its_own_version_and_folder(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "7.8.9"\n')
    assert version_line(tmp_path) == f"bluegreen 7.8.9, not installed: runs from {tmp_path}"


@pytest.mark.usefixtures("_not_installed")
@pytest.mark.parametrize("text", [None, "no toml", "[project]\n"])
def test_a_folder_without_a_version_is_reported_as_such(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    assert version_line(tmp_path) == f"bluegreen (version unknown), not installed: runs from {tmp_path}"
