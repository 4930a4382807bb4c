"""One service's route on both gateways, made from its original and one number, and read back from them.

Of any kind: what only a kind knows, its module says (`kinds`); here is what all have in common.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from routing.kinds import kind_of, known_kind, used
from routing.model import (
    ANY_PEER,
    MOST_ORIGINAL_BYTES,
    ORIGINAL_ANNOTATION,
    OWNED,
    SERVICE_ANNOTATION,
    Object,
    Peer,
    Refusal,
    Side,
    canonical,
    identity_of,
    is_peer,
    namespace_of,
    object_of,
    peer_of,
    service_of,
    services_meant,
    without_peer,
)


def is_route(obj: Mapping[str, Any]) -> bool:
    """Whether it is of a kind by which services move; a peer route is, too."""
    return known_kind(obj) is not None


def refusals(original: Mapping[str, Any]) -> list[Refusal]:
    """Why this route cannot be shifted; empty when it can."""
    return kind_of(original).refusals(original)


def gateways_of(route: Mapping[str, Any]) -> list[str]:
    """`namespace/name` of the gateways by which users come to it; empty where they do not."""
    return kind_of(route).gateways(route)


def services_of(route: Mapping[str, Any]) -> set[str]:
    """`namespace/name` of the cluster's Services that a route sends users to."""
    namespace = route["metadata"].get("namespace", "")
    meant = {services_meant(backend.host, namespace) for backend in kind_of(route).backends(route)}
    return {service for service in meant if service is not None}


def by_service(routes: Iterable[Object]) -> dict[str, Object]:
    """Routes by `namespace/name`. Where two kinds have one name: what the edge wrote, else what users come in by."""
    chosen: dict[str, Object] = {}
    for route in routes:
        other = chosen.get(service := service_of(route))
        if other is None or _rank(route) > _rank(other):
            chosen[service] = route
    return chosen


def _rank(route: Mapping[str, Any]) -> tuple[bool, bool]:
    kind = known_kind(route)
    ours = SERVICE_ANNOTATION in (route["metadata"].get("annotations") or {})
    return ours, kind is not None and bool(kind.gateways(route))


# -- what the gateways get ---------------------------------------------------------------------------------------------


def public_route(original: Mapping[str, Any], green_bp: int, side: Side) -> Object:
    """What that side's public gateway has: of one shape at every split, in which weights alone change.

    Raises:
        ValueError: a split that is not of 0 to 10000 basis points; an original that is no route.
    """
    return _ours(original, original["metadata"]["name"], kind_of(original).public_spec(original, green_bp, side))


def peer_route(original: Mapping[str, Any], green_bp: int) -> Object:
    """What the peer listener serves of this service: local destinations by rule id, and a probe telling the split.

    It keeps the original, too, where that is not too large.
    """
    route = _ours(original, peer_of(original["metadata"]["name"]), kind_of(original).peer_spec(original, green_bp))
    if (kept := kept_original(original)) is not None:
        route["metadata"]["annotations"][ORIGINAL_ANNOTATION] = kept
    return route


def _ours(original: Mapping[str, Any], name: str, spec: Object) -> Object:
    marks = {SERVICE_ANNOTATION: service_of(original), **OWNED}
    return object_of(kind_of(original).resource, namespace_of(original), name, spec, marks)


def destinations(original: Mapping[str, Any], peer: Peer) -> list[Object]:
    """What must be in effect before a route forwards."""
    return kind_of(original).destinations(original, peer)


def edge_objects(originals: Iterable[Mapping[str, Any]] = ()) -> list[Object]:
    """The peer listener as the kinds of these routes need it.

    That of the kind registered first is there before any route, and stays after the last.
    """
    objects = (each for kind in used(originals) for each in kind.listener())
    return list({identity_of(each): each for each in objects}.values())


def hop_objects(original: Mapping[str, Any]) -> Iterator[Object]:
    """What a service has on a cluster beside its public route, by name: their peer's address is a placeholder."""
    yield peer_route(original, 0)
    yield from destinations(original, ANY_PEER)


# -- what is read back -------------------------------------------------------------------------------------------------


def live_split(live: Mapping[str, Any], original: Mapping[str, Any], side: Side) -> int | None:
    """The split that a live public route holds; None when it is not one that `public_route` makes."""
    return kind_of(original).live_split(live, original, side)


def probe_split(peer: Mapping[str, Any]) -> int | None:
    """The split that a live peer route tells of; None where it is not one that `peer_route` makes."""
    kind = known_kind(peer)
    return None if kind is None else kind.probe_split(peer)


def has_forward(route: Mapping[str, Any]) -> bool:
    """Whether a public route has the edge's shape: the other cluster among its destinations, with whatever weight."""
    return kind_of(route).has_forward(route)


def forwards(route: Mapping[str, Any]) -> bool:
    """Whether a public route sends a part of its requests to the other cluster."""
    return kind_of(route).forwards(route)


def kept_original(original: Mapping[str, Any]) -> str | None:
    """What the peer route keeps of the original: all that its routes are made of; None where that is too large."""
    text = canonical({"spec": original["spec"]})
    return text if len(text.encode()) <= MOST_ORIGINAL_BYTES else None


def original_of(peer: Mapping[str, Any]) -> Object | None:
    """The original that a live peer route keeps; None where it keeps none, or not of this service."""
    kind, metadata = known_kind(peer), peer.get("metadata") or {}
    annotations, name = metadata.get("annotations") or {}, str(metadata.get("name", ""))
    if kind is None or not is_peer(name):
        return None
    try:
        spec = json.loads(annotations[ORIGINAL_ANNOTATION])["spec"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    original = object_of(kind.resource, namespace_of(peer), without_peer(name), spec)
    return original if isinstance(spec, dict) and annotations.get(SERVICE_ANNOTATION) == service_of(original) else None


def original_of_split(live: Mapping[str, Any]) -> Object | None:
    """The original of a live public route that serves a part here: its local destinations, their weights up to a factor.

    A route without a forward is its own original. None where some rule does not say its local weights any more.
    """
    kind = kind_of(live)
    spec = kind.spec_of_split(live)
    return None if spec is None else object_of(kind.resource, namespace_of(live), live["metadata"]["name"], spec)
