"""Response of a connection: its body is read as it arrives, decompressed if need be, and given in small pieces."""

from __future__ import annotations

from collections.abc import Mapping

from services.models.transport.base import MAX_START_BYTES, SizeCheck
from services.models.transport.connection import Connection
from services.models.transport.decompression import DecompressionError, Decompressor
from services.models.transport.failures import body_error, protocol_error
from services.models.transport.response_parser import TransportError
from services.shared.time_slices import TimeSlices

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Limit for the body of a response that is read whole."""

PIECE_BYTES = 16 * 1024
"""Limit for the bytes of one read of a stream: decoding them takes some 10 ms on the event loop at worst."""


class IncomingResponse:
    """A `StreamedResponse` that comes over a connection. `idle_seconds` is how long each read waits for more bytes."""

    def __init__(self, connection: Connection, idle_seconds: float, *, decompress: bool = True) -> None:
        self.status: int = connection.status
        self.headers: Mapping[str, str] = connection.headers
        self._connection = connection
        self._idle_seconds = idle_seconds
        self._decompressor = _decompressor(self.headers.get("content-encoding", "")) if decompress else None
        self._slices = TimeSlices()
        self._rest = b""
        """Of what arrived together, what was not given yet."""

    @property
    def can_read_now(self) -> bool:
        has_more = self._rest or (self._decompressor and self._decompressor.has_more)
        return bool(has_more) and not self._slices.is_over

    async def read(self) -> bytes:
        """Returns the bytes that have arrived, from one to PIECE_BYTES; b"" only at the body's proper end.

        A reader that never has to wait for bytes lets other tasks run from time to time. Bytes that arrived before a
        fault are returned first; the next read raises the fault: Unavailable (UPSTREAM_IDLE,
        UPSTREAM_STREAM_INTERRUPTED) or Internal (UPSTREAM_PROTOCOL_ERROR).
        """
        try:
            if self._decompressor:
                data = await self._decompress(self._decompressor)
            elif self._rest:
                await self._slices.yield_if_over()
                data = self._rest
            else:
                data = await self._connection.read(self._idle_seconds)
        except (TransportError, DecompressionError) as fault:
            raise body_error(fault) from None
        if len(data) <= PIECE_BYTES:
            self._rest = b""
            return data
        if not self._rest:
            self._slices.restart()
        self._rest = data[PIECE_BYTES:]
        return data[:PIECE_BYTES]

    async def read_all(self, limit: int = MAX_BODY_BYTES, check_size: SizeCheck | None = None) -> bytes:
        """Returns the rest of the body. Raises what `read` and `check_size` raise, and Internal when there is more than
        `limit`."""
        body = await self._gather(limit, check_size)
        if len(body) > limit:
            raise protocol_error(f"the provider's answer is larger than {limit} bytes; ask for a shorter one")
        return body

    async def read_start(self, limit: int = MAX_START_BYTES) -> bytes:
        """Returns the rest of the body, or its first `limit` bytes. Raises what `read` raises."""
        return (await self._gather(limit))[:limit]

    async def _gather(self, limit: int, check_size: SizeCheck | None = None) -> bytes:
        # Pieces may have one byte each, and a list of them would be many times as large.
        body = bytearray()
        while len(body) <= limit and (data := await self.read()):
            body += data
            if check_size:
                check_size(len(body))
        return bytes(body)

    async def _decompress(self, decompressor: Decompressor) -> bytes:
        if decompressor.has_more:
            await self._slices.yield_if_over()
        while not (data := decompressor.take()):
            compressed = await self._connection.read(self._idle_seconds)
            if not compressed:
                decompressor.end()
                return b""
            self._slices.restart()
            decompressor.feed(compressed)
        return data


def _decompressor(coding: str) -> Decompressor | None:
    match coding.lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return Decompressor()
        case "deflate":
            return Decompressor(may_be_raw=True)
        case _:
            raise protocol_error("the provider packs its answer in a way that it was not asked for")
