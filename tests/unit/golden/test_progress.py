"""Commands that wait long say on a terminal how far they are; nothing of it gets into what a pipeline reads."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from migration.cli import progress
from tests.fakes.project import Project
from tests.unit.golden.things import both, config, deployment, endpoints, namespace, public, put, scaler, service

SLOW = 0.02


def slow(project: Project) -> None:
    for server in project.servers.values():
        server.seconds = SLOW


def to_copy(project: Project) -> None:
    put(project, "plum", namespace(), *(config(f"c{n}") for n in range(40)))


def to_raise(project: Project) -> None:
    """Of two floors one is ready at once; the other one's pods never are."""
    both(project, namespace())
    put(project, "plum", deployment("cart", 4), deployment("pay", 4), scaler("pay", 2))
    put(project, "fern", deployment("cart", 2, ready=4), deployment("pay", 4), scaler("pay", 2))


def to_verify(project: Project) -> None:
    both(project, namespace(), public())
    for name in ("cart", "pay", "search"):
        both(project, deployment(name), service(name), endpoints(name))
    put(project, "fern", deployment("pay", 2, ready=1))


CASES: dict[str, tuple[Callable[[Project], None], tuple[str, ...], tuple[str, ...]]] = {
    "replicate": (to_copy, ("replicate", "--yes"), ("reading plum and fern", "writing to fern: ", " of 41 (ConfigMap shop/c")),
    "explain": (to_copy, ("replicate", "--explain", "ConfigMap/shop/c1"), ("reading plum and fern",)),
    "preflight": (to_copy, ("preflight",), ("reading plum and fern",)),
    "capacity": (to_raise, ("capacity", "--yes"), ("raising floors",)),
    "verify": (to_verify, ("verify", "--timeout", "1"), ("verifying on fern: 2 of 3 (waiting for shop/pay)",)),
}


@pytest.mark.parametrize("case", CASES)
def test_on_a_terminal_its_progress_is_shown(project: Project, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, words, said = CASES[case]
    given(project)
    slow(project)
    monkeypatch.setattr(progress, "REDRAWN_SECONDS", SLOW / 4)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    seen = project.ran(*words)
    assert "\r" not in seen.out
    assert [each for each in said if each not in seen.err] == []
    given(project)
    quiet = project.ran("--json", *words)
    assert "\r" not in quiet.out + quiet.err
