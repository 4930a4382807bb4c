"""What goes wrong below a client: every exception of the libraries it stands on, and a server that answers anything."""

from __future__ import annotations

import asyncio
import builtins
import errno
import http.client
import inspect
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
import boto3.exceptions
import botocore.exceptions
import botocore.parsers
import urllib3.exceptions
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

_HERE = URL("http://127.0.0.1:1/")
_REQUEST = aiohttp.RequestInfo(_HERE, "GET", CIMultiDictProxy(CIMultiDict[str]()), _HERE)
_KEY = ConnectionKey("127.0.0.1", 1, False, True, None, None, None)


def family(top: type[BaseException], *modules: str) -> list[type[BaseException]]:
    """A class and all that come from it, of these modules (empty: of any), public ones."""
    classes = {top}
    waiting = [top]
    while waiting:
        for each in waiting.pop().__subclasses__():
            if each not in classes:
                classes.add(each)
                waiting.append(each)
    return sorted(
        (each for each in classes if not each.__name__.startswith("_") and (not modules or each.__module__ in modules)),
        key=lambda each: (each.__module__, each.__qualname__),
    )


def _aiohttp(cls: type[BaseException]) -> BaseException:
    if issubclass(cls, aiohttp.ClientConnectorCertificateError):
        return cls(_KEY, ssl.SSLCertVerificationError(1, "certificate verify failed"))
    if issubclass(cls, UnixClientConnectorError):
        return cls("/run/x.sock", _KEY, ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
    if issubclass(cls, aiohttp.ClientConnectorError):
        return cls(_KEY, ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
    if issubclass(cls, aiohttp.ClientResponseError):
        return cls(_REQUEST, (), status=502, message="bad")
    if issubclass(cls, aiohttp.ServerFingerprintMismatch):
        return cls(b"1", b"2", "127.0.0.1", 1)
    if issubclass(cls, aiohttp.InvalidURL):
        return cls("http://[")
    return cls("broken")


def of_aiohttp() -> list[BaseException]:
    return [_aiohttp(each) for each in family(aiohttp.ClientError, "aiohttp.client_exceptions", "aiohttp.http_exceptions")]


def of_the_system() -> list[BaseException]:
    """Of sockets, files, TLS, names and time."""
    modules = (builtins.__name__, "socket", "ssl")
    errors: list[BaseException] = [each(errno.EIO, "broken") for each in family(OSError, *modules)]
    errors += [OSError(number, "broken") for number in (errno.EMFILE, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNRESET)]
    return [*errors, socket.gaierror(socket.EAI_NONAME, "Name or service not known"), TimeoutError()]


def of_text() -> list[BaseException]:
    return [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), json.JSONDecodeError("no", "<html>", 0)]


def _botocore(cls: type[BaseException]) -> BaseException:
    if issubclass(cls, botocore.exceptions.ClientError):
        return cls({"Error": {"Code": "Odd", "Message": "odd"}}, "Ask")
    template = getattr(cls, "fmt", "")
    words = dict.fromkeys(_names(template), "x")
    with suppress(TypeError):
        return cls(**words)
    for arguments in ((), ("x",), ("x", "x")):
        with suppress(TypeError):
            return cls(*arguments)
    parameters = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "args", "kwargs")]
    return cls(**dict.fromkeys(parameters, "x"))


def _names(template: str) -> list[str]:
    import string

    return [name for _, name, _, _ in string.Formatter().parse(template) if name]


def of_boto() -> list[BaseException]:
    """With what lies below: http.client, urllib3, subprocess (credential programs)."""
    classes = [
        *family(botocore.exceptions.BotoCoreError, "botocore.exceptions"),
        *family(boto3.exceptions.Boto3Error, "boto3.exceptions"),
        *family(botocore.parsers.ResponseParserError),
    ]
    errors = [_botocore(each) for each in classes]
    errors += [http.client.HTTPException("x"), http.client.IncompleteRead(b""), http.client.BadStatusLine("x")]
    errors += [urllib3.exceptions.HTTPError("x"), urllib3.exceptions.LocationParseError("x")]
    errors += [subprocess.SubprocessError("x"), subprocess.TimeoutExpired("aws", 1), subprocess.CalledProcessError(1, "aws")]
    return [*errors, KeyError("Arn"), TypeError("None"), ValueError("Invalid endpoint: x")]


def refusal(code: str, status: int = 400) -> botocore.exceptions.ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(answer, "Ask")


class Garbage:
    """Answers every request on `port` with `answer`, byte for byte, and closes; b"" closes without a word."""

    def __init__(self) -> None:
        self.answer = b""
        self.port = 0
        self.asked = 0
        self.open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open[task] = writer
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del self.open[task]

    async def end(self) -> None:
        """Nothing is left to be closed by whoever collects garbage, in whichever test."""
        for writer in self.open.values():
            writer.transport.abort()
        await asyncio.gather(*self.open, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            self.asked += 1
            writer.write(self.answer)
            await writer.drain()


@contextmanager
def garbage() -> Iterator[Garbage]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listener = Garbage()

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(listener.handle, "127.0.0.1", 0)
        listener.port = server.sockets[0].getsockname()[1]
        return server

    async def stop(server: asyncio.Server) -> None:
        server.close()
        await listener.end()
        await server.wait_closed()

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield listener
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def answered(status: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body
