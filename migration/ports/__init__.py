"""What the steps need of the outside world. Clients implement these for real, tests/fakes for tests; nothing else is
patched anywhere.

All raise errors of errors.py only: Unreachable for "no answer, or not in time", never an empty result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from migration.errors import BluegreenError
from migration.model import GatewayCounters, RouterState, Side, WindowStats
from migration.objects.kinds import Object, Resource
from migration.objects.listing import Discovery, Listing


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds from an unknown start, for durations."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch; for the journal and windows, never for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits, while the event loop goes on."""
        ...


class Counters(Protocol):
    """One gateway's own counters. Read once a second; must answer well within that."""

    async def read(self) -> GatewayCounters:
        """What was counted up to now; it only grows."""
        ...


class Metrics(Protocol):
    """The metrics store: slower, with history."""

    async def window(self, service: str, side: Side, seconds: float) -> WindowStats | None:
        """Of the last seconds: nothing from before them is in it, however the store rounds windows or remembers series."""
        ...


@dataclass(frozen=True)
class Written:
    """What became of a write of several routes, each for itself.

    `generation`: what the record says now (or would). `problems`: by service, why its route is not, or not known to be,
    as asked for; ForeignWrite among them. `record`: why the record was not written though some route was.
    """

    generation: int
    problems: Mapping[str, BluegreenError] = field(default_factory=dict)
    record: BluegreenError | None = None


class Router(Protocol):
    """The routes of one gateway."""

    cluster: str
    entry: Mapping[str, int]  # goes into the record with every write; set when the entry moves meanwhile

    async def ready(self) -> None:
        """Fetches credentials, which may take a program 15 s; what has a time-out of its own waits for it first."""
        ...

    async def read(self) -> RouterState:
        """Record and enrolled routes as they are live."""
        ...

    async def write(
        self,
        splits: Mapping[str, int],
        *,
        changed: Sequence[str],
        generation: int,
        fence: int,
        force: bool = False,
        taken: Callable[[str], None] | None = None,
    ) -> Written:
        """Makes the routes of `changed` serve their splits, in that order and those that go back before others, then
        writes the record of all `splits`. `taken` is told of each service as soon as its public route is in.

        Each service for itself: a time-out or a refusal of one is in the result, and neither fails nor delays the
        others. A server that answers is never given up; one that answers nothing for a while is, with all that is left.
        Several writes may be under way: a service ends as the latest one asked for.

        With `force` the generation written is one above the live one where that is higher. Without `force`: a
        ForeignWrite where a route is not as this router last read or wrote it.

        Raises:
            LostFence: a route's fence is higher than ours; nothing more is written.
        """
        ...

    async def raise_fence(self, fence: int) -> list[str]:
        """Marks every enrolled route, so that an earlier holder's next write is a conflict. Gives the services whose
        route somebody changed since this router last read or wrote it: their next write is a ForeignWrite.

        Raises:
            LostFence: a route carries this fence or a higher one already; it is not lowered.
        """
        ...

    async def keep_returned(self, changes: Mapping[str, str | None]) -> None:
        """Why services went back, beside the record; None takes a service out (see returned.py)."""
        ...

    async def in_effect(self, service: str, split_bp: int) -> bool:
        """Whether the data plane itself serves this split (not: whether it was accepted)."""
        ...


class Entry(Protocol):
    """By which cluster's gateway requests come in."""

    async def read(self) -> Mapping[str, int]:
        """Shares by cluster, in basis points, as they are in effect."""
        ...

    async def write(self, shares_bp: Mapping[str, int], *, force: bool = False) -> str:
        """Sets the shares (basis points by cluster); gives the change's id, empty where there is none to wait for."""
        ...

    async def in_effect(self, change: str) -> bool:
        """Whether the change with this id has reached all name servers."""
        ...

    async def ttl_seconds(self) -> int:
        """How long resolvers may keep the old answer."""
        ...


class Reader(Protocol):
    """One cluster's API server, as what changes nothing needs it."""

    name: str

    async def discover(self, *, fresh: bool = False) -> Discovery:
        """What the server serves; asked once, and again where it is to be `fresh`."""
        ...

    async def minor(self) -> str:
        """Its version, such as `1.34`."""
        ...

    async def issuer(self) -> str:
        """The URL in every token of a ServiceAccount by which others (IAM) know this cluster."""
        ...

    async def signing_keys(self) -> frozenset[str]:
        """The ids of the keys by which those tokens are verified."""
        ...

    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, timeout_seconds: float | None = None
    ) -> Object:
        """The object as it is live. Raises NotFound."""
        ...

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """As `get`; None where there is no such object, or no such kind."""
        ...

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        metadata_only: bool = False,
        timeout_seconds: float | None = None,
    ) -> Listing:
        """All objects of a kind, in one namespace or (None) in all. `labels`: a selector."""
        ...


class Writer(Protocol):
    """One cluster's API server, as what writes needs it."""

    name: str

    async def apply(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        resource_version: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Object:
        """Server-side apply; gives the object after it. `resource_version`: only if nothing has changed since then.

        Raises:
            Conflict: others own a field and not `force`, or it has changed.
        """
        ...

    async def create(self, resource: Resource, obj: Mapping[str, Any], *, manager: str, repeatable: bool = False) -> Object:
        """The object as it was created. Raises Conflict where it exists."""
        ...

    async def replace(self, resource: Resource, obj: Mapping[str, Any], *, manager: str) -> Object:
        """The object after it. Raises Conflict where it has changed since."""
        ...

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        manager: str,
    ) -> Object:
        """A merge patch; gives the object after it."""
        ...

    async def delete(self, resource: Resource, namespace: str | None, name: str) -> None:
        """Nothing where it is gone already."""
        ...


class Kubernetes(Reader, Writer, Protocol):
    """One cluster's API server: the part of clients/kubernetes.py that steps use."""

    async def ready(self) -> float:
        """Fetches credentials where there are none yet; gives the event loop's time since when there are."""
        ...


class Aws(Protocol):
    """What AWS says of identities of pods. Every method raises errors of errors.py: NotFound for what is not there."""

    async def trust(self, role_arn: str) -> Mapping[str, Any]:
        """The trust policy of exactly this role."""
        ...

    async def audiences(self, provider_arn: str) -> frozenset[str]:
        """For whom the tokens of an OIDC provider may be (its client ids)."""
        ...

    async def associations(self, cluster: str, region: str) -> frozenset[str]:
        """`namespace/name` of each ServiceAccount that has a Pod Identity association on this EKS cluster."""
        ...
