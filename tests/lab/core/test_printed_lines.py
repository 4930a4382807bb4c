"""What `make lab` prints and what README tells to do work as they stand, line by line, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.layout import CHECKOUT

MARK = "::line"


def lab(root: Path, command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lab", command],
        cwd=CHECKOUT,
        env=os.environ | {"BLUEGREEN_LAB_ROOT": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    if (tmp_path / "lab.json").exists():
        lab(tmp_path, "down")


def run(lines: list[str], folder: Path) -> dict[str, tuple[int, str]]:
    """Each line's exit code and output; the first that fails is the last. A shell without what this process has exported."""
    script = "".join(f"{line} 2>&1\ncode=$?; echo; echo {MARK} $code; [ $code = 0 ] || exit 1\n" for line in lines)
    kept = ("PATH", "HOME", "TMPDIR", "LANG")
    registries = ("UV_", "PIP_", "SSL_")  # how this machine reaches PyPI
    environment = {key: value for key, value in os.environ.items() if key in kept or key.startswith(registries)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=400, check=False,
    )  # fmt: skip
    parts = re.split(rf"{MARK} (\d+)\n", done.stdout)
    return {line: (int(parts[2 * at + 1]), parts[2 * at]) for at, line in enumerate(lines) if 2 * at + 1 < len(parts)}


def commands(text: str) -> list[str]:
    """The lines that a shell does something with."""
    return [line.partition("  # ")[0].strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def in_readme() -> list[str]:
    """All lines for a shell that README has for one's own clusters, in order."""
    section = (CHECKOUT / "README.md").read_text().partition("## Using it on your clusters")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in commands(block)]


@pytest.mark.long  # a whole lab of its own
def test_the_printed_lines_work_as_they_stand(root: Path) -> None:
    """With the command as README installs it: a tool of its own, not the lab's."""
    tool, *told = in_readme()
    printed = commands(lab(root, "up"))
    last = max(at for at, line in enumerate(printed) if line.startswith("export "))
    bin_folder = root / "bin"
    installed = f"(cd {CHECKOUT} && UV_TOOL_DIR={root}/tools UV_TOOL_BIN_DIR={bin_folder} {tool})"
    lines = [*printed[: last + 1], installed, f"export PATH={bin_folder}:$PATH", *printed[last + 1 :]]
    assert tool == "uv tool install ."
    lines.append("command -v bluegreen")
    done = run(lines, root)
    for line in lines:
        assert line in done, f"never came to {line}"
        code, said = done[line]
        assert code == 0, f"{line}: exit {code}\n{said[-3000:]}"
    assert done["command -v bluegreen"][1].strip() == str(bin_folder / "bluegreen")
    asked = next(line for line in printed if line.startswith("curl"))
    assert done[asked][1].strip()
    status = done["bluegreen status"][1]
    assert "shop/catalog" in status
    assert "100 %" in status

    plain = [re.sub(r" --(yes|skip-preview)\b", "", line) for line in printed]
    plain = [re.sub(r"^(export PULUMI_CONFIG_PASSPHRASE)=.*", r"\1=...", line) for line in plain]
    at = 0
    for line in told:
        assert line in plain[at:], f"README tells {line} where the lab's lines do not have it"
        at = plain.index(line, at) + 1

    again = commands(lab(root, "up"))
    assert [line for line in printed if not line.startswith("pulumi stack init")] == again
