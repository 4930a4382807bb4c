"""The live view counts what the clients recorded, and nothing twice."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.demo.view import Tail, View, bar


def record(**fields: Any) -> str:
    plain = {"t": 100.0, "host": "a.test", "status": 200, "cluster": "plum", "injected": False}
    return json.dumps(plain | fields) + "\n"


def test_failures_are_distinguished_by_their_mark(tmp_path: Path) -> None:
    file = tmp_path / "load.jsonl"
    file.write_text(record() + record(status=500, injected=True) + record(status=503) + record(status=0, cluster=None))
    tail = Tail(file)
    tail.read()
    counts = tail.by_host["a.test"]
    assert (counts.total, counts.injected, counts.lost) == (4, 1, 2)


def test_a_line_half_written_is_counted_once(tmp_path: Path) -> None:
    file, line = tmp_path / "load.jsonl", record()
    tail = Tail(file)
    tail.read()
    file.write_text(line + line[:20])
    tail.read()
    assert tail.by_host["a.test"].total == 1
    with file.open("a") as more:
        more.write(line[20:])
    tail.read()
    assert tail.by_host["a.test"].total == 2


def test_shares_are_those_of_the_last_seconds(tmp_path: Path) -> None:
    file = tmp_path / "load.jsonl"
    file.write_text(record(t=90.0) + record(t=99.0, cluster="fern") + record(t=99.5) + record(t=99.9, cluster="fern"))
    tail = Tail(file)
    tail.read()
    rate, parts = tail.shares("a.test", 100.0)
    assert rate == 1.0
    assert parts == {"fern": 2 / 3, "plum": 1 / 3}


def test_without_a_terminal_there_is_one_line_per_event(tmp_path: Path) -> None:
    out = io.StringIO()
    with View("t", "fern", Tail(tmp_path / "no"), [("s", "a.test")], dict, Console(file=out)) as view:
        view.step("one")
        view.say("two")
    assert [line.split("s  ", 1)[1].strip() for line in out.getvalue().splitlines()] == ["one", "two"]


def test_on_a_terminal_the_table_shows_split_and_share(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    view = View("t", "fern", Tail(tmp_path / "no"), [("shop/a", "a.test")], lambda: {"shop/a": 250}, console)
    with console.capture() as capture:
        console.print(view._draw())
    assert "2.5 %" in capture.get()
    assert "shop/a" in capture.get()


def test_a_bar_is_as_long_as_the_share() -> None:
    assert bar(0.5, 4).plain == "██░░  50.0 %"
