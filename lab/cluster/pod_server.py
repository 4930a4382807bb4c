"""What a lab pod answers: a lean HTTP/1.1 server, one protocol object per connection.

A connection that begins as HTTP/2 does is handed to pod_http2.py, so every port of a pod answers both, and gRPC.

Every path is answered with 200 and a JSON echo, unless an annotation of the pod says otherwise (read anew for every
request, so faults begin and end at once):

    lab.bluegreen.io/errors: "0.5"        this share of the answers is a 500 (gRPC: status 14)
    lab.bluegreen.io/status: "404"        ... or this, where it is not a 500
    lab.bluegreen.io/latency-ms: "200"    answers come this much later
    lab.bluegreen.io/hang: "true"         no answer at all
    lab.bluegreen.io/crash-loop: "true"   the pod is not Ready; what still reaches it gets a 503 (gRPC: status 14)

Injected faults carry `x-lab-injected: 1`, so that whoever counts failures can tell them from others.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from lab.cluster.pod_http2 import PREFACE, Call, Http2, Reply

DOMAIN = "lab.bluegreen.io"
MAX_HEAD_BYTES = 64 * 1024
REASONS = {
    200: b"OK",
    301: b"Moved Permanently",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}


@dataclass(frozen=True)
class Faults:
    """The faults of one pod; parsed from its annotations when they change, not for each request."""

    errors: float = 0.0
    status: int = 500  # of those answers
    latency_seconds: float = 0.0
    hang: bool = False
    crash_loop: bool = False

    @property
    def none(self) -> bool:
        return not (self.errors or self.latency_seconds or self.hang or self.crash_loop)


def parse_faults(annotations: Mapping[str, str]) -> Faults:
    """Numbers that make no sense count as no fault."""

    def number(key: str) -> float:
        try:
            return max(0.0, float(annotations.get(f"{DOMAIN}/{key}", 0)))
        except ValueError:
            return 0.0

    def flag(key: str) -> bool:
        return annotations.get(f"{DOMAIN}/{key}") == "true"

    status = int(number("status"))
    return Faults(
        min(1.0, number("errors")),
        status if status in REASONS else 500,
        number("latency-ms") / 1000,
        flag("hang"),
        flag("crash-loop"),
    )


@dataclass
class Voice:
    """For whom a listening socket speaks."""

    cluster: str
    namespace: str
    pod: str
    workload: str
    faults: Faults = field(default_factory=Faults)
    closing: bool = False

    def __post_init__(self) -> None:
        workload = f"{self.namespace}/{self.workload}"
        named = {"x-lab-cluster": self.cluster, "x-lab-pod": self.pod, "x-lab-workload": workload}
        self.pairs = [(name.encode(), value.encode()) for name, value in named.items()]
        self.headers = b"".join(b"%s: %s\r\n" % pair for pair in self.pairs)
        who = {"cluster": self.cluster, "pod": self.pod, "namespace": self.namespace}
        self.body_start = orjson.dumps(who)[:-1]

    def echo(self, method: bytes, path: bytes, host: str, headers: list[tuple[bytes, bytes]]) -> bytes:
        echo: dict[str, Any] = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        rest = orjson.dumps({"method": method.decode(), "path": path.decode("latin-1"), "host": host, "headers": echo})
        return self.body_start + b"," + rest[1:]

    def fate(self) -> tuple[int, bool]:
        """Status of one answer, and whether a fault has a part in it."""
        faults = self.faults
        if faults.none:
            return 200, False
        status = 503 if faults.crash_loop else faults.status if faults.errors and random.random() < faults.errors else 200
        return status, status != 200 or faults.latency_seconds > 0


class PodProtocol(asyncio.Protocol):
    """One connection to one pod. Requests are answered in order; pipelining works."""

    def __init__(self, voice: Voice, connections: set[PodProtocol]) -> None:
        self.voice = voice
        self.connections = connections
        self.buffer = b""
        self.body_left = 0
        self.chunked = False
        self.pending: tuple[bytes, bytes, list[tuple[bytes, bytes]], bool] | None = None
        self.waiting = False
        self.begun = False  # whether it is known to be HTTP/1.1
        self.http2: Http2 | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self.http2 is not None:
            self.http2.receive(data)
            return
        self.buffer += data
        if not self.begun:
            if PREFACE.startswith(self.buffer[: len(PREFACE)]):
                if len(self.buffer) >= len(PREFACE):
                    self.http2 = Http2(self.transport, self._answer_call, lambda: self.voice.closing)
                    self.http2.receive(self.buffer)
                return
            self.begun = True
        if not self.waiting:
            self._advance()

    def _answer_call(self, call: Call, reply: Callable[[Reply], None]) -> None:
        faults = self.voice.faults
        if faults.hang:
            return
        status, injected = self.voice.fate()
        body = self.voice.echo(call.method, call.path, call.authority.decode("latin-1"), call.headers)
        answer = Reply(status, [*self.voice.pairs, *([(b"x-lab-injected", b"1")] if injected else [])], body)
        if faults.latency_seconds:
            asyncio.get_running_loop().call_later(faults.latency_seconds, reply, answer)
        else:
            reply(answer)

    def _advance(self) -> None:
        while not self.waiting:
            if self.pending is None:
                end = self.buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(self.buffer) > MAX_HEAD_BYTES:
                        self.transport.close()
                    return
                head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
                if not self._parse(head):
                    return
            if not self._skip_body():
                return
            self._answer()

    def _parse(self, head: bytes) -> bool:
        lines = head.split(b"\r\n")
        words = lines[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1"):
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()
            return False
        headers = []
        keep = words[2] == b"HTTP/1.1"
        self.body_left, self.chunked = 0, False
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip()
            headers.append((name, value))
            if name == b"content-length":
                self.body_left = int(value) if value.isdigit() else 0
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.chunked = True
            elif name == b"connection":
                keep = value.lower() == b"keep-alive" if value.lower() in (b"close", b"keep-alive") else keep
            elif name == b"expect" and value.lower() == b"100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.pending = (words[0], words[1], headers, keep)
        return True

    def _skip_body(self) -> bool:
        """Whether the whole body has been taken off the buffer."""
        if not self.chunked:
            taken = min(self.body_left, len(self.buffer))
            self.buffer, self.body_left = self.buffer[taken:], self.body_left - taken
            return self.body_left == 0
        while True:
            line, newline, rest = self.buffer.partition(b"\r\n")
            if not newline:
                return False
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                self.transport.close()
                return False
            if len(rest) < size + 2:
                return False
            self.buffer = rest[size + 2 :]
            if size == 0:
                self.chunked = False
                return True

    def _answer(self) -> None:
        faults = self.voice.faults
        if faults.hang:
            self.waiting = True  # the client gives up, or the fault ends with the connection
            return
        status, injected = self.voice.fate()
        if faults.latency_seconds:
            self.waiting = True
            loop = asyncio.get_running_loop()
            loop.call_later(faults.latency_seconds, self._late, status, injected)
        else:
            self._write(status, injected)

    def _late(self, status: int, injected: bool) -> None:
        self.waiting = False
        if not self.transport.is_closing():
            self._write(status, injected)
            self._advance()

    def _write(self, status: int, injected: bool) -> None:
        assert self.pending is not None
        method, target, headers, keep = self.pending
        self.pending = None
        keep = keep and not self.voice.closing
        host = next((value.decode("latin-1") for name, value in headers if name == b"host"), "")
        body = self.voice.echo(method, target, host, headers)
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s%s%s\r\n%s"
            % (
                status,
                REASONS[status],
                len(body),
                self.voice.headers,
                b"x-lab-injected: 1\r\n" if injected else b"",
                b"" if keep else b"connection: close\r\n",
                b"" if method == b"HEAD" else body,
            )
        )
        if not keep:
            self.transport.close()
