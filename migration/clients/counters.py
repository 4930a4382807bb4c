"""Reads a gateway's own counters from its Prometheus text page, once a second, to take a bad service back in seconds.

Dialects: `envoy` reads the counters of Envoy's clusters (a proxy without Istio's own metrics), `istio` those of Istio's
proxies, which count requests in `istio_requests_total` (their cluster counters are off by default, so `active` is not
known there and 0).

A service's forwards are told by their host (`catalog.shop.peer.bluegreen.internal`); what it served itself by the hosts
of its original route's destinations. A page cannot tell whose requests a shared destination got: each of its services
gets all of them, so that its errors weigh on both rather than on neither. A proxy counts what came in by the peer
listener like everything else: `peer_in` is not known here, and migration/analysis.py takes the other gateway's forwards
off instead.

A page has thousands of lines and only a few matter; lines are looked at by their first bytes before anything is parsed.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Line:
    name: str
    labels: Mapping[str, str]
    value: float


def lines(page: str, dialect: Dialect) -> Iterable[Line]:
    """The lines of a page that count requests, and the proxy's uptime."""
    wanted = (*WANTED[dialect], UPTIME)
    for text in page.splitlines():
        if not text.startswith(wanted):
            continue
        series, _, value = text.rpartition(" ")
        name, _, labels = series.partition("{")
        try:
            yield Line(name, dict(LABEL.findall(labels)), float(value))
        except ValueError:
            continue  # a cut or broken line tells nothing


def hosts(page: str, dialect: Dialect) -> tuple[dict[str, Tally], float | None]:
    """What one proxy counted by destination host since it started, and for how long it has run (None: not told)."""
    requests: dict[str, float] = defaultdict(float)
    errors: dict[str, float] = defaultdict(float)
    active: dict[str, float] = defaultdict(float)
    uptime: float | None = None
    for line in lines(page, dialect):
        if line.value != line.value:  # NaN
            continue
        if line.name == UPTIME:
            uptime = line.value
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
    return {host: Tally(int(requests[host]), int(errors[host]), int(active[host])) for host in known}, uptime


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


class PageCounters:
    """The counters of one gateway: all pages of its proxies added up."""

    def __init__(self, urls: Sequence[str], dialect: Dialect, originals: Mapping[str, Mapping[str, Any]]) -> None:
        """`originals`: the enrolled routes by service; they say which hosts are a service's own."""
        self.urls = tuple(urls)
        self.dialect = dialect
        self._hosts = {service: destination_hosts(original) for service, original in originals.items()}
        self._seen: dict[str, tuple[float, int, int]] = {}  # uptime, requests, starts
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def read(self) -> GatewayCounters:
        pages = await asyncio.gather(*(self._page(url) for url in self.urls))
        total: dict[str, Tally] = {}
        for url, page in zip(self.urls, pages, strict=True):
            counted, uptime = hosts(page, self.dialect)
            self._note_start(url, uptime or 0.0, sum(tally.requests for tally in counted.values()))
            for host, tally in counted.items():
                total[host] = total.get(host, Tally()) + tally
        services = {service: service_counters(total, service, local_hosts) for service, local_hosts in self._hosts.items()}
        return GatewayCounters(services, epoch=",".join(str(self._seen[url][2]) for url in self.urls))

    def _note_start(self, url: str, uptime: float, requests: int) -> None:
        """A proxy that has run shorter than at the last look, or counted less, started anew."""
        last_uptime, last_requests, starts = self._seen.get(url, (0.0, 0, 0))
        again = uptime < last_uptime or requests < last_requests
        self._seen[url] = (uptime, requests, starts + again)

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
