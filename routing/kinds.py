"""Kinds of routes that services move by: one protocol, a module for each kind, an entry in the registry for each.

Nobody else names a kind: who holds a route asks `kind_of(route)`, who looks for routes goes through `registered()`. A kind
says what it alone knows: how its spec is read, and which specs its two routes have on each gateway. Names, marks, the kept
original and the record are the same for all; they are made in `route` and `intent`.

A service is `namespace/name`, whatever the kind of its route; an enrolled one's is that of its original. Where routes of two
kinds have one name, the service is the enrolled one, else the one bound to a gateway, else that of the kind registered first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from routing.model import CONFIG_MAP, Backend, Object, Peer, Refusal, Request, Resource, Side
from routing.virtual_service import VirtualServices


class UnknownKind(ValueError):
    """No kind of route that is registered."""


class RouteKind(Protocol):
    """What code asks of a kind of route. All pure; shares are basis points.

    `route`: any object of the kind; `original`: as its owner wrote it; `live`: a public route as a gateway has it.

    What `public_spec` and `peer_spec` raise of an original that is none: ValueError, KeyError, TypeError, AttributeError,
    IndexError.
    """

    @property
    def resource(self) -> Resource:
        """As it is read and written. Its `kind` is how people call it."""
        ...

    @property
    def gateway(self) -> Resource:
        """What a route is bound to, so that users come in by it."""
        ...

    @property
    def supporting(self) -> Sequence[Resource]:
        """Of what `listener` and `destinations` make."""
        ...

    @property
    def written_paths(self) -> Sequence[str]:
        """JSON pointers: who ignores differences at one of them leaves a split alone."""
        ...

    @property
    def delegates(self) -> Sequence[str]:
        """Paths at which a route names others of its kind that it takes rules from (`spec.http[].delegate`)."""
        ...

    # -- how a route is read

    def refusals(self, original: Mapping[str, Any]) -> list[Refusal]:
        """Why it cannot be shifted; empty where it can. NO_GATEWAY comes alone."""
        ...

    def gateways(self, route: Mapping[str, Any]) -> list[str]:
        """`namespace/name` of the gateways by which users come to it; empty where they do not."""
        ...

    def gateways_named(self, route: Mapping[str, Any]) -> list[str]:
        """Of all that it names, single rules too."""
        ...

    def backends(self, route: Mapping[str, Any]) -> list[Backend]:
        """To what it sends users' requests."""
        ...

    def mirrors(self, route: Mapping[str, Any]) -> list[str]:
        """Hosts to which it sends copies."""
        ...

    # -- what the gateways get

    def listener(self) -> list[Object]:
        """The private listener by which the other gateway's forwards come in, and how this gateway connects to it."""
        ...

    def destinations(self, original: Mapping[str, Any], peer: Peer) -> list[Object]:
        """What must be in effect before the route forwards. The objects' names do not depend on `peer`.

        They are the other gateway's listener under the service's own name (`peer_host`), by which counters tell services
        apart.
        """
        ...

    def public_spec(self, original: Mapping[str, Any], green_bp: int, side: Side) -> Object:
        """Of that side's public gateway, of one shape at every split: weights alone change."""
        ...

    def peer_spec(self, original: Mapping[str, Any], green_bp: int) -> Object:
        """Of what the peer listener serves: local destinations by rule id, and a probe.

        The probe (PROBE_HEADER) answers with the split.
        """
        ...

    # -- what is read back

    def live_split(self, live: Mapping[str, Any], original: Mapping[str, Any], side: Side) -> int | None:
        """The split that it holds; None where it is none that `public_spec` makes."""
        ...

    def probe_split(self, peer: Mapping[str, Any]) -> int | None:
        """The split that a peer route tells of; None where it is none that `peer_spec` makes, and where there is none."""
        ...

    def has_forward(self, route: Mapping[str, Any]) -> bool:
        """Whether a public route names the other gateway among its destinations, with whatever weight."""
        ...

    def forwards(self, route: Mapping[str, Any]) -> bool:
        """Whether a public route sends a part of its requests to the other gateway."""
        ...

    def spec_of_split(self, live: Mapping[str, Any]) -> Object | None:
        """The original's spec, weights up to a common factor, of a live route.

        None where some rule does not say its local weights any more.
        """
        ...

    # -- how a service is asked

    def request(self, route: Mapping[str, Any], gateways: Mapping[str, Object]) -> Request:
        """One that a user would send. `gateways`: those of the cluster, by `namespace/name`; the route's own may be missing."""
        ...

    def by_https(self, route: Mapping[str, Any], gateways: Mapping[str, Object]) -> bool:
        """Whether users come to it by https."""
        ...

    def sent_on(self, original: Mapping[str, Any], request: Request, *, https: bool = False) -> Request | None:
        """What it sends to the other gateway's peer listener of this request; None: no rule takes it.

        `https`: whether the request came by https.
        """
        ...


KINDS: dict[str, RouteKind] = {kind.resource.name: kind for kind in (VirtualServices(),)}  # by `plural.group`


def registered() -> tuple[RouteKind, ...]:
    """Every kind of route, in the order in which listings go through them."""
    return tuple(KINDS.values())


def known_kind(obj: Mapping[str, Any]) -> RouteKind | None:
    """The kind of a route in any of its API versions; None: it is no route. An object without `apiVersion` goes by `kind`."""
    group = obj.get("apiVersion")
    for kind in KINDS.values():
        if kind.resource.kind == obj.get("kind") and (group is None or str(group).rpartition("/")[0] == kind.resource.group):
            return kind
    return None


def kind_of(route: Mapping[str, Any]) -> RouteKind:
    """The kind of a route.

    Raises:
        UnknownKind: it is no route.
    """
    kind = known_kind(route)
    if kind is None:
        raise UnknownKind(f"{route.get('apiVersion')} {route.get('kind')} is not {called(article=True)}")
    return kind


def used(routes: Iterable[Mapping[str, Any]]) -> tuple[RouteKind, ...]:
    """Kinds of these routes, in the registry's order; of none, the one registered first. What is no route does not count."""
    names = {kind.resource.name for route in routes if (kind := known_kind(route)) is not None}
    return tuple(kind for name, kind in KINDS.items() if name in names) or registered()[:1]


def resource_of(obj: Mapping[str, Any]) -> Resource:
    """Of what `routing` makes: a route, what a kind makes beside its routes, the record.

    Raises:
        UnknownKind: nothing of the kind is made here.
    """
    wanted = (str(obj.get("apiVersion")), obj.get("kind"))
    of_kinds = (resource for kind in KINDS.values() for resource in (kind.resource, *kind.supporting))
    for resource in (CONFIG_MAP, *of_kinds):
        if (resource.api_version, resource.kind) == wanted:
            return resource
    raise UnknownKind(f"{wanted[0]} {wanted[1]}: no kind of route makes such objects")


def called(*, article: bool = False) -> str:
    """What people call a route: `VirtualService`, `a VirtualService`; of several kinds `A or B`."""
    names = " or ".join(kind.resource.kind for kind in KINDS.values())
    return f"a {names}" if article else names
