"""`make demo` from end to end: the shop moves from 1.34 to 1.36 under load, and the summary says how."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.layout import CHECKOUT

SECONDS = 1200  # the story takes about five minutes on two quiet cores
pytestmark = [
    pytest.mark.timeout(SECONDS + 60),  # the first of them waits for the story
    pytest.mark.long,  # a second whole upgrade: tests/lab/program has one, and tests/unit/demo what else is in the story
]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    root = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "lab", "demo"],
        cwd=CHECKOUT,
        env=os.environ | {"BLUEGREEN_LAB_ROOT": str(root)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-4000:]
    return json.loads((root / "demo" / "summary.json").read_text()), told, root / "demo"


def test_the_story_ends_as_it_should(story: tuple[dict[str, Any], str, Path]) -> None:
    summary, _, _ = story
    assert summary["kubernetes"] == {"blue": "1.34", "green": "1.36"}
    assert summary["requests"]["total"] > 5000
    assert summary["requests"]["failed_by_moving"] == 0
    assert summary["requests"]["failed"] > 0, "faults reached nobody: nothing was proven"
    assert set(summary["splits"].values()) == {10_000}
    assert len(summary["splits"]) == 7
    assert summary["entry"] == {"plum": 0, "fern": 10_000}
    assert summary["drift"] == 0
    assert summary["replicated"]["objects"] > 40


def test_green_is_built_without_touching_anything_else(story: tuple[dict[str, Any], str, Path]) -> None:
    by_step = {(each["stack"], each["step"]): each for each in story[0]["operations"]}
    green = by_step["fern", "green"]
    assert green["create"] > 0
    assert green["update"] == green["delete"] == 0
    for stack in ("network", "plum", "edge"):
        untouched = by_step[stack, "green"]
        assert untouched["same"] > 0
        assert untouched["create"] == untouched["update"] == untouched["delete"] == 0


def test_the_edge_has_nothing_to_do_after_a_step_of_the_command(story: tuple[dict[str, Any], str, Path]) -> None:
    for each in story[0]["operations"]:
        if each["stack"] == "edge" and each["step"] in ("shifted", "rolled back", "entry moved"):
            assert each["create"] == each["update"] == each["delete"] == 0, each


def test_every_fault_was_rolled_back(story: tuple[dict[str, Any], str, Path]) -> None:
    by_itself, by_hand = story[0]["rollbacks"]
    for each in (by_itself, by_hand):
        assert each["bad_responses"] > 0
        assert each["seconds_to_zero"] is not None
        assert each["in_time"] is (each["seconds_to_zero"] <= 3)
    assert "was rolled back" in story[1]
    assert "by hand" in by_hand["reason"]


def test_the_report_stands_alone(story: tuple[dict[str, Any], str, Path]) -> None:
    page = (story[2] / "report.html").read_text()
    assert page.count("class=split") == 8  # seven services and the entry
    assert "<script" not in page
    assert "class=lost" not in page
