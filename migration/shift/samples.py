"""What the gateways counted of one service, as a history that judges can look at: the last seconds, the whole step, and
what blue showed before.

A step's history begins when the step takes effect (`restart`): nothing from before is in any window. Gateway pods are
followed each for itself: a pod that was silent at the beginning is counted from its next answer on, since what it counted
meanwhile may be older.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from migration.model import Baseline, GatewayCounters, ServiceCounters, Side, Step, Tally

NONE = ServiceCounters()
SIDES: tuple[Side, Side] = ("blue", "green")
RECENT_SECONDS = 60.0  # every sample is kept so long
THIN_SECONDS = 10.0  # one sample in so many seconds is kept after that ...
LONGEST_SECONDS = 600.0  # ... for so long
BIN_SECONDS = 10.0
BINS = 360  # of blue's answers that are remembered: an hour in which it had any


def sides(blue_gateway: ServiceCounters, green_gateway: ServiceCounters) -> tuple[Tally, Tally]:
    """What blue and green answered, whichever gateway the requests came in by.

    A forwarded request is counted by the gateway that forwarded it, so that one which never arrived counts too.
    The other gateway counts those that arrived among its `local`; where it cannot tell them apart (`peer_in` is 0), as many
    as were forwarded are taken off.
    """
    return _side(blue_gateway, green_gateway.forwarded), _side(green_gateway, blue_gateway.forwarded)


def _side(own: ServiceCounters, sent: Tally) -> Tally:
    came = own.peer_in
    if not came.requests and not came.active:
        came = Tally(
            min(sent.requests, own.local.requests),
            min(sent.errors, own.local.errors),
            min(sent.active, own.local.active),
            {name: min(count, own.local.classes.get(name, 0)) for name, count in sent.classes.items()},
        )
    total = own.local - came + sent
    classes = {name: count for name, count in total.classes.items() if count > 0} if total.classes else total.classes
    requests = max(total.requests, 0)
    return Tally(requests, max(min(total.errors, requests), 0), max(total.active, 0), classes)


@dataclass(frozen=True)
class Sample:
    at: float  # monotonic, when the reading was begun
    blue: Tally  # since the step took effect; `active` as it is
    green: Tally
    sent: Tally  # of green's part what blue's gateway forwarded: exact where several services share a destination


@dataclass(frozen=True)
class Window:
    """What both sides answered from `since` to the newest sample; `whole`: that is all since the step took effect."""

    since: float
    seconds: float
    whole: bool
    blue: Tally
    green: Tally
    sent: Tally


class Samples:
    """Counters that began again (a restarted proxy) add what they show, never a negative number."""

    def __init__(self, remembered: Baseline | None = None, step: Step | None = None) -> None:
        """`remembered`: what blue is known to have answered before this run; `step`: what came of the present step then."""
        self._recent: list[Sample] = []
        self._older: list[Sample] = []
        self._starts_at = float("-inf")
        self._first: Sample | None = None  # with which the step's history begins
        self._base: dict[Side, ServiceCounters] = {"blue": NONE, "green": NONE}  # the sums at that moment
        self._last: dict[tuple[Side, str], tuple[str, ServiceCounters]] = {}  # by side and pod: epoch and counters
        self._sum: dict[Side, ServiceCounters] = {"blue": NONE, "green": NONE}
        self._carried = step or Step()
        # Blue's answers up to a moment, of stretches in which it had any. Those of before this run go one by one, too.
        known = remembered or Baseline()
        bins = min(known.bins or BINS, BINS) if known.answers.requests else 1
        self._memory: list[tuple[float, Tally]] = [
            (float("-inf"), _part(known.answers, number, bins)) for number in range(1, bins + 1)
        ]
        self._forgotten = Tally()
        self._bin_began: tuple[float, Tally] | None = None

    def add(self, at: float, gateways: Mapping[Side, GatewayCounters], service: str) -> None:
        """`at`: when this reading was begun. `gateways` by side; one that did not answer is left out."""
        begins = self._first is None and at >= self._starts_at
        if begins:
            answered = {(side, pod) for side, reading in gateways.items() for pod in reading.pods or ("",)}
            self._last = {key: last for key, last in self._last.items() if key in answered}
        for side, reading in gateways.items():
            pods = reading.pods or {"": reading.services}
            for pod, services in pods.items():
                self._grow(side, pod, reading.epoch, services.get(service, NONE))
            # requests open now are those of the pods that answer now
            open_now = [services.get(service, NONE) for services in pods.values()]
            self._sum[side] = _with_active(self._sum[side], open_now)
        self._remember(at)
        if begins:
            self._base = dict(self._sum)
        if begins or self._first is not None:
            blue, green = (_since(self._sum[side], self._base[side]) for side in SIDES)
            newest = Sample(at, *sides(blue, green), blue.forwarded)
            self._first = self._first or newest
            self._keep(newest)

    def _grow(self, side: Side, pod: str, epoch: str, counters: ServiceCounters) -> None:
        before = self._last.get((side, pod))
        self._last[side, pod] = (epoch, counters)
        if before is None:
            return
        base = before[1] if before[0] == epoch else NONE
        total = self._sum[side]
        self._sum[side] = ServiceCounters(
            _grown(total.local, counters.local, base.local),
            _grown(total.forwarded, counters.forwarded, base.forwarded),
            _grown(total.peer_in, counters.peer_in, base.peer_in),
        )

    def _keep(self, newest: Sample) -> None:
        self._recent.append(newest)
        stale = bisect_right(self._recent, newest.at - RECENT_SECONDS, key=_at) - 1  # one stays, for the longest window
        for sample in self._recent[: max(stale, 0)]:
            if not self._older or sample.at - self._older[-1].at >= THIN_SECONDS - 1e-6:
                self._older.append(sample)
        del self._recent[: max(stale, 0)]
        gone = bisect_right(self._older, newest.at - LONGEST_SECONDS, key=_at) - 1
        del self._older[: max(gone, 0)]

    def restart(self, at: float, *, anew: bool = True) -> None:
        """A step takes effect: its history begins with the first reading that is begun at or after `at`.

        `anew`: it is another step than the one that was carried over from an earlier run.
        """
        if anew:
            self._carried = Step()
        self._remember(at, at_once=True)  # blue may fall silent by it
        self._starts_at, self._first = at, None
        self._recent, self._older = [], []

    def over(self, seconds: float = float("inf")) -> Window | None:
        """The last seconds, or less where the step took effect since; infinity is the whole step."""
        if self._first is None or len(self._recent) + len(self._older) < 2:
            return None
        newest, base = self._recent[-1], self._first
        edge = newest.at - seconds + 1e-6
        for kept, end in ((self._recent, len(self._recent) - 1), (self._older, len(self._older))):
            if index := bisect_right(kept, edge, 0, end, key=_at):
                base = kept[index - 1]
                break
        whole = base is self._first
        blue, green, sent = newest.blue - base.blue, newest.green - base.green, newest.sent - base.sent
        if whole:
            blue, green, sent = self._carried.blue + blue, self._carried.green + green, self._carried.sent + sent
        return Window(base.at, newest.at - base.at, whole, _whole(blue), _whole(green), _whole(sent))

    def step(self) -> Step:
        """All since the step took effect, for a run after this one."""
        window = self.over()
        return Step(window.blue, window.green, window.sent) if window else self._carried

    def without_worst(
        self, window: Window, seconds: float, bad: Callable[[Tally], int], part: Callable[[Sample | Window], Tally]
    ) -> Tally:
        """Green's answers in the window less those of its worst stretch of so many seconds. `part`: `green` or `sent`."""
        points = [s for s in (*self._older, *self._recent) if s.at >= window.since]
        if self._first is not None and points[0].at > window.since:
            points.insert(0, self._first)
        worst, first = Tally(), 0
        for last in range(1, len(points)):
            while points[last].at - points[first].at > seconds + 1e-6 and first < last - 1:
                first += 1
            stretch = part(points[last]) - part(points[first])
            if bad(stretch) > bad(worst):
                worst = stretch
        return _whole(part(window) - worst)

    # -- blue's memory -------------------------------------------------------------------------------------------------

    def _remember(self, at: float, *, at_once: bool = False) -> None:
        if not at_once and self._bin_began and at - self._bin_began[0] < BIN_SECONDS - 1e-6:
            return
        total = _side(self._sum["blue"], self._sum["green"].forwarded)
        before = self._bin_began[1] if self._bin_began else total
        self._bin_began = (at, total)
        if (grown := total - before).requests > 0:  # silence is not remembered: it would push out what was
            self._memory.append((at, self._memory[-1][1] + grown))
            if len(self._memory) > BINS:
                self._forgotten = self._memory.pop(0)[1]

    def remembered(self, before: float = float("inf")) -> Tally:
        """Blue's answers of the last hour in which it had any, up to a moment."""
        index = bisect_right(self._memory, before, key=lambda kept: kept[0])
        return self._memory[index - 1][1] - self._forgotten if index else Tally()

    @property
    def bins(self) -> int:
        """Over how many stretches `remembered` is."""
        return len(self._memory)

    # -- requests that never end ---------------------------------------------------------------------------------------

    def hung_seconds(self) -> float:
        """For how long green has held requests without finishing any."""
        if not self._recent:
            return 0.0
        newest = self._recent[-1]
        since = newest.at
        for sample in reversed(self._recent):
            if sample.green.active <= 0 or sample.green.requests != newest.green.requests:
                break
            since = sample.at
        return newest.at - since

    def green_active(self) -> int:
        """Requests that green has open now."""
        return self._recent[-1].green.active if self._recent else 0

    def green_requests(self) -> int:
        """Green's answers since the step took effect."""
        return self._carried.green.requests + (self._recent[-1].green.requests if self._recent else 0)


def _at(sample: Sample) -> float:
    return sample.at


def _grown(total: Tally, now: Tally, before: Tally) -> Tally:
    if now.requests < before.requests:
        before = Tally()
    grown = now - before
    if not grown.requests and not grown.errors:
        return total
    classes = {name: count for name, count in grown.classes.items() if count > 0}
    return total + Tally(grown.requests, max(grown.errors, 0), 0, classes)


def _with_active(total: ServiceCounters, pods: Iterable[ServiceCounters]) -> ServiceCounters:
    now = list(pods)
    before = _parts(total)
    active = [sum(tally.active for tally in same) for same in zip(*map(_parts, now), strict=True)] or [0, 0, 0]
    if all(part.active == count for part, count in zip(before, active, strict=True)):
        return total
    return ServiceCounters(*(replace(part, active=count) for part, count in zip(before, active, strict=True)))


def _parts(counters: ServiceCounters) -> tuple[Tally, Tally, Tally]:
    return counters.local, counters.forwarded, counters.peer_in


def _part(whole: Tally, number: int, of: int) -> Tally:
    """The first `number` of `of` equal parts."""
    classes = {name: count * number // of for name, count in whole.classes.items()}
    return Tally(whole.requests * number // of, whole.errors * number // of, 0, classes)


def _whole(grown: Tally) -> Tally:
    """No less requests than answers: two gateways are not read in the same instant."""
    if not grown.classes and 0 <= grown.errors <= grown.requests:
        return grown
    classes = {name: count for name, count in grown.classes.items() if count > 0} if grown.classes else grown.classes
    errors = max(grown.errors, 0)
    return Tally(max(grown.requests, errors + sum(classes.values())), errors, grown.active, classes)


def _since(now: ServiceCounters, base: ServiceCounters) -> ServiceCounters:
    def growth(after: Tally, before: Tally) -> Tally:
        grown = after - before
        return Tally(grown.requests, grown.errors, after.active, grown.classes)

    return ServiceCounters(
        growth(now.local, base.local), growth(now.forwarded, base.forwarded), growth(now.peer_in, base.peer_in)
    )
