"""The numbers of the summary come from the clients' records alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lab.demo import load, measure


def record(t: float, **fields: Any) -> dict[str, Any]:
    return {"t": t, "ms": 10.0, "host": "a.test", "path": "/", "status": 200, "cluster": "plum"} | fields


def test_a_failure_counts_against_moving_unless_it_carries_the_mark() -> None:
    records = [
        record(1),
        record(1, status=404),
        record(1, status=500, injected=True),
        record(1, status=503),
        record(1, status=0, cluster=None),
    ]
    assert measure.requests(records) == {"total": 5, "failed": 3, "failed_by_moving": 2}


def test_a_torn_last_line_is_left_for_later(tmp_path: Path) -> None:
    file = tmp_path / "load.jsonl"
    file.write_text(json.dumps(record(2)) + "\n" + json.dumps(record(1)) + '\n{"t": 3')
    assert [each["t"] for each in measure.read(file)] == [1, 2]


def test_seconds_are_counted_by_service_and_cluster() -> None:
    records = [
        record(10.2),
        record(10.9, cluster="fern"),
        record(11.5, cluster="fern", status=500, injected=True),
        record(11.6, status=0, cluster=None),
        record(10.1, host="b.test"),
        record(99),
    ]
    got = measure.series(records, "shop/a", "a.test", blue="plum", green="fern", start=10, seconds=3)
    assert (got.blue, got.green, got.injected, got.failed) == ([1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0])


def test_the_entry_is_by_address() -> None:
    records = [record(0.1, address="b"), record(0.2, address="g"), record(2.5, address="g"), record(2.6)]
    shares = measure.entered(records, "g", start=0, seconds=3)
    assert shares[0] == 0.5
    assert math.isnan(shares[1])
    assert shares[2] == 1.0


def test_a_rollback_lasts_from_the_first_bad_answer_to_greens_last() -> None:
    records = [
        record(1, cluster="fern"),
        record(2, cluster="fern", status=500, injected=True),
        record(2.5, cluster="fern", status=500, injected=True),
        record(3, cluster="fern"),
        record(3.5),
        record(9, cluster="fern"),
    ]
    assert measure.taken_back(records, ["a.test"], green="fern", since=0, until=8) == (1.0, 2)


def test_without_a_bad_answer_nothing_was_rolled_back() -> None:
    assert measure.taken_back([record(1, cluster="fern")], ["a.test"], green="fern", since=0, until=9) == (None, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0},
        {"targets": []},
        {"targets": [{"name": "a", "host": "a", "weight": 0}]},
        {"seconds": 1e9},
        {"unknown": 1},
        {"targets": [{"nam": "a"}]},
    ],
    ids=str,
)
def test_a_load_that_cannot_be_made_names_the_file(tmp_path: Path, change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "dns": "127.0.0.1:53", "port": 80, "rate": 1, "output": "x", "targets": [{"name": "a", "host": "a"}]
    }  # fmt: skip
    file = tmp_path / "load.json"
    file.write_text(json.dumps(good))
    assert load.Config.read(file).rate == 1
    file.write_text(json.dumps(good | change))
    with pytest.raises(load.LoadError, match=r"load\.json"):
        load.Config.read(file)
