"""What a gateway's page says of a service; a real HTTP server on loopback speaks for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from migration.clients import counters
from migration.clients.counters import PageCounters
from migration.errors import Permanent, Unreachable
from migration.model import ServiceCounters, Tally
from migration.shift.samples import sides
from tests.fakes.loopback import served

ORIGINAL: dict[str, Any] = {
    "kind": "VirtualService",
    "metadata": {"name": "catalog", "namespace": "shop"},
    "spec": {
        "http": [
            {
                "route": [
                    {"destination": {"host": "catalog"}},
                    {"destination": {"host": "old.legacy.svc.cluster.local"}},
                ]
            },
            {"redirect": {"uri": "/"}, "mirror": {"host": "shadow"}},
        ]
    },
}
LOCAL = "outbound|80||catalog.shop.svc.cluster.local"
PEER = "outbound|80||catalog.shop.peer.bluegreen.internal"
PAGE = f"""# TYPE envoy_cluster_upstream_rq_xx counter
envoy_cluster_upstream_rq{{response_code_class="2xx",cluster_name="{LOCAL}"}} 90
envoy_cluster_upstream_rq{{response_code="200",cluster_name="{LOCAL}"}} 90
envoy_cluster_external_upstream_rq{{response_code_class="2xx",cluster_name="{LOCAL}"}} 90
envoy_cluster_upstream_rq{{response_code_class="5xx",cluster_name="{LOCAL};"}} 10
envoy_cluster_upstream_rq_xx{{envoy_response_code_class="2",envoy_cluster_name="outbound|80|v2|old.legacy.svc.cluster.local"}} 3
envoy_cluster_upstream_rq_xx{{response_code_class="5xx",cluster_name="{PEER}"}} 7
envoy_cluster_upstream_rq_xx{{response_code_class="2xx",cluster_name="outbound|80||shadow.shop.svc.cluster.local"}} 55
envoy_cluster_upstream_rq_xx{{response_code_class="2xx",cluster_name="inbound|80||"}} 99
envoy_cluster_upstream_rq_active{{cluster_name="{PEER}"}} 4
envoy_cluster_upstream_rq_cancelled{{cluster_name="{PEER}"}} 1000
envoy_cluster_upstream_rq_xx{{response_code_class="2xx",cluster_name="{LOCAL}"}} NaN
envoy_cluster_upstream_rq_xx{{response_code_class="2xx",clus
envoy_server_uptime{{}} 20
"""
ISTIO = """istio_requests_total{reporter="source",response_code="200",destination_service="catalog.shop.svc.cluster.local"} 8
istio_requests_total{reporter="source",response_code="503",destination_service="catalog.shop.svc.cluster.local"} 1
istio_requests_total{reporter="source",response_code="0",destination_service="catalog.shop.peer.bluegreen.internal"} 2
istio_requests_total{reporter="destination",response_code="200",destination_service="catalog.shop.svc.cluster.local"} 9
"""


async def read(url: str, dialect: counters.Dialect = "envoy", times: int = 1) -> Any:
    client = PageCounters([url], dialect, {"shop/catalog": ORIGINAL})
    try:
        return [await client.read() for _ in range(times)]
    finally:
        await client.close()


def test_an_envoy_page_counts_local_and_forwarded_requests() -> None:
    (got,) = served(lambda _: web.Response(text=PAGE), read)
    assert got.services["shop/catalog"] == ServiceCounters(local=Tally(103, 10, 0), forwarded=Tally(7, 7, 4))


def test_an_istio_page_counts_requests_without_an_answer_as_errors() -> None:
    (got,) = served(lambda _: web.Response(text=ISTIO), lambda url: read(url, "istio"))
    assert got.services["shop/catalog"] == ServiceCounters(local=Tally(9, 1, 0), forwarded=Tally(2, 2, 0))


@pytest.mark.parametrize(("status", "error"), [(503, Unreachable), (404, Permanent)])
def test_a_page_that_is_not_there_is_an_error_and_no_zero(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        served(lambda _: web.Response(status=status), read)


def test_a_gateway_that_does_not_listen_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="do not answer"):
        asyncio.run(read("http://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("blue", "green", "expected"),
    [
        ((Tally(90), Tally(10, 1)), (Tally(10, 1), Tally()), (Tally(90), Tally(10, 1))),
        ((Tally(90), Tally(10, 10)), (Tally(), Tally()), (Tally(90), Tally(10, 10))),
        ((Tally(45), Tally(5, 1)), (Tally(10, 2), Tally(40)), (Tally(45), Tally(10, 2))),
        ((Tally(), Tally(0, 0, 9)), (Tally(0, 0, 9), Tally()), (Tally(), Tally(0, 0, 9))),
    ],
    ids=["all by blue", "none arrived", "by both", "open ones"],
)
def test_a_sides_sample_counts_every_request_once(
    blue: tuple[Tally, Tally], green: tuple[Tally, Tally], expected: tuple[Tally, Tally]
) -> None:
    got = sides(ServiceCounters(*blue), ServiceCounters(*green))
    assert got == expected
