"""What a gateway answered to one request, and how one is asked: the port between `verify` and its HTTP client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """`headers` have lower-case names; `body` is at most its first two thousand bytes."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Probe(Protocol):
    """Asks a gateway by its address; raises errors.Unreachable where there is no answer."""

    async def __call__(
        self,
        address: str,
        port: int,
        host: str,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 5.0,
    ) -> Answer: ...
