"""The journal keeps what was promised, drops what a crash tore, and is played back."""

from __future__ import annotations

from pathlib import Path

import pytest

from migration.errors import StoreError
from migration.model import Standing
from migration.store.events import RUN, Change, Op, Outcome, open_intents
from migration.store.journal import FILE, Journal, read
from migration.store.memory import remember


def journal(folder: Path, fence: int = 1) -> Journal:
    return Journal(folder, fence, lambda: 1_780_000_000.0)


def test_an_intent_is_open_until_its_outcome(tmp_path: Path):
    there = journal(tmp_path)
    ids = there.promise(Op.SHIFT, [Change("a/b", 0, 10, "step"), Change("a/c", 0, 10, "step")])
    there.outcomes(Op.SHIFT, {"a/b": ids["a/b"]}, [Outcome("a/b", 10, "step")])
    assert [event.target for event in open_intents(there.events)] == ["a/c"]
    memory = remember(read(tmp_path / FILE))
    assert (memory["a/b"].split_bp, memory["a/b"].open_values) == (10, ())
    assert memory["a/c"].open_values == (0, 10)
    there.settle({"a/c": 0}, "as found")
    assert not open_intents(there.events)
    there.close()


def test_the_next_holder_continues_counting_over_a_torn_line(tmp_path: Path):
    first = journal(tmp_path)
    first.note(Op.START, "shift")
    first.close()
    with (tmp_path / FILE).open("ab") as stream:
        stream.write(b'{"seq": 2, "time"')
    second = journal(tmp_path, fence=2)
    second.note(Op.START, "shift")
    second.close()
    assert [(event.seq, event.fence) for event in read(tmp_path / FILE)] == [(1, 1), (2, 2)]


@pytest.mark.parametrize("line", ["{}", "[1]", "no json"])
def test_a_line_that_is_not_the_journals_is_named_with_its_number(tmp_path: Path, line: str):
    there = journal(tmp_path)
    there.note(Op.START, "shift")
    there.close()
    with (tmp_path / FILE).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(StoreError, match=rf"{FILE}:2: not a line of a journal"):
        read(tmp_path / FILE)


def test_what_is_remembered_of_a_service_ends_with_its_step(tmp_path: Path):
    there = journal(tmp_path)
    there.outcomes(Op.SHIFT, {}, [Outcome("a/b", 10, "step")])
    there.note(Op.PROGRESS, "shift", after={"a/b": 3.5})
    assert remember(there.events)["a/b"].dwell_seconds == 3.5
    there.outcomes(Op.SHIFT, {}, [Outcome("a/b", 20, "step")])
    assert remember(there.events)["a/b"].dwell_seconds == 0.0
    there.note(Op.RETURN, "a/b", reason="errors")
    assert (remember(there.events)["a/b"].state, remember(there.events)["a/b"].reason) == ("returned", "errors")
    there.note(Op.RETRY, "a/b")
    assert remember(there.events)["a/b"].state == ""
    there.outcomes(Op.UNENROLL, {}, [Outcome("a/b", None, "")])
    assert "a/b" not in remember(there.events)
    there.close()


def test_each_kind_of_line_keeps_its_bytes(tmp_path: Path):
    there = journal(tmp_path, fence=3)
    ids = there.promise(Op.SHIFT, [Change("a/b", 0, 10, "step to 0.1 %")])
    there.outcomes(Op.SHIFT, ids, [Outcome("a/b", 10, "step to 0.1 %")])
    there.note(Op.PROGRESS, RUN, after={"a/b": 3.5})
    there.record(Op.UNENROLL, [Change("a/b", 10, None)])
    there.close()
    start = '"time":"2026-05-28T20:26:40.000Z","fence":3,'
    assert (tmp_path / FILE).read_text().splitlines() == [
        f'{{"seq":1,{start}"kind":"intent","id":"3-1","of":null,'
        '"op":"shift","target":"a/b","before":0,"after":10,"reason":"step to 0.1 %"}',
        f'{{"seq":2,{start}"kind":"outcome","id":"3-2","of":"3-1",'
        '"op":"shift","target":"a/b","before":null,"after":10,"reason":"step to 0.1 %"}',
        f'{{"seq":3,{start}"kind":"note","id":"3-3","of":null,'
        '"op":"progress","target":"shift","before":null,"after":{"a/b":3.5},"reason":""}',
        f'{{"seq":4,{start}"kind":"intent","id":"3-4","of":null,'
        '"op":"unenroll","target":"a/b","before":10,"after":null,"reason":""}',
    ]


def test_an_operation_of_another_version_is_ignored(tmp_path: Path):
    there = journal(tmp_path)
    there.note(Op.RETURN, "a/b", reason="errors")
    there.close()
    path = tmp_path / FILE
    path.write_text(path.read_text() + path.read_text().replace('"return"', '"handover"'))
    assert [event.op for event in read(path)] == ["return", "handover"]
    assert remember(read(path))["a/b"].state is Standing.RETURNED
