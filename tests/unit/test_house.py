"""How the tests are laid out: what they share is a package, reached from the checkout's root and from nowhere else."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import routing
from lab.demo import faults
from lab.layout import CHECKOUT
from migration import model
from tests.fakes.sources import PRODUCT, bindings, functions, modules

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
def test_what_tests_share_is_imported_by_its_whole_name(file: Path) -> None:
    tree = ast.parse(file.read_text())
    names = imported(tree)
    stems = {other.stem for other in FILES}
    assert not [name for name in names if name in stems], "of the tests, but not by its whole name"
    assert not [name for name in names if name.split(".")[-1] == "conftest"], "what a conftest defines is for pytest"
    assert "sys.path" not in {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


TOLD = """
import json
from tests.conftest import HERE, group

def pytest_collection_finish(session):
    for item in session.items:
        mark = item.get_closest_marker("timeout")
        made = {name: each[-1] for name, each in item._fixtureinfo.name2fixturedefs.items()}
        print("TOLD", json.dumps({
            "name": item.nodeid,
            "group": group(item.path.relative_to(HERE).as_posix()),
            "timeout": mark and [mark.args, mark.kwargs],
            "shared": [n for n, f in made.items() if f.scope == "session" and "/tests/" in f.func.__code__.co_filename],
        }))
"""
SAMPLE_HOOKS = """
from tests.lab.conftest import pytest_runtest_makereport, pytest_runtest_setup, pytest_runtest_teardown
from tests.lab.support import steps

def pytest_collection_modifyitems(items):
    steps.in_order(items)
"""
ONE_HANGS = """
import subprocess, sys, time
import pytest

@pytest.fixture(scope="module")
def child():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        print("CHILD", process.pid)
        yield process
        process.kill()

@pytest.mark.timeout(1)
def test_hangs(child):
    time.sleep(600)

def test_another(child):
    assert child.poll() is None
"""
END_HANGS = """
import time
import pytest

@pytest.fixture
def slow():
    yield
    time.sleep(600)

def test_fails_and_its_end_hangs(slow):
    raise ValueError

def test_another(): ...
"""
THREE_STEPS = """
import pytest
pytestmark = pytest.mark.steps
ran = []

def test_c_comes_first(): ran.append("c")
def test_a_comes_second():
    assert ran == ["c"]
    BREAK
def test_b_comes_third(): assert ran == ["c"]
"""


def pytest_of(folder: Path, *words: str, **files: str) -> str:
    """What pytest prints, with this project's options, of a folder with these files."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    options = ["-c", str(CHECKOUT / "pyproject.toml"), f"--rootdir={folder}", "-p", "no:cacheprovider", "-s", *words]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder if files else CHECKOUT,
        env=environment | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(folder)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def of_the_lab(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of each lab test: name, group, the arguments of its time limit, the fixtures of a session that it uses."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "told.py").write_text(TOLD)
    said = pytest_of(folder, "--collect-only", "-q", "-p", "told", str(TESTS / "lab"))
    return [json.loads(line.removeprefix("TOLD ")) for line in said.splitlines() if line.startswith("TOLD ")]


def test_every_lab_test_has_a_time_limit_that_ends_it_alone(of_the_lab: list[dict[str, Any]]) -> None:
    assert len(of_the_lab) > 200
    wrong = [each["name"] for each in of_the_lab if not limited(each["timeout"])]
    assert not wrong, "no limit in seconds, or one that ends more than the test (a method of its own)"


def limited(timeout: Any) -> bool:
    """Whether these arguments (or None) are seconds, and nothing else."""
    return bool(timeout) and timeout[1] == {} and 0 < timeout[0][0] <= 1800


def test_all_that_shares_what_a_session_makes_once_runs_in_one_process(of_the_lab: list[dict[str, Any]]) -> None:
    """Two workers would make two."""
    groups = defaultdict(set)
    for each in of_the_lab:
        for name in each["shared"]:
            groups[name].add(each["group"])
    assert groups["lab"] == {"the session's lab"}
    assert {name: each for name, each in groups.items() if len(each) > 1} == {}


@pytest.mark.long
def test_a_test_that_hangs_fails_alone_without_leaving_a_process(tmp_path: Path) -> None:
    told = pytest_of(tmp_path, "-p", "no:randomly", str(tmp_path), conftest=SAMPLE_HOOKS, test_sample=ONE_HANGS)
    assert "1 failed, 1 passed" in told
    assert "Timeout" in told
    (child,) = (line.split("CHILD ")[1] for line in told.splitlines() if "CHILD " in line)
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.long
def test_what_a_failed_test_leaves_to_end_has_a_limit_too(tmp_path: Path) -> None:
    hooks = f"{SAMPLE_HOOKS}\nfrom tests.lab import conftest\nconftest.LIMIT_SECONDS = 1.0\n"
    told = pytest_of(tmp_path, "-p", "no:randomly", str(tmp_path), conftest=hooks, test_sample=END_HANGS)
    assert "1 failed, 1 passed, 1 error" in told
    assert "what test_fails_and_its_end_hangs leaves behind did not end within 1 s" in told


@pytest.mark.long
def test_steps_keep_the_order_of_their_file_however_the_rest_is_shuffled(tmp_path: Path) -> None:
    seed = 1  # would put the last one first
    sample = THREE_STEPS.replace("BREAK", "")
    told = pytest_of(tmp_path, f"--randomly-seed={seed}", str(tmp_path), conftest=SAMPLE_HOOKS, test_sample=sample)
    assert "3 passed" in told


@pytest.mark.long
def test_after_a_step_that_failed_the_rest_are_skipped_with_its_name(tmp_path: Path) -> None:
    sample = THREE_STEPS.replace("BREAK", "raise ValueError")
    told = pytest_of(tmp_path, str(tmp_path), conftest=SAMPLE_HOOKS, test_sample=sample)
    assert "1 failed, 1 passed, 1 skipped" in told
    assert "a step after test_a_comes_second, which failed" in told


@pytest.mark.long
def test_a_step_alone_is_skipped_with_what_to_run(tmp_path: Path) -> None:
    sample = THREE_STEPS.replace("BREAK", "")
    told = pytest_of(tmp_path, f"{tmp_path}/test_sample.py::test_b_comes_third", conftest=SAMPLE_HOOKS, test_sample=sample)
    assert "1 skipped" in told
    assert "run the whole of test_sample.py" in told


@pytest.mark.parametrize(("target", "chosen"), [("test", "not long"), ("test-long", "long")])
@pytest.mark.parametrize("code", [0, 1])
def test_make_only_adds_its_seconds_to_what_pytest_does(tmp_path: Path, target: str, chosen: str, code: int) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nprintf "%s|" "$@"\necho\necho "=== 1 test ==="\nexit {code}\n')
    python.chmod(0o755)
    command = ["make", "--no-print-directory", "-o", "programs", target, f"PY={python}"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    first, closing, last = done.stdout.splitlines()
    assert f"|-m|{chosen}|" in first
    assert closing == "=== 1 test ==="
    assert re.fullmatch(rf"make {target}: \d+ s", last)
    assert (done.returncode == 0) is (code == 0), done.stderr


SHARED = """
import pytest
from pathlib import Path
from tests.conftest import pytest_runtest_teardown, pytest_xdist_make_scheduler

@pytest.fixture(scope="session")
def world(tmp_path_factory):
    note = Path(__file__).with_name("up")
    note.touch(exist_ok=False)
    yield note
    note.unlink()
"""
FIRST_FILE = "def test_one(world): assert world.exists()\ndef test_two(world): assert world.exists()"
SECOND_FILE = "from pathlib import Path\ndef test_three(): assert not Path(__file__).with_name('up').exists()"


WIDE = """
import pytest

@pytest.mark.wide(3)
@pytest.mark.parametrize("number", range(10))
def test_of_ten(number): ...
"""


@pytest.mark.parametrize(("chosen", "passed"), [("not long", 3), ("long", 7)])
def test_only_some_cases_of_a_wide_table_run_each_time(tmp_path: Path, chosen: str, passed: int) -> None:
    hooks = "from tests.conftest import pytest_collection_modifyitems"
    assert f"{passed} passed" in pytest_of(tmp_path, "-m", chosen, str(tmp_path), conftest=hooks, test_sample=WIDE)


UNTRACED = "import sys\ndef test_one(): assert sys.gettrace() is None"


def test_coverage_traces_no_more_of_a_workers_tests_than_it_says(tmp_path: Path) -> None:
    """Traced for good they take two to three times as long."""
    words = ("-n", "1", "--cov", "--cov-report=", f"--cov-config={CHECKOUT}/pyproject.toml", "-p", "tests.brief_coverage")
    said = pytest_of(tmp_path, *words, str(tmp_path), test_sample=UNTRACED)
    assert "1 passed" in said, said


@pytest.mark.long
def test_what_a_group_of_tests_shares_ends_with_it(tmp_path: Path) -> None:
    """A worker that goes on with another group does not keep its clusters running beside."""
    files = {"conftest": SHARED, "test_first": FIRST_FILE, "test_second": SECOND_FILE}
    told = pytest_of(tmp_path, "-n", "1", "-p", "no:randomly", str(tmp_path), **files)
    assert "3 passed" in told, told


def test_every_module_of_the_command_is_under_a_contract() -> None:
    """`exhaustive` makes import-linter fail on what is not in the list; few modules may lie beside the rooms."""
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (rooms,) = (contract for contract in contracts if contract.get("containers") == ["migration"])
    assert rooms["exhaustive"]
    assert rooms["exhaustive_ignores"] == ["__main__"]
    listed = {name.strip() for layer in rooms["layers"] for name in layer.split("|")}
    loose = {path.stem for path in (CHECKOUT / "migration").glob("*.py")} - {"__init__", "__main__"}
    assert len(loose) <= 8
    assert loose <= listed


def test_words_that_the_command_has_at_hand_without_routing_are_routings() -> None:
    """`bluegreen --help` does not wait for routing/, so the model has these again."""
    assert (model.WHOLE_BP, model.MANAGER, model.Side) == (routing.WHOLE_BP, routing.FIELD_MANAGER, routing.Side)


@pytest.mark.parametrize("folder", ["access", "components", "manifests", "migration", "routing", "stacks"])
def test_what_is_shipped_knows_nothing_of_the_lab(folder: str) -> None:
    """Neither its annotations nor the headers of its pods: any workload may send those."""
    words = re.compile(rf"x-lab-|\b{re.escape(faults.PREFIX)}|^\s*(?:from|import) lab\b", re.MULTILINE)
    files = [file for file in (CHECKOUT / folder).rglob("*.py") if words.search(file.read_text())]
    assert files == []


@pytest.mark.parametrize("package", [*PRODUCT, "lab"])
def test_a_function_fits_on_a_screen(package: str) -> None:
    long = [
        f"{name}: {each.name}"
        for name, tree in modules(package).items()
        for each in functions(tree)
        if (each.end_lineno or 0) - each.lineno >= 60
    ]
    assert long == []


@pytest.mark.parametrize("package", [*PRODUCT, "lab"])
def test_a_module_has_at_most_400_lines(package: str) -> None:
    lines = {name: len((CHECKOUT / name).read_text().splitlines()) for name in modules(package)}
    assert {name: count for name, count in lines.items() if count > 400} == {}


SAYS_NOTHING = ("there", "told", "found", "made", "seen")


def names_that_say_nothing(tree: ast.Module) -> list[tuple[int, str]]:
    return [(line, name) for line, name in bindings(tree) if name in SAYS_NOTHING]


@pytest.mark.parametrize("package", [*PRODUCT, "lab"])
def test_a_name_says_what_the_thing_is(package: str) -> None:
    names = [
        f"{module}:{line}: {name}" for module, tree in modules(package).items() for line, name in names_that_say_nothing(tree)
    ]
    assert names == []


@pytest.mark.parametrize(
    "code",
    [
        "found = 1",
        "found: int = 1",
        "first, (*found, last) = things",
        "if found := look(): ...",
        "for found in things: ...",
        "[found for found in things]",
        "def look(found): ...",
        "def look(*found, **more): ...",
        "lambda *, found: 1",
        "with lock as found: ...",
        "try: ...\nexcept ValueError as found: ...",
        "import json as found",
        "from json import loads as found",
        "class Look:\n    found: int",
        "self.found = 1",
        "match thing:\n    case [1, *found]: ...",
        "match thing:\n    case {**found}: ...",
        "match thing:\n    case int() as found: ...",
        "match thing:\n    case found: ...",
    ],
)
def test_whatever_binds_a_name_is_looked_at(code: str) -> None:
    assert [name for _, name in names_that_say_nothing(ast.parse(code))] == ["found"]


def test_names_that_are_only_read_are_not_looked_at() -> None:
    assert names_that_say_nothing(ast.parse('look(found=1)\nprint(found, line.found, {"found": 1})')) == []
