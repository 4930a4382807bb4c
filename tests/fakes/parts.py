"""A second kind of route, as a newcomer would write it: a spec that has nothing in common with the first one's, in one file.

`spec: {listeners: [NAMESPACE/NAME], names: [HOST], parts: [{to: SERVICE, per_myriad: N}]}`, of an API that nobody serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing import (
    EDGE_NAMESPACE,
    PEER_GATEWAY,
    PEER_NAME,
    WHOLE_BP,
    Backend,
    Peer,
    Refusal,
    RefusalCode,
    Request,
    Resource,
    Side,
    canonical,
    local_share_bp,
    object_of,
    peer_host,
    peer_of,
    rule_id,
    service_of,
)
from routing.model import OWNED, RULE_HEADER, Object, namespace_of

GROUP = "parts.example.com"
PARTS = Resource(GROUP, "v2", "PartedRoute", "partedroutes", True)
LISTENER = Resource(GROUP, "v2", "Listener", "listeners", True)
NEIGHBOUR = Resource(GROUP, "v2", "Neighbour", "neighbours", True)


class PartedRoutes:
    resource = PARTS
    gateway = LISTENER
    supporting = (LISTENER, NEIGHBOUR)
    written_paths = ("/spec",)
    delegates = ()

    def refusals(self, original: Mapping[str, Any]) -> list[Refusal]:
        if not self.gateways(original):
            return [Refusal(RefusalCode.NO_GATEWAY, "has no listener")]
        return [] if original["spec"].get("parts") else [Refusal(RefusalCode.NOTHING_TO_MOVE, "has no parts")]

    def gateways(self, route: Mapping[str, Any]) -> list[str]:
        return list(route["spec"].get("listeners") or ())

    gateways_named = gateways

    def backends(self, route: Mapping[str, Any]) -> list[Backend]:
        return [Backend(part["to"]) for part in route["spec"].get("parts") or ()]

    def mirrors(self, route: Mapping[str, Any]) -> list[str]:
        return []

    def listener(self) -> list[Object]:
        return [object_of(LISTENER, EDGE_NAMESPACE, PEER_NAME, {"private": True}, OWNED)]

    def destinations(self, original: Mapping[str, Any], peer: Peer) -> list[Object]:
        spec = {"host": peer_host(service_of(original)), "address": f"{peer.address}:{peer.port}"}
        name = peer_of(original["metadata"]["name"])
        return [object_of(NEIGHBOUR, namespace_of(original), name, spec, OWNED)]

    def public_spec(self, original: Mapping[str, Any], green_bp: int, side: Side) -> Object:
        local_bp = local_share_bp(green_bp, side)
        kept = [part | {"per_myriad": part["per_myriad"] * local_bp} for part in original["spec"]["parts"]]
        away = {"to": peer_host(service_of(original)), "per_myriad": WHOLE_BP * (WHOLE_BP - local_bp)}
        return {**original["spec"], "parts": [*kept, away]}

    def peer_spec(self, original: Mapping[str, Any], green_bp: int) -> Object:
        return {"listeners": [PEER_GATEWAY], "names": ["*"], "parts": original["spec"]["parts"], "probe": green_bp}

    def live_split(self, live: Mapping[str, Any], original: Mapping[str, Any], side: Side) -> int | None:
        if canonical(live["spec"]) == canonical(original["spec"]):
            return 0 if side == "blue" else WHOLE_BP
        away = [part["per_myriad"] for part in live["spec"]["parts"] if part["to"] == peer_host(service_of(original))]
        away_bp = away[0] // WHOLE_BP if away else 0
        green_bp = away_bp if side == "blue" else WHOLE_BP - away_bp
        ours = canonical(self.public_spec(original, green_bp, side)) == canonical(live["spec"])
        return green_bp if ours else None

    def probe_split(self, peer: Mapping[str, Any]) -> int | None:
        probe = peer["spec"].get("probe")
        return None if probe is None else int(probe)

    def has_forward(self, route: Mapping[str, Any]) -> bool:
        return any(part["to"] == peer_host(service_of(route)) for part in route["spec"]["parts"])

    def forwards(self, route: Mapping[str, Any]) -> bool:
        return any(part["per_myriad"] for part in route["spec"]["parts"] if part["to"] == peer_host(service_of(route)))

    def spec_of_split(self, live: Mapping[str, Any]) -> Object | None:
        local = [part for part in live["spec"]["parts"] if part["to"] != peer_host(service_of(live))]
        return {**live["spec"], "parts": local} if local else None

    def request(self, route: Mapping[str, Any], gateways: Mapping[str, Object]) -> Request:
        return Request(route["spec"]["names"][0], "/parts")

    def by_https(self, route: Mapping[str, Any], gateways: Mapping[str, Object]) -> bool:
        return False

    def sent_on(self, original: Mapping[str, Any], request: Request, *, https: bool = False) -> Request | None:
        return Request(request.host, request.path, headers={RULE_HEADER: rule_id(service_of(original), 0)})
