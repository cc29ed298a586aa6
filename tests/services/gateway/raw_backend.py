"""A backend that answers by frames of HTTP/2 that no library would send."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable

from tests.support.http2 import (
    ACK,
    DATA,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Field,
    frame,
    grpc_message,
    header_block,
    headers,
)

Answer = Callable[[int], bytes]
"""The frames that answer the call of a stream, by its number."""

GRPC = [(b":status", b"200"), (b"content-type", b"application/grpc")]


def head(*fields: Field) -> Answer:
    return lambda stream: headers(stream, header_block(fields or GRPC))


def trailers(*fields: Field) -> Answer:
    return lambda stream: headers(stream, header_block(fields), end=True)


def message(payload: bytes, *, end: bool = False) -> Answer:
    return lambda stream: frame(DATA, END_STREAM if end else 0, stream, grpc_message(payload))


def reset(code: int) -> Answer:
    return lambda stream: frame(RST_STREAM, 0, stream, struct.pack(">I", code))


@contextlib.asynccontextmanager
async def raw_backend(*answers: Answer, early: bool = False) -> AsyncIterator[str]:
    """The address of a backend that answers each call by these frames: when it has the request, or with `early` before
    it has read any of it, and then it takes no more of it either."""

    connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[writer] = asyncio.current_task()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(len(PREFACE))
            writer.write(frame(SETTINGS))
            while True:
                start = await reader.readexactly(9)
                kind, flags, stream = start[3], start[4], int.from_bytes(start[5:], "big")
                payload = await reader.readexactly(int.from_bytes(start[:3], "big"))
                if kind in (SETTINGS, PING) and not flags & ACK:
                    writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
                if kind == DATA and payload and not early:
                    more = struct.pack(">I", len(payload))
                    writer.write(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, stream, more))
                if (kind == HEADERS and early) or (kind == DATA and flags & END_STREAM and not early):
                    writer.write(b"".join(answer(stream) for answer in answers))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in connections:
            writer.close()
        await asyncio.gather(*filter(None, connections.values()), return_exceptions=True)
