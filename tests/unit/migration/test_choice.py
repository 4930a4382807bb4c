"""`shift SERVICE ...`: which services move, and that the others are watched and stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from migration.cli.choice import choose
from migration.errors import BluegreenError, Held, UsageError
from migration.model import Judged, Phase, ServiceState, Verdict
from migration.settings.policy import Policy
from migration.shift.decide import decide
from migration.shift.judge import Observation
from migration.shift.order import Order, make_order
from tests.fakes.world import FAST, Universe, command, shift, until

SPLITS = {"a": 0, "b": 2500, "c": 10_000, "d": 0, "e": 0}


def chosen(
    names: Sequence[str],
    *,
    groups: Sequence[Sequence[str]] = (),
    depends_on: Mapping[str, Sequence[str]] | None = None,
    held: Sequence[str] = (),
) -> Order:
    order = make_order(SPLITS, groups, depends_on or {}, 1, 2)
    return choose(names, order, SPLITS, held=held, first_batch=1, batch=2)


@pytest.mark.parametrize(
    ("names", "given", "moved"),
    [
        pytest.param(["a"], {}, ((("a",),),), id="one"),
        pytest.param(["d", "a"], {}, ((("a",),), (("d",),)), id="two, batches anew"),
        pytest.param(["a"], {"groups": [["e", "a"]]}, ((("e", "a"),),), id="its group comes along"),
        pytest.param(["a"], {"depends_on": {"a": ["c"]}}, ((("a",),),), id="what it needs is on green"),
        pytest.param(
            ["a", "d"], {"depends_on": {"a": ["d"]}}, ((("d",),), (("a",),)), id="what it needs is named, and goes first"
        ),
        pytest.param(["c"], {"depends_on": {"c": ["a"]}}, ((("c",),),), id="it has arrived: what it needs is no question"),
        pytest.param(["a"], {"depends_on": {"d": ["a"]}}, ((("a",),),), id="who needs it does not come along"),
        pytest.param(["a"], {"groups": [["a", "e"]], "held": ["e"]}, ((("a", "e"),),), id="a held member of its group"),
    ],
)
def test_only_the_named_units_move(names, given, moved):
    order = chosen(names, **given)
    flat = {service for batch in moved for unit in batch for service in unit}
    assert order.stay == SPLITS.keys() - flat
    assert order.batches[: len(moved)] == moved
    assert {service for batch in order.batches for unit in batch for service in unit} == SPLITS.keys(), "all are judged"


@pytest.mark.parametrize(
    ("names", "given", "kind", "words", "remedy"),
    [
        pytest.param(["aa"], {}, UsageError, ["aa", "a, b, c, d, e"], "bluegreen status", id="unknown"),
        pytest.param(["a"], {"held": ["a"]}, Held, ["services.a.hold"], "`bluegreen shift a`", id="held by the file"),
        pytest.param(
            ["a"],
            {"depends_on": {"a": ["b"]}},
            Held,
            ["a depends on b, which is at 25 %"],
            "`bluegreen shift b a`",
            id="needs b",
        ),
        pytest.param(
            ["a"],
            {"depends_on": {"a": ["d"], "d": ["e"]}},
            Held,
            ["a depends on d, which is at 0 %"],
            "`bluegreen shift e d a`",
            id="needs a chain",
        ),
        pytest.param(
            ["a"],
            {"groups": [["a", "e"]], "depends_on": {"e": ["b"]}},
            Held,
            ["e depends on b"],
            "`bluegreen shift b a`",
            id="its group needs b",
        ),
    ],
)
def test_what_cannot_move_alone_is_refused_with_the_command_that_can(names, given, kind, words, remedy):
    with pytest.raises(BluegreenError) as refused:
        chosen(names, **given)
    assert type(refused.value) is kind
    assert all(word in str(refused.value) for word in words), str(refused.value)
    assert remedy in str(refused.value.remedy)


# -- decisions -----------------------------------------------------------------------------------------------------------

READY = ServiceState(Phase.MOVING, 2500, 0.0, 300.0, 1.0, last_tick=99.0)  # its dwell is over
GOOD = Judged(Verdict.PASS, "")
BAD = Judged(Verdict.FAIL, "9 errors")
ORDER = Order(((("a",),), (("b",), ("c",))), stay=frozenset({"b", "c"}))


def decided(state: Mapping[str, ServiceState], order: Order = ORDER, **seen: Judged):
    everyone = {"a": ServiceState(Phase.BAKED, 10_000), "b": ServiceState(), "c": ServiceState(), **state}
    observed = Observation({**dict.fromkeys(everyone, GOOD), **seen}, requests=dict.fromkeys(everyone, 1000))
    return decide(order, everyone, observed, lambda service: Policy(), 100.0)


def test_a_service_that_stays_is_not_raised_though_its_step_is_over():
    found = decided({"b": READY})
    assert found.moves == ()
    assert found.state["b"].split_bp == 2500
    assert found.done, "who stays is not waited for"
    assert decided({"b": READY}, replace(ORDER, stay=frozenset("c"))).moves[0].to_bp == 5000, "it would be, if it were named"


HOLDS = replace(ORDER, stay=frozenset(), held=frozenset({"b"}))


def test_a_service_that_is_held_on_its_way_stops_alone():
    found = decided({"b": READY}, HOLDS)
    assert [(move.service, move.to_bp) for move in found.moves] == [("c", 10)], "the next batch begins beside it"
    assert "`hold: true`" in found.state["b"].reason
    assert decided({"b": READY, "c": ServiceState(Phase.BAKED, 10_000)}, HOLDS).done
    later = Order(((("b",),), (("c",),)), held=frozenset({"b"}))
    assert [move.service for move in decided({"b": READY}, later).moves] == ["c"], "nor a later batch"


def test_a_service_that_is_held_is_still_judged():
    assert [(move.service, move.to_bp) for move in decided({"b": READY}, HOLDS, b=BAD).moves if move.back] == [("b", 0)]


def test_a_service_that_is_held_still_bakes():
    arrived = ServiceState(Phase.ARRIVED, 10_000, 0.0, 4000.0, 1.0, last_tick=99.0)
    assert decided({"b": arrived}, HOLDS).state["b"].phase is Phase.BAKED


def test_a_group_with_a_held_member_moves_no_further_together():
    group = Order(((("b", "c"),),), held=frozenset({"b"}))
    state = {"b": ServiceState(Phase.HELD), "c": ServiceState()}
    found = decided(state, group)
    assert (found.moves, found.state["c"].phase) == ((), Phase.HELD)
    assert decided({"b": READY, "c": READY}, group).moves == ()


def test_who_needs_a_service_that_is_held_on_its_way_does_not_wait_for_ever():
    order = Order(((("b",), ("c",)),), {"c": ("b",)}, held=frozenset({"b"}))
    found = decided({"b": READY}, order)
    assert (found.state["c"].phase, found.done) == (Phase.HELD, True)


def test_a_service_that_stays_is_rolled_back_when_it_turns_bad():
    found = decided({"b": READY}, b=BAD)
    assert [(move.service, move.to_bp, move.back) for move in found.moves] == [("b", 0, True)]


def test_a_service_that_stays_at_zero_holds_up_no_other():
    found = decided({"a": ServiceState()})
    assert [move.service for move in found.moves] == ["a"]


def test_a_service_whose_need_was_rolled_back_is_held_instead_of_waiting_for_ever():
    order = replace(ORDER, depends_on={"a": ("b",)})
    found = decided({"a": ServiceState(), "b": replace(READY, split_bp=5000)}, order)
    assert found.state["a"].phase is Phase.HELD
    assert "waits for b, which is at 50 %" in found.state["a"].reason


# -- a whole run ---------------------------------------------------------------------------------------------------------

SHOP = ("shop/cart", "shop/catalog")


def test_a_run_that_moves_a_named_one_rolls_back_another_that_turns_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    universe = Universe(tmp_path, SHOP, splits={"shop/catalog": 2000})
    bad = False
    universe.green_errors = lambda service, now: 0.5 if bad and service == "shop/catalog" else 0.0
    before = command

    def narrowed(*arguments, **options):
        made = before(*arguments, **options)
        rules = made.shift.rules
        order = choose(["shop/cart"], rules.order, {"shop/catalog": 2000, "shop/cart": 0}, held=(), first_batch=1, batch=1)
        made.shift.rules = replace(rules, order=order)
        return made

    monkeypatch.setattr("tests.fakes.world.command", narrowed)

    async def breaks(loop, world):
        nonlocal bad
        await until(lambda: world.live("shop/cart")[0] == 2000)
        assert world.live("shop/catalog")[0] == 2000, "it stays"
        bad = True

    result = shift(universe, during=breaks, policy=FAST)
    assert result.arrived == ("shop/cart",)
    assert list(result.returned) == ["shop/catalog"]
    assert result.splits == {"shop/cart": 10_000, "shop/catalog": 0}
