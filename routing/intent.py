"""What is wanted of one migration's edge, and everything that follows from it on one gateway.

The record (ConfigMap istio-system/bluegreen-edge, the same on both clusters) keeps what was last wanted:
`generation` (decimal), `services` and `entry` (JSON objects of basis points), `sides` (JSON object of cluster names).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from routing.model import EDGE_NAMESPACE, OWNED, Object, Peer, Side
from routing.route import destinations, edge_objects, peer_route, public_route

RECORD_NAME = "bluegreen-edge"
# what reading a ConfigMap raises that is none of ours; JSON may be nested too deep, and have numbers that are not finite
MALFORMED = (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Intent:
    """The stack file's words: sides and entry by cluster name, services by `namespace/name`; shares in basis points."""

    sides: Mapping[str, str]
    entry: Mapping[str, int]
    services: Mapping[str, int]
    generation: int


@dataclass(frozen=True)
class Objects:
    """All of one gateway, in the order in which it is written; taken away in the opposite order."""

    destinations: tuple[Object, ...] = ()
    peer_routes: tuple[Object, ...] = ()
    routes: tuple[Object, ...] = ()
    record: Object = field(default_factory=dict)

    def in_order(self) -> list[Object]:
        """All objects, the first to write first; the record is the last."""
        return [*self.destinations, *self.peer_routes, *self.routes, self.record]


def objects(intent: Intent, routes: Mapping[str, Mapping[str, Any]], side: Side, peer: Peer) -> Objects:
    """What the gateway of `side` holds. `routes` are the originals by service; a service without a split stays at 0."""
    ordered = sorted(routes.items())
    return Objects(
        destinations=(*edge_objects(routes.values()), *(each for _, route in ordered for each in destinations(route, peer))),
        peer_routes=tuple(peer_route(route, intent.services.get(service, 0)) for service, route in ordered),
        routes=tuple(public_route(route, intent.services.get(service, 0), side) for service, route in ordered),
        record=record(intent),
    )


def record(intent: Intent) -> Object:
    """The ConfigMap that tells, on each cluster, what was last wanted."""
    data = {
        "generation": str(intent.generation),
        "services": json.dumps(dict(intent.services), sort_keys=True),
        "entry": json.dumps(dict(intent.entry), sort_keys=True),
        "sides": json.dumps({side: name for side, name in intent.sides.items() if name}, sort_keys=True),
    }
    metadata = {"name": RECORD_NAME, "namespace": EDGE_NAMESPACE, "annotations": dict(OWNED)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def read_record(config_map: Mapping[str, Any]) -> tuple[int, dict[str, int], dict[str, int]]:
    """Generation, services and entry of a record.

    Raises:
        ValueError: it is not one that `record` makes.
    """
    data = config_map.get("data") or {}
    try:
        services, entry = (json.loads(data.get(key) or "{}") for key in ("services", "entry"))
        return (
            int(data["generation"]),
            {str(name): int(share) for name, share in services.items()},
            {str(name): int(share) for name, share in entry.items()},
        )
    except MALFORMED as error:
        raise ValueError(f"ConfigMap {EDGE_NAMESPACE}/{RECORD_NAME} is not a record of the edge: {error!r}") from error


def record_sides(config_map: Mapping[str, Any]) -> dict[str, str]:
    """Which cluster is blue and which green, as a record says; empty where it does not."""
    try:
        sides = json.loads((config_map.get("data") or {})["sides"])
        return {side: str(sides[side]) for side in ("blue", "green") if sides.get(side)}
    except MALFORMED:
        return {}


def at_green(file: Intent) -> dict[str, int]:
    """What a file gives to green, in words of its keys: shares above 0."""
    asked = {f"services.{name}": share for name, share in file.services.items() if share > 0}
    green = file.sides.get("green", "")
    return asked | ({f"entry.{green}": file.entry[green]} if file.entry.get(green, 0) > 0 else {})


def admissible(
    file: Intent,
    live_generation: int | None,
    live_services: Mapping[str, int],
    force: bool = False,
    live_entry: Mapping[str, int] | None = None,
    unread: Collection[str] = (),
) -> tuple[Intent, list[str]]:
    """What of a file may be carried out, and what was not let through.

    A file older than the record may take users back, never send them to green: each share of green is at most the live
    one. The record's generation stays, so that a second old file is still seen as old. `unread`: clusters that may hold
    a newer record than this one, so that any file may be older than what is live.
    """
    if force or live_generation is None or (file.generation >= live_generation and not unread):
        return file, []
    said: list[str] = []
    if unread:
        why = f"{' and '.join(sorted(unread))} cannot be read, and the newest record that can (generation {live_generation})"
    else:
        why = f"it is older than what is live (generation {live_generation}), which"
    why = f"the file (generation {file.generation}) asks for {{}} basis points at green, but {why} says {{}}; it stays at {{}}"
    services = {
        name: _at_most(f"service {name}", share, live_services.get(name, 0), why, said) for name, share in file.services.items()
    }
    entry = dict(file.entry)
    green = file.sides.get("green")
    if green in entry and len(entry) == 2:
        live = 0 if live_entry is None else live_entry.get(green, 0)
        share = _at_most(f"entry {green}", entry[green], live, why, said)
        other = next(name for name in entry if name != green)
        entry |= {green: share, other: sum(file.entry.values()) - share}
    return replace(file, services=services, entry=entry, generation=max(live_generation, file.generation)), said


def _at_most(what: str, share: int, live: int, why: str, said: list[str]) -> int:
    if share <= live:
        return share
    said.append(f"{what}: {why.format(share, live, live)}")
    return live
