"""Judging green from numbers alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.model import GatewayCounters, ServiceCounters, Tally, Verdict, WindowStats
from migration.settings.policy import Policy
from migration.shift.analysis import fast, slow
from migration.shift.chance import tail
from migration.shift.samples import Samples, sides

POLICY = Policy()


def judged(rounds, policy=POLICY):
    """`rounds`: (blue requests, blue errors, green requests, green errors) a second; every verdict but the first."""
    samples, blue, green = Samples(), Tally(), Tally()
    verdicts = []
    for second, (b, be, g, ge) in enumerate([(0, 0, 0, 0), *rounds]):
        blue, green = blue + Tally(b, be), green + Tally(g, ge)
        samples.add(
            float(second),
            {
                "blue": GatewayCounters({"a/b": ServiceCounters(blue, green)}),
                "green": GatewayCounters({"a/b": ServiceCounters(green)}),
            },
            "a/b",
        )
        verdicts.append(fast(samples, policy).verdict)
    return verdicts[1:]


@pytest.mark.parametrize(
    ("rounds", "last"),
    [
        pytest.param([(80, 0, 20, 0)], Verdict.PASS, id="clean"),
        pytest.param([(80, 0, 20, 10)], Verdict.FAIL, id="half of twenty at once"),
        pytest.param([(80, 0, 1, 1)], Verdict.PASS, id="one bad answer is chance"),
        pytest.param([(80, 0, 2, 1)] * 5, Verdict.FAIL, id="a little at a time adds up"),
        pytest.param([(80, 40, 20, 10)], Verdict.PASS, id="blue is as bad"),
        pytest.param([(80, 8, 20, 16)], Verdict.FAIL, id="blue is bad, green far worse"),
        pytest.param([(80, 0, 0, 0)], Verdict.INCONCLUSIVE, id="green was not asked"),
        pytest.param([(80, 40, 20, 10), (0, 0, 100, 50)], Verdict.PASS, id="at all of it blue's last minute is compared with"),
    ],
)
def test_counts_give_the_expected_verdict(rounds, last):
    assert judged(rounds)[-1] is last


@pytest.mark.parametrize("rate", [20, 300])
def test_half_a_percent_of_errors_all_day_is_not_rolled_back(rate):
    chance = random.Random(7)
    seconds = [(rate, 0, rate, sum(chance.random() < 0.005 for _ in range(rate))) for _ in range(2500)]
    assert Verdict.FAIL not in judged(seconds)


@given(st.integers(0, 200), st.integers(1, 200), st.floats(0.001, 0.5))
def test_the_tail_is_a_probability_that_falls_with_more_errors(errors, requests, rate):
    here, more = tail(errors, requests, rate), tail(errors + 1, requests, rate)
    assert 0.0 <= more <= here <= 1.0 + 1e-9


def test_a_restarted_proxy_counts_from_zero_again():
    samples = Samples()
    for at, requests, epoch in ((0.0, 1000, "a"), (1.0, 1100, "a"), (2.0, 40, "b")):
        reading = GatewayCounters({"a/b": ServiceCounters(forwarded=Tally(requests, 0))}, epoch)
        samples.add(at, {"blue": reading}, "a/b")
    assert samples.green_requests() == 140


def test_a_forward_that_never_arrived_counts_against_green():
    blue, green = sides(ServiceCounters(local=Tally(100), forwarded=Tally(10, 10)), ServiceCounters())
    assert (blue, green) == (Tally(100), Tally(10, 10))


def test_a_forward_that_arrived_counts_once():
    assert sides(ServiceCounters(forwarded=Tally(10, 5)), ServiceCounters(local=Tally(10, 5)))[1] == Tally(10, 5)


@pytest.mark.parametrize(
    ("green", "verdict"),
    [
        pytest.param(None, Verdict.INCONCLUSIVE, id="no data"),
        pytest.param(WindowStats(float("nan"), 0), Verdict.INCONCLUSIVE, id="NaN"),
        pytest.param(WindowStats(0, 0), Verdict.INCONCLUSIVE, id="no requests"),
        pytest.param(WindowStats(100, 0), Verdict.PASS, id="clean"),
        pytest.param(WindowStats(100, 20), Verdict.FAIL, id="bad"),
    ],
)
def test_missing_numbers_never_pass(green, verdict):
    assert slow(green, WindowStats(100, 0), POLICY).verdict is verdict


def test_latency_is_compared_where_it_is_asked_for():
    asked = Policy(latency_factor=2.0)
    assert slow(WindowStats(100, 0, 250.0), WindowStats(100, 0, 100.0), asked).verdict is Verdict.FAIL
    assert slow(WindowStats(100, 0, 150.0), WindowStats(100, 0, 100.0), asked).verdict is Verdict.PASS
    assert slow(WindowStats(100, 0, None), WindowStats(100, 0, 100.0), asked).verdict is Verdict.INCONCLUSIVE
