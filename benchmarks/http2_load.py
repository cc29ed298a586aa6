"""Calls over raw HTTP/2: so cheap that one core can offer three times what a service takes, or hold 10,000 streams.

grpc's own client costs as much for each call as the service that is measured. Here a call is two frames that were built
beforehand, and of an answer only the frames are looked at: a message is DATA, the end is HEADERS or RST_STREAM.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import cast

import hpack

from tests.support.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    grpc_message,
    header_block,
)

WIDEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535
INITIAL_WINDOW_SIZE = 4
"""The number of this setting in RFC 9113, 6.5.2."""

HEAD_BYTES = 9


class Call:
    """One call; times are those of the loop's clock."""

    __slots__ = ("ended", "first_message", "messages", "started", "succeeded")

    def __init__(self, started: float) -> None:
        self.started = started
        self.first_message = 0.0
        """The time of its first message; 0 while none has come. A refusal has none."""
        self.messages = 0
        self.succeeded = False
        """Whether its status was OK, where the connection reads it."""
        self.ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """The time of its end."""


class Connection(asyncio.Protocol):
    """A connection for calls of one method with one request."""

    def __init__(self, path: str, request: bytes, timeout: float, *, reads_status: bool = False) -> None:
        """`timeout` is the deadline of each call in seconds; the server ends it. To read the status costs as much as
        all the rest."""
        self._decoder = hpack.Decoder() if reads_status else None
        fields = [
            *((b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"load")),
            *((b"content-type", b"application/grpc"), (b"te", b"trailers")),
            (b"grpc-timeout", f"{round(timeout * 1000)}m".encode()),
        ]
        self._head = header_block(fields)
        self._body = grpc_message(request)
        self._calls: dict[int, Call] = {}
        self._next_stream = 1
        self._received = b""
        self._window = FIRST_WINDOW
        self._unsent: list[int] = []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, WIDEST_WINDOW)
        wider = struct.pack(">I", WIDEST_WINDOW - FIRST_WINDOW)
        self._transport.write(PREFACE + frame(SETTINGS, payload=settings) + frame(WINDOW_UPDATE, payload=wider))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        for stream in list(self._calls):
            self._end(stream)

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def call(self) -> Call:
        """Makes a call."""
        call = Call(self._loop.time())
        if self._transport is None:
            call.ended.set_result(call.started)
            return call
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._calls[stream] = call
        self._transport.write(frame(HEADERS, END_HEADERS, stream, self._head))
        self._unsent.append(stream)
        self._send_bodies()
        return call

    def data_received(self, data: bytes) -> None:
        data, start = self._received + data, 0
        while len(data) - start >= HEAD_BYTES:
            end = start + HEAD_BYTES + int.from_bytes(data[start : start + 3], "big")
            if end > len(data):
                break
            kind, flags = data[start + 3], data[start + 4]
            stream = int.from_bytes(data[start + 5 : start + HEAD_BYTES], "big")
            self._take_frame(kind, flags, stream, data[start + HEAD_BYTES : end])
            start = end
        self._received = data[start:]

    def _send_bodies(self) -> None:
        while self._unsent and self._window >= len(self._body) and self._transport:
            self._window -= len(self._body)
            self._transport.write(frame(DATA, END_STREAM, self._unsent.pop(0), self._body))

    def _take_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._take_message(stream, payload)
        elif kind == HEADERS:
            self._take_headers(stream, payload, ended=bool(flags & END_STREAM))
        elif kind == RST_STREAM:
            self._end(stream)
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
            self._send_bodies()
        elif kind == GOAWAY:
            self.close()
        elif kind in (SETTINGS, PING) and not flags & ACK and self._transport:
            self._transport.write(frame(kind, ACK, 0, payload if kind == PING else b""))

    def _take_message(self, stream: int, payload: bytes) -> None:
        call = self._calls.get(stream)
        if call and payload:
            call.messages += 1
            call.first_message = call.first_message or self._loop.time()

    def _take_headers(self, stream: int, payload: bytes, *, ended: bool) -> None:
        # Each block must be read, because later ones refer to it.
        fields = self._decoder.decode(payload) if self._decoder else ()
        if ended and stream in self._calls:
            self._calls[stream].succeeded = ("grpc-status", "0") in fields
            self._end(stream)

    def _end(self, stream: int) -> None:
        call = self._calls.pop(stream, None)
        if call and not call.ended.done():
            call.ended.set_result(self._loop.time())


@contextlib.asynccontextmanager
async def connected(
    address: str, path: str, request: bytes, *, timeout: float, connections: int, reads_status: bool = False
) -> AsyncIterator[list[Connection]]:
    """Connections to HOST:PORT for calls of one method, for the length of a block."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    opened: list[Connection] = []
    try:
        for _ in range(connections):
            _, connection = await loop.create_connection(
                lambda: Connection(path, request, timeout, reads_status=reads_status), host, int(port)
            )
            opened.append(connection)
        yield opened
    finally:
        for connection in opened:
            connection.close()
