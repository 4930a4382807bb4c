"""Asks a Prometheus-compatible store for one service over a window: slower than the gateways' own pages, but with
history and latency.

The same counting as in migration/shift/analysis.py: a side's requests are what its own gateway served, or what the other one
forwarded to it, whichever is more, so that a request that never arrived counts. Latency is taken where the workload is
near: at the side's own gateway, so that the hop between the clusters is not held against it.

The store is asked for raw samples (a range selector in an instant query), and growth is worked out here: stores do not
agree on `increase`. Prometheus extrapolates to the window's ends; VictoriaMetrics takes the sample before the window as
its base and lets a new series begin at 0, so that errors from before a step would be held against it. Here nothing from
before the window counts: the first sample in it is the base, unless the series can be seen to begin inside it.

Series must carry the label `cluster` with the cluster's name. "No data" (no series, NaN, one sample) is None, never 0; a
store that does not answer, or answers with a part, is Unreachable, one that refuses a query Permanent.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from access.causes import why
from migration.clients.counters import Dialect, destination_hosts, series, tally
from migration.discretion import without_passwords
from migration.errors import Forbidden, Permanent, Unreachable
from migration.model import Side, WindowStats
from routing import peer_host

if TYPE_CHECKING:
    import aiohttp

LOOK = "check metrics.url in migration.yaml, and that the store is well: `curl METRICS_URL/api/v1/query?query=up`"
QUERY_SECONDS = 5.0
MOST_BYTES = 32 << 20  # of one answer: 400,000 samples or so
QUANTILE = 0.99
# By so much of a scrape interval a sample's time may be later than the page it is of (VictoriaMetrics evens them out). Two
# samples must be in a window to tell anything, so this part of the window is as much at least.
STAMP_PART = 0.1
SHAPE = (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError)  # of an answer that is none
TARGET = ("instance", "pod")  # what tells one scraped proxy from another, where the store keeps it


@dataclass(frozen=True)
class Selectors:
    """PromQL with {cluster}, {hosts} (an alternation of regular expressions) and {window} to fill in."""

    answers: str
    latency: str  # cumulative buckets, in milliseconds
    any_answers: str  # of whatever cluster


# VictoriaMetrics takes the whole second before for "now", and windows would begin up to a second too early; the second
# after has nothing in it yet.
_RANGE = "[{window}] offset -1s"
# Envoy names classes of answers upstream_rq_xx{...="5"}, Istio's rules make upstream_rq{...="5xx"} of them; single codes
# are upstream_rq too, statuses of gRPC grpc_N.
_OUTBOUND = 'cluster="{cluster}",cluster_name=~"outbound[|][0-9]+[|][^|]*[|]({hosts});?"'
_SENT = 'cluster="{cluster}",reporter="source",source_workload_namespace="istio-system",destination_service=~"({hosts})"'
SELECTORS: Mapping[Dialect, Selectors] = {
    "envoy": Selectors(
        answers=f'{{{{__name__=~"envoy_cluster_upstream_rq(_xx)?|envoy_cluster_grpc_[0-9]+",{_OUTBOUND}}}}}{_RANGE}',
        latency=f"envoy_cluster_upstream_rq_time_bucket{{{{{_OUTBOUND}}}}}{_RANGE}",
        any_answers='{__name__=~"envoy_cluster_upstream_rq(_xx)?"}',
    ),
    "istio": Selectors(
        answers=f"istio_requests_total{{{{{_SENT}}}}}{_RANGE}",
        latency=f"istio_request_duration_milliseconds_bucket{{{{{_SENT}}}}}{_RANGE}",
        any_answers="istio_requests_total",
    ),
}


def fill(query: str, cluster: str, hosts: Iterable[str], seconds: float) -> str:
    """The query of one cluster for these hosts over so many seconds."""
    # re.escape's backslashes would have to be doubled inside a PromQL string; a class of one character needs none
    alternation = "|".join(re.sub(r"([.*+?()\[\]{}^$|])", r"[\1]", host) for host in sorted(hosts))
    window_ms = max(1, math.floor(seconds * (1 - STAMP_PART) * 1000))  # rounded up, it would reach back before its beginning
    return query.format(cluster=cluster, hosts=alternation, window=f"{window_ms}ms")


@dataclass(frozen=True)
class Sampled:
    """A series: its labels, and (seconds since the epoch, value) in order of time; only finite values."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


def sampled(document: Any) -> list[Sampled]:
    """The series of an instant query's answer. Raises one of SHAPE if it is none."""
    if document["status"] != "success":
        raise ValueError(document["status"])
    kind, all_series = document["data"]["resultType"], []
    for each in document["data"]["result"]:
        pairs = each.get("values", []) if kind == "matrix" else [each["value"]]
        numbers = [(float(at), float(value)) for at, value in pairs]
        kept = sorted((at, value) for at, value in numbers if math.isfinite(value))
        all_series.append(Sampled({str(name): str(value) for name, value in each["metric"].items()}, kept))
    return all_series


def grown(all_series: Iterable[Sampled]) -> list[tuple[Mapping[str, str], float]]:
    """How much each series grew between its first and its last sample; none for a series that does not show it.

    A counter that fell began again at 0. One that was not there at an earlier scrape of its target, as another series of
    the same scrape was, began at 0 too: otherwise the first error of a service would never count.
    """
    known = [each for each in all_series if each.samples]
    # when each target was scraped, but for the first time of each series
    again: defaultdict[tuple[str, ...], set[float]] = defaultdict(set)
    for each in known:
        again[_target(each.labels)].update(at for at, _ in each.samples[1:])
    growths = []
    for each in known:
        (first, last), rest = each.samples[0], each.samples[1:]
        target = _target(each.labels)
        if any(target) and first in again[target]:
            last, rest = 0.0, each.samples
        elif not rest:
            continue
        total = 0.0
        for _, value in rest:
            total += value - last if value >= last else value
            last = value
        growths.append((each.labels, total))
    return growths


def _target(labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in TARGET)


@dataclass(frozen=True)
class Counted:
    """Answers of one gateway to some hosts within a window."""

    requests: float
    errors: float
    classes: Mapping[str, float]


def counted(all_series: Iterable[Sampled], dialect: Dialect, hosts: Collection[str]) -> Counted | None:
    """None: no series of these hosts shows how it grew."""
    ends: defaultdict[tuple[str, str], float] = defaultdict(float)
    for labels, more in grown(all_series):
        counted_series = series(labels.get("__name__", ""), labels, dialect)
        if counted_series is not None and counted_series.host in hosts and (counted_series.code or counted_series.grpc_status):
            ends[counted_series.code, counted_series.grpc_status] += more
    return Counted(*tally(ends)) if ends else None


def quantile(bucket_series: Iterable[Sampled], part: float) -> float | None:
    """Of the growth of cumulative buckets (label `le`; a series without one is left out), as PromQL's histogram_quantile has
    it: linear within a bucket; beyond the last finite bound, that bound. None: nothing grew, or there is no bucket for
    everything.
    """
    buckets: defaultdict[float, float] = defaultdict(float)
    for labels, more in grown(bucket_series):
        try:
            buckets[float(labels.get("le", ""))] += more
        except ValueError:
            continue  # no bucket, as for histogram_quantile
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != math.inf or buckets[math.inf] <= 0:
        return None
    rank = part * buckets[math.inf]
    below, reached = 0.0, 0.0  # the bound and the count of the bucket before
    for bound in bounds:
        count = max(buckets[bound], reached)  # pages are not read in one moment: a lower bucket may be ahead
        if count >= rank:
            if bound == math.inf:
                return below
            if bound <= 0 or count == reached:
                return bound
            return below + (bound - below) * (rank - reached) / (count - reached)
        below, reached = bound, count
    return None


class PrometheusMetrics:
    """The store of both clusters."""

    def __init__(
        self,
        url: str,
        dialect: Dialect,
        sides: Mapping[Side, str],
        originals: Mapping[str, Mapping[str, Any]],
        *,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`sides`: names of clusters by side; `originals`: the enrolled routes by service; `most_bytes`: of one answer."""
        self._url = url.rstrip("/")
        self.url = without_passwords(self._url)  # for words
        self.dialect: Dialect = dialect
        self.selectors = SELECTORS[dialect]
        self.sides = sides
        self.most_bytes = most_bytes
        self._hosts = {service: destination_hosts(original) for service, original in originals.items()}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def window(self, service: str, side: Side, seconds: float) -> WindowStats | None:
        """One side's answers over the last seconds; None: no series shows any.

        Raises:
            Unreachable: no answer, or a part of one.
            Forbidden, Permanent: the store refuses, or has neither cluster's series.
        """
        own, other = self.sides[side], self.sides["blue" if side == "green" else "green"]
        local, peer = self._hosts[service], [peer_host(service)]
        both = [*local, *peer]  # each gateway's other traffic shows since when it is scraped
        at_own, at_other, latency = await asyncio.gather(
            self.ask(fill(self.selectors.answers, own, both, seconds)),
            self.ask(fill(self.selectors.answers, other, both, seconds)),
            self.ask(fill(self.selectors.latency, own, local, seconds)),
        )
        if not at_own and not at_other:
            await self._refuse_unlabelled()
        sides = [counted(at_own, self.dialect, local), counted(at_other, self.dialect, peer)]
        counts = [each for each in sides if each is not None]
        if not counts:
            return None
        errors = max(each.errors for each in counts)
        names = sorted({name for each in counts for name in each.classes})
        classes = {name: max(each.classes.get(name, 0.0) for each in counts) for name in names}
        requests = max(errors + sum(classes.values()), *(each.requests for each in counts))
        return WindowStats(requests, errors, quantile(latency, QUANTILE), classes)

    async def _refuse_unlabelled(self) -> None:
        """A store whose series are of other clusters, or do not say of which, would have no data for ever."""
        by_cluster = await self.ask(f"count by (cluster) ({self.selectors.any_answers})")
        names = sorted({each.labels.get("cluster", "") for each in by_cluster})
        if names and not set(names) & set(self.sides.values()):
            wanted = " or ".join(f'cluster="{name}"' for name in self.sides.values())
            present = ", ".join(f'cluster="{name}"' if name else "no label cluster" for name in names)
            raise Permanent(
                f"no series of the gateways at {self.url} has {wanted}; they have {present}",
                remedy="set metrics.url to a store that has both clusters' series, each with the label cluster "
                "(externalLabels of a Prometheus are only on what it sends to another store)",
            )

    async def ask(self, query: str) -> list[Sampled]:
        """The series of an instant query; of one with a range selector, its raw samples."""
        text = await self._get(query)
        try:
            document = json.loads(text)
            all_series = sampled(document)
        except SHAPE as error:
            raise Permanent(
                f"what answers at {self.url} is no Prometheus-compatible store: {text[:200]}",
                remedy="put the store's address under metrics.url",
            ) from error
        if document.get("warnings") or document.get("isPartial"):
            warnings = "; ".join(map(str, document.get("warnings") or ["isPartial"]))
            raise Unreachable(
                f"the metrics store at {self.url} answers {query} with a part only: {warnings[:200]}", remedy=LOOK
            )
        return all_series

    async def _get(self, query: str) -> str:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=QUERY_SECONDS))
        # older VictoriaMetrics put the window half a minute back, for its cache's sake; other stores do not know the word
        parameters = {"query": query, "nocache": "1"}
        body = bytearray()
        try:
            async with self._session.get(f"{self._url}/api/v1/query", params=parameters) as answer:
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > self.most_bytes:
                        raise Permanent(
                            f"the metrics store at {self.url} answers {query} with more than {self.most_bytes:,} bytes",
                            remedy="shorten policy.analysis_window_seconds, or let the store keep fewer labels of these series",
                        )
                text = body.decode()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = without_passwords(why(error))[:300]
            raise Unreachable(f"the metrics store at {self.url} does not answer: {reason}", remedy=LOOK) from error
        if answer.status >= 500 or answer.status == 429:
            raise Unreachable(f"the metrics store at {self.url} answers {answer.status}: {text[:200]}", remedy=LOOK)
        if answer.status in (401, 403):
            raise Forbidden(
                f"the metrics store at {self.url} answers {answer.status}: {text[:200]}",
                status=answer.status,
                remedy="set metrics.url in migration.yaml to an address that answers without a login",
            )
        if answer.status != 200:
            raise Permanent(f"the metrics store at {self.url} refuses ({answer.status}) {query}: {text[:200]}", remedy=LOOK)
        return text
