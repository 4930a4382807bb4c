"""Off-peak windows: when traffic may be moved forward. Going back is always allowed.

`[DAYS] HH:MM-HH:MM [ZONE]`, such as `Mon-Fri 09:00-17:00`, `Sat,Sun 00:00-24:00`, `22:00-05:00 Europe/Berlin`; UTC
by default. A window that ends before it begins runs over midnight and belongs to the day on which it began; one that ends
when it begins could mean no minute or a whole day, so it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FORM = r"^(?:([A-Za-z,-]+) +)?([0-2][0-9]:[0-5][0-9])-([0-2][0-9]:[0-5][0-9])(?: +([^ ]+))?$"
EXAMPLES = ("Mon-Fri 09:00-17:00", "Sat,Sun 00:00-24:00", "22:00-05:00 Europe/Berlin")


@dataclass(frozen=True)
class Window:
    text: str
    days: frozenset[int]
    start: int  # minutes of the day
    end: int
    zone: str = "UTC"

    def holds(self, wall: float) -> bool:
        """Whether the window is open at this time (seconds since the epoch)."""
        now = datetime.fromtimestamp(wall, _zone(self.zone))
        minute = now.hour * 60 + now.minute
        if self.start < self.end:
            return now.weekday() in self.days and self.start <= minute < self.end
        yesterday = (now - timedelta(days=1)).weekday()
        return (now.weekday() in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


def parse_window(text: str) -> Window:
    """Raises ValueError with what is wrong."""
    match = re.fullmatch(FORM, text.strip())
    if not match:
        raise ValueError("not a window")
    named, begins, ends, zone = match.groups()
    days = frozenset(_days(named)) if named else frozenset(range(7))
    start, end = _minutes(begins), _minutes(ends)
    if start == end:
        raise ValueError(f"ends when it begins; a whole day is {named + ' ' if named else ''}00:00-24:00")
    _zone(zone or "UTC")
    return Window(text, days, start, end, zone or "UTC")


def any_open(windows: Iterable[Window], wall: float) -> bool:
    """No window at all means: always."""
    known = list(windows)
    return not known or any(window.holds(wall) for window in known)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        if not available_timezones():
            raise ValueError(f"no time zone {name}: this machine has no time zone data (tzdata)") from problem
        import difflib

        close = difflib.get_close_matches(name, available_timezones(), 1)
        raise ValueError(f"unknown time zone {name}{f' (did you mean {close[0]}?)' if close else ''}") from problem


def _minutes(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if hours * 60 + minutes > 24 * 60:
        raise ValueError(f"no such time {text}")
    return hours * 60 + minutes


def _days(text: str) -> list[int]:
    days: list[int] = []
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        begin = _day(first, part)
        end = _day(last, part) if dash else begin
        days += [(begin + i) % 7 for i in range((end - begin) % 7 + 1)]
    return days


def _day(name: str, part: str) -> int:
    """Three letters of it at least."""
    for number, day in enumerate(DAYS):
        if len(name) >= 3 and day.startswith(name):
            return number
    raise ValueError(f"no such day {part}")
