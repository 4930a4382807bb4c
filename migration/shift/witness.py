"""What the clusters hold, asked beside a way back: it judges files that may be old or damaged, and nobody waits for it
whose file agrees with the live route.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import routing
from migration.errors import ConfigError, StoreError
from migration.model import Side
from migration.objects.kinds import Object
from migration.settings import salvage
from migration.settings.stack_file import Edge

BESIDE_SECONDS = 1.0  # for green's word, where blue has told all that users by blue need


@dataclass(frozen=True)
class Held:
    """A cluster's record (empty: it has none) and routes by `namespace/name`; None: it did not tell."""

    record: Object | None = None
    routes: Mapping[str, Object] | None = None


@dataclass(frozen=True)
class Others:
    """What only the clusters know of. `services`: to be taken back too, at the split that was last wanted or seen."""

    services: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)  # why an original is not to be had
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    filed: frozenset[str] = frozenset()  # services that the stack file lacks, though their route is stored


class Witness:
    def __init__(
        self,
        edge: Edge,
        path: str,
        asking: Mapping[Side, asyncio.Task[Held]],
        originals: dict[str, Object],
        missing: Mapping[str, str],
        wanted: Collection[str],
        stored: Callable[[str], Object],
    ) -> None:
        """`asking`: ends by itself. `originals`: filled and put right in place. `missing`: services of the stack file (at
        `path`) whose stored route is no use, and why. `wanted`: empty for all. `stored`: reads a route's file.
        """
        self.edge, self.path = edge, path
        self.asking, self.originals, self.missing, self.wanted = asking, originals, missing, wanted
        self._stored = stored
        self._finding: asyncio.Task[Others] | None = None

    def _held(self) -> dict[Side, Held]:
        return {side: task.result() for side, task in self.asking.items() if task.done() and not task.cancelled()}

    def _live(self) -> dict[Side, Mapping[str, Object]]:
        return {side: held.routes for side, held in self._held().items() if held.routes is not None}

    async def settle(self, services: Collection[str], seconds: float | None = None) -> list[str]:
        """Puts the originals of these services right where the clusters know better; gives what was put right, in words.

        `seconds`: at most; None: until each has been heard, blue alone where that is enough. A file that nobody can speak
        to is left as it is.
        """
        lines: list[str] = []
        left = list(services)
        if seconds is not None:
            await asyncio.wait(self.asking.values(), timeout=seconds)
        else:
            await asyncio.wait({self.asking["blue"]})
            left = [service for service in left if not self._judged(service, lines)]
            if left:
                await asyncio.wait(self.asking.values())
        for service in left:
            self._judged(service, lines)
        return lines

    def _judged(self, service: str, lines: list[str]) -> bool:
        live, known = self._live(), self.originals[service]
        text = routing.canonical(known["spec"])
        for side, routes in live.items():
            kept = routing.original_of(routes.get(routing.peer_of(service)) or {})
            if kept is not None and routing.canonical(kept["spec"]) == text:
                return True
            if service in routes and routing.live_split(routes[service], known, side) is not None:
                return True
        if (original := _original_of(service, live)) is None:
            return False
        self.originals[service] = original[0]
        lines.append(
            f"the stored original route of {service} is not what its live routes were made of; taken from {original[1]} instead"
        )
        return True

    async def silent(self) -> list[Side]:
        """Sides whose cluster did not list its routes: what its gateway forwards is not known. Waits for all."""
        await asyncio.wait(self.asking.values())
        both: tuple[Side, Side] = ("blue", "green")
        return [side for side in both if side not in self._live()]

    async def others(self) -> Others:
        """Asked once; a cluster that tells nothing is waited for as long as its own time-outs last, at most."""
        if self._finding is None:
            self._finding = asyncio.ensure_future(self._find())
        return await asyncio.shield(self._finding)

    async def _find(self) -> Others:
        blue = self.asking["blue"]
        await asyncio.wait({blue})
        held = blue.result()
        whole = held.routes is not None and held.record is not None
        await asyncio.wait(self.asking.values(), timeout=BESIDE_SECONDS if whole else None)
        others = self._tell()
        if others.lost and not all(task.done() for task in self.asking.values()):
            await asyncio.wait(self.asking.values())
            others = self._tell()
        return others

    def _tell(self) -> Others:
        held, live = self._held(), self._live()
        splits = recorded([each.record or {} for each in held.values()], live.values())["services"]
        for routes in live.values():
            for name, route in routes.items():
                if not routing.is_peer(name) and _says(routing.has_forward, route):
                    splits.setdefault(name, 0)
        services: dict[str, int] = {}
        lost: dict[str, str] = {}
        problems: list[str] = []
        notes: list[str] = []
        filed: set[str] = set()
        for service, why in self.missing.items():
            if live.get("blue") and service not in live["blue"]:
                notes.append(f"{service}: {self.edge.blue} has no route of it; nothing to roll back")
            elif (original := _original_of(service, live)) is None:
                lost[service] = f"{why}; nor do the clusters have it"
            else:
                self.originals[service] = original[0]
                services[service] = splits.get(service, self.edge.services.get(service, 0))
                notes.append(f"{why}; taken from {original[1]} instead")
        heard = "blue" in live or any(each.record for each in held.values())
        unfiled = [name for name in self.wanted or sorted(splits) if name not in self.edge.services]
        for service in unfiled:
            if service not in splits:
                if heard:
                    problems.append(f"{service} is not enrolled: neither {self.path} nor a cluster lists it")
                continue
            if not self.wanted and not self._on_green(service, splits[service], live):
                continue
            stored, original = self._file(service), _original_of(service, live)
            if original is None and stored is None:
                lost[service] = f"{self.path} lacks it, and the clusters do not keep its original route"
                continue
            self.originals[service] = original[0] if original else stored or {}
            services[service] = splits[service]
            if stored is not None:
                filed.add(service)
            filing = "put into the file again, at 0" if stored else f"`bluegreen enroll {service}` puts it into the file again"
            notes.append(f"{service} is enrolled on the clusters, but {self.path} lacks it: rolled back too; {filing}")
        if not heard and (unfiled or not self.wanted):
            problems.append(
                f"it is not known whether green serves other services than those of {self.path}: {self.edge.blue} lists no "
                "routes, and no record of the edge can be read"
            )
        return Others(services, lost, tuple(problems), tuple(notes), frozenset(filed))

    def _on_green(self, service: str, split: int, live: Mapping[Side, Mapping[str, Object]]) -> bool:
        """Whether users may be: a route of blue that forwards nothing is nobody's business, whatever was once recorded."""
        if self.edge.green_entry_bp and split:
            return True
        if "blue" not in live:
            return split > 0
        return service in live["blue"] and _says(routing.forwards, live["blue"][service])

    def _file(self, service: str) -> Object | None:
        try:
            return self._stored(service)
        except (ConfigError, StoreError):
            return None


def _original_of(service: str, live: Mapping[Side, Mapping[str, Object]]) -> tuple[Object, str] | None:
    try:
        return salvage.original(service, live)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # a live object of a shape that nothing can be made of


def _says(question: Callable[[Object], bool], route: Object) -> bool:
    """Of a route whose shape cannot be read: whether it names the other cluster at all; most are no service of ours."""
    try:
        return question(route)
    except (AttributeError, KeyError, TypeError, ValueError):
        return f'"{routing.peer_host(routing.service_of(route))}"' in routing.canonical(route.get("spec"))


def recorded(records: Iterable[Object], routes: Iterable[Mapping[str, Object]]) -> dict[str, Any]:
    """What the newer of the records says; services also by their peer routes, whose probes tell the split."""
    newest: tuple[int, dict[str, int], dict[str, int]] = (0, {}, {})
    for record in records:
        with contextlib.suppress(ValueError):
            newest = max(newest, routing.read_record(record), key=lambda intent: intent[0])
    enrolled: dict[str, int] = {}
    for by_name in routes:
        for name, route in by_name.items():
            if routing.is_peer(name) and (split := routing.probe_split(route)) is not None:
                service = routing.without_peer(name)
                enrolled[service] = max(split, enrolled.get(service, 0))
    generation, services, entry = newest
    return {"services": {**services, **enrolled}, "entry": entry or None, "generation": generation}
