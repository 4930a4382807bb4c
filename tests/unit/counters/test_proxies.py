"""Which proxy a page is of: one that started anew counts on, several in turn behind one address count nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from migration.errors import Permanent, Unreachable
from migration.model import GatewayCounters, Tally, Verdict
from migration.settings.policy import Policy
from migration.shift.analysis import fast
from migration.shift.samples import Samples
from tests.fakes.pages import OLD, SERVICE, YOUNG, Pages, Pod


@pytest.mark.parametrize(
    "first",
    [(OLD, YOUNG), (YOUNG, OLD)],
    ids=["the older one first", "the younger one first"],
)
@pytest.mark.parametrize(
    "told",
    [{}, {"started": 0}, {"started": 0, "uptime": False}],
    ids=["by uptime", "started at the same time", "by counts that fall alone"],
)
def test_counts_of_pods_in_turn_behind_one_address_are_not_judged(first: tuple[Pod, Pod], told: dict[str, Any]) -> None:
    pods = [replace(pod, **told) for pod in first]
    pages = Pages([pods[second % 2] for second in range(20)])
    samples, refused = Samples(), []
    for second in range(20):
        try:
            reading = pages.look()
        except Permanent as problem:
            refused.append(str(problem))
            continue
        samples.add(float(second), {"blue": GatewayCounters({SERVICE: reading})}, SERVICE)
        assert fast(samples, Policy()).verdict != Verdict.FAIL
    assert len(refused) >= 14
    assert "list each gateway pod under clusters.<name>.counters.urls" in refused[0]


def test_a_pod_that_gave_way_to_another_is_counted_on_from_there() -> None:
    pages = Pages([OLD, OLD, YOUNG, YOUNG])
    looks = [pages.look() for _ in range(4)]
    grown = [(b.forwarded - a.forwarded, b.local - a.local) for a, b in pairwise(looks)]
    assert grown == [(Tally(20), Tally(80)), (Tally(), Tally()), (Tally(20), Tally(80))]


@pytest.mark.parametrize("born", [(None, None), (1.5, 2.5)], ids=["by uptime", "by its start"])
def test_what_a_proxy_counted_since_it_started_anew_is_added(born: tuple[float | None, float | None]) -> None:
    before, after = (Pod(started=0, errors=300, born=born[0]), Pod(started=1001.5, errors=7, born=born[1]))
    pages = Pages([before, None, after, after])
    first = pages.look()
    with pytest.raises(Unreachable):
        pages.look()
    second, third = pages.look(), pages.look()
    assert second.forwarded - first.forwarded == Tally(17, 7)
    assert third.forwarded - second.forwarded == Tally(20)


def test_one_pod_that_starts_anew_leaves_the_counts_of_the_others_alone() -> None:
    anew = Pod(started=1001, errors=2)
    pages = Pages([OLD, OLD, OLD], [YOUNG, anew, anew])
    looks = [pages.look() for _ in range(3)]
    assert [b.forwarded - a.forwarded for a, b in pairwise(looks)] == [Tally(22, 2), Tally(40)]


def test_an_uptime_that_stands_still_between_two_flushes_is_the_same_proxy() -> None:
    """Envoy tells its uptime every five seconds anew."""
    pages = Pages([Pod(started=0) for _ in range(30)])
    looks = []
    for second in range(30):
        flushed = Pod(started=second % 5, local=80 * (second % 5), forwarded=20 * (second % 5))
        pages.behind[pages.urls[0]] = [flushed] * 30
        looks.append(pages.look())
    assert looks[-1].forwarded - looks[0].forwarded == Tally(20 * 29)


def test_two_pods_that_start_at_once_are_distinguished_by_their_own_starts() -> None:
    quiet, busy = Pod(started=0, born=1.25), Pod(started=0, local=50, forwarded=50, errors=50, born=1.5)
    pages = Pages([quiet, busy, quiet])
    assert pages.look().forwarded.errors == pages.look().forwarded.errors
    with pytest.raises(Permanent, match="come from another pod at each read"):
        pages.look()


@pytest.mark.parametrize("uptime", [True, False], ids=["with its age", "without"])
def test_a_destination_that_is_made_again_is_no_other_proxy(uptime: bool) -> None:
    """Whenever a Service is deleted its counts vanish from the page; made again they begin at 0."""
    told = 'istio_requests_total{{reporter="source",destination_service="{}.other.svc.cluster.local",response_code="200"}} {:g}'
    pages = Pages([Pod(started=0, uptime=uptime)] * 12)
    plain = pages._page

    async def page(url: str) -> str:
        second = pages.second
        others = [told.format("first", 700 + second)] if second not in (3, 4) else []
        others += [told.format("second", 900)] if second < 6 else [told.format("second", second - 9)] if second > 9 else []
        text = await plain(url)
        assert isinstance(text, str)
        return "\n".join([text, *others])

    pages._page = page  # type: ignore[method-assign]
    looks = [pages.look() for _ in range(12)]
    assert [later.forwarded - sooner.forwarded for sooner, later in pairwise(looks)] == [Tally(20)] * 11
    assert not any(followed.others_at for followed in pages._followed.values())


def test_a_service_whose_counts_begin_anew_loses_none() -> None:
    pages = Pages([Pod(started=0), Pod(started=0), Pod(started=0), Pod(started=0)])
    plain = pages._page

    async def page(url: str) -> str:
        text = await plain(url)
        assert isinstance(text, str)
        if pages.second == 1:
            return text.splitlines()[-1]
        return text if pages.second == 0 else "\n".join(line for line in anew(pages.second) + text.splitlines()[-1:])

    def anew(second: int) -> list[str]:
        return Pod(started=1000 + second - 0.5).page(1000 + second).splitlines()[:3]

    pages._page = page  # type: ignore[method-assign]
    totals = [pages.look().local.requests for _ in range(3)]
    assert totals == [80_000, 80_000, 80_040]
