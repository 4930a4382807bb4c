"""What a shift is told of services that nobody saw answer on green."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from migration.store.verdicts import FILE, doubts, keep, replicated
from migration.verify.run import Outcome, ServiceVerdict

WEB = "shop/web"
NOON = 1_800_000_000.0


def verdict(outcome: Outcome, *problems: str, service: str = WEB) -> ServiceVerdict:
    return ServiceVerdict(service, outcome == "ok", (), problems, outcome=outcome)


def doubt(store: Path, green: str = "fern") -> str | None:
    return doubts(store, green, [WEB]).get(WEB)


def test_a_service_that_passed_leaves_no_doubt(tmp_path: Path) -> None:
    keep(tmp_path, "fern", [verdict("ok")], NOON)
    assert doubts(tmp_path, "fern", [WEB, "shop/other"]) == {"shop/other": "never verified"}


@pytest.mark.parametrize(
    ("outcome", "told"),
    [("failed", "failed when it was verified at 2027-01-15"), ("not verified", "not verified: 301 (at 2027-01-15")],
)
def test_the_last_verdict_counts(tmp_path: Path, outcome: Outcome, told: str) -> None:
    keep(tmp_path, "fern", [verdict("ok")], NOON)
    keep(tmp_path, "fern", [verdict(outcome, "not verified: 301")], NOON + 1)
    assert told in str(doubt(tmp_path))
    keep(tmp_path, "fern", [verdict("ok")], NOON + 2)
    assert doubt(tmp_path) is None


def test_what_was_verified_before_the_last_replicate_is_in_doubt(tmp_path: Path) -> None:
    replicated(tmp_path, "fern", NOON)
    keep(tmp_path, "fern", [verdict("ok")], NOON + 1)
    assert doubt(tmp_path) is None
    replicated(tmp_path, "fern", NOON + 2)
    assert "before the last `bluegreen replicate`" in str(doubt(tmp_path))


def test_another_green_was_never_verified(tmp_path: Path) -> None:
    keep(tmp_path, "plum", [verdict("ok")], NOON)
    keep(tmp_path, "fern", [verdict("ok", service="shop/other")], NOON)
    assert doubt(tmp_path) == "never verified"
    assert doubt(tmp_path, "plum") is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"fern": 1}', '{"fern": {"services": {"shop/web": "ok"}}}'])
def test_an_unreadable_file_is_no_verdict(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert doubt(tmp_path) == "never verified"
    keep(tmp_path, "fern", [verdict("ok")], NOON)
    assert doubt(tmp_path) is None


def test_two_that_verify_at_once_both_leave_their_verdicts(tmp_path: Path) -> None:
    def some(part: int) -> None:
        for number in range(20):
            keep(tmp_path, "fern", [verdict("ok", service=f"shop/{part}-{number}")], NOON)

    threads = [threading.Thread(target=some, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert doubts(tmp_path, "fern", [f"shop/{part}-{number}" for part in range(4) for number in range(20)]) == {}
