"""An hour of many worlds, simulated with fixed seeds: an equal green is never taken back, a bad one always is.

Every second users send `rate` requests (at random, Poisson); each goes to green by the split; each side fails by its own
rate. Outages fail everything on both sides. What is judged is what the counters would show.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from migration.model import Baseline, GatewayCounters, Hold, ServiceCounters, Side, Tally, Verdict
from migration.settings.policy import Policy
from migration.shift.analysis import doubt, fast
from migration.shift.samples import Samples
from tests.fakes.seeds import seeds

POLICY = Policy()
HOUR = 3600
S = "shop/cart"


def some(chance: random.Random, n: int, p: float) -> int:
    """A binomial draw."""
    if n == 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    if n < 40:
        return sum(chance.random() < p for _ in range(n))
    return min(n, max(0, round(chance.gauss(n * p, math.sqrt(n * p * (1 - p))))))


def arrivals(chance: random.Random, rate: float) -> int:
    """A Poisson draw (Knuth's product of uniform numbers; a rounded normal one where there are many)."""
    if rate > 30:
        return max(0, round(chance.gauss(rate, math.sqrt(rate))))
    product, count = chance.random(), 0
    while product > math.exp(-rate):
        product, count = product * chance.random(), count + 1
    return count


Readings = dict[Side, ServiceCounters]


@dataclass
class World:
    rate: float
    split: float
    blue: float | Callable[[int], float] = 0.0
    green: float | Callable[[int], float] = 0.0
    known_seconds: int = 0  # for how long blue served everything before
    seed: int = 1

    def run(self, seconds: int = HOUR) -> tuple[int | None, Hold | None]:
        """After how many seconds green is guilty (None: never in this time), and what is in doubt at the end."""
        chance, samples, blue, green = random.Random(self.seed), Samples(), Tally(), Tally()
        for second in range(-self.known_seconds, seconds + 1):
            if second == 0:
                samples.restart(0.0)
            n = arrivals(chance, self.rate)
            there = some(chance, n, self.split) if second > 0 else 0
            here = n - there
            blue += Tally(here, some(chance, here, _at(self.blue, second)))
            green += Tally(there, some(chance, there, _at(self.green, second)))
            readings: Readings = {"blue": ServiceCounters(local=blue, forwarded=green), "green": ServiceCounters(local=green)}
            samples.add(float(second), {side: GatewayCounters({S: there}) for side, there in readings.items()}, S)
            if second > 0 and fast(samples, POLICY, alone=self.split >= 1).verdict is Verdict.FAIL:
                return second, None
        return None, doubt(samples, POLICY)


def _at(rate: float | Callable[[int], float], second: int) -> float:
    return rate(second) if callable(rate) else rate


@pytest.mark.wide(2)
@pytest.mark.parametrize(
    ("rate", "split", "errors"),
    [
        (0.3, 0.01, 0.1),
        (0.3, 0.5, 0.03),
        (0.3, 0.99, 0.1),
        (5.0, 0.5, 0.1),
        (5.0, 0.99, 0.1),
        (40.0, 0.5, 0.005),
        (40.0, 0.99, 0.03),
        (300.0, 0.01, 0.1),
        (300.0, 0.99, 0.02),
    ],
)
def test_an_equal_green_is_not_rolled_back_in_an_hour(rate: float, split: float, errors: float):
    assert World(rate, split, errors, errors, known_seconds=60).run()[0] is None


@pytest.mark.parametrize("seed", seeds(5))
def test_a_steady_fault_of_both_is_not_greens_when_blue_has_fallen_silent(seed: int):
    assert World(40.0, 1.0, 0.04, 0.04, known_seconds=120, seed=seed).run(900) == (None, None)


@pytest.mark.parametrize("seed", seeds(20, always=3))
def test_healthy_services_at_ninety_nine_percent_stay(seed: int):
    assert World(40.0, 0.99, 0.03, 0.03, known_seconds=30, seed=seed).run(120)[0] is None


@pytest.mark.parametrize(("rate", "split"), [(5.0, 0.5), (20.0, 0.5), (39.0, 0.9), (39.0, 0.99), (39.0, 1.0), (300.0, 0.99)])
@pytest.mark.parametrize("seconds", [1, 2])
def test_an_outage_of_both_sides_is_not_greens(rate: float, split: float, seconds: int):
    def fails(second: int) -> float:
        return 1.0 if 60 <= second < 60 + seconds else 0.0

    assert World(rate, split, fails, fails, known_seconds=60).run(180)[0] is None


@pytest.mark.wide(4)
@pytest.mark.parametrize(
    ("rate", "split", "blue", "green", "within"),
    [
        (0.3, 1.0, 0.0, 0.1, 1800),
        (0.3, 0.5, 0.0, 1.0, 150),
        (5.0, 0.5, 0.0, 0.1, 120),
        (5.0, 0.99, 0.03, 0.3, 120),
        (5.0, 1.0, 0.0, 0.5, 12),
        (40.0, 0.01, 0.0, 0.5, 60),
        (40.0, 0.5, 0.1, 0.5, 10),
        (40.0, 0.99, 0.0, 0.05, 60),
        (40.0, 1.0, 0.03, 0.3, 10),
        (300.0, 0.01, 0.0, 0.5, 5),
        (300.0, 0.5, 0.0, 0.1, 5),
        (300.0, 0.99, 0.0, 1.0, 3),
        (300.0, 1.0, 0.03, 0.1, 10),
    ],
)
def test_a_bad_green_is_rolled_back(rate: float, split: float, blue: float, green: float, within: int):
    for seed in (1, 2):
        guilty, _ = World(rate, split, blue, green, known_seconds=600, seed=seed).run(within)
        assert guilty is not None


@pytest.mark.parametrize("seed", seeds(3))
def test_a_quiet_bad_green_does_not_end_its_bake(seed: int):
    """One in ten fails at 0.3 requests a second: no window of seconds has enough of them, the whole bake has."""
    assert World(0.3, 1.0, 0.0, 0.1, known_seconds=120, seed=seed).run(900) != (None, None)


def test_a_few_good_answers_of_blue_are_not_a_rate_of_zero():
    samples = Samples()
    for second, n in ((0.0, 0), (1.0, 20)):  # blue: none of 20 fails; green: 3 % of 400
        readings: Readings = {"blue": ServiceCounters(Tally(n), Tally(20 * n, n // 20 * 12)), "green": ServiceCounters()}
        samples.add(second, {side: GatewayCounters({S: there}) for side, there in readings.items()}, S)
    assert fast(samples, POLICY).verdict is Verdict.PASS
    assert "12 errors in 400 requests (3.00%), of blue 0 of 20" in str(doubt(samples, POLICY))


@pytest.mark.parametrize("name", ["404", "401/403", "3xx", "4xx", "gRPC 12"])
@pytest.mark.parametrize(
    ("blue", "green", "verdict", "held"),
    [
        pytest.param(0, 20, Verdict.FAIL, None, id="all of greens, none of blues"),
        pytest.param(79, 20, Verdict.PASS, False, id="blue answers so too"),
        pytest.param(0, 6, Verdict.PASS, True, id="a smaller shift holds"),
        pytest.param(4, 1, Verdict.PASS, False, id="the same share on both"),
    ],
)
def test_a_class_of_answers_that_is_greens_alone_counts(name: str, blue: int, green: int, verdict: Verdict, held: bool | None):
    samples = Samples()
    for second in (0, 1):
        ours, theirs = Tally(80 * second, 0, 0, {name: blue * second}), Tally(20 * second, 0, 0, {name: green * second})
        readings: Readings = {"blue": ServiceCounters(ours, theirs), "green": ServiceCounters(theirs)}
        samples.add(float(second), {side: GatewayCounters({S: there}) for side, there in readings.items()}, S)
    judged = fast(samples, POLICY)
    assert judged.verdict is verdict
    if verdict is Verdict.FAIL:
        assert f"{green} answers {name} in 20 requests" in judged.reason
    else:
        assert (name in str(doubt(samples, POLICY))) is held


def test_only_requests_since_a_step_are_judged():
    samples = Samples()

    def add(at: float, **pods: int) -> None:
        counted = {pod: {S: ServiceCounters(forwarded=Tally(n, n))} for pod, n in pods.items()}
        total = sum((there[S].forwarded for there in counted.values()), Tally())
        samples.add(at, {"blue": GatewayCounters({S: ServiceCounters(forwarded=total)}, pods=counted)}, S)

    add(0.0, a=100, b=100)
    samples.restart(1.0)
    add(0.9, a=110, b=110)  # begun before
    add(1.0, a=150)  # b is silent when the step takes effect
    add(2.0, a=153, b=500)
    assert samples.green_requests() == 3
    add(3.0, a=153, b=507)
    assert samples.green_requests() == 10
    add(4.0, a=154)  # silent again: nothing falls
    add(5.0, a=154, b=509)
    assert samples.green_requests() == 13


def test_counts_of_two_gateways_that_were_not_read_in_the_same_instant_are_judged_all_the_same():
    """Green's page was ahead of blue's; then every forward fails at the hop: more errors than requests in the window."""
    samples = Samples()
    for second, (sent, failed, arrived) in enumerate([(1000, 0, 1000), (1500, 0, 1503), (2000, 500, 1503)]):
        readings: Readings = {
            "blue": ServiceCounters(Tally(4 * sent), Tally(sent, failed)),
            "green": ServiceCounters(Tally(arrived)),
        }
        samples.add(float(second), {side: GatewayCounters({S: there}) for side, there in readings.items()}, S)
    assert fast(samples, POLICY).verdict is Verdict.FAIL
    assert doubt(samples, POLICY)


@pytest.mark.parametrize("name", ["errors", "404"])
def test_a_service_does_not_hide_behind_another_one_that_shares_its_destination(name: str):
    samples = Samples()
    for second in range(5):
        bad = Tally(5 * second, 5 * second) if name == "errors" else Tally(5 * second, 0, 0, {name: 5 * second})
        both = Tally(1000 * second, bad.errors, 0, bad.classes)  # green's gateway counts the destination for both
        readings: Readings = {"blue": ServiceCounters(Tally(100 * second), bad), "green": ServiceCounters(both)}
        samples.add(float(second), {side: GatewayCounters({S: there}) for side, there in readings.items()}, S)
    assert fast(samples, POLICY).verdict is Verdict.FAIL
    assert doubt(samples, POLICY)


def test_open_requests_are_those_of_all_pods():
    samples = Samples()
    for second in range(8):
        pods = {pod: {S: ServiceCounters(forwarded=Tally(0, 0, open_now))} for pod, open_now in (("a", 20 + second), ("b", 0))}
        total = ServiceCounters(forwarded=Tally(0, 0, 20 + second))
        samples.add(float(second), {"blue": GatewayCounters({S: total}, pods=pods)}, S)
    assert samples.green_active() == 27
    assert "27 requests open" in fast(samples, POLICY).reason


def test_blue_is_remembered_for_an_hour_over_runs_too():
    remembered = Baseline(Tally(360_000, 36_000), bins=360)  # an outage of long ago
    for _ in range(3):
        samples, blue = Samples(remembered), Tally()
        for second in range(0, 3010, 10):
            blue += Tally(1000 if second else 0)
            samples.add(float(second), {"blue": GatewayCounters({S: ServiceCounters(local=blue)})}, S)
        remembered = Baseline(samples.remembered(), bins=samples.bins)
    assert remembered.answers.errors < 360
    assert 350_000 < remembered.answers.requests < 370_000


def doubt_of(green: Tally) -> Hold | None:
    """Of a step in which blue gave 400 good answers."""
    samples = Samples()
    samples.restart(0.0)
    for at, blue, answers in ((0.0, Tally(), Tally()), (1.0, Tally(400), green)):
        readings: Readings = {"blue": ServiceCounters(local=blue), "green": ServiceCounters(local=answers)}
        samples.add(at, {side: GatewayCounters({S: counters}) for side, counters in readings.items()}, S)
    return doubt(samples, POLICY)


def test_doubts_about_other_kinds_of_answers_are_reported_each() -> None:
    errors, absent = doubt_of(Tally(400, 40)), doubt_of(Tally(400, 0, 0, {"404": 120}))
    assert errors is not None
    assert errors.same_as(doubt_of(Tally(400, 44)))
    assert absent is not None
    assert not absent.same_as(errors)
