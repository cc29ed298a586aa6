"""HTTP/2 as bytes, for what no library would send: frames, header fields as literals, and a reader of what comes back.

The formats are those of RFC 9113 (frames) and RFC 7541 (header fields).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
LAST_STREAM = 2**31 - 1
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

Field = tuple[bytes, bytes]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    """One frame. `length` is what it says of its payload, where that is not the truth."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def opening(settings: bytes = b"") -> bytes:
    """What a client begins a connection with."""
    return PREFACE + frame(SETTINGS, payload=settings)


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """A number of a header block, behind the bits that `first` sets."""
    largest = (1 << bits) - 1
    if value < largest:
        return bytes([first | value])
    value -= largest
    data = bytearray([first | largest])
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    data.append(value)
    return bytes(data)


def literal(name: bytes, value: bytes, first: int = 0x00) -> bytes:
    """A header field that is written out. `first` 0x40 also puts it into the reader's table, 0x10 forbids that."""
    return bytes([first]) + integer(len(name), 7) + name + integer(len(value), 7) + value


def header_block(fields: Iterable[Field]) -> bytes:
    return b"".join(literal(name, value) for name, value in fields)


def headers(stream: int, block: bytes, *, end: bool = False, frame_size: int = 16_384) -> bytes:
    """A header block, in as many frames as it takes."""
    pieces = [block[start : start + frame_size] for start in range(0, len(block), frame_size)] or [b""]
    first = frame(HEADERS, (END_STREAM if end else 0) | (END_HEADERS if len(pieces) == 1 else 0), stream, pieces[0])
    more = [
        frame(CONTINUATION, END_HEADERS if index == len(pieces) - 1 else 0, stream, piece)
        for index, piece in enumerate(pieces)
        if index
    ]
    return first + b"".join(more)


def grpc_message(payload: bytes, flag: int = 0, length: int | None = None) -> bytes:
    """A message as gRPC frames it. `length` is what it says of its payload, where that is not the truth."""
    return bytes([flag]) + struct.pack(">I", len(payload) if length is None else length) + payload


def call(path: bytes, *fields: Field) -> bytes:
    """A connection's first bytes: a gRPC call of `path` without a message."""
    return opening() + headers(1, header_block([*_call_fields(path), *fields]), end=True)


def call_with(path: bytes, message: bytes, *fields: Field) -> bytes:
    """The same with a message, which is a small one."""
    return opening() + call_on(1, path, message, *fields)


WIDEST_WINDOWS = struct.pack(">HI", 4, 2**31 - 1)
"""The setting by which a server may send 2 GiB on each stream; `widest_connection` allows it for all together."""


def widest_connection() -> bytes:
    return frame(WINDOW_UPDATE, payload=struct.pack(">I", 2**31 - 1 - 65_535))


def call_on(stream: int, path: bytes, message: bytes, *fields: Field) -> bytes:
    """A call with a message, on a connection that has been opened."""
    block = header_block([*_call_fields(path), *fields])
    return headers(stream, block) + frame(DATA, END_STREAM, stream, grpc_message(message))


def _call_fields(path: bytes) -> list[Field]:
    request = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x")]
    return [*request, (b"content-type", b"application/grpc"), (b"te", b"trailers")]


def send(address: str, data: bytes) -> socket.socket:
    """Sends the bytes over a new connection, which the caller closes."""
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    connection.sendall(data)
    return connection


class Ended(NamedTuple):
    """How a stream ended: by a status of gRPC's, an HTTP status, or otherwise."""

    how: str
    message: str = ""


class Answers:
    """What a server sends on one connection. `ended` says of each stream how it ended."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ended: dict[int, Ended] = {}
        self.closed = False
        self._last_taken = LAST_STREAM
        self._reader = reader
        self._writer = writer
        self._decoder = hpack.Decoder(max_header_list_size=1 << 24)
        self._decoder.max_allowed_table_size = 1 << 20
        self._seen: dict[int, dict[str, str]] = {}

    async def read(self, streams: Iterable[int], seconds: float) -> bool:
        """Reads until these streams have ended or the connection has; False when time is up before that."""
        waiting = set(streams)
        try:
            async with asyncio.timeout(seconds):
                # What the server has not taken will not be answered.
                while not self.closed and any(stream <= self._last_taken for stream in waiting - self.ended.keys()):
                    await self._take_frame()
        except TimeoutError:
            return False
        for stream in waiting - self.ended.keys():
            self.ended[stream] = Ended("closed")
        return True

    async def drain(self, seconds: float) -> None:
        """Reads for a time, or until the connection ends."""
        try:
            async with asyncio.timeout(seconds):
                while not self.closed and self._last_taken == LAST_STREAM:
                    await self._take_frame()
                self.closed = True
        except TimeoutError:
            return

    async def _take_frame(self) -> None:
        try:
            head = await self._reader.readexactly(9)
            payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = True
            return
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big") & LAST_STREAM
        if kind == SETTINGS and not flags & ACK:
            self._write(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self._write(frame(PING, ACK, 0, payload))
        elif kind == HEADERS:
            self._take_headers(stream, payload, ended=bool(flags & END_STREAM))
        elif kind == RST_STREAM:
            self.ended.setdefault(stream, Ended(f"RST {int.from_bytes(payload[:4], 'big')}"))
        elif kind == GOAWAY:
            self._last_taken = int.from_bytes(payload[:4], "big") & LAST_STREAM
        elif kind == DATA and flags & END_STREAM:
            self.ended.setdefault(stream, Ended("end of data"))

    def _take_headers(self, stream: int, block: bytes, *, ended: bool) -> None:
        try:
            fields = self._decoder.decode(block)
        except (hpack.HPACKError, UnicodeDecodeError):
            self.ended.setdefault(stream, Ended("unreadable headers"))
            return
        seen = self._seen.setdefault(stream, {})
        seen.update((str(name), str(value)) for name, value in fields)
        if not ended:
            return
        status = seen.get("grpc-status")
        how = f"status {status}" if status is not None else f"HTTP {seen.get(':status')}"
        self.ended.setdefault(stream, Ended(how, seen.get("grpc-message", "")))

    def _write(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)
