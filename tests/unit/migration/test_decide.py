"""One line of the road each: state and observation in, moves out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migration.errors import ConfigError
from migration.model import Hold, HoldKind, Judged, Phase, ServiceState, Verdict, WindowStats
from migration.settings.policy import Policy
from migration.shift import analysis
from migration.shift.decide import decide
from migration.shift.judge import Observation
from migration.shift.order import make_order

POLICY = Policy(steps_bp=(10, 5000, 10_000), dwell_seconds=10, min_requests=5, fail_limit=2, error_limit=3)
S = "a/b"
READY = ServiceState(Phase.MOVING, 10, in_effect_at=0.0, dwell_seconds=10, dwell_done_at=20.0, last_tick=29.0)
PASS, FAIL = Judged(Verdict.PASS, "good"), Judged(Verdict.FAIL, "bad")
ERROR, NONE = Judged(Verdict.ERROR, "down"), Judged(Verdict.INCONCLUSIVE, "nothing")


def moved(state, policy=POLICY, **seen):
    seen = {"fast": {S: PASS}, "requests": {S: 5}, **seen}
    decision = decide(make_order([S], [], {}, 2, 5), {S: state}, Observation(**seen), lambda service: policy, 30.0)
    return [(move.to_bp, move.back) for move in decision.moves], decision.state[S]


@pytest.mark.parametrize(
    ("state", "seen", "moves"),
    [
        pytest.param(READY, {}, [(5000, False)], id="all good: the next step"),
        pytest.param(ServiceState(), {}, [(10, False)], id="waiting: the first step"),
        pytest.param(ServiceState(), {"paused": "ann"}, [], id="paused: does not begin"),
        pytest.param(replace(READY, in_effect_at=None), {}, [], id="not in effect: waits"),
        pytest.param(replace(READY, dwell_seconds=3, dwell_done_at=None), {}, [], id="dwell not over: waits"),
        pytest.param(READY, {"requests": {S: 4}}, [], id="too few requests: lengthens"),
        pytest.param(READY, {"window_open": False}, [], id="window closed: holds"),
        pytest.param(READY, {"paused": "ann"}, [], id="paused: holds"),
        pytest.param(READY, {"metrics": True}, [], id="no word of the store: holds"),
        pytest.param(READY, {"metrics": True, "slow": {S: PASS}}, [(5000, False)], id="the store's pass advances"),
        pytest.param(READY, {"metrics": True, "slow": {S: NONE}}, [], id="inconclusive store: holds"),
        pytest.param(READY, {"metrics": True, "slow": {S: ERROR}}, [], id="store down: holds"),
        pytest.param(READY, {"metrics": True, "slow": {S: FAIL}}, [], id="the store's first fail: holds"),
        pytest.param(replace(READY, fails=1), {"metrics": True, "slow": {S: FAIL}}, [(0, True)], id="at the limit: back"),
        pytest.param(READY, {"fast": {S: FAIL}}, [(0, True)], id="fast fail: back at once"),
        pytest.param(READY, {"fast": {S: FAIL}, "paused": "ann", "window_open": False}, [(0, True)], id="back asks nobody"),
        pytest.param(READY, {"fast": {S: ERROR}}, [], id="blind: holds"),
        pytest.param(replace(READY, errors=2), {"fast": {S: ERROR}}, [(0, True)], id="blind too long: back"),
        pytest.param(READY, {"foreign": {S: "kubectl"}}, [], id="changed by somebody: frozen"),
        pytest.param(replace(READY, phase=Phase.RETURNED, split_bp=0), {}, [], id="rolled back: stays"),
        pytest.param(
            replace(READY, phase=Phase.BAKED, split_bp=10_000), {"fast": {S: FAIL}}, [(0, True)], id="baked is still watched"
        ),
    ],
)
def test_what_was_seen_gives_the_expected_moves(state, seen, moves):
    assert moved(state, **seen)[0] == moves


@pytest.mark.parametrize("word", [ERROR, NONE], ids=["down", "has too little"])
def test_why_the_store_holds_a_service_is_shown_until_its_next_answer(word):
    state = replace(READY, inconclusive_seconds=0.0)
    for slow in ({S: word}, {}, {}):
        moves, state = moved(state, metrics=True, slow=slow)
        assert not moves
        assert state.reason == f"holds: {word.reason}"


def test_a_rollback_for_want_of_numbers_says_which():
    policy = replace(POLICY, on_inconclusive="back", inconclusive_limit_seconds=1.0)
    moves, state = moved(READY, policy, metrics=True, slow={S: NONE})
    assert moves == [(0, True)]
    assert state.reason == "nothing, 1 s after the step's time"


def test_a_good_sample_clears_the_count_of_errors():
    assert moved(replace(READY, errors=2, dwell_done_at=None, dwell_seconds=1))[1].errors == 0


def test_a_long_sleep_is_no_dwell():
    state = replace(READY, dwell_seconds=0.0, dwell_done_at=None, last_tick=0.0)
    assert moved(state)[1].dwell_seconds == 3 * POLICY.sample_interval_seconds


def test_the_order_follows_needs_and_groups():
    order = make_order(["s/a", "s/b", "s/c", "s/d"], [["s/c", "s/d"]], {"s/a": ["s/c"]}, 1, 3)
    assert order.batches == ((("s/c", "s/d"),), (("s/a",), ("s/b",)))


def test_a_cycle_of_needs_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"circle: s/a -> s/b -> s/a"):
        make_order(["s/a", "s/b"], [], {"s/a": ["s/b"], "s/b": ["s/a"]}, 1, 1)


@pytest.mark.parametrize(
    ("word", "answer", "moves"),
    [
        pytest.param("hold", NONE, [], id="hold"),
        pytest.param("advance", NONE, [(5000, False)], id="advance"),
        pytest.param("back", NONE, [(0, True)], id="back"),
        pytest.param("advance", ERROR, [], id="a store that is down never advances"),
        pytest.param("advance", None, [], id="nor one that has not answered"),
    ],
)
def test_a_store_with_too_little_to_say_leaves_it_to_the_policy(word, answer, moves):
    policy = replace(POLICY, on_inconclusive=word, inconclusive_limit_seconds=4.0)
    state = replace(READY, inconclusive_seconds=3.0)
    slow = {} if answer is None else {S: answer}
    assert moved(state, policy, metrics=True, slow=slow)[0] == moves
    if answer is NONE:
        assert moved(replace(state, inconclusive_seconds=2.0), policy, metrics=True, slow=slow)[0] == []


BAKING = replace(READY, phase=Phase.ARRIVED, split_bp=10_000, inconclusive_seconds=0.0)


@pytest.mark.parametrize(
    ("seen", "policy", "phase"),
    [
        pytest.param({}, {}, Phase.BAKED, id="enough good answers"),
        pytest.param({"requests": {S: 4}}, {}, Phase.ARRIVED, id="too few requests: bakes on"),
        pytest.param({"fast": {S: ERROR}}, {}, Phase.ARRIVED, id="blind: bakes on"),
        pytest.param({"metrics": True, "slow": {S: NONE}}, {}, Phase.ARRIVED, id="inconclusive store: bakes on"),
        pytest.param({"requests": {S: 4}}, {"on_inconclusive": "back"}, Phase.RETURNED, id="too few for too long: back"),
        pytest.param({"metrics": True, "slow": {S: NONE}}, {"on_inconclusive": "advance"}, Phase.BAKED, id="or good enough"),
        pytest.param(
            {"metrics": True, "slow": {S: ERROR}}, {"on_inconclusive": "advance"}, Phase.ARRIVED, id="never by no word"
        ),
    ],
)
def test_a_bake_ends_by_what_was_seen_like_a_step(seen, policy, phase):
    limit: dict[str, Any] = {"inconclusive_limit_seconds": 1.0} if policy else {}
    assert moved(BAKING, replace(POLICY, **policy, **limit), **seen)[1].phase is phase


def test_nothing_advances_that_cannot_be_written_down():
    moves, state = moved(READY, stuck="the disk is full")
    assert (moves, state.reason) == ([], "holds: the disk is full")
    assert moved(ServiceState(), stuck="the disk is full")[0] == []


def test_what_is_bad_is_rolled_back_though_it_cannot_be_written_down():
    assert moved(READY, stuck="the disk is full", fast={S: FAIL})[0] == [(0, True)]


IN_DOUBT = Hold(HoldKind.NUMBERS, "12 errors in 400")


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        pytest.param({"fast": {S: ERROR}}, HoldKind.COUNTERS, id="no counters"),
        pytest.param({"doubts": {S: IN_DOUBT}}, HoldKind.NUMBERS, id="the whole step is in doubt"),
        pytest.param({"requests": {S: 4}}, HoldKind.REQUESTS, id="too few requests"),
        pytest.param({"metrics": True, "slow": {S: NONE}}, HoldKind.STORE, id="the store's word"),
        pytest.param({"metrics": True}, HoldKind.STORE_AWAITED, id="the store has not answered"),
        pytest.param({"stuck": "the disk is full"}, HoldKind.DISK, id="the disk"),
        pytest.param({"paused": "ann"}, HoldKind.PAUSED, id="a pause"),
        pytest.param({"window_open": False}, HoldKind.WINDOW, id="no window"),
    ],
)
def test_each_reason_to_stay_is_of_its_kind(seen, kind):
    state = moved(READY, **seen)[1]
    assert state.hold is not None
    assert state.hold.kind is kind


def test_holds_that_differ_in_figures_alone_are_reported_once():
    few = Hold(HoldKind.REQUESTS, "3 of 5 requests")
    assert Hold(HoldKind.REQUESTS, "4 of 5 requests").same_as(few)
    assert not Hold(HoldKind.NUMBERS, "3 of 5 requests").same_as(few)
    paused = Hold(HoldKind.PAUSED, "paused by ann", "ann")
    assert not Hold(HoldKind.PAUSED, "paused by lee", "lee").same_as(paused)


def stats(**numbers: Any) -> WindowStats:
    return WindowStats(**{"requests": 40.0, "errors": 0.0, "latency_ms": 100.0, **numbers})


SLOW = replace(POLICY, latency_limit_ms=300.0)


def heard(green: WindowStats | None) -> Judged:
    return analysis.slow(green, stats(), SLOW)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(Judged.unknown("blue does not answer"), Judged.unknown("KeyError()"), False, id="errors"),
        pytest.param(heard(None), heard(stats(requests=0.0)), False, id="no data, no requests"),
        pytest.param(heard(stats(latency_ms=900.0)), heard(stats(errors=30.0)), False, id="failures"),
        pytest.param(heard(stats(latency_ms=900.0)), heard(stats(latency_ms=950.0)), True, id="figures alone"),
    ],
)
def test_a_hold_with_another_cause_is_reported_again(one: Judged, other: Judged, same: bool) -> None:
    for seen in ("fast", "slow") if one.verdict is Verdict.ERROR else ("slow",):
        first, second = (moved(READY, SLOW, metrics=True, **{seen: {S: each}})[1].hold for each in (one, other))
        assert second.same_as(first) is same


def test_a_disk_that_refuses_another_file_holds_for_another_reason() -> None:
    first, second = (moved(READY, stuck=why)[1].hold for why in ("journal: no space", "Pulumi.edge.yaml: no right"))
    assert not second.same_as(first)
