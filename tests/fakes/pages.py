"""Pages of a gateway's pods without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from migration.clients.counters import PageCounters, Silence
from migration.model import GatewayCounters, ServiceCounters
from routing import peer_host

SERVICE = "shop/catalog"
ORIGINAL: dict[str, Any] = {
    "kind": "VirtualService",
    "metadata": {"name": "catalog", "namespace": "shop"},
    "spec": {"http": [{"route": [{"destination": {"host": "catalog"}}]}]},
}


@dataclass(frozen=True)
class Pod:
    """A proxy's page at a second of the test: users at 80 a second here and 20 a second by the other gateway."""

    started: float
    local: int = 0
    forwarded: int = 0
    errors: int = 0  # of an old incident, long over
    born: float | None = None
    uptime: bool = True

    def page(self, at: float) -> str:
        seconds = at - self.started
        labels = 'istio_requests_total{{reporter="source",destination_service="{}",response_code="{}"}} {:g}'
        lines = [
            labels.format("catalog.shop.svc.cluster.local", 200, self.local + 80 * seconds),
            labels.format(peer_host(SERVICE), 200, self.forwarded + 20 * seconds),
            labels.format(peer_host(SERVICE), 503, self.errors),
        ]
        lines += [f"envoy_server_uptime{{}} {seconds:g}"] if self.uptime else []
        lines += [f"istio_agent_process_start_time_seconds {self.born}"] if self.born is not None else []
        return "\n".join(lines)


class Pages(PageCounters):
    """Pages without a network: `behind` says which pod answers at each second; None: none does."""

    def __init__(self, *behind: Sequence[Pod | None]) -> None:
        super().__init__([f"http://{n}" for n in range(len(behind))], "istio", {SERVICE: ORIGINAL}, monotonic=lambda: self.at)
        self.behind = dict(zip(self.urls, behind, strict=True))
        self.second = -1

    @property
    def at(self) -> float:
        return 1000.0 + self.second

    async def _page(self, url: str) -> str | Silence:
        pod = self.behind[url][self.second]
        return Silence("do not answer: nobody is there") if pod is None else pod.page(self.at)

    def reading(self) -> GatewayCounters:
        """Of the next second."""
        self.second += 1
        return asyncio.run(self.read())

    def look(self) -> ServiceCounters:
        return self.reading().services[SERVICE]


OLD = Pod(started=0, local=4000, forwarded=3000, errors=300)
YOUNG = Pod(started=500, local=5000, forwarded=3900)
