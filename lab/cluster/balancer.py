"""A TCP load balancer on loopback that forgets idle flows as AWS's network load balancer does.

Nobody is told when a flow is forgotten. Whoever sends on it next gets a reset. Any segment keeps a flow known, keepalive
probes too. AWS forgets after 350 s; here it is as long as asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.05
SEGMENTS_IN = 140  # where Linux' struct tcp_info has tcpi_segs_in


class Balancer:
    """Forwards every connection to one target. Figures are read from any thread."""

    def __init__(self, target: tuple[str, int], memory_seconds: float) -> None:
        self.target, self.memory_seconds = target, memory_seconds
        self.port = 0
        self.opened = self.forgotten = self.resets = 0
        self._flows: set[_Flow] = set()

    @property
    def known(self) -> int:
        """Flows that are open and not forgotten."""
        return sum(not flow.forgotten for flow in list(self._flows))

    async def serve(self, address: str, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, address, 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        try:
            while not stop.is_set():
                for flow in list(self._flows):
                    if flow.idle_seconds() > self.memory_seconds and not flow.forgotten:
                        flow.forgotten = True
                        self.forgotten += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        finally:
            server.close()
            for flow in list(self._flows):
                flow.end()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection(*self.target)
        except OSError:
            _reset(writer)
            return
        flow = _Flow(writer, upstream[1])
        self.opened += 1
        self._flows.add(flow)
        try:
            await asyncio.gather(self._pump(flow, reader, writer, upstream[1]), self._pump(flow, *upstream, writer))
        finally:
            flow.end()
            self._flows.discard(flow)

    async def _pump(
        self, flow: _Flow, reader: asyncio.StreamReader, sender: asyncio.StreamWriter, taker: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if flow.forgotten:
                    self.resets += 1
                    _reset(sender)
                    break
                taker.write(data)
                await taker.drain()
        taker.close()


class _Flow:
    def __init__(self, client: asyncio.StreamWriter, target: asyncio.StreamWriter) -> None:
        self.ends = (client, target)
        self.forgotten = False
        self._last_segments, self._at = self._segments(), time.monotonic()

    def idle_seconds(self) -> float:
        now = self._segments()
        if now != self._last_segments:
            self._last_segments, self._at = now, time.monotonic()
        return time.monotonic() - self._at

    def _segments(self) -> list[int]:
        segments = []
        for end in self.ends:
            with contextlib.suppress(OSError):  # closed meanwhile
                info = end.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SEGMENTS_IN + 4)
                segments.append(struct.unpack_from("I", info, SEGMENTS_IN)[0])
        return segments

    def end(self) -> None:
        for each in self.ends:
            each.transport.abort()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def balancing(target: tuple[str, int], address: str, memory_seconds: float) -> Iterator[Balancer]:
    """A balancer at `address` and a port of its own (`port`) for the length of the block."""
    if not address.startswith("127."):
        raise ValueError(f"balancer at {address}: the lab is on loopback addresses only")
    balancer, ready = Balancer(target, memory_seconds), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(balancer.serve(address, ready, stop))
            loop.run_until_complete(_end_tasks())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    if not balancer.port:
        raise OSError(f"nothing can listen at {address}")
    try:
        yield balancer
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
