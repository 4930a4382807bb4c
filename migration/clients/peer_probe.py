"""Asks a gateway's own peer listener which split it serves: what its data plane does, not what its API server accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import routing
from access.causes import why
from migration.clients.limiter import Turns
from migration.errors import Unreachable

if TYPE_CHECKING:
    import aiohttp

PROBE_SECONDS = 1.0
PROBES = 64


class PeerProbe:
    def __init__(self, cluster: str, address: str, port: int) -> None:
        """`cluster`: its name, for messages; `address` and `port`: of the gateway's peer listener."""
        self._cluster, self._address, self._port = cluster, address, port
        self._session: aiohttp.ClientSession | None = None
        self._turns = Turns(PROBES)

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def in_effect(self, service: str, split_bp: int) -> bool:
        """Whether the gateway serves this split of a service. Raises Unreachable where its listener does not answer."""
        import aiohttp

        if self._session is None:
            # a connection of its own each time: a kept one may be answered by a listener that is being drained
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        address, port = self._address, self._port
        try:
            async with (
                self._turns.taken(0),  # before the clock starts
                self._session.get(
                    f"http://{address}:{port}/",
                    headers={routing.PROBE_HEADER: service},
                    timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS),
                    allow_redirects=False,
                ) as response,
            ):
                return response.status == 200 and (await response.text(errors="replace")).strip() == str(split_bp)
        except (aiohttp.ClientError, OSError, ValueError, LookupError) as problem:  # LookupError: a charset nobody knows
            raise Unreachable(
                f"the peer listener of {self._cluster} at {address}:{port} does not answer: {why(problem)[:300]}",
                remedy=f"check that this machine reaches {address}:{port}, and peer_port of {self._cluster} in migration.yaml",
            ) from problem
