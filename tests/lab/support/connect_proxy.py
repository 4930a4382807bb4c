"""A small HTTP proxy on loopback: tunnels by CONNECT to names that it alone knows, and counts them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

NOT_HERE = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
WHO = 'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="lab"\r\nContent-Length: 0\r\n\r\n'


@dataclass
class ConnectProxy:
    names: Mapping[str, tuple[str, int]]  # host:port as asked for -> where it is
    user: str = ""  # name:password that must be given, if any
    asked: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.answer(reader, writer)
            writer.close()
        except asyncio.CancelledError:  # the end of the proxy; raised on, asyncio would log it
            writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *headers = head.split("\r\n")
            method, target, _ = line.split(" ")
            self.asked.append(line)
            given = [each.split(":", 1)[1].strip() for each in headers if each.lower().startswith("proxy-authorization:")]
            right = "Basic " + base64.b64encode(self.user.encode()).decode()
            if self.user and given != [right]:
                writer.write(WHO.encode())
            elif method != "CONNECT" or target not in self.names:
                writer.write(NOT_HERE.encode())
            else:
                self.opened.append(target)
                await self.tunnel(target, reader, writer)
            await writer.drain()

    async def tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self.names[target])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        try:
            await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        finally:
            far_writer.transport.abort()


@contextlib.contextmanager
def running(proxy: ConnectProxy) -> Iterator[ConnectProxy]:
    """In a thread of its own, until the end of the block."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were closed go with the next turn

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
