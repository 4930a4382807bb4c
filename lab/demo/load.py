"""The lab's users: many clients that resolve names themselves and keep answers for their TTL, at a fixed rate.

`python -m lab.demo.load CONFIG` runs until its time is over or SIGTERM, and reads CONFIG (JSON) again when it changes:

    {"dns": "127.64.0.1:5353", "port": 8080, "rate": 300, "clients": 40, "seconds": 600, "output": "requests.jsonl",
     "targets": [{"name": "catalog.shop.test", "host": "catalog.shop.test", "path": "/", "weight": 1}]}

`rate` is requests per second over all targets, `name` what is resolved, `host` what is sent as Host. Each request is
one line of `output`: t (seconds since the epoch, when sent), ms, host, path, status (0: no answer), error, address,
and what the answer says of itself: cluster, pod, workload, injected (a fault of the lab made it).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import aiohttp
import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype

REQUEST_SECONDS = 15.0  # a machine that stands still for some seconds is no fault of who moves traffic
DNS_SECONDS = 2.0
STALE_SECONDS = 60.0
FLUSH_SECONDS = 0.1
MOST_SECONDS = 3600.0


class LoadError(Exception):
    """The load cannot be made as asked: says what is wrong with the file."""


@dataclass(frozen=True)
class Target:
    name: str
    host: str
    path: str = "/"
    weight: float = 1.0


@dataclass(frozen=True)
class Config:
    dns: str
    port: int
    rate: float
    output: Path
    targets: Sequence[Target]
    clients: int = 40
    seconds: float = 600.0

    @staticmethod
    def read(file: Path) -> Config:
        """Raises LoadError with the file's name for anything that is not as described above."""
        try:
            raw = json.loads(file.read_text())
            targets = tuple(Target(**each) for each in raw.pop("targets"))
            config = Config(**raw | {"targets": targets, "output": Path(raw["output"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise LoadError(f"{file}: {error!r}") from error
        if not targets or min(each.weight for each in targets) < 0 or sum(each.weight for each in targets) <= 0:
            raise LoadError(f"{file}: targets: one or more with a weight above 0")
        if not 0 < config.rate <= 5000 or not 0 < config.seconds <= MOST_SECONDS or not 0 < config.clients <= 1000:
            raise LoadError(f"{file}: rate up to 5000, seconds up to {MOST_SECONDS:.0f}, clients up to 1000, all above 0")
        return config


class Names:
    """One client's resolver: asks the DNS server given and keeps each answer as long as its TTL says.

    Only when the server does not answer is an old answer used for a while longer, as resolvers do (RFC 8767).
    """

    def __init__(self, server: str) -> None:
        self.server, _, port = server.rpartition(":")
        self.port = int(port)
        self._kept: dict[str, tuple[float, str]] = {}
        self._asking: dict[str, asyncio.Task[str]] = {}

    async def address(self, name: str) -> str:
        """An address of `name`, refused unless it is a loopback one: this load is for the lab alone."""
        until, kept = self._kept.get(name, (0.0, ""))
        if time.monotonic() < until:
            return kept
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.create_task(self._ask(name))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        try:
            return await asyncio.shield(asking)
        except (dns.exception.Timeout, TimeoutError):
            if time.monotonic() < until + STALE_SECONDS:
                return kept
            raise

    async def _ask(self, name: str) -> str:
        question = dns.message.make_query(name, dns.rdatatype.A)
        answer = await dns.asyncquery.udp(question, self.server, timeout=DNS_SECONDS, port=self.port)
        for records in answer.answer:
            if records.rdtype == dns.rdatatype.A:
                address = str(records[0])
                if not ipaddress.ip_address(address).is_loopback:
                    raise OSError(f"{name} is {address}, which is no loopback address")
                self._kept[name] = (time.monotonic() + records.ttl, address)
                return address
        raise OSError(f"{name} has no address")


class Load:
    """Sends at a fixed rate: a slow answer delays nobody else's request."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.config = Config.read(file)
        self._read_at = file.stat().st_mtime_ns
        self._lines: list[str] = []
        self._open: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._random = random.Random(20)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self.config.output.parent.mkdir(parents=True, exist_ok=True)
        clients = [Names(self.config.dns) for _ in range(self.config.clients)]
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        with self.config.output.open("a") as output:
            writer = asyncio.create_task(self._write(output))
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
                await self._send(session, clients)
                if self._open:
                    await asyncio.wait(self._open)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
            self._flush(output)

    async def _send(self, session: aiohttp.ClientSession, clients: Sequence[Names]) -> None:
        began = due = time.monotonic()
        while not self._stop.is_set() and due - began < self.config.seconds:
            wait = due - time.monotonic()
            if wait > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait)
                    break
            weights = [each.weight for each in self.config.targets]
            target = self._random.choices(self.config.targets, weights)[0]
            task = asyncio.create_task(self._one(session, self._random.choice(clients), target))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            due += 1 / self.config.rate

    async def _one(self, session: aiohttp.ClientSession, names: Names, target: Target) -> None:
        began, at = time.perf_counter(), time.time()
        record: dict[str, Any] = {"t": round(at, 4), "host": target.host, "path": target.path, "status": 0}
        try:
            record["address"] = await names.address(target.name)
            url = f"http://{record['address']}:{self.config.port}{target.path}"
            async with session.get(url, headers={"Host": target.host}, allow_redirects=False) as answer:
                await answer.read()
                said = answer.headers
                record["status"] = answer.status
                record["cluster"], record["pod"] = said.get("x-lab-cluster"), said.get("x-lab-pod")
                record["workload"], record["injected"] = said.get("x-lab-workload"), "x-lab-injected" in said
        except (aiohttp.ClientError, OSError, TimeoutError, dns.exception.DNSException) as error:
            record["status"], record["error"] = 0, f"{type(error).__name__}: {error}"
        record["ms"] = round((time.perf_counter() - began) * 1000, 2)
        self._lines.append(json.dumps(record))

    async def _write(self, output: TextIO) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._flush(output)
            changed = self.file.stat().st_mtime_ns
            if changed != self._read_at:
                self._read_at = changed
                with contextlib.suppress(LoadError):  # half written: the next change is read
                    self.config = Config.read(self.file)

    def _flush(self, output: TextIO) -> None:
        lines, self._lines = self._lines, []
        if lines:
            output.write("\n".join(lines) + "\n")
            output.flush()


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m lab.demo.load CONFIG.json", file=sys.stderr)
        return 2
    try:

        async def run() -> None:
            await Load(Path(sys.argv[1])).run()

        asyncio.run(run())
    except LoadError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
