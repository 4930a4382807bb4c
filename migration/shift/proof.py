"""Whether a gateway serves a split, as far as that can be known from here."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from migration.errors import BluegreenError

if TYPE_CHECKING:
    from migration.ports import Router


class Proof(StrEnum):
    """How far it is known that a gateway serves what was written, from best to worst."""

    SERVED = "served"  # the gateway itself says so
    ACCEPTED = "accepted"  # its API server took the routes; the gateway cannot be asked from here
    UNREACHABLE = "unreachable"  # its API server did not answer: the gateway keeps its old split
    FAILED = "failed"  # its API server refused a route, or the gateway does not serve it yet


async def probe(router: Router, service: str, split_bp: int) -> Proof:
    """Of a route that was written. SERVED; FAILED: its gateway answers with another split; ACCEPTED: it cannot be asked."""
    try:
        return Proof.SERVED if await router.in_effect(service, split_bp) else Proof.FAILED
    except BluegreenError:
        return Proof.ACCEPTED
