"""The words of the domain as frozen values. Shares are basis points of green (0-10000); seconds are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

WHOLE_BP = 10_000
MANAGER = "bluegreen-edge"  # the field manager of the edge: the command and the stack program are one owner
LOCK_MANAGER = "bluegreen-lock"
FENCE = "bluegreen.io/fence"  # annotation of every enrolled route: the number of the lock that may write
Side = Literal["blue", "green"]


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    BLOCKING = "blocking"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found. `status` fail: it is so; unknown: it could not be looked at; waived: known and accepted."""

    code: str
    severity: Severity
    status: Literal["fail", "unknown", "waived"]
    object: str
    evidence: str
    remedy: str
    doc: str = ""


# -- numbers ---------------------------------------------------------------------------------------------------------


CLASSES = ("3xx", "401/403", "404", "4xx")  # of HTTP answers; a gRPC status N is "gRPC N"
# Statuses of gRPC that tell of a server's fault: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS. They come
# with HTTP status 200.
GRPC_ERRORS = frozenset({2, 4, 13, 14, 15})


def class_of(code: str, grpc_status: str = "") -> str | None:
    """To which class an answer belongs: one of CLASSES, "gRPC N", "error", or None for a good one.

    `code`: HTTP status, "0" where the connection went before an answer came; `grpc_status`: a number, "" where there is none.
    """
    if code == "0" or (len(code) == 3 and code.startswith("5")):
        return "error"
    if grpc_status.isdigit() and grpc_status != "0":
        return "error" if int(grpc_status) in GRPC_ERRORS else f"gRPC {int(grpc_status)}"
    if code in ("401", "403"):
        return "401/403"
    if code == "404":
        return "404"
    if len(code) == 3 and code[0] in "34":
        return f"{code[0]}xx"
    return None


@dataclass(frozen=True)
class Tally:
    """Counters since some start: they only grow (but `active`), and begin again at 0 when a proxy restarts.

    `requests` are finished ones with any answer or none (a request that timed out or never connected is finished, with an
    error); `errors` those of them with 5xx, no answer or a gRPC status of GRPC_ERRORS; `active` are begun and not finished;
    `classes` counts the answers that are neither good nor errors, as `class_of` names them.
    """

    requests: int = 0
    errors: int = 0
    active: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        classes = _joined(self.classes, other.classes, 1)
        return Tally(self.requests + other.requests, self.errors + other.errors, self.active + other.active, classes)

    def __sub__(self, other: Tally) -> Tally:
        classes = _joined(self.classes, other.classes, -1) if other.classes else self.classes
        return Tally(self.requests - other.requests, self.errors - other.errors, self.active - other.active, classes)


def _joined(ours: Mapping[str, int], others: Mapping[str, int], sign: int) -> Mapping[str, int]:
    if not others:
        return ours
    joined = dict(ours)
    for name, count in others.items():
        joined[name] = joined.get(name, 0) + sign * count
    return {name: count for name, count in joined.items() if count}


@dataclass(frozen=True)
class ServiceCounters:
    """What one gateway counted for one service.

    `local`: everything it sent to workloads of its own cluster, including what came in by the peer listener;
    `peer_in`: that part alone;
    `forwarded`: what it sent to the other gateway.
    """

    local: Tally = field(default_factory=Tally)
    forwarded: Tally = field(default_factory=Tally)
    peer_in: Tally = field(default_factory=Tally)


@dataclass(frozen=True)
class GatewayCounters:
    """One reading of one gateway. `services` are all its pods that answered, added up.

    `pods`: the same of each pod by its page's URL (empty where the gateway is read as one); `silent`: pages that did not
    answer and why, while others did; `epoch` changes when a proxy started anew and counters began at 0.
    """

    services: Mapping[str, ServiceCounters]
    epoch: str = ""
    pods: Mapping[str, Mapping[str, ServiceCounters]] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowStats:
    """What the metrics store says of one service on one side over a window. None: the store has no such data.

    `classes`: as in Tally.
    """

    requests: float
    errors: float
    latency_ms: float | None = None
    classes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Baseline:
    """What blue is remembered to have shown of one service, by the gateways' counters and by the metrics store.

    `bins`: over how many stretches of 10 s in which it answered; 0 where it is not told.
    """

    answers: Tally = field(default_factory=Tally)
    latency_ms: float | None = None
    bins: int = 0


@dataclass(frozen=True)
class Step:
    """What both sides answered since a step took effect; `sent` is what the other gateway saw of green's part."""

    blue: Tally = field(default_factory=Tally)
    green: Tally = field(default_factory=Tally)
    sent: Tally = field(default_factory=Tally)


# -- verdicts --------------------------------------------------------------------------------------------------------


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"  # too few requests, no data: never a pass
    ERROR = "error"  # the backend is down: says nothing of green


NEVER = float("-inf")  # monotonic: before all that happens


@dataclass(frozen=True)
class Judged:
    verdict: Verdict
    reason: str
    green_rate: float | None = None
    blue_rate: float | None = None
    requests: int = 0
    about: str = ""  # tells reasons of one verdict apart, and has no figures that grow

    @classmethod
    def unknown(cls, reason: str) -> Judged:
        """An ERROR, of which each reason is one of its own."""
        return cls(Verdict.ERROR, reason, about=reason)


# -- the state of a service ------------------------------------------------------------------------------------------


class Phase(StrEnum):
    WAITING = "waiting"  # enrolled, its batch has not come
    MOVING = "moving"  # at a step, dwelling
    ARRIVED = "arrived"  # at 100 %, baking
    BAKED = "baked"  # its bake is over; analysis goes on while others move
    RETURNED = "returned"  # taken back; stays until it is tried again
    HELD = "held"  # by configuration: does not move
    FROZEN = "frozen"  # somebody else changed it: goes no further, is judged and taken back like any other


class Standing(StrEnum):
    """How the last run left a service, where that binds the next one."""

    OPEN = ""  # it does not: the splits say where to go on
    RETURNED = "returned"
    FROZEN = "frozen"
    BAKED = "baked"


class HoldKind(StrEnum):
    """Why a service stays at its step though the time of the step is over."""

    COUNTERS = "counters"  # a gateway's do not answer
    NUMBERS = "numbers"  # what green answered since the step began is not good enough to end it
    REQUESTS = "requests"  # too few of them
    STORE = "store"  # the metrics store did not say `pass`
    STORE_AWAITED = "store awaited"  # for its next word; not yet a reason to worry
    GATEWAY = "gateway"  # does not serve the split yet
    DISK = "disk"  # what must be written before a step cannot be
    PAUSED = "paused"
    WINDOW = "window"
    UNASKED = "unasked"  # this run was not asked to move it
    PARKED = "parked"  # by configuration


@dataclass(frozen=True)
class Hold:
    """`text`: for people, may have figures that grow. `about` tells holds of one kind apart, and has none."""

    kind: HoldKind
    text: str
    about: str = ""

    def __str__(self) -> str:
        return f"holds: {self.text}"

    def same_as(self, other: Hold | None) -> bool:
        """Whether people who have read the other one learn nothing but figures from this."""
        return other is not None and (self.kind, self.about) == (other.kind, other.about)


@dataclass(frozen=True)
class ServiceState:
    """`split_bp` is what is written; times are monotonic. `in_effect_at` is None until both gateways serve the split.

    `hold`: why it does not go on; `cause`: why it is in its phase (returned, held, frozen), in words.
    """

    phase: Phase = Phase.WAITING
    split_bp: int = 0
    in_effect_at: float | None = None
    dwell_seconds: float = 0.0  # of the present step (or of the bake): only time in effect and judged counts
    dwell_done_at: float | None = None
    slow_passed_at: float | None = None
    slow_unsure_at: float | None = None  # when the store last answered that it has too little to judge by
    slow_hold: Hold | None = None  # where the store's last word was not "pass"
    inconclusive_seconds: float = 0.0
    fails: int = 0
    errors: int = 0
    last_tick: float | None = None
    hold: Hold | None = None
    cause: str = ""

    @property
    def reason(self) -> str:
        """For people; empty where there is nothing to say."""
        return str(self.hold) if self.hold else self.cause


@dataclass(frozen=True)
class RouteLive:
    """A service's route as it is on one gateway. `split_bp` None: not a route that we would have written."""

    split_bp: int | None
    resource_version: str
    fence: int
    digest: str  # of the spec, to tell a foreign change from a touched annotation
    manager: str = ""  # who wrote spec last, from managedFields
    changed_at: str = ""
    probe_bp: int | None = None  # the split that its peer route tells of; None: there is no such route


@dataclass(frozen=True)
class RouterState:
    """What one gateway's cluster holds: the record of the edge, each enrolled route, and why services went back."""

    generation: int | None
    services: Mapping[str, int]
    routes: Mapping[str, RouteLive]
    returned: Mapping[str, str] = field(default_factory=dict)

    @property
    def fence(self) -> int:
        """The highest that any route carries."""
        return max((route.fence for route in self.routes.values()), default=0)


@dataclass(frozen=True)
class Move:
    """One write of one service's split. `back` moves need no lock, no window and no good word from anyone.

    `over`: somebody else wrote this route meanwhile; it is written over.
    """

    service: str
    to_bp: int
    reason: str
    back: bool = False
    over: bool = False
