"""The hop as Istio's gateways make it, for every kind of route that they serve.

The peer listener, connections to the other one, the other gateway under a service's own name; and what a Gateway says of
the traffic that enters by it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from routing.model import (
    EDGE_NAMESPACE,
    GATEWAY_LABELS,
    GATEWAY_NAMESPACE,
    OWNED,
    PEER_DOMAIN,
    PEER_NAME,
    PEER_PORT,
    SERVICE_ANNOTATION,
    Object,
    Peer,
    Resource,
    namespace_of,
    object_of,
    peer_host,
    peer_of,
    service_of,
)

GROUP, VERSION = "networking.istio.io", "v1"
GATEWAY = Resource(GROUP, VERSION, "Gateway", "gateways", True)
SERVICE_ENTRY = Resource(GROUP, VERSION, "ServiceEntry", "serviceentries", True)
DESTINATION_RULE = Resource(GROUP, VERSION, "DestinationRule", "destinationrules", True)
# A network load balancer forgets a flow that was idle for 350 s and answers its next packet with a reset: at a small
# split most forwards would meet one. The gateway closes idle connections well before; those that are in use and silent
# (a stream, a WebSocket) stay known by their keepalive probes.
PEER_IDLE_SECONDS = 240
PEER_KEEPALIVE_SECONDS = 60


def peer_listener() -> list[Object]:
    """The private listener by which the other gateway's forwards come in, and how this gateway connects to the other's."""
    server = {"port": {"number": PEER_PORT, "name": f"http-{PEER_NAME}", "protocol": "HTTP"}, "hosts": ["*"]}
    policy = {
        "connectionPool": {
            # gRPC and HTTP/2 cross as what they are; the destinations' port is HTTP/1.1 to whoever does not ask for more
            "http": {"useClientProtocol": True, "idleTimeout": f"{PEER_IDLE_SECONDS}s"},
            "tcp": {
                "connectTimeout": "2s",
                "tcpKeepalive": {"probes": 3, "time": f"{PEER_KEEPALIVE_SECONDS}s", "interval": "20s"},
            },
        }
    }
    rule = {"host": f"*.{PEER_DOMAIN}", "exportTo": ["."], "trafficPolicy": policy}
    return [
        object_of(GATEWAY, EDGE_NAMESPACE, PEER_NAME, {"selector": dict(GATEWAY_LABELS), "servers": [server]}, OWNED),
        object_of(DESTINATION_RULE, EDGE_NAMESPACE, PEER_NAME, rule, OWNED),
    ]


def peer_destinations(original: Mapping[str, Any], peer: Peer) -> list[Object]:
    """The other gateway's peer listener under the service's own name.

    A name per service lets the gateway's counters tell services apart, also for requests that never got there.
    """
    service = service_of(original)
    spec = {
        "hosts": [peer_host(service)],
        # by name: where the mesh exports nothing by default, the gateway would not see it and answer 503 for each forward
        "exportTo": [GATEWAY_NAMESPACE],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC" if _is_address(peer.address) else "DNS",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "endpoints": [{"address": peer.address, "ports": {"http": peer.port}}],
    }
    name = peer_of(original["metadata"]["name"])
    return [object_of(SERVICE_ENTRY, namespace_of(original), name, spec, {SERVICE_ANNOTATION: service, **OWNED})]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def whole_name(gateway: str, namespace: str) -> str:
    """`namespace/name` of a Gateway as an object of this namespace names it."""
    return gateway if "/" in gateway else f"{namespace}/{gateway}"


def servers(names: Iterable[str], namespace: str, gateways: Mapping[str, Object]) -> Iterator[Mapping[str, Any]]:
    """What the Gateways of these names listen for, as far as they are known."""
    for name in names:
        gateway = gateways.get(whole_name(name, namespace)) or {}
        yield from (gateway.get("spec") or {}).get("servers") or ()


def serves_https(server: Mapping[str, Any]) -> bool:
    """TLS, or a redirect from http to there."""
    protocol = str((server.get("port") or {}).get("protocol", "")).upper()
    return protocol == "HTTPS" or bool((server.get("tls") or {}).get("httpsRedirect"))


def concrete_host(hosts: Iterable[str], served: Iterable[Mapping[str, Any]]) -> str:
    """The first of a route's hosts that is a name, else one that a wildcard of them takes.

    Where the route takes every host, one of the gateway (`served`: its servers); where that does too, any.
    """
    wanted = [str(host) for host in hosts]
    for host in wanted:
        if "*" not in host:
            return host
    for host in wanted:
        if host.startswith("*."):
            return f"bluegreen-check{host[1:]}"
    for server in served:
        for host in server.get("hosts") or ():
            bare = str(host).rpartition("/")[2]
            if "*" not in bare:
                return bare
            if bare.startswith("*."):
                return f"bluegreen-check{bare[1:]}"
    return "bluegreen-check.internal"
