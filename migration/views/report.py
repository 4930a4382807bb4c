"""The demo's report: one HTML file with its own style and plots, no script and nothing to fetch.

`render` is pure: numbers in, text out. Times are seconds since the story began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

WIDTH, LEFT, RIGHT, ROW = 1080, 150, 60, 64
STYLE = Path(__file__).with_suffix(".css")


@dataclass(frozen=True)
class Event:
    """Something of the story worth a mark: `kind` is step, back (a service went back) or note."""

    at: float
    text: str
    kind: str = "note"


@dataclass(frozen=True)
class Series:
    """One service, second by second: who served it, what failed, and the split that was set.

    `blue`, `green`, `injected`, `failed` hold a count per second from second 0; `splits` holds (second, basis points).
    """

    service: str
    blue: Sequence[int]
    green: Sequence[int]
    injected: Sequence[int]
    failed: Sequence[int]
    splits: Sequence[tuple[float, int]] = ()


@dataclass(frozen=True)
class Report:
    """All that the page shows. `summary` has the shape of .lab/demo/summary.json."""

    blue: str
    green: str
    seconds: float
    services: Sequence[Series]
    events: Sequence[Event]
    summary: Mapping[str, Any]
    entry: Sequence[tuple[float, int]] = ()
    entered_at_green: Sequence[float] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def render(report: Report) -> str:
    """The whole page."""
    title = f"{report.blue} → {report.green}"
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f"<p class=lead>{_lead(report)}</p>",
            _figures(report),
            "<h2>Who served, second by second</h2>",
            "<p>Each row is one service. The line is the split that was set; the area is what users got. "
            "Red marks a second with answers that a fault made, black one in which moving lost a request.</p>",
            _plot(report),
            "<h2>Rolled back</h2>",
            _table(
                ("service", "why", "bad answers", "to zero"),
                (
                    (r["service"], r["reason"], r["bad_responses"], _seconds(r["seconds_to_zero"]))
                    for r in report.summary["rollbacks"]
                ),
            ),
            "<h2>What Pulumi did</h2>",
            _table(
                ("stack", "step", "created", "updated", "deleted", "unchanged"),
                (
                    (o["stack"], o["step"], o["create"], o["update"], o["delete"], o["same"])
                    for o in report.summary["operations"]
                ),
            ),
            "<h2>The story</h2>",
            _table(("second", ""), ((f"{event.at:.1f}", event.text) for event in report.events)),
            *(["<h2>Notes</h2><ul>", *(f"<li>{escape(n)}</li>" for n in report.notes), "</ul>"] if report.notes else []),
        ]
    )
    head = f"<meta charset=utf-8><title>{escape(title)}</title><style>{STYLE.read_text()}</style>"
    return f"<!doctype html><html lang=en>{head}<main>{body}</main></html>\n"


def _lead(report: Report) -> str:
    lost = report.summary["requests"]["failed_by_moving"]
    verdict = "no request was lost by moving" if lost == 0 else f"<b>{lost} requests were lost by moving</b>"
    return (
        f"{len(report.services)} services moved from Kubernetes {report.summary['kubernetes']['blue']} to "
        f"{report.summary['kubernetes']['green']} under load; {verdict}."
    )


def _figures(report: Report) -> str:
    summary = report.summary
    took = [r["seconds_to_zero"] for r in summary["rollbacks"] if r["seconds_to_zero"] is not None]
    tiles = [
        (f"{summary['requests']['total']:,}", "requests"),
        (f"{summary['requests']['failed_by_moving']:,}", "lost by moving"),
        (f"{summary['requests']['failed'] - summary['requests']['failed_by_moving']:,}", "made to fail by faults"),
        (_seconds(max(took)) if took else "–", "first bad answer to zero, slowest"),
        (
            f"{summary['replicated']['objects']:,}",
            f"objects replicated in {_seconds(summary['replicated']['seconds'])}",
        ),
        (f"{summary['drift']}", "changes in the last preview"),
        (f"{report.seconds:.0f} s", "the whole story"),
    ]
    return "<div class=tiles>" + "".join(f"<div><b>{escape(v)}</b>{escape(k)}</div>" for v, k in tiles) + "</div>"


def _plot(report: Report) -> str:
    rows: list[tuple[str, str]] = []
    if report.entered_at_green:
        rows.append(("entry (DNS)", _area(_shares(report.entered_at_green), report) + _line(report.entry, report)))
    for each in report.services:
        shares = [(g / (b + g)) if b + g else None for b, g in zip(each.blue, each.green, strict=True)]
        marks = _marks(each.injected, report, "injected") + _marks(each.failed, report, "lost")
        rows.append((each.service, _area(shares, report) + _line(each.splits, report) + marks))
    top = 48
    height = top + len(rows) * (ROW + 14) + 26
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role=img aria-label="share of green per service over time">']
    for number, (name, drawing) in enumerate(rows):
        y = top + number * (ROW + 14)
        label = f'<text x="{LEFT - 10}" y="{ROW / 2 + 4}" class=name>{escape(name)}</text>'
        frame = f'<rect x="{LEFT}" width="{WIDTH - LEFT - RIGHT}" height="{ROW}" class=blue />'
        ticks = f'<text x="{WIDTH - RIGHT + 6}" y="10">100 %</text><text x="{WIDTH - RIGHT + 6}" y="{ROW}">0 %</text>'
        parts.append(f'<g transform="translate(0 {y})">{label}{frame}{drawing}{ticks}</g>')
    bottom = height - 26
    steps = [event for event in report.events if event.kind != "note"]
    for number, event in enumerate(steps):
        x, y = _x(event.at, report), 10 + number % 3 * 14
        parts.append(
            f'<g class={event.kind}><line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 6}" y2="{bottom}" />'
            f'<circle cx="{x:.1f}" cy="{y}" r=8 /><text x="{x:.1f}" y="{y + 4}" class=number>{number + 1}</text>'
            f"<title>{escape(event.text)}</title></g>"
        )
    parts.extend(
        f'<text x="{_x(second, report):.1f}" y="{height - 6}" class=axis>{second} s</text>'
        for second in range(0, int(report.seconds) + 1, _tick(report.seconds))
    )
    legend = "".join(f"<li>{escape(event.text)} <i>{event.at:.0f} s</i></li>" for event in steps)
    key = (
        f"<p class=key><span class=kb></span>{escape(report.blue)} <span class=kg></span>{escape(report.green)} "
        "<span class=kl></span>split set</p>"
    )
    return key + "".join(parts) + f"</svg><ol class=steps>{legend}</ol>"


def _shares(values: Iterable[float]) -> list[float | None]:
    return [None if value != value else value for value in values]


def _x(second: float, report: Report) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(second / max(report.seconds, 1), 0), 1)


def _area(shares: Sequence[float | None], report: Report) -> str:
    """Green's share as steps, one per second; seconds without a request stay empty."""
    parts: list[str] = []
    for second, share in enumerate(shares):
        x, wide = _x(second, report), _x(second + 1, report) - _x(second, report)
        if share is None:
            parts.append(f'<rect x="{x:.1f}" width="{wide + 0.2:.2f}" height="{ROW}" class=none />')
        elif share > 0:
            high = ROW * share
            parts.append(f'<rect x="{x:.1f}" y="{ROW - high:.1f}" width="{wide + 0.2:.2f}" height="{high:.1f}" class=green />')
    return "".join(parts)


def _line(points: Sequence[tuple[float, int]], report: Report) -> str:
    if not points:
        return ""
    path, previous = [], None
    for at, share_bp in points:
        x, y = _x(at, report), ROW * (1 - share_bp / 10000)
        path.append(f"M{x:.1f} {y:.1f}" if previous is None else f"H{x:.1f}V{y:.1f}")
        previous = y
    return f'<path d="{"".join(path)}H{_x(report.seconds, report):.1f}" class=split />'


def _marks(counts: Sequence[int], report: Report, kind: str) -> str:
    y = 2 if kind == "injected" else 8
    return "".join(
        f'<rect x="{_x(second, report):.1f}" y="{y}" width=4 height=5 class={kind}>'
        f"<title>second {second}: {count}</title></rect>"
        for second, count in enumerate(counts)
        if count
    )


def _tick(seconds: float) -> int:
    return next((tick for tick in (5, 10, 20, 30, 60, 120) if seconds / tick <= 12), 300)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(each)}</th>' for each in head)}</tr>{cells}</table>"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"
