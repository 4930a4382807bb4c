"""What the metrics store says of a service: nothing from before the window, no data is not zero."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from aiohttp import web

from migration.clients.counters import Dialect
from migration.clients.prometheus import PrometheusMetrics, Sampled, fill, grown, quantile
from migration.errors import Permanent, Unreachable
from migration.model import Side, Verdict, WindowStats
from migration.settings.policy import Policy
from migration.shift.analysis import slow
from routing import peer_host
from tests.fakes.loopback import Store, served
from tests.fakes.pages import ORIGINAL, SERVICE

NOW = 1_780_000_000.0
MOST_BYTES = 10_000
OWN, PEER = "catalog.shop.svc.cluster.local", peer_host(SERVICE)
Series = tuple[Mapping[str, str], Mapping[float, float]]


def at(**values: float) -> dict[float, float]:
    """Samples by seconds before now: `s30=5` is 5, thirty seconds ago."""
    return {NOW - int(name[1:]): value for name, value in values.items()}


def istio(cluster: str, host: str, code: str, samples: Mapping[float, float], grpc: str = "", pod: str = "one") -> Series:
    labels = {
        "__name__": "istio_requests_total",
        "reporter": "source",
        "source_workload_namespace": "istio-system",
        "destination_service": host,
        "response_code": code,
        "instance": f"{cluster}-{pod}:15020",
    }
    return {**labels, **({"cluster": cluster} if cluster else {}), **({"grpc_response_status": grpc} if grpc else {})}, samples


def envoy(cluster: str, host: str, name: str, samples: Mapping[float, float], **more: str) -> Series:
    labels = {"__name__": f"envoy_cluster_{name}", "cluster": cluster, "instance": f"{cluster}:15000", **more}
    return {**labels, "cluster_name": f"outbound|80||{host}"}, samples


def ask(store: Callable[[web.Request], web.Response], seconds: float = 20.0, dialect: Dialect = "istio") -> WindowStats | None:
    """Of green."""

    async def use(url: str) -> WindowStats | None:
        names: dict[Side, str] = {"blue": "plum", "green": "fern"}
        client = PrometheusMetrics(url, dialect, names, {SERVICE: ORIGINAL}, most_bytes=MOST_BYTES)
        try:
            return await client.window(SERVICE, "green", seconds)
        finally:
            await client.close()

    return served(store, use)


WITNESS = istio("fern", OWN, "200", at(s25=10, s15=10, s5=10))


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([], None),
        ([istio("fern", OWN, "200", at(s15=math.nan, s5=math.nan))], None),
        ([istio("fern", OWN, "200", at(s5=900))], None),
        ([istio("fern", OWN, "200", at(s90=1, s60=900))], None),
        ([istio("fern", OWN, "200", at(s15=900, s5=900))], WindowStats(0, 0)),
        ([istio("fern", OWN, "200", at(s15=900, s10=920, s5=930))], WindowStats(30, 0)),
        ([istio("plum", PEER, "503", at(s15=900, s5=920))], WindowStats(20, 20)),
        (
            [istio("fern", OWN, "200", at(s15=0, s5=27)), istio("fern", OWN, "503", at(s15=0, s5=3)),
             istio("plum", PEER, "200", at(s15=0, s5=20))],
            WindowStats(30, 3),
        ),
        ([istio("fern", PEER, "503", at(s15=0, s5=9)), istio("plum", OWN, "503", at(s15=0, s5=9))], None),
        ([istio("fern", OWN, "200", at(s15=100, s10=5, s5=8))], WindowStats(8, 0)),
        ([istio("fern", OWN, "200", at(s15=1, s5=3), pod=pod) for pod in ("one", "two")], WindowStats(4, 0)),
    ],
    ids=[
        *("no series", "NaN", "one sample", "all before the window", "zero is data", "served there", "never arrived"),
        *("more served than forwarded", "blue's answers are not green's", "began again", "two pods"),
    ],
)  # fmt: skip
def test_no_data_is_not_zero(series: list[Series], expected: WindowStats | None) -> None:
    assert ask(Store(NOW, series)) == expected


@pytest.mark.parametrize(
    ("bad", "errors"),
    [
        (at(s60=0, s30=7, s25=7, s15=7, s5=7), 0),
        (at(s60=0, s21=0, s15=7, s5=9), 2),
        (at(s5=7), 7),
        (at(s15=7, s5=7), 0),
    ],
    ids=["before the window", "between two scrapes around its beginning", "born inside", "there from its first scrape on"],
)
def test_errors_count_from_the_windows_beginning_on(bad: dict[float, float], errors: int) -> None:
    got = ask(Store(NOW, [WITNESS, istio("fern", OWN, "503", bad)]))
    assert got == WindowStats(errors, errors)


def test_a_retry_is_not_judged_by_what_green_answered_before_it() -> None:
    """Half of green's answers were errors until eight seconds ago; the step took effect five seconds ago."""
    good = istio("plum", PEER, "200", {NOW - n: 1000 - 2.0 * n for n in range(60)})
    bad = istio("plum", PEER, "500", {NOW - n: 400 - 2.0 * max(n, 8) for n in range(60)})
    store = Store(NOW, [good, bad])
    assert slow(ask(store, 5.0), None, Policy()).verdict is Verdict.PASS
    assert slow(ask(store, 30.0), WindowStats(100, 0), Policy()).verdict is Verdict.FAIL


def test_another_pods_scrape_does_not_make_a_series_young() -> None:
    """Pods are scraped at different moments: one that comes later in a window is not new."""
    pods = [
        istio("fern", OWN, "200", at(s18=500, s8=500), pod="one"),
        istio("fern", OWN, "503", at(s13=800, s3=800), pod="two"),
    ]
    assert ask(Store(NOW, pods)) == WindowStats(0, 0)


def test_series_without_a_target_are_never_taken_for_young_ones() -> None:
    nameless = [({k: v for k, v in labels.items() if k != "instance"}, samples) for labels, samples in (
        WITNESS, istio("fern", OWN, "503", at(s5=800)),
    )]  # fmt: skip
    assert ask(Store(NOW, nameless)) == WindowStats(0, 0)


def test_answers_are_counted_by_class_in_both_dialects() -> None:
    grows = at(s15=0, s5=10)
    plain = [istio("fern", OWN, code, grows) for code in ("200", "302", "401", "404", "429", "503", "0")]
    calls = [istio("fern", OWN, "200", grows, grpc=status) for status in ("0", "5", "14")]
    classes = {"3xx": 10, "401/403": 10, "404": 10, "4xx": 10, "gRPC 5": 10}
    assert ask(Store(NOW, [*plain, *calls])) == WindowStats(100, 30, None, classes)
    ours = [envoy("fern", OWN, "upstream_rq_xx", at(s15=0, s5=n), response_code_class=k) for k, n in [("2", 40), ("4", 30)]]
    ours += [envoy("fern", OWN, "upstream_rq", grows, response_code=code) for code in ("404", "403")]
    ours += [envoy("fern", OWN, f"grpc_{status}", grows) for status in (0, 5, 14)]
    ours += [envoy("fern", OWN, name, grows) for name in ("grpc_total", "upstream_rq_completed")]
    classes = {"401/403": 10, "404": 10, "4xx": 10, "gRPC 5": 10}
    assert ask(Store(NOW, ours), dialect="envoy") == WindowStats(70, 10, None, classes)


def buckets(*counts: tuple[str, float]) -> list[Series]:
    """Cumulative buckets that all began at 0."""
    return [envoy("fern", OWN, "upstream_rq_time_bucket", at(s15=0, s5=count), le=bound) for bound, count in counts] + [
        envoy("fern", OWN, "upstream_rq_xx", at(s15=0, s5=10), response_code_class="2")
    ]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([("10", 0), ("20", 100), ("+Inf", 100)], 19.9),
        ([("10", 99), ("20", 100), ("+Inf", 100)], 10.0),
        ([("10", 50), ("20", 60), ("+Inf", 100)], 20.0),
        ([("10", 100), ("20", 98), ("+Inf", 100)], 9.9),
        ([("10", 0), ("+Inf", 0)], None),
        ([("10", 5), ("20", 5)], None),
        ([], None),
    ],
    ids=["within a bucket", "at a bound", "beyond all bounds", "a bucket ahead", "nothing grew", "no last one", "none"],
)
def test_latency_is_what_ninety_nine_of_a_hundred_stay_below(counts: list[tuple[str, float]], expected: float | None) -> None:
    got = ask(Store(NOW, buckets(*counts)), dialect="envoy")
    assert got is not None
    assert got.latency_ms == (None if expected is None else pytest.approx(expected))


def test_latency_from_before_the_window_does_not_count() -> None:
    slow_then = [
        Sampled({"le": le, "instance": "x"}, [(1.0, n), (2.0, n + m)]) for le, n, m in [("10", 0, 9), ("+Inf", 900, 9)]
    ]
    assert quantile(slow_then, 0.99) == pytest.approx(9.9)


def test_a_window_is_three_queries() -> None:
    store = Store(NOW, [WITNESS])
    ask(store, 19.9996)
    assert len(store.asked) == 3


def test_a_window_is_never_longer_than_asked() -> None:
    store = Store(NOW, [WITNESS])
    ask(store, 19.9996)
    assert all(query.endswith("[17999ms] offset -1s") for query in store.asked)
    assert fill("{window}", "fern", [], 0.0) == "1ms"


@pytest.mark.parametrize("rounds", [False, True], ids=["by its clock", "by the second before"])
def test_a_store_that_rounds_query_times_gives_nothing_from_before_the_window(rounds: bool) -> None:
    now = NOW + 0.9
    errors = {now - 4.6: 0.0, now - 3.6: 40.0, now - 2.6: 40.0, now - 1.6: 40.0, now - 0.6: 41.0}
    assert ask(Store(now, [istio("fern", OWN, "503", errors)], rounds), 4.5) == WindowStats(1, 1)


def test_a_sample_stamped_after_its_page_is_no_base_for_a_window_between_the_two() -> None:
    """A store may even out the times of scrapes by a tenth of their interval: this page was read before the errors."""
    errors = {NOW - 19.5: 0.0, NOW - 9.5: 40.0, NOW - 0.5: 40.0}
    assert ask(Store(NOW, [istio("fern", OWN, "503", errors)]), 20.0) == WindowStats(0, 0)


def test_a_hosts_dots_stand_for_themselves_in_a_query() -> None:
    assert "catalog[.]shop" in fill("{hosts}", "fern", ["catalog.shop"], 1)


def test_samples_of_a_series_are_read_in_order_of_time() -> None:
    assert grown([Sampled({}, [(1.0, 5.0), (2.0, 8.0), (3.0, 2.0), (4.0, 3.0)])]) == [({}, 6.0)]
    assert grown([Sampled({}, [])]) == []


def matrix(**more: Any) -> dict[str, Any]:
    labels, samples = WITNESS
    values = [[when, f"{value:g}"] for when, value in samples.items()]
    return {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": labels, "values": values}]}, **more}


@pytest.mark.parametrize(
    ("response", "error", "told"),
    [
        (lambda: web.Response(status=503), Unreachable, "answers 503"),
        (lambda: web.Response(status=429), Unreachable, "answers 429"),
        (lambda: web.Response(status=422, text="too many samples"), Permanent, "refuses .422.*too many samples"),
        (lambda: web.Response(text="<html>Log in"), Permanent, "no Prometheus-compatible store: <html>Log in"),
        (lambda: web.json_response({"data": {}}), Permanent, "no Prometheus-compatible store"),
        (lambda: web.json_response(matrix(status="error")), Permanent, "no Prometheus-compatible store"),
        (lambda: web.json_response(matrix(warnings=["store two is away"])), Unreachable, "a part only: store two is away"),
        (lambda: web.json_response(matrix(isPartial=True)), Unreachable, "a part only"),
        (lambda: web.Response(body=b" " * (MOST_BYTES + 1)), Permanent, "more than 10,000 bytes"),
    ],
    ids=["down", "busy", "refused", "a login page", "no answer", "an error", "warnings", "partial", "too large"],
)
def test_a_store_that_fails_is_an_error_and_not_no_data(
    response: Callable[[], web.Response], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        ask(lambda _: response())


def test_a_store_that_does_not_listen_is_unreachable() -> None:
    client = PrometheusMetrics("http://127.0.0.1:1", "istio", {"blue": "plum", "green": "fern"}, {SERVICE: ORIGINAL})

    async def use() -> None:
        try:
            await client.window(SERVICE, "green", 60)
        finally:
            await client.close()

    with pytest.raises(Unreachable):
        asyncio.run(use())


@pytest.mark.parametrize(
    ("clusters", "told"),
    [
        ([""], 'has cluster="plum" or cluster="fern"; they have no label cluster'),
        (["a", "b"], 'they have cluster="a", cluster="b"'),
    ],
    ids=["without the label", "of others"],
)
def test_a_store_whose_series_are_of_no_known_cluster_is_refused_with_the_reason(clusters: list[str], told: str) -> None:
    store = Store(NOW, [istio(cluster, OWN, "200", at(s15=1, s5=9)) for cluster in clusters])
    with pytest.raises(Permanent) as caught:
        ask(store)
    assert told in str(caught.value)
    assert "label cluster" in (caught.value.remedy or "")


def test_a_service_without_requests_yet_is_no_reason_to_refuse_a_store() -> None:
    assert ask(Store(NOW, [istio("plum", "other.shop.svc.cluster.local", "200", at(s15=1, s5=9))])) is None
