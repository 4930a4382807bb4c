"""pyproject.toml declares what the command imports, with bounds: an indirect dependency may go with any release of another."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.sources import modules

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
DECLARED = {re.split(r"[<>=!~\[; ]", each, maxsplit=1)[0]: each for each in SETTINGS["project"]["dependencies"]}
DATA = {"tzdata"}  # imported by none of ours; its versions are years, and newer data is better


def imported(tree: ast.AST) -> Iterator[str]:
    """Modules that are imported when the program runs, late imports too; not those for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for each in node.orelse:
                yield from imported(each)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        else:
            yield from imported(node)


def distributions() -> dict[str, set[str]]:
    """By distribution that the wheel's modules import: the files that do."""
    owners = importlib.metadata.packages_distributions()
    found: dict[str, set[str]] = {}
    for file, tree in modules(*PACKAGES).items():
        for module in imported(tree):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in PACKAGES:
                owned = set(owners.get(top, [top]))
                # of a namespace such as ruamel: the one whose name it is
                name = owned.pop() if len(owned) == 1 else max(each for each in owned if module.startswith(each))
                found.setdefault(name.lower(), set()).add(file)
    return found


def test_the_declared_dependencies_are_exactly_what_the_wheel_imports() -> None:
    found = distributions()
    assert {name: files for name, files in found.items() if name not in DECLARED} == {}
    assert DECLARED.keys() - found.keys() == DATA


@pytest.mark.parametrize("name", sorted(DECLARED.keys() - DATA))
def test_a_dependency_has_both_bounds(name: str) -> None:
    assert ">=" in DECLARED[name]
    assert "<" in DECLARED[name]
