"""What `verify` asks a service for: what a user would send to the public listener, and what a person knows better. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import routing
from migration.objects.kinds import Object
from routing import Request


@dataclass(frozen=True)
class Check:
    """What to ask for, where the route does not tell: from `services` of migration.yaml. `status`: exactly this one."""

    path: str | None = None
    host: str | None = None
    status: int | None = None


def request_for(route: Mapping[str, Any], gateways: Mapping[str, Object], check: Check) -> Request:
    """A request that the route takes, as its kind reads it; `check` comes first."""
    request = routing.kind_of(route).request(route, gateways)
    return replace(request, host=check.host or request.host, path=check.path or request.path)


def sent_on(original: Mapping[str, Any], request: Request, gateways: Mapping[str, Object]) -> Request | None:
    """What the route sends to a peer listener of this request of a user; None: none of its rules takes it."""
    kind = routing.kind_of(original)
    return kind.sent_on(original, request, https=kind.by_https(original, gateways))
