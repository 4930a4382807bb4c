"""How the tests are laid out: what they share is a package, reached from the checkout's root and from nowhere else."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from lab.layout import CHECKOUT

TESTS = CHECKOUT / "tests"
FILES = sorted(TESTS.rglob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    """Every module that a file imports, by its whole name."""
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_only_the_checkout_itself_is_put_on_the_path() -> None:
    options = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert options["pythonpath"] == ["."]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TESTS)))
def test_what_tests_share_is_imported_by_its_whole_name_and_from_no_conftest(file: Path) -> None:
    names = imported(ast.parse(file.read_text()))
    stems = {other.stem for other in FILES}
    assert not [name for name in names if name in stems], "of the tests, but not by its whole name"
    assert not [name for name in names if name.split(".")[-1] == "conftest"], "what a conftest defines is for pytest"
    assert "sys.path" not in {
        ast.unparse(node) for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)
    }
