"""When traffic may be moved forward, in the zone that was meant."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from zoneinfo import ZoneInfo, reset_tzpath

import pytest

from migration.settings.calendar import any_open, parse_window


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        ("Mon-Fri 09:00-17:00", "2026-11-24T09:00", True),  # a Tuesday
        ("Mon-Fri 09:00-17:00", "2026-11-24T17:00", False),
        ("Mon-Fri 09:00-17:00", "2026-11-28T12:00", False),
        ("Sat,Sun 00:00-24:00", "2026-11-28T23:59", True),
        ("Fri-Mon 10:00-11:00", "2026-11-29T10:30", True),
        ("Fri 22:00-05:00", "2026-11-28T04:59", True),  # Saturday's early hours are Friday's night
        ("Fri 22:00-05:00", "2026-11-27T04:59", False),
        ("22:00-05:00", "2026-11-24T12:00", False),
        ("09:00-10:00 Europe/Berlin", "2026-11-24T08:30", True),
        ("09:00-10:00 Europe/Berlin", "2026-07-24T08:30", False),  # summer time
        ("Tuesday,thurs 09:00-17:00", "2026-11-26T09:00", True),
        ("Fri 24:00-05:00", "2026-11-28T04:59", True),  # begins with the end of Friday
    ],
)
def test_a_window_is_open_in_its_own_zone(window: str, moment: str, is_open: bool) -> None:
    assert parse_window(window).holds(at(moment)) is is_open


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("9-17", "not a window"),
        ("Mon 09:00", "not a window"),
        ("09:60-10:00", "not a window"),
        ("09:00-10:00 Europe/Berlin CET", "not a window"),
        ("Xyz 09:00-10:00", "no such day xyz"),
        ("Monkey 09:00-10:00", "no such day monkey"),
        ("Mon- 09:00-10:00", "no such day mon-"),
        ("Mon-Wed-Fri 09:00-10:00", "no such day mon-wed-fri"),
        ("Mon,,Fri 09:00-10:00", "no such day"),
        ("Mo-Fr 09:00-10:00", "no such day mo-fr"),
        ("09:00-24:30", "no such time 24:30"),
        ("09:00-10:00 Mars/Base", "unknown time zone Mars/Base"),
        ("09:00-10:00 Europe/Berln", "did you mean Europe/Berlin?"),
        ("09:00-10:00 Europe", "unknown time zone Europe"),
        ("09:00-10:00 ../../etc/passwd", "unknown time zone"),
        ("09:00-10:00 /etc", "unknown time zone"),
        (f"09:00-10:00 {'a' * 300}", "unknown time zone"),
    ],
)
def test_what_is_no_window_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_window(text)


@pytest.mark.parametrize(
    ("text", "whole"),
    [("09:00-09:00", "00:00-24:00"), ("Mon-Fri 00:00-00:00", "Mon-Fri 00:00-24:00"), ("24:00-24:00", "00:00-24:00")],
)
def test_a_window_that_ends_when_it_begins_is_refused(text: str, whole: str) -> None:
    with pytest.raises(ValueError, match=f"a whole day is {whole}"):
        parse_window(text)
    assert parse_window(whole).holds(at("2026-11-24T09:00"))


def test_a_machine_without_time_zones_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "tzdata"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tzdata", None)
    ZoneInfo.clear_cache()
    reset_tzpath(to=[])
    try:
        with pytest.raises(ValueError, match="no time zone data"):
            parse_window("09:00-10:00 Europe/Berlin")
        assert parse_window("09:00-10:00").zone == "UTC"
    finally:
        reset_tzpath()


def test_no_window_at_all_is_always() -> None:
    assert any_open([], at("2026-11-24T09:00"))
    assert not any_open([parse_window("10:00-11:00")], at("2026-11-24T09:00"))
