"""Users of a Project: what the gateways of its two clusters count of them, by the splits that are live."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from routing import WHOLE_BP, peer_host

RATE = 400.0  # requests a second of each service
LINE = 'istio_requests_total{{reporter="source",destination_service="{}",response_code="{}"}} {:g}'


class Traffic:
    """All of them enter by blue. `bad`: services of which green answers nothing but errors."""

    def __init__(self, services: Iterable[str], split: Callable[[str], int | None]) -> None:
        self.services, self._split = tuple(services), split
        self.bad: set[str] = set()
        self._counted: Mapping[str, Counter[tuple[str, int]]] = {"plum": Counter(), "fern": Counter()}
        self._began = self._upto = time.monotonic()

    def page(self, cluster: str) -> str:
        """Of a cluster's gateway, as Istio's proxies have it."""
        self._flow()
        lines = [LINE.format(host, code, count) for (host, code), count in sorted(self._counted[cluster].items())]
        return "\n".join([*lines, f"envoy_server_uptime{{}} {self._upto - self._began:g}"]) + "\n"

    def _flow(self) -> None:
        now = time.monotonic()
        requests, self._upto = RATE * (now - self._upto), now
        for service in self.services:
            namespace, _, name = service.partition("/")
            local = f"{name}.{namespace}.svc.cluster.local"
            to_green = requests * (self._split(service) or 0) / WHOLE_BP
            code = 503 if service in self.bad else 200
            self._counted["plum"][local, 200] += requests - to_green  # type: ignore[assignment]
            if to_green:
                self._counted["plum"][peer_host(service), code] += to_green  # type: ignore[assignment]
                self._counted["fern"][local, code] += to_green  # type: ignore[assignment]
