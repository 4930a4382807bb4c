"""What is made of a crash, a rollback that was cut short, somebody's hand: the lowest split wins, the unknown is foreign."""

from __future__ import annotations

from typing import Any

import pytest

from migration.model import MANAGER, Phase, RouteLive, Standing
from migration.shift.recover import Traces, Wish, recover
from migration.store.memory import Remembered


def route(split: int | None, manager: str = MANAGER) -> RouteLive:
    return RouteLive(split, "1", 0, "digest", manager, "10:00")


def start(file: int, blue: RouteLive | None, green: RouteLive | None, memory: Remembered | None = None, **options: Any):
    return recover(Traces(file, {"blue": blue, "green": green}, memory or Remembered()), Wish(**options))


AT = Remembered(split_bp=2000, dwell_seconds=7.0)
BAKED = Remembered(10_000, state=Standing.BAKED)
OPEN = Remembered(split_bp=500, dwell_seconds=7.0, open_values=(500, 2000))


@pytest.mark.parametrize(
    ("file", "blue", "green", "memory", "phase", "split", "dwell", "write"),
    [
        pytest.param(0, 0, 0, None, Phase.WAITING, 0, 0, False, id="new"),
        pytest.param(2000, 2000, 2000, AT, Phase.MOVING, 2000, 7, False, id="goes on with the dwell it had"),
        pytest.param(500, 500, 500, OPEN, Phase.MOVING, 500, 7, False, id="killed before the file"),
        pytest.param(2000, 500, 500, OPEN, Phase.MOVING, 500, 7, True, id="killed after the file"),
        pytest.param(2000, 2000, 500, OPEN, Phase.MOVING, 500, 7, True, id="killed between the gateways"),
        pytest.param(2000, 2000, 2000, OPEN, Phase.MOVING, 2000, 0, False, id="killed before the outcome"),
        pytest.param(2000, 0, 2000, AT, Phase.RETURNED, 0, 0, True, id="a rollback cut short stays back"),
        pytest.param(
            0, 0, 0, Remembered(0, state=Standing.RETURNED), Phase.RETURNED, 0, 0, False, id="rolled back: stays back"
        ),
        pytest.param(10_000, 10_000, 10_000, Remembered(10_000, 3.0), Phase.ARRIVED, 10_000, 3, False, id="bakes on"),
        pytest.param(
            10_000, 10_000, 10_000, Remembered(10_000, state=Standing.BAKED), Phase.BAKED, 10_000, 0, False, id="has baked"
        ),
    ],
)
def test_a_service_continues_where_it_was(file, blue, green, memory, phase, split, dwell, write):
    found = start(file, route(blue), route(green), memory)
    assert (found.state.phase, found.state.split_bp, found.state.dwell_seconds) == (phase, split, dwell)
    assert found.write is write


@pytest.mark.parametrize(
    ("file", "blue", "green", "told"),
    [
        pytest.param(2000, route(9000, "kubectl-edit"), route(2000), "is at 90 %, written by kubectl-edit", id="another split"),
        pytest.param(2000, route(None, "kubectl-edit"), route(2000), "not one that bluegreen wrote", id="another route"),
        pytest.param(2000, None, route(2000), "its route on blue is gone", id="no route"),
        pytest.param(9000, route(2000), route(2000), "raised to 90 % by hand", id="a raised file"),
    ],
)
def test_what_bluegreen_did_not_write_is_frozen_unless_reasserted(file, blue, green, told):
    found = start(file, blue, green, AT)
    assert found.state.phase is Phase.FROZEN
    assert told in found.state.reason
    assert not found.write
    again = start(file, blue, green, AT, reassert=True)
    assert again.state.phase is not Phase.FROZEN
    assert again.write


def test_a_held_service_stays_held():
    assert start(0, route(0), route(0), hold=True).state.phase is Phase.HELD


def test_a_retried_service_begins_again():
    assert start(0, route(0), route(0), Remembered(0, state=Standing.RETURNED), retry=True).state.phase is Phase.WAITING
