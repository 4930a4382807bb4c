"""Pure: original route + split -> the objects of both gateways; shares -> each router's range. No I/O, no client.

The command and the Pulumi program both build on it, so what one writes the other finds unchanged.
"""

from __future__ import annotations

from routing.intent import RECORD_NAME, Intent, Objects, admissible, at_green, objects, read_record, record
from routing.route import (
    EDGE_NAMESPACE,
    FIELD_MANAGER,
    PEER_GATEWAY,
    PEER_PORT,
    PROBE_HEADER,
    RULE_HEADER,
    WHOLE_BP,
    Peer,
    Side,
    canonical,
    destinations,
    edge_objects,
    live_split,
    local_share_bp,
    peer_host,
    peer_route,
    public_route,
    refusals,
    rule_id,
    service_of,
)

__all__ = [
    "EDGE_NAMESPACE",
    "FIELD_MANAGER",
    "PEER_GATEWAY",
    "PEER_PORT",
    "PROBE_HEADER",
    "RECORD_NAME",
    "RULE_HEADER",
    "WHOLE_BP",
    "Intent",
    "Objects",
    "Peer",
    "Side",
    "admissible",
    "at_green",
    "canonical",
    "destinations",
    "edge_objects",
    "live_split",
    "local_share_bp",
    "objects",
    "peer_host",
    "peer_route",
    "public_route",
    "read_record",
    "record",
    "refusals",
    "rule_id",
    "service_of",
]
