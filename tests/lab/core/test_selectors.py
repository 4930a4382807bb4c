"""Label selectors and quantities as HPAs send them to the metrics API."""

from __future__ import annotations

import pytest

from lab.cluster.resource_metrics import parse_quantity, parse_selector


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("", {}, True),
        ("app=web", {"app": "web"}, True),
        ("app==web", {"app": "other"}, False),
        ("app!=web", {}, True),
        ("app=web,tier in (a, b)", {"app": "web", "tier": "b"}, True),
        ("app=web,tier in (a,b)", {"app": "web"}, False),
        ("tier notin (a)", {"tier": "a"}, False),
        ("tier notin (a)", {}, True),
        ("app", {"app": ""}, True),
        ("!app", {"app": ""}, False),
    ],
)
def test_selectors_match_as_in_kubernetes(selector: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_selector(selector)(labels) is matches


@pytest.mark.parametrize(("text", "value"), [("250m", 0.25), ("64Mi", 64 * 2**20), ("2", 2.0), ("1k", 1000.0)])
def test_quantities_are_numbers(text: str, value: float) -> None:
    assert parse_quantity(text) == pytest.approx(value)
