"""The live view: one line a service, whatever its words are."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

from migration.cli.console import Context
from migration.cli.shift import view_of
from migration.model import Hold, HoldKind, Judged, Phase, ServiceState, Verdict
from migration.settings.policy import Policy
from migration.shift.order import Order
from migration.shift.world import Rules, Shown
from migration.views.live import View, table

RULES = Rules(Order(()), Policy(), lambda service: Policy())


def test_a_service_is_one_line_of_plain_text() -> None:
    services = {
        "shop/catalog": ServiceState(Phase.MOVING, 10, dwell_seconds=1.0, hold=Hold(HoldKind.NUMBERS, "[red] " + "long " * 40)),
        "shop/cart": ServiceState(Phase.RETURNED, 0, cause="12 errors in 20 requests"),
    }
    fast = {"shop/catalog": Judged(Verdict.PASS, "", 0.005, 0.001, 200)}
    output = io.StringIO()
    console = Console(file=output, width=100, no_color=True)
    console.print(table(Shown(1.0, services, fast, {}, None, True), lambda service: Policy(dwell_seconds=5)))
    _, catalog, cart = output.getvalue().splitlines()
    assert catalog.split()[:8] == ["shop/catalog", "0.1", "%", "moving", "0.5%", "0.1%", "4", "s"]
    assert "holds: [red]" in catalog
    assert catalog.rstrip().endswith("…")
    assert "returned" in cart
    assert "12 errors in 20 requests" in cart


SGR = re.compile(r"\x1b\[[0-9;]*m")


def drawn(monkeypatch: pytest.MonkeyPatch, no_color: str | None) -> str:
    """What a terminal gets of a live view that shows two ticks."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    output = io.StringIO()
    view = View(lambda service: Policy(), Console(file=output, width=100, force_terminal=True, color_system="truecolor"))
    services = {
        "shop/catalog": ServiceState(Phase.MOVING, 10, dwell_seconds=1.0),
        "shop/cart": ServiceState(Phase.RETURNED, 0, cause="12 errors in 20 requests"),
        "shop/pay": ServiceState(Phase.BAKED, 10_000),
    }
    view.start()
    for second in (1.0, 2.0):
        view.show(Shown(second, services, {}, {}, None, True))
    view.stop()
    return output.getvalue()


def lines(text: str) -> set[str]:
    """Without colours; how often each was drawn is the clock's."""
    return set(SGR.sub("", text).splitlines())


def test_no_color_removes_only_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured, plain = drawn(monkeypatch, None), drawn(monkeypatch, "1")
    codes = {code for each in SGR.findall(plain) for code in each[2:-1].split(";")}
    assert {"31", "32", "36"} <= {code for each in SGR.findall(coloured) for code in each[2:-1].split(";")}
    assert codes <= {"", "0", "1"}, "bold is no colour"
    assert lines(plain) == lines(coloured), "it is drawn in place all the same"
    assert "shop/catalog" in plain
    assert set(SGR.findall(drawn(monkeypatch, ""))) == set(SGR.findall(coloured)), "an empty NO_COLOR is none"


@pytest.mark.parametrize(
    ("term", "terminal", "as_json", "live"),
    [
        ("xterm-256color", True, False, True),
        ("dumb", True, False, False),
        ("xterm-256color", False, False, False),
        ("xterm-256color", True, True, False),
    ],
    ids=["a terminal", "a dumb one", "none", "for a program"],
)
@pytest.mark.parametrize("no_color", ["", "1"])
def test_the_view_is_live_where_a_terminal_can_move_its_cursor(
    monkeypatch: pytest.MonkeyPatch, no_color: str, term: str, terminal: bool, as_json: bool, live: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert (view_of(Context(as_json=as_json), RULES) is not None) == live
