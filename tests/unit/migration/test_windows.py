"""When traffic may be moved forward, in the zone that was meant."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from migration.windows import any_open, parse_window


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
    ],
)
def test_a_window_is_open_in_its_own_zone(window: str, moment: str, is_open: bool) -> None:
    assert parse_window(window).holds(at(moment)) is is_open


@pytest.mark.parametrize(
    "text", ["9-17", "Mon 09:00", "Xyz 09:00-10:00", "09:00-24:30", "09:60-10:00", "09:00-10:00 Mars/Base"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"window|no such|unknown time zone"):
        parse_window(text)


def test_no_window_at_all_is_always() -> None:
    assert any_open([], at("2026-11-24T09:00"))
    assert not any_open([parse_window("10:00-11:00")], at("2026-11-24T09:00"))
