"""HTTP/2 by hand, for what no client library would send."""

from __future__ import annotations

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4

POST, HTTP = b"\x83", b"\x86"
"""Fields of HPACK's static table (RFC 7541, appendix A)."""


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def field(name: bytes, value: bytes) -> bytes:
    """A literal field, without indexing; name and value shorter than 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(path: bytes, *fields: tuple[bytes, bytes]) -> bytes:
    """A connection's first bytes: a gRPC call of `path` without a message."""
    return _opening(path, END_STREAM, *fields)


def call_with(path: bytes, message: bytes, *fields: tuple[bytes, bytes]) -> bytes:
    """The same with a message, which is a small one."""
    return _opening(path, 0, *fields) + frame(DATA, END_STREAM, 1, b"\0" + struct.pack(">I", len(message)) + message)


def _opening(path: bytes, end: int, *fields: tuple[bytes, bytes]) -> bytes:
    block = POST + HTTP + field(b":path", path) + field(b":authority", b"x")
    block += field(b"content-type", b"application/grpc") + field(b"te", b"trailers")
    block += b"".join(field(name, value) for name, value in fields)
    return PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, end | END_HEADERS, 1, block)


def send(address: str, data: bytes) -> socket.socket:
    """Sends the bytes over a new connection, which whoever asked closes."""
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    connection.sendall(data)
    return connection
