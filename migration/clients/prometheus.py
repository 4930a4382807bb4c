"""Asks a Prometheus-compatible store for one service over a window: slower than the gateways' own pages, but with
history and latency.

The same counting as in migration/analysis.py: a side's requests are what its own gateway served, or what the other one
forwarded to it, whichever is more, so that a request that never arrived counts. Latency is taken where the workload is
near: at the side's own gateway, so that the hop between the clusters is not held against it.

Series must carry the label `cluster` with the cluster's name. "No data" (no series, NaN) is None, never 0; a store that
does not answer is Unreachable, one that refuses a query Permanent.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migration.clients.counters import Dialect, destination_hosts
from migration.errors import Permanent, Unreachable
from migration.model import Side, WindowStats
from routing import peer_host

if TYPE_CHECKING:
    import aiohttp

QUERY_SECONDS = 5.0


@dataclass(frozen=True)
class Queries:
    """PromQL with {cluster}, {hosts} (an alternation of regular expressions) and {window} to fill in."""

    requests: str
    errors: str
    latency_ms: str


# Envoy names classes of answers upstream_rq_xx{...="5"}, Istio's rules make upstream_rq{...="5xx"} of them.
QUERIES: Mapping[Dialect, Queries] = {
    "envoy": Queries(
        requests=(
            'sum(increase({{__name__=~"envoy_cluster_upstream_rq(_xx)?",cluster="{cluster}",response_code_class=~"[1-5](xx)?",'
            'cluster_name=~"outbound[|][0-9]+[|][^|]*[|]({hosts});?"}}[{window}]))'
        ),
        errors=(
            'sum(increase({{__name__=~"envoy_cluster_upstream_rq(_xx)?",cluster="{cluster}",response_code_class=~"5(xx)?",'
            'cluster_name=~"outbound[|][0-9]+[|][^|]*[|]({hosts});?"}}[{window}]))'
        ),
        latency_ms=(
            'histogram_quantile(0.99, sum by (le) (increase(envoy_cluster_upstream_rq_time_bucket{{cluster="{cluster}",'
            'cluster_name=~"outbound[|][0-9]+[|][^|]*[|]({hosts});?"}}[{window}])))'
        ),
    ),
    "istio": Queries(
        requests=(
            'sum(increase(istio_requests_total{{cluster="{cluster}",reporter="source",'
            'source_workload_namespace="istio-system",destination_service=~"({hosts})"}}[{window}]))'
        ),
        errors=(
            'sum(increase(istio_requests_total{{cluster="{cluster}",reporter="source",response_code=~"0|5..",'
            'source_workload_namespace="istio-system",destination_service=~"({hosts})"}}[{window}]))'
        ),
        latency_ms=(
            "histogram_quantile(0.99, sum by (le) (increase(istio_request_duration_milliseconds_bucket{{"
            'cluster="{cluster}",reporter="source",source_workload_namespace="istio-system",'
            'destination_service=~"({hosts})"}}[{window}])))'
        ),
    ),
}


def fill(query: str, cluster: str, hosts: Iterable[str], seconds: float) -> str:
    # re.escape's backslashes would have to be doubled inside a PromQL string; a class of one character needs none
    alternation = "|".join(re.sub(r"([.*+?()\[\]{}^$|])", r"[\1]", host) for host in sorted(hosts))
    return query.format(cluster=cluster, hosts=alternation, window=f"{max(1, math.ceil(seconds))}s")


def value(answer: Mapping[str, Any]) -> float | None:
    """The one number of an instant query's answer; None for no series, NaN or infinity."""
    result = answer["data"]["result"]
    if not result:
        return None
    number = float(result[0]["value"][1])
    return number if math.isfinite(number) else None


class PrometheusMetrics:
    """The store of both clusters."""

    def __init__(
        self, url: str, dialect: Dialect, sides: Mapping[Side, str], originals: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """`sides`: names of clusters by side; `originals`: the enrolled routes by service."""
        self.url = url.rstrip("/")
        self.queries = QUERIES[dialect]
        self.sides = sides
        self._hosts = {service: destination_hosts(original) for service, original in originals.items()}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def window(self, service: str, side: Side, seconds: float) -> WindowStats | None:
        own, other = self.sides[side], self.sides["blue" if side == "green" else "green"]
        local, peer = self._hosts[service], [peer_host(service)]
        requests, forwarded, errors, forwarded_errors, latency = await asyncio.gather(
            self.ask(fill(self.queries.requests, own, local, seconds)),
            self.ask(fill(self.queries.requests, other, peer, seconds)),
            self.ask(fill(self.queries.errors, own, local, seconds)),
            self.ask(fill(self.queries.errors, other, peer, seconds)),
            self.ask(fill(self.queries.latency_ms, own, local, seconds)),
        )
        if requests is None and forwarded is None:
            return None
        return WindowStats(
            requests=max(requests or 0.0, forwarded or 0.0),
            errors=max(errors or 0.0, forwarded_errors or 0.0),
            latency_ms=latency,
        )

    async def ask(self, query: str) -> float | None:
        """The value of an instant query."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=QUERY_SECONDS))
        try:
            async with self._session.get(f"{self.url}/api/v1/query", params={"query": query}) as answer:
                text = await answer.text()
                if answer.status >= 500 or answer.status == 429:
                    raise Unreachable(f"the metrics store at {self.url} answers {answer.status}: {text[:200]}")
                if answer.status != 200:
                    raise Permanent(f"the metrics store at {self.url} refuses ({answer.status}) {query}: {text[:200]}")
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as error:
            raise Unreachable(f"the metrics store at {self.url} does not answer: {error!r}") from error
        try:
            return value(json.loads(text))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise Permanent(
                f"what answers at {self.url} is no Prometheus-compatible store: {text[:200]}",
                remedy="put the store's address under metrics.url",
            ) from error
