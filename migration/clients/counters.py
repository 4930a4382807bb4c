"""Reads a gateway's own counters from its Prometheus text page, once a second, to take a bad service back in seconds.

Dialects: `envoy` reads the counters of Envoy's clusters (a proxy without Istio's own metrics), `istio` those of Istio's
proxies, which count requests in `istio_requests_total` (their cluster counters are off by default, so `active` is not
known there and 0).

A service's forwards are told by their host (`catalog.shop.peer.bluegreen.internal`); what it served itself by the hosts
of its original route's destinations. A page cannot tell whose requests a shared destination got: each of its services
gets all of them, so that its errors weigh on both rather than on neither. A proxy counts what came in by the peer
listener like everything else: `peer_in` is not known here, and migration/analysis.py takes the other gateway's forwards
off instead.

What is told only grows: where a proxy started anew, what it shows is added to what it had counted before. A page behind
which several proxies answer in turn (a load balancer's address) tells nothing, and that is said instead of a number. One
proxy is told from another by the start of Istio's agent, or its uptime, or (a page with neither) by counts that fall.

A page has thousands of lines and only a few matter; lines are looked at by their first bytes before anything is parsed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from migration.errors import Permanent, Unreachable
from migration.model import GatewayCounters, ServiceCounters, Tally
from routing import peer_host

if TYPE_CHECKING:
    import aiohttp

Dialect = Literal["envoy", "istio"]
READ_SECONDS = 0.8
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Envoy's 5xx class has what it answered itself too: no endpoint, no connection, no answer in time. Requests whose
# client went away are in no class: with a service that hangs, they would look like finished ones.
WANTED = {
    "envoy": ("envoy_cluster_upstream_rq{", "envoy_cluster_upstream_rq_xx{", "envoy_cluster_upstream_rq_active{"),
    "istio": ("istio_requests_total{",),
}
UPTIME = "envoy_server_uptime"
BORN = "istio_agent_process_start_time_seconds"  # of the program beside the proxy: one start, one number
UPTIME_LAG_SECONDS = 12.0  # Envoy tells its uptime as it was at the last flush of its statistics
ANSWER_SECONDS = 2.0  # between what a page says and when we have read it
TURNS_SECONDS = 600.0  # two foreign proxies behind one page within this time: they answer in turn


@dataclass(frozen=True)
class Line:
    name: str
    labels: Mapping[str, str]
    value: float


def lines(page: str, dialect: Dialect) -> Iterable[Line]:
    """The lines of a page that count requests, and those that tell one proxy from another."""
    wanted = (*WANTED[dialect], UPTIME, BORN)
    for text in page.splitlines():
        if not text.startswith(wanted):
            continue
        series, _, value = text.rpartition(" ")
        name, _, labels = series.partition("{")
        try:
            yield Line(name, dict(LABEL.findall(labels)), float(value))
        except ValueError:
            continue  # a cut or broken line tells nothing


@dataclass(frozen=True)
class Look:
    """What one page said: requests by destination host since its proxy started, and which proxy that is."""

    counted: Mapping[str, Tally]
    uptime: float | None = None  # None: not told
    born: float | None = None
    at: float = 0.0  # monotonic


def look(page: str, dialect: Dialect, at: float = 0.0) -> Look:
    requests: dict[str, float] = defaultdict(float)
    errors: dict[str, float] = defaultdict(float)
    active: dict[str, float] = defaultdict(float)
    identity: dict[str, float] = {}
    for line in lines(page, dialect):
        if line.value != line.value:  # NaN
            continue
        if line.name in (UPTIME, BORN):
            identity[line.name] = line.value
            continue
        host = _host(line, dialect)
        if not host:
            continue
        if line.name.endswith("_active"):
            active[host] += line.value
            continue
        if dialect == "envoy" and not _class(line):
            continue  # the same requests by single code
        requests[host] += line.value
        if _failed(line, dialect):
            errors[host] += line.value
    known = requests.keys() | active.keys()
    counted = {host: Tally(int(requests[host]), int(errors[host]), int(active[host])) for host in known}
    return Look(counted, identity.get(UPTIME), identity.get(BORN), at)


def _host(line: Line, dialect: Dialect) -> str:
    if dialect == "istio":
        # only what the proxy sent; the host of a forward is as its ServiceEntry has it
        return line.labels.get("destination_service", "") if line.labels.get("reporter", "source") == "source" else ""
    cluster = line.labels.get("cluster_name") or line.labels.get("envoy_cluster_name", "")
    direction, *rest = cluster.split("|")
    return rest[-1].rstrip(";") if direction == "outbound" and len(rest) == 3 else ""


def _failed(line: Line, dialect: Dialect) -> bool:
    if dialect == "istio":
        # 0: the connection went before an answer came
        code = line.labels.get("response_code", "")
        return code == "0" or (code.startswith("5") and len(code) == 3)
    return _class(line) == "5"


def _class(line: Line) -> str:
    """By Istio's rules for names it is response_code_class="5xx" of upstream_rq, by Envoy's own "5" of upstream_rq_xx."""
    return line.labels.get("response_code_class", line.labels.get("envoy_response_code_class", ""))[:1]


def destination_hosts(original: Mapping[str, Any], domain: str = "cluster.local") -> frozenset[str]:
    """Full names of what an original route sends users to; mirrors are not users."""
    namespace = original["metadata"].get("namespace") or "default"
    found = set()
    for rule in (original.get("spec") or {}).get("http") or []:
        for each in rule.get("route") or []:
            host = str((each.get("destination") or {}).get("host", ""))
            found.add(host if "." in host else f"{host}.{namespace}.svc.{domain}")
    return frozenset(found - {""})


def service_counters(by_host: Mapping[str, Tally], service: str, local_hosts: Iterable[str]) -> ServiceCounters:
    local = sum((by_host.get(host, Tally()) for host in local_hosts), Tally())
    return ServiceCounters(local=local, forwarded=by_host.get(peer_host(service), Tally()))


def proxy_of(before: Look, now: Look) -> Literal["same", "anew", "other"]:
    """Whose page this is: the same proxy's, one's that started since the last look, or one's that ran before it.

    A destination that is gone from the page says nothing: a proxy forgets what is taken away from it.
    """
    both = before.counted.keys() & now.counted.keys()
    fell = any(_less(now.counted[host], before.counted[host]) for host in both)
    if before.born is not None and now.born is not None:
        moved = before.born != now.born
    elif before.uptime is not None and now.uptime is not None:
        moved = abs((now.at - now.uptime) - (before.at - before.uptime)) > UPTIME_LAG_SECONDS
    else:
        moved = False
    if not moved and not fell:
        return "same"
    younger = now.uptime is not None and now.uptime <= now.at - before.at + ANSWER_SECONDS
    return "anew" if younger else "other"


def _less(now: Tally, before: Tally) -> bool:
    return now.requests < before.requests or now.errors < before.errors


@dataclass(frozen=True)
class Followed:
    """One page through time: its counts go on where those of an earlier proxy ended."""

    last: Look
    carried: Mapping[str, Tally] = field(default_factory=dict)  # added to what the page shows
    others_at: tuple[float, ...] = ()  # when a proxy answered that had run before

    @property
    def total(self) -> dict[str, Tally]:
        known = self.last.counted.keys() | self.carried.keys()
        return {host: self.last.counted.get(host, Tally()) + self.carried.get(host, Tally()) for host in known}

    @property
    def by_turns(self) -> bool:
        return any(later - sooner < TURNS_SECONDS for sooner, later in pairwise(self.others_at))


def follow(before: Followed | None, now: Look) -> Followed:
    """What another proxy counted before we looked is not growth; what one that started anew shows is."""
    if before is None:
        return Followed(now)
    match proxy_of(before.last, now):
        case "same":
            gone = before.last.counted.keys() - now.counted.keys()
            kept = _finished({host: before.total[host] for host in gone})
            return replace(before, last=now, carried={**before.carried, **kept})
        case "anew":
            return replace(before, last=now, carried=_finished(before.total))
        case "other":
            known = before.total.keys() | now.counted.keys()
            carried = {host: before.total.get(host, Tally()) - now.counted.get(host, Tally()) for host in known}
            return Followed(now, _finished(carried), (*before.others_at, now.at))


def _finished(tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    return {host: replace(tally, active=0) for host, tally in tallies.items()}


class PageCounters:
    """The counters of one gateway: all pages of its proxies added up."""

    def __init__(
        self,
        urls: Sequence[str],
        dialect: Dialect,
        originals: Mapping[str, Mapping[str, Any]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`originals`: the enrolled routes by service; they say which hosts are a service's own."""
        self.urls = tuple(urls)
        self.dialect = dialect
        self._hosts = {service: destination_hosts(original) for service, original in originals.items()}
        self._followed: dict[str, Followed] = {}
        self._monotonic = monotonic
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def read(self) -> GatewayCounters:
        pages = await asyncio.gather(*(self._page(url) for url in self.urls))
        total: dict[str, Tally] = {}
        for url, page in zip(self.urls, pages, strict=True):
            seen = look(page, self.dialect, self._monotonic())
            followed = self._followed[url] = follow(self._followed.get(url), seen)
            for host, tally in followed.total.items():
                total[host] = total.get(host, Tally()) + tally
        self._refuse_turns()
        services = {service: service_counters(total, service, local_hosts) for service, local_hosts in self._hosts.items()}
        return GatewayCounters(services)

    def _refuse_turns(self) -> None:
        for url, followed in self._followed.items():
            if followed.by_turns:
                raise Permanent(
                    f"the gateway's counters at {url} are now one proxy's, now another's, and tell nothing; "
                    "list each gateway pod under clusters.<name>.counters.urls in migration.yaml",
                    remedy="list each gateway pod under clusters.<name>.counters.urls, then `bluegreen shift` again",
                )

    async def _page(self, url: str) -> str:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=READ_SECONDS))
        try:
            async with self._session.get(url) as answer:
                body = await answer.read()
                if answer.status >= 500:
                    raise Unreachable(f"the gateway's counters at {url} answer {answer.status}")
                if answer.status != 200:
                    raise Permanent(
                        f"the gateway's counters at {url} answer {answer.status}",
                        remedy="put the address of its Prometheus page under clusters.<name>.counters.url",
                    )
                return body.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"the gateway's counters at {url} do not answer: {error!r}") from error
