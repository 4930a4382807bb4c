"""A DNS server that answers from Route 53: weighted sets by their weights, each answer with its TTL.

Weight 0 is not chosen while another is above 0; all zero is an equal choice. Source: Route 53's developer guide.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, SOA, TXT, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSServer

from lab.aws.network import load_balancer_addresses
from lab.aws.record_sets import RecordSet

NEGATIVE_SECONDS = 1
ALIAS_SECONDS = 60  # what Route 53 says for an alias to a load balancer
LONGEST_CHAIN = 8
ZoneSets = dict[str, list[RecordSet]]
Zones = Callable[[], ZoneSets]


def choose(sets: Iterable[RecordSet], draw: random.Random) -> RecordSet | None:
    """One of the record sets of a name and type: the only one, or one of the weighted by weight."""
    offered = list(sets)
    if not offered:
        return None
    weights = [each.get("Weight", 1) for each in offered]
    return draw.choices(offered, weights if any(weights) else None)[0]


def matching(sets: Iterable[RecordSet], name: str) -> list[RecordSet]:
    """All sets of the name, or of the nearest wildcard above it."""
    offered = list(sets)
    exact = [each for each in offered if each["Name"] == name]
    above = name
    while not exact and above.count(".") > 1:
        above = above.partition(".")[2]
        exact = [each for each in offered if each["Name"] == "*." + above]
        if any(("." + each["Name"]).endswith("." + above) for each in offered):
            break  # a wildcard further up does not reach below a name that is there
    return exact


class Resolver(BaseResolver):  # type: ignore[misc]
    """Answers for the zones given; everything else is refused."""

    def __init__(self, zones: Zones) -> None:
        self.zones = zones
        self.draw = random.Random()

    def resolve(self, request: DNSRecord, handler: DNSHandler | None) -> DNSRecord:
        reply = request.reply()
        name, kind = str(request.q.qname).lower(), QTYPE[request.q.qtype]
        zones = self.zones()
        zone = max((each for each in zones if ("." + name).endswith("." + each)), key=len, default=None)
        if zone is None:
            reply.header.rcode = RCODE.REFUSED
            return reply
        for owner, record_kind, ttl, value in self._answers(zones, name, kind):
            reply.add_answer(RR(owner, QTYPE.reverse[record_kind], ttl=ttl, rdata=_data(record_kind, value)))
        if reply.rr:
            return reply
        if kind == "SOA" and name == zone:
            reply.add_answer(_soa(zone))
            return reply
        if name != zone and not _exists(zones[zone], name):
            reply.header.rcode = RCODE.NXDOMAIN
        reply.add_auth(_soa(zone))
        return reply

    def _answers(self, zones: ZoneSets, name: str, kind: str) -> list[tuple[str, str, int, str]]:
        """(owner, type, ttl, value) of each record: through aliases, and along CNAMEs as far as our zones reach."""
        answers: list[tuple[str, str, int, str]] = []
        owner, now = name, name
        for _ in range(LONGEST_CHAIN):
            candidates = [each for each in _sets_of(zones, now) if each["Type"] in (kind, "CNAME")]
            chosen = choose(candidates, self.draw)
            if chosen is None:
                break
            if "AliasTarget" in chosen:
                now = chosen["AliasTarget"]["DNSName"]
                behind = load_balancer_addresses(now, self.draw) if kind == "A" else []
                if behind:
                    return answers + [(owner, "A", ALIAS_SECONDS, address) for address in behind]
                continue
            values = chosen["ResourceRecords"]
            answers += [(owner, chosen["Type"], chosen["TTL"], value) for value in values]
            if chosen["Type"] == kind:
                break
            owner = now = values[0].lower().rstrip(".") + "."
        return answers


def _sets_of(zones: ZoneSets, name: str) -> list[RecordSet]:
    zone = max((each for each in zones if ("." + name).endswith("." + each)), key=len, default=None)
    return matching(zones[zone], name) if zone else []


def _exists(sets: list[RecordSet], name: str) -> bool:
    """Whether something is at or below the name, or a wildcard covers it."""
    return bool(matching(sets, name)) or any(("." + each["Name"]).endswith("." + name) for each in sets)


def _soa(zone: str) -> RR:
    times = (1, 7200, 900, 1209600, NEGATIVE_SECONDS)
    return RR(zone, QTYPE.SOA, ttl=NEGATIVE_SECONDS, rdata=SOA("ns." + zone, "hostmaster." + zone, times))


def _data(kind: str, value: str) -> A | AAAA | CNAME | TXT:
    return {"A": A, "AAAA": AAAA, "CNAME": CNAME}.get(kind, TXT)(value.strip('"'))


def serve(address: str, port: int, zones: Zones) -> list[DNSServer]:
    """Starts UDP and TCP servers in threads of their own."""
    servers = [DNSServer(Resolver(zones), address=address, port=port, tcp=tcp, logger=_Quiet()) for tcp in (False, True)]
    for server in servers:
        server.start_thread()
    return servers


class _Quiet:
    """dnslib logs every query; only what goes wrong is of use here."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return self._error if name == "log_error" else self._nothing

    def _nothing(self, *_: object) -> None: ...

    def _error(self, handler: object, error: object) -> None:
        print(f"dns: {error}", flush=True)
