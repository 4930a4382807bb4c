"""Enrolls services, and unenrolls them.

`enroll` stores a service's original route beside the stack file (to be reviewed and committed), lists it at 0 there, and
makes on both clusters what a route needs before it may forward: the peer listener and the rule of connections to the other
one, the other side's destination, the peer route, the record. At 0 blue's public route serves what the original does, with
a forward of weight 0 beside it, and green's forwards everything to blue. Run again after it was cut short, it makes what is
missing; run again with a newer version, what the hop needs since then, also under services that have users on green.
`unenroll` puts the original spec back on both sides first, equal as JSON, and only then takes away what it had needed. The
peer listener and its rule belong to the edge stack: they go with it, after the routes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import routing
from migration.errors import BluegreenError, Held
from migration.model import LOCK_MANAGER, MANAGER, Side
from migration.objects.kinds import CONFIG_MAP, DOMAIN, POD, Object, name_of
from migration.ownership.owners import managers_of
from migration.ports import Kubernetes, returned, routes
from migration.settings.named import refuse_not_enrolled, refuse_unknown
from migration.settings.stack_file import Edge, StackFile, forget_route, keep_route, read_route
from migration.store.events import Change, Event, Op, Outcome, open_intents
from migration.store.journal import Journal

log = logging.getLogger(__name__)
_AGAIN = re.compile(r"(^|[;,]? (then|and run) )the same command again.*")  # the end of a remedy that goes on with another


@dataclass(frozen=True)
class Candidate:
    service: str
    original: Object
    refusals: tuple[routing.Refusal, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it cannot be shifted, in words."""
        return tuple(refusal.text for refusal in self.refusals)


async def candidates(blue: Kubernetes, wanted: Sequence[str], enrolled: Sequence[str]) -> list[Candidate]:
    """Routes of blue bound to a gateway, as they are; those asked for, or all that can be shifted."""
    live = routing.by_service(await routes.listed(blue))
    public = {service: route for service, route in live.items() if not routing.is_peer(service)}
    plurals = ",".join(kind.resource.plural for kind in routing.registered())
    refuse_unknown(
        wanted,
        public.keys() | frozenset(enrolled),
        lacks=f"cluster {blue.name} has no {routing.called()}",
        heading="it has",
        remedy=f"`kubectl get {plurals} -A` lists them; a service is NAMESPACE/NAME of one bound to a gateway",
    )
    possible = []
    for service in sorted((public.keys() & frozenset(wanted or public)) - frozenset(enrolled)):
        original = original_of(public[service])
        refused = tuple(routing.refusals(original))
        if wanted or routing.RefusalCode.NO_GATEWAY not in [refusal.code for refusal in refused]:
            possible.append(Candidate(service, original, refused))
    return possible


def original_of(item: Mapping[str, Any]) -> Object:
    """A live route as its owner wrote it, to be stored."""
    meta, resource = item["metadata"], routing.kind_of(item).resource
    kept = {key: dict(meta[key]) for key in ("labels", "annotations") if meta.get(key)}
    notes = {k: v for k, v in kept.get("annotations", {}).items() if not k.startswith((DOMAIN, "kubectl.kubernetes.io/"))}
    if notes:
        kept["annotations"] = notes
    else:
        kept.pop("annotations", None)
    original = routing.object_of(resource, meta["namespace"], meta["name"], item["spec"])
    original["metadata"] |= kept
    return original


async def enroll(
    chosen: Sequence[Candidate],
    *,
    clusters: Mapping[Side, Kubernetes],
    peers: Mapping[Side, routing.Peer],
    file: StackFile,
    journal: Journal,
) -> Edge:
    """`peers`: how the gateway of that side reaches the other one."""
    refuse_unshiftable(chosen)
    edge = file.read()
    moving = [c.service for c in chosen if edge.services.get(c.service)]
    if moving:
        raise Held(f"already enrolled and above 0 %: {', '.join(moving)}", remedy="`bluegreen status` says where they are")
    await asyncio.gather(*map(_refuse_gateway_elsewhere, clusters.values()))
    originals = {c.service: c.original for c in chosen}
    for service, original in originals.items():
        if routing.kept_original(original) is None:
            log.warning(
                "%s: its route is larger than the clusters can keep a copy of (%d bytes): keep its file in version control, "
                "a rollback needs it",
                service,
                routing.MOST_ORIGINAL_BYTES,
            )
    left_open = _open(journal.events, originals)
    ids = journal.promise(Op.ENROLL, [Change(c.service, None, 0) for c in chosen])
    for service, original in originals.items():
        keep_route(file.routes_folder, service, original)
    edge = file.write(services=dict.fromkeys(originals, 0))
    results = await asyncio.gather(
        *(make(clusters[side], side, peers[side], edge, originals) for side in clusters), return_exceptions=True
    )
    for problem in results:
        if isinstance(problem, BluegreenError):
            first = _AGAIN.sub("", problem.remedy or problem.usual or "")
            first = f"{first}, then " if first else ""
            problem.remedy = (
                f"{first}`bluegreen enroll {' '.join(originals)}` again: it makes what is missing; all of it is at 0 % in "
                f"{file.path}, no user is moved"
            )
        if isinstance(problem, BaseException):
            raise problem
    journal.outcomes(Op.ENROLL, ids, [Outcome(service, 0, "enrolled") for service in originals])
    for event in left_open:
        journal.outcomes(Op.ENROLL, {event.target: event.id}, [Outcome(event.target, 0, "made again by a later enroll")])
    return edge


def refuse_unshiftable(chosen: Iterable[Candidate]) -> None:
    """Raises Held with every reason for which a route cannot be shifted."""
    refused = [f"{c.service}: {reason}" for c in chosen for reason in c.reasons]
    if refused:
        raise Held(
            "these routes cannot be shifted:\n  " + "\n  ".join(refused),
            remedy="change them on blue, or leave them out: `bluegreen enroll` without a name enrolls what can be shifted",
        )


async def _refuse_gateway_elsewhere(cluster: Kubernetes) -> None:
    """The hop's objects are exported to one namespace; a gateway in another would answer 503 for every forward."""
    labels = ",".join(f"{key}={value}" for key, value in routing.GATEWAY_LABELS.items())
    pods = (await cluster.list(POD, labels=labels, metadata_only=True)).items
    namespaces = {str(pod["metadata"].get("namespace")) for pod in pods}
    if namespaces and routing.GATEWAY_NAMESPACE not in namespaces:
        raise Held(
            f"the gateway pods ({labels}) of {cluster.name} are in {', '.join(sorted(namespaces))}; what routes forward to is "
            f"made known to gateways in {routing.GATEWAY_NAMESPACE} alone, these would answer 503",
            remedy=f"run the gateway in {routing.GATEWAY_NAMESPACE} (Istio's gateway chart, --namespace), "
            "then `bluegreen enroll` again",
        )


def _open(events: Iterable[Event], services: Collection[str]) -> list[Event]:
    """Intents of an `enroll` that was cut short."""
    return [event for event in open_intents(events) if event.op == Op.ENROLL and event.target in services]


async def unfinished(
    clusters: Mapping[Side, Kubernetes],
    edge: Edge,
    originals: Mapping[str, Object],
    *,
    wanted: Sequence[str] = (),
    events: Iterable[Event] = (),
) -> list[Candidate]:
    """Services of the file whose `enroll` was cut short: some object is not in place, or the journal still waits for it.

    Only those at 0 in the file and at blue's gateway: where users may be on green already, what is not in place is for
    `shift` and `rollback` to judge.
    """
    kinds = routing.used(originals.values())
    resources = [resource for kind in kinds for resource in (kind.resource, *kind.supporting)]
    listed = await asyncio.gather(*(_live(cluster, resources) for cluster in clusters.values()))
    live = dict(zip(clusters, listed, strict=True))
    begun = {event.target for event in _open(events, edge.services)}
    cut_short = []
    for service, split in sorted(edge.services.items()):
        if split or (wanted and service not in wanted):
            continue
        original = originals[service]
        public = live["blue"].get((original["kind"], service))
        written = public is not None and MANAGER in managers_of(public)
        if written and public and routing.live_split(public, original, "blue") != 0:
            continue
        if service in begun or any(lacks(live[side], original, side) for side in clusters):
            # blue's owner may have changed a route that the edge has not written yet
            goes_on = original if written or public is None else original_of(public)
            cut_short.append(Candidate(service, goes_on, tuple(routing.refusals(goes_on))))
    return cut_short


Live = Mapping[tuple[str, str], Object]  # by kind and `namespace/name`


async def _live(cluster: Kubernetes, resources: Iterable[routing.Resource]) -> Live:
    listings = await asyncio.gather(*(cluster.list(resource) for resource in dict.fromkeys(resources)))
    return {routing.identity_of(item): item for listing in listings for item in listing.items}


def lacks(live: Live, original: Object, side: Side) -> bool:
    """Whether a gateway is without something that a service at 0 needs. Pure.

    A public route that the edge has written and somebody changed is not missing: overwriting it would be fighting.
    """
    needed = [*routing.edge_objects([original]), *routing.hop_objects(original)]
    public = live.get(routing.identity_of(original))
    if public is None or MANAGER not in managers_of(public):
        return True
    if not routing.has_forward(public) and routing.live_split(public, original, side) is not None:
        return True  # unenrolled once and enrolled anew: it is the original still
    return any(routing.identity_of(obj) not in live for obj in needed)


async def hop_lacks(
    clusters: Mapping[Side, Kubernetes], peers: Mapping[Side, routing.Peer], originals: Mapping[str, Object]
) -> dict[Side, list[Object]]:
    """By side, what routes forward by and the gateway is without: never made, taken away, or of an earlier version."""
    if not originals:
        return {}
    supporting = [resource for kind in routing.used(originals.values()) for resource in kind.supporting]

    async def one(side: Side) -> list[Object]:
        live = await _live(clusters[side], supporting)
        edge = routing.edge_objects(originals.values())
        needed = chain(edge, *(routing.destinations(each, peers[side]) for each in originals.values()))
        return [obj for obj in needed if not _serves(live.get(routing.identity_of(obj)), obj)]

    return dict(zip(clusters, await asyncio.gather(*map(one, clusters)), strict=True))


def _serves(live: Mapping[str, Any] | None, needed: Mapping[str, Any]) -> bool:
    """Addresses and selectors are their owner's business; how a connection is made and who sees it are the hop's."""
    if live is None:
        return False
    spec, wanted = live.get("spec") or {}, needed["spec"]
    return all(spec.get(key) == wanted.get(key) for key in ("exportTo", "trafficPolicy"))


async def mend_hop(clusters: Mapping[Side, Kubernetes], lacking: Mapping[Side, Sequence[Object]]) -> None:
    """Writes what `hop_lacks` found. No split changes, and what is being forwarded goes on."""
    await asyncio.gather(
        *(
            clusters[side].apply(routing.resource_of(obj), obj, manager=MANAGER, force=True)
            for side, objects in lacking.items()
            for obj in objects
        )
    )


async def require_hop(
    clusters: Mapping[Side, Kubernetes], peers: Mapping[Side, routing.Peer], originals: Mapping[str, Object]
) -> None:
    """Forwards by a hop as an earlier version made it may fail in ways that the gateways' counters do not show (gRPC).

    Raises:
        Held: with what is missing, by cluster.
    """
    if lacking := hop_lines(clusters, await hop_lacks(clusters, peers, originals)):
        raise Held(
            f"routes cannot forward as they should; missing, or of an earlier version: {'; '.join(lacking)}",
            remedy="`bluegreen enroll` puts it in place and moves no traffic; then `bluegreen shift` again",
        )


def hop_lines(clusters: Mapping[Side, Kubernetes], lacking: Mapping[Side, Sequence[Object]]) -> list[str]:
    """For people: `plum: DestinationRule istio-system/bluegreen-peer and 3 more`."""
    lines = []
    for side, objects in lacking.items():
        if objects:
            more = f" and {len(objects) - 1} more" if len(objects) > 1 else ""
            lines.append(f"{clusters[side].name}: {name_of(objects[0])}{more}")
    return lines


async def make(cluster: Kubernetes, side: Side, peer: routing.Peer, edge: Edge, originals: Mapping[str, Object]) -> None:
    """All objects of one gateway in their order: destinations before the routes that name them, the record last."""
    intent = routing.Intent({"blue": edge.blue, "green": edge.green or ""}, edge.entry, edge.services, edge.generation)
    objects = routing.objects(intent, originals, side, peer)
    for stage in (objects.destinations, objects.peer_routes, objects.routes, (objects.record,)):
        await asyncio.gather(*(cluster.apply(routing.resource_of(o), o, manager=MANAGER, force=True) for o in stage))


def refuse_between(edge: Edge, services: Iterable[str]) -> None:
    """With the originals back, each gateway serves what comes in by it: nobody is moved only where that is so already."""
    splits = {service: edge.services[service] for service in services}
    between = [s for s, split in splits.items() if split != edge.green_entry_bp or split not in (0, routing.WHOLE_BP)]
    if between:
        raise Held(
            f"unenrolling {', '.join(between)} would move users to the entry cluster at once",
            remedy=f"`bluegreen rollback {' '.join(between)}` first (or `bluegreen entry shift` at the end), or --force",
        )


async def unenroll(
    services: Sequence[str], *, clusters: Mapping[Side, Kubernetes], file: StackFile, journal: Journal, force: bool = False
) -> Edge:
    """Restores the original routes, then removes what they had needed; gives the edge without these services.

    Raises:
        UsageError: a name is not enrolled.
        Held: users would move by it, and not `force`.
    """
    edge = file.read()
    refuse_not_enrolled(services, edge.services)
    splits = {service: edge.services[service] for service in services}
    if not force:
        refuse_between(edge, services)
    originals = {service: read_route(file.routes_folder, service) for service in services}
    of_the_hop = [obj for original in originals.values() for obj in routing.hop_objects(original)]
    ids = journal.promise(Op.UNENROLL, [Change(service, split, None) for service, split in splits.items()])

    async def one(cluster: Kubernetes, service: str) -> None:
        namespace, name = service.split("/", 1)
        resource = routing.kind_of(originals[service]).resource
        restored = routing.object_of(resource, namespace, name, originals[service]["spec"])
        await cluster.apply(resource, restored, manager=MANAGER, force=True)
        bare = {key: value for key, value in restored.items() if key != "spec"}
        await cluster.apply(resource, bare, manager=LOCK_MANAGER, force=True)  # takes the fence off

    await asyncio.gather(*(one(cluster, service) for cluster in clusters.values() for service in services))
    edge = file.write(remove=tuple(services))
    for cluster in clusters.values():
        for obj in of_the_hop:
            await cluster.delete(routing.resource_of(obj), obj["metadata"]["namespace"], obj["metadata"]["name"])
        intent = routing.Intent({"blue": edge.blue, "green": edge.green or ""}, edge.entry, edge.services, edge.generation)
        await cluster.apply(CONFIG_MAP, routing.record(intent), manager=MANAGER, force=True)
        await returned.write(cluster, dict.fromkeys(services))
    journal.outcomes(Op.UNENROLL, ids, [Outcome(service, None, "original restored") for service in services])
    for service in services:  # last: nothing is left undone where one stays
        forget_route(file.routes_folder, service)
    return edge
