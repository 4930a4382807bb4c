"""HTTP/2 of a lab pod, without TLS and by prior knowledge (h2c): what `pod_server.py` answers, and gRPC.

Every gRPC method is unary and answers one message, the JSON echo, with status 0 in its trailers. Where a fault would make
the answer an error, there is no message and the status is 14 (UNAVAILABLE): HTTP's is 200 all the same, as gRPC has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
UNAVAILABLE = 14
Header = tuple[bytes, bytes]


@dataclass
class Call:
    """A request whose end has come; `headers` without those that begin with a colon."""

    method: bytes
    path: bytes
    authority: bytes
    headers: list[Header]

    @property
    def grpc(self) -> bool:
        return any(name == b"content-type" and value.startswith(b"application/grpc") for name, value in self.headers)


@dataclass
class Reply:
    status: int
    headers: list[Header]
    body: bytes


@dataclass
class _Leaving:
    """What flow control has not let through yet."""

    data: bytes
    trailers: list[Header] = field(default_factory=list)


class Http2:
    """One connection. `answer` is asked once per request and calls back, now, later or never."""

    def __init__(
        self, transport: asyncio.Transport, answer: Callable[[Call, Callable[[Reply], None]], None], closing: Callable[[], bool]
    ) -> None:
        self.transport, self.answer, self.closing = transport, answer, closing
        self.connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.connection.initiate_connection()
        self.calls: dict[int, Call] = {}
        self.leaving: dict[int, _Leaving] = {}
        self.answered = False

    def receive(self, data: bytes) -> None:
        try:
            for event in self.connection.receive_data(data):
                self._take(event)
        except ProtocolError:  # h2 has made the frame that tells why
            self._flush()
            self.transport.close()
            return
        self._flush()

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream), headers=received):
                pseudo = {bytes(name): bytes(value) for name, value in received if name.startswith(b":")}
                plain = [(bytes(name), bytes(value)) for name, value in received if not name.startswith(b":")]
                self.calls[stream] = Call(pseudo[b":method"], pseudo[b":path"], pseudo.get(b":authority", b""), plain)
            case DataReceived(stream_id=int(stream), flow_controlled_length=length):
                self.connection.acknowledge_received_data(length or 0, stream)
            case StreamEnded(stream_id=int(stream)):
                self.answer(self.calls[stream], lambda reply: self._reply(stream, reply))
            case StreamReset(stream_id=int(stream)):
                self.calls.pop(stream, None)
                self.leaving.pop(stream, None)
            case WindowUpdated():
                for stream in list(self.leaving):
                    self._send(stream)
            case ConnectionTerminated():
                self.transport.close()

    def _reply(self, stream: int, reply: Reply) -> None:
        call = self.calls.pop(stream, None)
        if call is None or self.transport.is_closing():
            return  # the client has given it up
        leaving = _Leaving(reply.body)
        head: list[Header] = [(b":status", b"%d" % reply.status), (b"content-length", b"%d" % len(reply.body))]
        if call.grpc:
            good = reply.status == 200
            head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
            leaving.data = b"\0" + len(reply.body).to_bytes(4, "big") + reply.body if good else b""
            leaving.trailers = [(b"grpc-status", b"0" if good else b"%d" % UNAVAILABLE)]
        else:
            head.append((b"content-type", b"application/json"))
            if call.method == b"HEAD":
                leaving.data = b""
        self.connection.send_headers(stream, [*head, *reply.headers])
        self.leaving[stream] = leaving
        self._send(stream)
        self._flush()

    def _send(self, stream: int) -> None:
        leaving = self.leaving[stream]
        while leaving.data:
            window = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)
            if window <= 0:
                return  # goes on with the client's next word of its window
            piece, leaving.data = leaving.data[:window], leaving.data[window:]
            self.connection.send_data(stream, piece)
        del self.leaving[stream]
        self.answered = True
        if leaving.trailers:
            self.connection.send_headers(stream, leaving.trailers, end_stream=True)
        else:
            self.connection.end_stream(stream)

    def _flush(self) -> None:
        # a pod that ends takes one request more of each connection, as it does of HTTP/1.1's
        if self.closing() and self.answered and not self.calls and not self.leaving:
            self.connection.close_connection()
            self.transport.write(self.connection.data_to_send())
            self.transport.close()
        elif data := self.connection.data_to_send():
            self.transport.write(data)
