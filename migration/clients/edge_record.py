"""The edge's record on one cluster (ConfigMap `istio-system/bluegreen-edge`): which generation, entry and splits it is of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import routing
from migration.errors import NotFound
from migration.model import MANAGER
from migration.objects.kinds import CONFIG_MAP
from migration.ports import Kubernetes, returned

RECORD = (routing.EDGE_NAMESPACE, routing.RECORD_NAME)
READ_SECONDS = 3.0
WRITE_SECONDS = 3.0


@dataclass(frozen=True)
class Sides:
    """Names and entry as the edge's file has them, for the record."""

    blue: str
    green: str
    entry: Mapping[str, int]


class EdgeRecord:
    """`entry`: shares by cluster, in basis points, that go into it with every write."""

    def __init__(self, kubernetes: Kubernetes, sides: Sides) -> None:
        self._kubernetes, self._sides = kubernetes, sides
        self.entry = sides.entry
        self._recorded: tuple[int, Mapping[str, int]] = (0, {})
        self._recording = asyncio.Lock()

    async def read(self) -> tuple[int | None, dict[str, int], dict[str, str]]:
        """Its generation (None: there is no record, or none as we write it), and by service the splits, and why it went back.

        Raises:
            BluegreenError: as the cluster answers.
        """
        try:
            record = await self._kubernetes.get(CONFIG_MAP, *RECORD, timeout_seconds=READ_SECONDS)
        except NotFound:
            return None, {}, {}
        reasons = returned.read(record)
        data = record.get("data") or {}
        try:
            services = {k: int(v) for k, v in json.loads(data.get("services") or "{}").items()}
            return int(data.get("generation", "0")), services, reasons
        except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
            return None, {}, reasons  # not as we write it: as good as none, and the next write mends it

    async def write(self, splits: Mapping[str, int], failed: Collection[str], generation: int) -> None:
        """One after the other, never an older one after a newer one. Services whose route may be anything are left out."""
        if generation >= self._recorded[0]:
            self._recorded = (generation, {s: v for s, v in splits.items() if s not in failed})
        async with self._recording:
            newest, services = self._recorded
            intent = routing.Intent(
                sides={"blue": self._sides.blue, "green": self._sides.green},
                entry=self.entry,
                services=services,
                generation=newest,
            )
            await self._kubernetes.apply(
                CONFIG_MAP, routing.record(intent), manager=MANAGER, force=True, timeout_seconds=WRITE_SECONDS
            )
