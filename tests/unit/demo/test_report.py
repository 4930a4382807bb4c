"""The report says what the numbers say, and stands alone."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from migration.views.report import Event, Report, Series, render

SUMMARY: dict[str, Any] = {
    "kubernetes": {"blue": "1.34", "green": "1.36"},
    "operations": [{"stack": "fern", "step": "green", "create": 41, "update": 0, "delete": 0, "same": 0}],
    "replicated": {"objects": 44, "seconds": 1.31},
    "requests": {"total": 31200, "failed": 12, "failed_by_moving": 0},
    "rollbacks": [{"service": "shop/cart", "reason": "50 % <errors>", "seconds_to_zero": 1.4, "bad_responses": 9}],
    "drift": 0,
    "seconds": 40.0,
}


def report(**changes: Any) -> Report:
    second = range(40)
    series = Series(
        "shop/cart", [9 - (s > 20) * 5 for s in second], [(s > 20) * 5 for s in second], [int(s == 30) for s in second],
        [0] * 40, [(0, 0), (20, 5000)],
    )  # fmt: skip
    values: dict[str, Any] = {
        "blue": "plum",
        "green": "fern",
        "seconds": 40.0,
        "services": [series],
        "events": [Event(5, "green is up", "step"), Event(31, "cart went back", "back")],
        "summary": SUMMARY,
        "entry": [(0, 0), (35, 10000)],
        "entered_at_green": [math.nan, *[0.0] * 34, *[1.0] * 5],
    }
    return Report(**(values | changes))


def test_figures_are_those_of_the_summary() -> None:
    page = render(report())
    for text in ("1.34", "1.36", "31,200", "12", "1.40 s", "no request was lost by moving"):
        assert text in page


def test_a_lost_request_is_not_hidden() -> None:
    lost = SUMMARY | {"requests": {"total": 10, "failed": 3, "failed_by_moving": 2}}
    assert "2 requests were lost by moving" in render(report(summary=lost))


def test_what_users_got_is_drawn_to_scale() -> None:
    page = render(report())
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" class=green', page)]
    assert len([h for h in heights if h < 64]) == 19  # seconds 21 to 39 at 5 of 9
    assert min(heights) == pytest.approx(64 * 5 / 9, abs=0.1)
    assert page.count("class=none") == 1  # the second without a request at the entry


def test_text_from_the_run_is_escaped() -> None:
    assert "&lt;errors&gt;" in render(report())


def test_the_report_needs_no_network_or_script() -> None:
    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.add(tag)
            assert not {"src", "href"} & {name for name, _ in attrs}

    parser = Tags()
    parser.feed(render(report()))
    assert "svg" in parser.seen
    assert "script" not in parser.seen


def test_a_story_without_a_rollback_has_a_dash() -> None:
    assert "<b>–</b>" in render(report(summary=SUMMARY | {"rollbacks": []}))
