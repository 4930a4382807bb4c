"""The live view: one line a service, whatever its words are."""

from __future__ import annotations

import io

from rich.console import Console

from migration.live import table
from migration.model import Judged, Phase, ServiceState, Verdict
from migration.policy import Policy
from migration.world import Shown


def test_a_service_is_one_line_and_its_words_are_no_markup() -> None:
    services = {
        "shop/catalog": ServiceState(Phase.MOVING, 10, dwell_seconds=1.0, reason="holds: [red] " + "long " * 40),
        "shop/cart": ServiceState(Phase.RETURNED, 0, reason="12 errors in 20 requests"),
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
