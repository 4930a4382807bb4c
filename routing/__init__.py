"""Pure: original route + split -> the objects of both gateways; shares -> each router's range. No I/O, no client.

The command and the Pulumi program both build on it, so what one writes the other finds unchanged.
"""

from __future__ import annotations

from routing.intent import RECORD_NAME, Intent, Objects, admissible, objects, read_record, record
from routing.route import (
    CARRIED,
    EDGE_NAMESPACE,
    FIELD_MANAGER,
    GATEWAY_LABELS,
    GATEWAY_NAMESPACE,
    PEER_GATEWAY,
    PEER_IDLE_SECONDS,
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
    "CARRIED",
    "EDGE_NAMESPACE",
    "FIELD_MANAGER",
    "GATEWAY_LABELS",
    "GATEWAY_NAMESPACE",
    "PEER_GATEWAY",
    "PEER_IDLE_SECONDS",
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
