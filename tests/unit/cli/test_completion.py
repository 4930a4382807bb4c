"""A shell that has read `bluegreen completion` completes: asked of bash itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from migration.cli.main import cli

# What bash does at a Tab: the words, which of them the cursor is in, then the function that was registered for the command.
TAB = """
source <(bluegreen completion bash)
COMP_WORDS=(%s); COMP_CWORD=%d
compopt() { :; }
$(complete -p bluegreen | sed 's/.*-F \\([^ ]*\\).*/\\1/') bluegreen
printf '%%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """PATH begins with a `bluegreen` of this checkout."""
    command = tmp_path / "bluegreen"
    command.write_text(f"#!{sys.executable}\nfrom migration.cli.main import main\nmain()\n")
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(Path.cwd())}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on PATH")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("bluegreen ro", {"rollback"}),
        ("bluegreen p", {"preflight", "pause"}),
        ("bluegreen entry sh", {"shift"}),
        ("bluegreen replicate --exp", {"--explain"}),
        ("bluegreen completion f", {"fish"}),
    ],
)
def test_bash_completes_commands_and_options(words: str, offered: set[str], environment: dict[str, str]) -> None:
    script = TAB % (words, len(words.split()) - 1)
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == offered, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_calls_the_command(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_BLUEGREEN_COMPLETE={shell}_complete" in done.output


def test_a_shell_without_completion_is_refused_with_those_that_have_one() -> None:
    done = CliRunner().invoke(cli, ["completion", "tcsh"])
    assert done.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in done.output
