"""Headers of the hop, in Istio's form of header operations.

The rule's name and what the first gateway knows of the client go over in headers of ours, and are taken off before any
workload.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping
from typing import Any, Literal

from routing.model import RULE_HEADER, Object

# What a gateway says of its own client, so that the second one of a hop says it of the first: it crosses the hop in a
# header of ours, which the peer route turns back.
CARRIED: Mapping[str, str] = {"x-forwarded-proto": "x-bluegreen-proto"}
OURS = (RULE_HEADER, *CARRIED.values())  # reach no workload


def on_the_way(rule: Mapping[str, Any], name: str, carried: Mapping[str, str]) -> Object:
    """What a forward says: the rule's name, and what is carried."""
    # Envoy fills a destination's headers in before it treats the rule's: what the rule itself sets is carried as it is.
    sets = _requested(rule, "set")
    request: Object = {"set": {RULE_HEADER: name}}
    if carried:
        request["remove"] = [*carried.values()]  # a client's own; a `set` that finds nothing to say would leave it
        request["set"] |= {carrier: sets.get(header, f"%REQ({header})%") for header, carrier in carried.items()}
    return {"request": request}


def stripped(destination: Mapping[str, Any], headers: tuple[str, ...]) -> Object:
    """The destination, taking our headers off: what a client sends in them steers nothing and reaches no workload."""
    kept = copy.deepcopy(dict(destination))
    request = kept.setdefault("headers", {}).setdefault("request", {})
    request["remove"] = [*request.get("remove", []), *headers]
    return kept


def unstrip(destination: Object) -> None:
    """Takes out what `stripped` put in."""
    headers = destination.get("headers") or {}
    request = headers.get("request") or {}
    removed = request.get("remove") or []
    if removed and removed[-1] in OURS:
        while removed and removed[-1] in OURS:
            del removed[-1]
        for outer, key, inner in (
            (request, "remove", removed),
            (headers, "request", request),
            (destination, "headers", headers),
        ):
            if not inner:
                outer.pop(key, None)


def as_without_a_hop(rule: Mapping[str, Any]) -> list[Object]:
    """The rule's destinations, each with the carried headers put back before the rule takes the carriers off."""
    sets = _requested(rule, "set")
    route = [_put_back(each, sets) for each in rule["route"]]
    if len(route) > 1:
        return route
    # Beside another destination, even of weight 0 (which Envoy is not told of), a destination's headers are Envoy's first
    # step and the rule's the second. Istio makes one step for a single destination, and what is taken off in a step
    # cannot be read in it.
    return [route[0] | {"weight": 1}, {"destination": copy.deepcopy(route[0]["destination"]), "weight": 0}]


def after_the_hop(rule: Mapping[str, Any]) -> Object:
    """What the rule does to carried headers, once more, for the second gateway has made them anew; and ours go."""
    sets, adds, removed = _requested(rule, "set"), _requested(rule, "add"), _removed(rule)
    request: Object = {"remove": [*OURS, *(header for header in CARRIED if header in removed and header not in sets)]}
    if again := {header: adds[header] for header in CARRIED if header in adds}:
        request["add"] = again
    return request


def _put_back(destination: Mapping[str, Any], rule_sets: Container[str]) -> Object:
    """The destination with the carried headers set again from their carriers.

    Where the rule sets a carried header, its word is the last, as it is between several destinations; else the
    destination's own is.
    """
    kept = copy.deepcopy(dict(destination))
    request = kept.setdefault("headers", {}).setdefault("request", {})
    own = {*_requested(kept, "set"), *_removed(kept)}
    for header, carrier in CARRIED.items():
        if header in rule_sets:
            _forget(request, header)
        elif header in own:
            continue
        request["set"] = {**request.get("set", {}), header: f"%REQ({carrier})%"}
    return kept


def _forget(request: Object, header: str) -> None:
    for operation in ("set", "add"):
        if operation in request:
            request[operation] = {name: value for name, value in request[operation].items() if name.lower() != header}
    if "remove" in request:
        request["remove"] = [name for name in request["remove"] if name.lower() != header]


def _requested(part: Mapping[str, Any], operation: Literal["set", "add"]) -> dict[str, str]:
    """What a rule or a destination does to headers of a request, by the header's name in small letters."""
    request = (part.get("headers") or {}).get("request") or {}
    return {name.lower(): value for name, value in (request.get(operation) or {}).items()}


def _removed(part: Mapping[str, Any]) -> set[str]:
    request = (part.get("headers") or {}).get("request") or {}
    return {name.lower() for name in request.get("remove") or []}
