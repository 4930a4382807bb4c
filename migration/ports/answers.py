"""What a gateway answered to one request, and how one is asked: the port between `verify` and its HTTP client.

A gateway answers much by itself: redirects, direct responses, no route, no workload, its own policies. The only mark of
an answer that came from behind it is the time that the upstream took (`x-envoy-upstream-service-time`): Envoy writes
it when response headers arrive from an upstream, and never on a reply of its own. The `server` header is no such mark: Envoy
writes its own name over the workload's, and a mesh may rename or drop it. A mesh that hides Envoy's headers
(`proxyHeaders.envoyDebugHeaders.disabled`) leaves nothing to tell by, and then nothing is proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from routing import Request

UPSTREAM_TIME = "x-envoy-upstream-service-time"
# A sidecar stands behind the gateway as a workload does, and its policies answer in these words before the workload is asked.
POLICY_WORDS = (b"RBAC: access denied", b"Jwt ", b"Jwks ", b"Audiences in Jwt")


@dataclass(frozen=True)
class Answer:
    """`headers` have lower-case names; `body` is at most its first two thousand bytes."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def from_workload(self) -> bool:
        """Whether it is proven that a workload gave it."""
        return UPSTREAM_TIME in self.headers and not (self.status in (401, 403) and self.body.startswith(POLICY_WORDS))

    @property
    def grpc_status(self) -> int | None:
        """None: not an answer of gRPC, or one whose status is not in its first headers."""
        given = self.headers.get("grpc-status", "")
        return int(given) if given.isascii() and given.isdigit() else None

    @property
    def is_grpc(self) -> bool:
        """Whether the answer is one of gRPC, by its first headers."""
        return "grpc-status" in self.headers or self.headers.get("content-type", "").startswith("application/grpc")


class Probe(Protocol):
    """Asks a gateway by its address; raises errors.Unreachable where there is no answer."""

    async def __call__(self, address: str, port: int, request: Request, *, timeout_seconds: float = 5.0) -> Answer: ...
