"""How answers ended: by HTTP status and by gRPC's own, each answer once, whatever names a proxy's counters have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.clients.counters import Dialect, Followed, follow, look, service_counters
from migration.model import CLASSES, GRPC_ERRORS, GatewayCounters, Tally, Verdict
from migration.settings.policy import Policy
from migration.shift.analysis import fast
from migration.shift.samples import Samples
from routing import peer_host

HOST = "ledger.bank.svc.cluster.local"
SERVICE = "bank/ledger"
CLUSTER = f'cluster_name="outbound|80||{HOST}"'


def istio(code: str, count: int, grpc: str | None = None, host: str = HOST) -> str:
    protocol = "http" if grpc is None else "grpc"
    return (
        f'istio_requests_total{{reporter="source",source_workload_namespace="istio-system",destination_service="{host}",'
        f'request_protocol="{protocol}",response_code="{code}",grpc_response_status="{grpc or ""}"}} {count}\n'
    )


def told(page: str, dialect: Dialect, host: str = HOST) -> Tally:
    return follow(None, look(page, dialect)).total().get(host, Tally())


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (istio("200", 7), Tally(7)),
        (istio("301", 7) + istio("307", 1), Tally(8, 0, 0, {"3xx": 8})),
        (istio("200", 3) + istio("401", 4) + istio("403", 5), Tally(12, 0, 0, {"401/403": 9})),
        (istio("404", 2) + istio("429", 3) + istio("400", 1), Tally(6, 0, 0, {"404": 2, "4xx": 4})),
        (istio("0", 2) + istio("503", 3), Tally(5, 5)),
        (istio("200", 9, "0") + istio("200", 4, "5"), Tally(13, 0, 0, {"gRPC 5": 4})),
        ("".join(istio("200", 1, str(status)) for status in GRPC_ERRORS), Tally(5, 5)),
        (istio("503", 3, "14"), Tally(3, 3)),
        (istio("200", 4, "16") + istio("401", 2), Tally(6, 0, 0, {"gRPC 16": 4, "401/403": 2})),
    ],
    ids=["good", "redirects", "refused", "not found", "no answer", "grpc", "grpc errors", "both at once", "mixed"],
)
def test_istio_counts_an_answer_by_http_and_grpc_status_once(lines: str, expected: Tally) -> None:
    assert told(lines, "istio") == expected


def by_class(number: int, count: int) -> str:
    return f'envoy_cluster_upstream_rq_xx{{response_code_class="{number}",{CLUSTER}}} {count}\n'


def by_code(code: int, count: int) -> str:
    return f'envoy_cluster_upstream_rq{{response_code="{code}",{CLUSTER}}} {count}\n'


def by_grpc(status: int | str, count: int) -> str:
    return f"envoy_cluster_grpc_{status}{{{CLUSTER}}} {count}\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            by_class(4, 9) + by_code(404, 5) + by_code(401, 3) + by_code(418, 1),
            Tally(9, 0, 0, {"404": 5, "401/403": 3, "4xx": 1}),
        ),
        (by_class(4, 9), Tally(9, 0, 0, {"4xx": 9})),
        (by_code(404, 5) + by_code(200, 1), Tally(6, 0, 0, {"404": 5})),
        (by_class(3, 2) + by_class(2, 1) + by_code(200, 1) + by_code(302, 2), Tally(3, 0, 0, {"3xx": 2})),
        (by_class(1, 5) + by_class(2, 5) + by_code(100, 5) + by_code(200, 5), Tally(5)),
        (by_class(1, 5) + by_code(101, 5), Tally(5)),
        (by_class(2, 5) + f"envoy_cluster_upstream_rq{{{CLUSTER}}} 9\n", Tally(5)),
        (by_class(2, 12) + by_grpc(0, 4) + by_grpc(14, 8) + by_grpc("failure", 8) + by_grpc("total", 12), Tally(12, 8)),
        (by_class(5, 6) + by_code(503, 6) + by_grpc(14, 6), Tally(6, 6)),
        (by_class(2, 3) + by_grpc(5, 2) + by_grpc(16, 1), Tally(3, 0, 0, {"gRPC 5": 2, "gRPC 16": 1})),
    ],
    ids=[
        *("classes and codes", "classes alone", "codes alone", "redirects", "100 Continue", "WebSocket"),
        "neither class nor code",
        *("grpc errors", "no connection for grpc", "grpc statuses"),
    ],
)
def test_envoys_counts_of_the_same_answers_are_put_together(lines: str, expected: Tally) -> None:
    assert told(lines, "envoy") == expected


# A stock Envoy 1.40 with istiod's setting of grpc_stats, after calls of which each status is known: 3 OK, 2 UNAVAILABLE,
# one each of 2, 4, 5, 8, 13 and 15, a stream that failed with INTERNAL after its second message, and one call more when
# the server was gone. The second cluster never had a server.
RECORDED = "".join(
    f'envoy_cluster_{name}{{cluster_name="outbound|80||{cluster}.bank.svc.cluster.local"{label}}} {count}\n'
    for name, cluster, label, count in [
        ("external_upstream_rq", "ledger", ',response_code="200"', 12),
        ("external_upstream_rq_xx", "ledger", ',response_code_class="2"', 12),
        *((f"grpc_{status}", "ledger", "", count) for status, count in [(0, 3), (13, 2), (14, 3), (15, 1), (2, 1), (4, 1)]),
        *((f"grpc_{status}", "ledger", "", count) for status, count in [(5, 1), (8, 1), ("failure", 10), ("total", 13)]),
        *((f"grpc_{name}", "ledger", "", count) for name, count in [("request_message_count", 13), ("success", 3)]),
        ("grpc_14", "dead", "", 2),
        ("upstream_rq", "dead", ',response_code="503"', 2),
        ("upstream_rq_xx", "dead", ',response_code_class="5"', 2),
        ("upstream_rq", "ledger", ',response_code="200"', 12),
        ("upstream_rq", "ledger", ',response_code="503"', 1),
        ("upstream_rq_completed", "ledger", "", 13),
        ("upstream_rq_xx", "ledger", ',response_code_class="2"', 12),
        ("upstream_rq_xx", "ledger", ',response_code_class="5"', 1),
        ("upstream_rq_active", "ledger", "", 0),
    ]
)


def test_the_counts_of_a_real_envoy_add_up_to_its_grpc_calls() -> None:
    ledger = told(RECORDED, "envoy")
    assert ledger == Tally(13, 8, 0, {"gRPC 5": 1, "gRPC 8": 1})
    assert ledger.requests - ledger.errors - sum(ledger.classes.values()) == 3
    assert told(RECORDED, "envoy", "dead.bank.svc.cluster.local") == Tally(2, 2)


def gateways(second: int, status: int) -> dict[str, str]:
    """Blue's gateway sends 20 of 100 calls a second to green, where each ends with this status; HTTP says 200."""
    sent, kept = 20 * second, 80 * second
    return {
        "blue": istio("200", kept, "0") + istio("200", sent, str(status), peer_host(SERVICE)),
        "green": istio("200", sent, str(status)),
    }


@pytest.mark.parametrize(
    ("status", "verdict"),
    [*((status, Verdict.FAIL) for status in sorted(GRPC_ERRORS)), (0, Verdict.PASS)],
)
def test_grpc_calls_that_all_fail_are_errors_though_http_says_200(status: int, verdict: Verdict) -> None:
    samples, followed = Samples(), dict[str, Followed | None](blue=None, green=None)
    for second in range(12):
        readings = {}
        for side, page in gateways(second, status).items():
            followed[side] = now = follow(followed[side], look(page, "istio", float(second)))
            readings[side] = GatewayCounters({SERVICE: service_counters(now.total(), SERVICE, [HOST])})
        samples.add(float(second), readings, SERVICE)  # type: ignore[arg-type]
    assert fast(samples, Policy()).verdict is verdict


def test_errors_of_grpc_count_on_top_of_an_old_incident_with_5xx() -> None:
    """The larger of two kinds of errors counts, but of what is new: an hour-old incident must not hide the next one."""
    before = follow(None, look(by_class(2, 100) + by_class(5, 5000) + by_grpc(0, 100) + by_grpc(14, 0), "envoy", 1.0))
    after = follow(before, look(by_class(2, 140) + by_class(5, 5000) + by_grpc(0, 100) + by_grpc(14, 40), "envoy", 2.0))
    assert after.total()[HOST] - before.total()[HOST] == Tally(40, 40)


def test_a_stream_that_fails_long_after_it_began_is_a_request_of_that_time() -> None:
    begun = follow(None, look(by_class(2, 50), "envoy", 1.0))
    failed = follow(begun, look(by_class(2, 50) + by_grpc(14, 50), "envoy", 60.0))
    assert failed.total()[HOST] - begun.total()[HOST] == Tally(50, 50)


CODES = ["0", "100", "101", "200", "204", "301", "304", "400", "401", "403", "404", "429", "500", "503"]
ENDS = st.dictionaries(st.tuples(st.sampled_from(CODES), st.sampled_from(["", "0", "5", "14", "16"])), st.integers(0, 50))


def as_page(ends: dict[tuple[str, str], int], dialect: Dialect) -> str:
    if dialect == "istio":
        return "".join(istio(code, count, grpc) for (code, grpc), count in ends.items())
    page, classes = "", dict.fromkeys("12345", 0)
    for (code, grpc), count in ends.items():
        if code[0] in classes:
            classes[code[0]] += count
            page += by_code(int(code), count) + (by_grpc(int(grpc), count) if grpc else "")
    return page + "".join(by_class(int(number), count) for number, count in classes.items())


@pytest.mark.parametrize("dialect", ["istio", "envoy"])
@given(steps=st.lists(ENDS, min_size=2, max_size=6))
def test_counts_stay_consistent_over_any_pages(steps: list[dict[tuple[str, str], int]], dialect: Dialect) -> None:
    sums: dict[tuple[str, str], int] = {}
    followed: Followed | None = None
    last = Tally()
    for second, step in enumerate(steps):
        sums = {end: sums.get(end, 0) + step.get(end, 0) for end in sums.keys() | step.keys()}
        followed = follow(followed, look(as_page(sums, dialect), dialect, float(second)))
        now = followed.total().get(HOST, Tally())
        grown = now - last
        assert grown.errors + sum(grown.classes.values()) <= grown.requests
        assert min([grown.requests, grown.errors, *grown.classes.values()]) >= 0, "no number falls"
        answered = sum(count for (code, _), count in step.items() if code != "100" and (code != "0" or dialect == "istio"))
        assert grown.requests >= answered
        assert all(name in CLASSES or name.startswith("gRPC ") for name in now.classes)
        last = now


def test_a_series_that_a_proxy_counts_anew_lowers_no_total() -> None:
    """Istio's proxies forget series that nobody asked for in a while."""
    born = "istio_agent_process_start_time_seconds 1.5\n"
    pages = [istio("200", 90) + istio("404", 50), istio("200", 95), istio("200", 97) + istio("404", 2), istio("200", 98)]
    followed, totals = None, []
    for second, page in enumerate(pages):
        followed = follow(followed, look(born + page, "istio", float(second)))
        totals.append(followed.total()[HOST])
    assert [each.classes for each in totals] == [{"404": 50}, {"404": 50}, {"404": 52}, {"404": 52}]
    assert [each.requests for each in totals] == [140, 145, 149, 150]
    assert followed is not None
    assert not followed.others_at


def test_a_series_that_is_missing_from_one_page_is_not_counted_anew() -> None:
    pages = [istio("200", 900), istio("200", 5, host="other.bank.svc.cluster.local"), istio("200", 930)]
    followed = None
    for second, page in enumerate(pages):
        followed = follow(followed, look(page, "istio", float(second)))
    assert followed is not None
    assert followed.total()[HOST] == Tally(930)


def test_a_time_after_a_value_is_not_taken_for_it() -> None:
    assert told(istio("200", 7).replace("7\n", "7 1780000000000\n"), "istio") == Tally(7)
