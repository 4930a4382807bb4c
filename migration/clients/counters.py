"""Reads a gateway's own counters from its Prometheus text pages, once a second, to take a bad service back in seconds.

Dialects: `envoy` reads the counters of Envoy's clusters (a proxy without Istio's own metrics), `istio` those of Istio's
proxies, which count requests in `istio_requests_total` (their cluster counters are off by default, so `active` is not
known there and 0).

How an answer ended is told by its HTTP status and, for gRPC, by the status in its trailers (`model.class_of`). Istio has
both on one series. Envoy counts the same answers up to three times: by class, by single code, and (`cluster.NAME.grpc.N`,
where its filter grpc_stats is on, as istiod has it) by gRPC status; `tally` puts them together again.

A service's forwards are told by their host (`catalog.shop.peer.bluegreen.internal`); what it served itself by the hosts
of its original route's destinations. A page cannot tell whose requests a shared destination got: each of its services
gets all of them, so that its errors weigh on both rather than on neither. A proxy counts what came in by the peer
listener like everything else: `peer_in` is not known here, and migration/shift/analysis.py takes the other gateway's forwards
off instead.

Each gateway pod has a page. One that does not answer is that pod's silence: the others count, its own counts stay as they
were and go on when it answers again. Only a gateway of which no page answers is not seen at all.

What is told only grows: where a proxy started anew, what it shows is added to what it had counted before. A page behind
which several proxies answer in turn (a load balancer's address) tells nothing, and that is said instead of a number. One
proxy is told from another by the start of Istio's agent, or its uptime, or (a page with neither) by counts that fall.

A page has thousands of lines and few of them change: lines are looked at by their first bytes before anything is parsed,
and what a series means is worked out once.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import routing
from access.causes import why
from migration.discretion import without_passwords
from migration.errors import BluegreenError, Permanent, Unreachable
from migration.model import GRPC_ERRORS, GatewayCounters, ServiceCounters, Tally, class_of

if TYPE_CHECKING:
    import aiohttp

Dialect = Literal["envoy", "istio"]
# For one page, so well below the time that a sample of the whole gateway may take: a page that hangs must not keep the
# others' numbers back.
READ_SECONDS = 0.6
LABEL = re.compile(r'(?<!\w)(\w++)="((?:[^"\\]|\\.)*+)"')
NUMBER = re.compile(r"[0-9]{1,9}")
ACTIVE = "envoy_cluster_upstream_rq_active{"
GRPC = "envoy_cluster_grpc_"
# Envoy's 5xx class has what it answered itself too: no endpoint, no connection, no answer in time. Requests whose
# client went away are in no class: with a service that hangs, they would look like finished ones.
WANTED = {
    "envoy": ("envoy_cluster_upstream_rq{", "envoy_cluster_upstream_rq_xx{", ACTIVE, GRPC),
    "istio": ("istio_requests_total{",),
}
UPTIME = "envoy_server_uptime"
BORN = "istio_agent_process_start_time_seconds"  # of the program beside the proxy: one start, one number
UPTIME_LAG_SECONDS = 12.0  # Envoy tells its uptime as it was at the last flush of its statistics
ANSWER_SECONDS = 2.0  # between what a page says and when we have read it
TURNS_SECONDS = 600.0  # two foreign proxies behind one page within this time: they answer in turn
# Any line that the text format knows; a login page or a list of files has none.
FORMAT = re.compile(r"^(?:# (?:TYPE|HELP) |[A-Za-z_:][\w:]*(?:\{.*\})? (?:[-+]?[0-9]|[-+]?Inf\b|NaN\b))", re.MULTILINE)


class Series(NamedTuple):
    """What one line of a page counts: answers of `host` with an HTTP status ("404", a class "4xx", "0": none came, "":
    not told) and a gRPC status ("": none, or not told).
    """

    host: str
    code: str
    grpc_status: str


@lru_cache(maxsize=1 << 16)
def series_of(text: str, dialect: Dialect) -> Series | None:
    """`text`: name and labels as a page has them. None: it counts no answers that a gateway sent for."""
    name, _, rest = text.partition("{")
    return series(name, dict(LABEL.findall(rest)), dialect)


def series(name: str, labels: Mapping[str, str], dialect: Dialect) -> Series | None:
    """What a series counts, by its name and labels; None: no answers that a gateway sent for."""
    if dialect == "istio":
        # only what the proxy sent; the host of a forward is as its ServiceEntry has it
        host = labels.get("destination_service", "") if labels.get("reporter", "source") == "source" else ""
        code = labels.get("response_code", "")
        status = labels.get("grpc_response_status", "")
        return Series(host, code, status if NUMBER.fullmatch(status) else "") if host and code else None
    cluster = labels.get("cluster_name") or labels.get("envoy_cluster_name", "")
    direction, *rest = cluster.split("|")
    if direction != "outbound" or len(rest) != 3:
        return None
    host = rest[-1].rstrip(";")
    if name.startswith(GRPC):
        status = name.removeprefix(GRPC)
        return Series(host, "", status) if NUMBER.fullmatch(status) else None  # not success, failure, total
    # by Istio's rules for names a class is response_code_class="5xx" of upstream_rq, by Envoy's own "5" of upstream_rq_xx
    group = labels.get("response_code_class", labels.get("envoy_response_code_class", ""))[:1]
    code = f"{group}xx" if group else labels.get("response_code", labels.get("envoy_response_code", ""))
    return Series(host, code, "")


def tally(ends: Mapping[tuple[str, str], float]) -> tuple[float, float, dict[str, float]]:
    """Requests, errors and classes of so many answers by (HTTP status, gRPC status), each answer once.

    A class has the answers of its single codes too. A gRPC status without an HTTP status is Envoy's second count of an
    answer whose HTTP status was mostly 200; what Envoy answered itself is a 503 (or 504) and a status 14 at once, so the
    larger of the two numbers of errors counts.
    """
    named: defaultdict[str | None, float] = defaultdict(float)
    single: defaultdict[str, float] = defaultdict(float)
    grpc: defaultdict[str, float] = defaultdict(float)
    grpc_errors = 0.0
    for (code, status), count in ends.items():
        if not code:
            if not status:
                continue
            if int(status) in GRPC_ERRORS:
                grpc_errors += count
            elif status != "0":
                grpc[f"gRPC {int(status)}"] += count
        elif not code.endswith("xx"):
            single[code[0]] += count
            if code[0] != "1" or code == "101":  # 100 and 103 come before the answer
                named[class_of(code, status)] += count
    for (code, _), count in ends.items():
        if code.endswith("xx") and count > single[code[0]]:
            named[class_of(code)] += count - single[code[0]]
    answered = sum(named.values())
    errors = max(named["error"], grpc_errors)
    classes = {name: count for name, count in named.items() if name not in (None, "error")} | dict(grpc)
    # a call's HTTP status comes when it begins to answer, its gRPC status when it ends: seconds later for a stream
    return max(answered, errors + sum(classes.values())), errors, {name: n for name, n in classes.items() if name and n}


@dataclass(frozen=True)
class Look:
    """What one page said: answers by series and open requests by host since its proxy started, and which proxy that is."""

    dialect: Dialect
    counted: Mapping[str, int]
    active: Mapping[str, int] = field(default_factory=dict)
    uptime: float | None = None  # None: not told
    born: float | None = None
    at: float = 0.0  # monotonic


def look(page: str, dialect: Dialect, at: float = 0.0) -> Look:
    """Reads a Prometheus text page. `at`: when it came (monotonic). Lines that cannot be read are left out."""
    counted: dict[str, int] = {}
    active: dict[str, int] = {}
    identity: dict[str, float] = {}
    wanted = (*WANTED[dialect], UPTIME, BORN)
    for line in page.splitlines():
        if not line.startswith(wanted):
            continue
        text, _, number = line.rpartition(" ")
        if " " in text and not text.endswith("}"):  # a time stands after the value
            text, _, number = text.rpartition(" ")
        try:
            value = float(number)
        except ValueError:
            continue  # a cut or broken line tells nothing
        if not math.isfinite(value):
            continue
        if text.startswith(ACTIVE):
            if open_series := series_of(text, dialect):
                active[open_series.host] = active.get(open_series.host, 0) + int(value)
        elif (name := text.partition("{")[0]) in (UPTIME, BORN):
            identity[name] = value
        elif text.endswith("}"):
            counted[text] = counted.get(text, 0) + int(value)
    return Look(dialect, counted, active, identity.get(UPTIME), identity.get(BORN), at)


def growth(now: Look, before: Mapping[str, int]) -> dict[str, Tally]:
    """By host, what came since each series was as in `before`; one that is lower now has begun again at 0."""
    ends: defaultdict[str, defaultdict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))
    for text, value in now.counted.items():
        base = before.get(text, 0)
        more = value - base if value >= base else value
        if more and (counted_series := series_of(text, now.dialect)):
            ends[counted_series.host][counted_series.code, counted_series.grpc_status] += more
    return {host: _whole(*tally(each)) for host, each in ends.items()}


def _whole(requests: float, errors: float, classes: Mapping[str, float]) -> Tally:
    return Tally(int(requests), int(errors), 0, {name: int(count) for name, count in classes.items()})


def destination_hosts(original: Mapping[str, Any]) -> frozenset[str]:
    """Full names of what an original route sends users to; mirrors are not users."""
    namespace = routing.namespace_of(original)
    backends = routing.kind_of(original).backends(original)
    return frozenset(routing.full_host(each.host, namespace) for each in backends if each.protocol == "http")


def service_counters(by_host: Mapping[str, Tally], service: str, local_hosts: Iterable[str]) -> ServiceCounters:
    """One service's part of what a gateway counted. `local_hosts`: its own destinations."""
    local = sum((by_host.get(host, Tally()) for host in local_hosts), Tally())
    return ServiceCounters(local=local, forwarded=by_host.get(routing.peer_host(service), Tally()))


def proxy_of(before: Look, now: Look) -> Literal["same", "anew", "other"]:
    """Whose page this is: the same proxy's, one's that started since the last look, or one's that ran before it.

    A series that is gone from the page says nothing: a proxy forgets what is taken away from it, and what nobody asks for.
    """
    if before.born is not None and before.born == now.born:
        return "same"  # whatever falls was taken away and has come again
    if before.born is not None and now.born is not None:
        moved = True
    elif before.uptime is not None and now.uptime is not None:
        moved = abs((now.at - now.uptime) - (before.at - before.uptime)) > UPTIME_LAG_SECONDS
    else:
        moved = False
    both = before.counted.keys() & now.counted.keys()
    if not moved and not any(now.counted[text] < before.counted[text] for text in both):
        return "same"
    return "anew" if _younger(now, before.at) else "other"


def _younger(now: Look, at: float) -> bool:
    """Whether the page's proxy started after this time."""
    return now.uptime is not None and now.uptime <= now.at - at + ANSWER_SECONDS


@dataclass(frozen=True)
class Followed:
    """One page through time: its counts go on where those of an earlier proxy ended."""

    last: Look
    shown: Mapping[str, int]  # the proxy's series as it told them last, also those that are gone now
    grown: Mapping[str, Tally]  # by host; all that counts
    others_at: tuple[float, ...] = ()  # when a proxy answered that had run before; not older than TURNS_SECONDS

    def total(self, *, with_active: bool = True) -> dict[str, Tally]:
        """By host. Without `active` where the page does not answer: what was open then is not open for ever."""
        active = self.last.active if with_active else {}
        known = self.grown.keys() | active.keys()
        return {host: replace(self.grown.get(host, Tally()), active=active.get(host, 0)) for host in known}

    @property
    def by_turns(self) -> bool:
        """Whether several proxies answer behind this page."""
        return any(later - sooner < TURNS_SECONDS for sooner, later in pairwise(self.others_at))


def follow(before: Followed | None, now: Look, since: float | None = None) -> Followed:
    """What another proxy counted before we looked is not growth; what one that started anew shows is.

    `since`: when the gateway was looked at first, for a page that answers for the first time later than that.
    """
    if before is None:
        seen_all_of_it = since is None or _younger(now, since)
        return Followed(now, now.counted, growth(now, {}) if seen_all_of_it else {})
    others_at = tuple(at for at in before.others_at if now.at - at < TURNS_SECONDS)
    match proxy_of(before.last, now):
        case "same":
            shown = {**before.shown, **now.counted}
            return Followed(now, shown, _added(before.grown, growth(now, before.shown)), others_at)
        case "anew":
            return Followed(now, now.counted, _added(before.grown, growth(now, {})), others_at)
        case "other":
            return Followed(now, now.counted, before.grown, (*others_at, now.at))


def _added(some: Mapping[str, Tally], more: Mapping[str, Tally]) -> dict[str, Tally]:
    return {**some, **{host: some.get(host, Tally()) + tallied for host, tallied in more.items()}}


@dataclass(frozen=True)
class Silence:
    """Why a page tells nothing now: "the gateway's counters at URL" and `why` make a sentence."""

    why: str
    passing: bool = True  # it may answer the next time: a time-out, a 503
    remedy: str | None = None
    cause: Exception | None = None


IN_TURN = Silence(
    "come from another pod at each read (a load-balanced address), so they cannot be used; "
    "list each gateway pod under clusters.<name>.counters.urls in migration.yaml",
    passing=False,
    remedy="list each gateway pod under clusters.<name>.counters.urls, then `bluegreen shift` again",
)


def unseen(silent: Mapping[str, Silence]) -> BluegreenError:
    """What to raise where not one page of a gateway tells anything."""
    reasons = [f"{url} {each.why}" for url, each in silent.items()]
    remedy = next((each.remedy for each in silent.values() if each.remedy), None)
    passing = any(each.passing for each in silent.values())
    text = f"the gateway's counters at {'; at '.join(reasons)}"
    return Unreachable(text, remedy=remedy) if passing else Permanent(text, remedy=remedy)


class PageCounters:
    """The counters of one gateway: the pages of all its pods, added up."""

    def __init__(
        self,
        urls: Sequence[str],
        dialect: Dialect,
        originals: Mapping[str, Mapping[str, Any]],
        *,
        read_seconds: float = READ_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`originals`: the enrolled routes by service, which say whose hosts are whose. `read_seconds`: for each page."""
        self._addresses = {without_passwords(url): url for url in urls}
        self.urls = tuple(self._addresses)  # for words
        self.dialect = dialect
        self._hosts = {service: destination_hosts(original) for service, original in originals.items()}
        self._followed: dict[str, Followed] = {}
        self._since: float | None = None
        self._read_seconds = read_seconds
        self._monotonic = monotonic
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def read(self) -> GatewayCounters:
        """`services` never falls: a page that does not answer is in it with what it told last. Raises Unreachable (Permanent
        where asking again will not help) if no page tells anything.
        """
        silent: dict[str, Silence] = {}
        for url, (page, at) in (await self._ask()).items():
            if isinstance(page, Silence):
                silent[url] = page
                continue
            followed = follow(self._followed.get(url), look(page, self.dialect, at), self._since)
            self._followed[url] = followed
            if followed.by_turns:
                silent[url] = IN_TURN
        if len(silent) == len(self.urls):
            raise unseen(silent) from next((each.cause for each in silent.values() if each.cause), None)
        if self._since is None:
            self._since = self._monotonic()
        pods = {url: self._services(each.total()) for url, each in self._followed.items() if url not in silent}
        total: dict[str, Tally] = {}
        for url, each in self._followed.items():
            for host, counted in each.total(with_active=url not in silent).items():
                total[host] = total.get(host, Tally()) + counted
        return GatewayCounters(self._services(total), pods=pods, silent={url: each.why for url, each in silent.items()})

    async def silent(self) -> dict[str, str]:
        """Which pages do not answer now, and why."""
        return {url: page.why for url, (page, _) in (await self._ask()).items() if isinstance(page, Silence)}

    def _services(self, by_host: Mapping[str, Tally]) -> dict[str, ServiceCounters]:
        return {service: service_counters(by_host, service, local_hosts) for service, local_hosts in self._hosts.items()}

    async def _ask(self) -> dict[str, tuple[str | Silence, float]]:
        """Each page, or why there is none, and when it came."""

        async def one(url: str) -> tuple[str | Silence, float]:
            page = await self._page(url)
            return page, self._monotonic()

        return dict(zip(self.urls, await asyncio.gather(*(one(url) for url in self.urls)), strict=True))

    async def _page(self, url: str) -> str | Silence:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._read_seconds))
        try:
            async with self._session.get(self._addresses[url]) as answer:
                body = await answer.read()
        except TimeoutError as error:
            return Silence(f"do not answer within {self._read_seconds:g} s", cause=error)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Silence(f"do not answer: {without_passwords(why(error))[:300]}", cause=error)
        if answer.status >= 500:
            return Silence(f"answer {answer.status}")
        remedy = "put the address of its Prometheus page under clusters.<name>.counters.url"
        if answer.status != 200:
            return Silence(f"answer {answer.status}", passing=False, remedy=remedy)
        page = body.decode(errors="replace")
        if not FORMAT.search(page):
            return Silence(f"are no Prometheus page: {page[:80]!r}", passing=False, remedy=remedy)
        if not page.endswith("\n"):
            return Silence(f"are cut short after {len(body)} bytes")
        return page
