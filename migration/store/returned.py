"""Which services went back, and why, in the clusters: so that no other store sends them to green again by mistake.

Kept beside the edge's record (ConfigMap `istio-system/bluegreen-edge`, key `returned`: a JSON object of reasons by
service), under the field manager of the lock: the program, which applies the rest, neither removes nor sees it. Whoever
begins a shift reads it; `--retry` clears a service there. It is kept on both clusters and counts where either has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from migration.errors import BluegreenError
from migration.model import RouterState, Side
from migration.ports import Router

log = logging.getLogger(__name__)


def kept(live: Mapping[Side, RouterState]) -> dict[str, str]:
    """Reasons by service, as either cluster has them."""
    return {service: reason for state in live.values() for service, reason in state.returned.items()}


async def keep(routers: Mapping[Side, Router], changes: Mapping[str, str | None]) -> None:
    """Adds reasons by service, takes those out whose reason is None; on each cluster as well as it can, raises nothing.

    What a dead cluster did not take is told: the other one has it.
    """
    if not changes:
        return

    async def one(router: Router) -> None:
        try:
            await router.keep_returned(changes)
        except BluegreenError as problem:
            log.warning("%s does not know which services were rolled back: %s", router.cluster, problem)

    await asyncio.gather(*map(one, routers.values()))
