"""A real HTTP server on loopback for the length of one call, and a metrics store behind it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

T = TypeVar("T")


def served(answer: Callable[[web.Request], web.Response], use: Callable[[str], Awaitable[T]]) -> T:
    """Runs `use` with the URL of a server on loopback that answers so."""

    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    async def run() -> T:
        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return await use(f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    return asyncio.run(run())


SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)?(?:\{(.*)\})?(?:\[(\d+)(ms|s|m)\](?: offset (-?\d+)s)?)?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)",?')
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
LOOKBACK_SECONDS = 300.0


@dataclass
class Store:
    """Answers instant queries as Prometheus does, of selectors (with a range or without) and of a count by labels alone.

    Anything else it cannot parse. A range is open on its left, nothing before it is told. `rounds`: to the whole second
    before, as VictoriaMetrics does.
    """

    now: float
    series: Sequence[tuple[Mapping[str, str], Mapping[float, float]]]  # labels with __name__, samples by time
    rounds: bool = False
    asked: list[str] = field(default_factory=list)

    def __call__(self, request: web.Request) -> web.Response:
        if request.path != "/api/v1/query":
            return web.Response(status=404, text="404 page not found")
        query = request.query["query"]
        self.asked.append(query)
        try:
            kind, result = self._answer(query)
        except ValueError as problem:
            error = {"status": "error", "errorType": "bad_data", "error": f"parse error: {problem}"}
            return web.json_response(error, status=400)
        return web.json_response({"status": "success", "data": {"resultType": kind, "result": result}})

    def _answer(self, query: str) -> tuple[str, list[dict[str, Any]]]:
        if counting := re.fullmatch(r"count by \((\w+)\) \((.*)\)", query):
            label, inner = counting[1], self._select(counting[2])[0]
            counts = Counter(labels.get(label, "") for labels, samples in inner if samples)
            return "vector", [
                {"metric": {label: value} if value else {}, "value": [self.now, str(count)]} for value, count in counts.items()
            ]
        series, ranged = self._select(query)
        if ranged:
            return "matrix", [
                {"metric": dict(labels), "values": [[at, _text(value)] for at, value in samples]} for labels, samples in series
            ]
        return "vector", [{"metric": dict(labels), "value": [self.now, _text(samples[-1][1])]} for labels, samples in series]

    def _select(self, query: str) -> tuple[list[tuple[Mapping[str, str], list[tuple[float, float]]]], bool]:
        if not (parsed := SELECTOR.fullmatch(query)):
            raise ValueError(query)
        name, matchers, number, unit, offset = parsed.groups()
        if matchers and MATCHER.sub("", matchers):
            raise ValueError(matchers)
        wanted = [(label, op, value) for label, op, value in MATCHER.findall(matchers or "")]
        wanted += [("__name__", "=", name)] if name else []
        if all(_fits("", op, value) for _, op, value in wanted):
            raise ValueError("vector selector must contain at least one non-empty matcher")
        until = (float(int(self.now)) if self.rounds else self.now) - float(offset or 0)
        since = until - (float(number) * UNIT_SECONDS[unit] if number else LOOKBACK_SECONDS)
        series = [
            (labels, [(at, value) for at, value in sorted(samples.items()) if since < at <= min(until, self.now)])
            for labels, samples in self.series
            if all(_fits(labels.get(label, ""), op, value) for label, op, value in wanted)
        ]
        return [(labels, samples) for labels, samples in series if samples], number is not None


def _fits(actual: str, op: str, value: str) -> bool:
    if op in ("=", "!="):
        return (actual == value) == (op == "=")
    return (re.fullmatch(value, actual) is not None) == (op == "=~")


def _text(value: float) -> str:
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(str(value), f"{value:g}")
