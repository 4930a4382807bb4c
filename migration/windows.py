"""Off-peak windows: when traffic may be moved forward. Going back is always allowed.

`[DAYS] HH:MM-HH:MM [ZONE]`, such as `Mon-Fri 09:00-17:00`, `Sat,Sun 00:00-24:00`, `22:00-05:00 Europe/Berlin`; UTC
unless told. A window
that ends before it begins runs over midnight and belongs to the day on which it began.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FORM = re.compile(r"^(?:(?P<days>[A-Za-z,-]+)\s+)?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?:\s+(?P<zone>\S+))?$")


@dataclass(frozen=True)
class Window:
    text: str
    days: frozenset[int]
    start: int  # minutes of the day
    end: int
    zone: str = "UTC"

    def holds(self, wall: float) -> bool:
        now = datetime.fromtimestamp(wall, _zone(self.zone))
        minute = now.hour * 60 + now.minute
        if self.start < self.end:
            return now.weekday() in self.days and self.start <= minute < self.end
        yesterday = (now - timedelta(days=1)).weekday()
        return (now.weekday() in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


def parse_window(text: str) -> Window:
    found = FORM.match(text.strip())
    if not found:
        raise ValueError("not a window")
    days = frozenset(_days(found["days"])) if found["days"] else frozenset(range(7))
    zone = found["zone"] or "UTC"
    _zone(zone)
    return Window(text, days, _minutes(found["start"]), _minutes(found["end"]), zone)


def any_open(windows: Iterable[Window], wall: float) -> bool:
    """No window at all means: always."""
    known = list(windows)
    return not known or any(window.holds(wall) for window in known)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as problem:
        raise ValueError(f"unknown time zone {name}") from problem


def _minutes(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise ValueError(f"no such time {text}")
    return hours * 60 + minutes


def _days(text: str) -> list[int]:
    days: list[int] = []
    for part in text.lower().split(","):
        first, _, last = part.partition("-")
        if first[:3] not in DAYS or (last and last[:3] not in DAYS):
            raise ValueError(f"no such day {part}")
        begin = DAYS.index(first[:3])
        end = DAYS.index(last[:3]) if last else begin
        days += [(begin + i) % 7 for i in range((end - begin) % 7 + 1)]
    return days
