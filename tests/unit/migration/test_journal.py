"""The journal keeps what was promised, drops what a crash tore, and is played back."""

from __future__ import annotations

from pathlib import Path

import pytest

from migration.errors import StoreError
from migration.store.journal import FILE, Journal, open_intents, read, remember


def journal(folder: Path, fence: int = 1) -> Journal:
    return Journal(folder, fence, lambda: 1_780_000_000.0)


def test_an_intent_is_open_until_its_outcome(tmp_path: Path):
    there = journal(tmp_path)
    ids = there.intents("shift", [("a/b", 0, 10, "step"), ("a/c", 0, 10, "step")])
    there.outcomes("shift", {"a/b": ids["a/b"]}, {"a/b": (10, "step")})
    assert [event.target for event in open_intents(there.events)] == ["a/c"]
    memory = remember(read(tmp_path / FILE))
    assert (memory["a/b"].split_bp, memory["a/b"].open_values) == (10, ())
    assert memory["a/c"].open_values == (0, 10)
    there.settle({"a/c": 0}, "as found")
    assert not open_intents(there.events)
    there.close()


def test_the_next_holder_goes_on_counting_and_a_torn_line_is_dropped(tmp_path: Path):
    first = journal(tmp_path)
    first.note("start", "shift")
    first.close()
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(b'{"seq": 2, "time"')
    second = journal(tmp_path, fence=2)
    second.note("start", "shift")
    second.close()
    assert [(event.seq, event.fence) for event in read(tmp_path / FILE)] == [(1, 1), (2, 2)]


@pytest.mark.parametrize("line", ["{}", "[1]", "no json"])
def test_a_line_of_somebody_else_is_named_with_its_number(tmp_path: Path, line: str):
    there = journal(tmp_path)
    there.note("start", "shift")
    there.close()
    with (tmp_path / FILE).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(StoreError, match=rf"{FILE}:2: not a line of a journal"):
        read(tmp_path / FILE)


def test_dwell_state_and_reason_are_remembered_and_end_with_the_step(tmp_path: Path):
    there = journal(tmp_path)
    there.outcomes("shift", {}, {"a/b": (10, "step")})
    there.note("progress", "shift", after={"a/b": 3.5})
    assert remember(there.events)["a/b"].dwell_seconds == 3.5
    there.outcomes("shift", {}, {"a/b": (20, "step")})
    assert remember(there.events)["a/b"].dwell_seconds == 0.0
    there.note("return", "a/b", reason="errors")
    assert (remember(there.events)["a/b"].state, remember(there.events)["a/b"].reason) == ("returned", "errors")
    there.note("retry", "a/b")
    assert remember(there.events)["a/b"].state == ""
    there.outcomes("unenroll", {}, {"a/b": (None, "")})
    assert "a/b" not in remember(there.events)
    there.close()
