"""HTTP/1.1 connection to a server, as its client: one exchange after the other.

What is ours is the exchange around the parser: who waits for what and for how long, what a broken connection had
already said, and whether another exchange may follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from services.models.transport.payload import Payload
from services.models.transport.response_parser import (
    UNFINISHED,
    Headers,
    Phase,
    ProtocolError,
    ResponseParser,
    TransportError,
)

READ_BUFFER_BYTES = 32 * 1024
"""The bytes of a body that may wait for their reader before the socket is left to fill up."""

WRITE_PIECE_BYTES = 256 * 1024
"""Larger bodies go out in such pieces: encrypting one at once would hold up the loop."""


class ConnectionClosed(TransportError):
    """The connection closed too early."""


class ConnectionClosedIdle(ConnectionClosed):
    """A request was written to a connection that had been used before and now closed without one byte of a response."""


class ReadTimeout(TransportError):
    """Nothing arrived in time."""


class Connection(asyncio.BufferedProtocol):
    """A connection to a server. `receive_buffer` may be shared by all connections of a loop: what the loop puts there
    is taken out before the loop goes on. `on_lost` is called once, when the connection has ended."""

    def __init__(self, receive_buffer: memoryview, on_lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive_buffer = receive_buffer
        self._on_lost = on_lost
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        self._exchanges = 0
        self._fault: TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_paused = False
        self._read_paused = False

    # ------------------------------------------------------------------------------------------- exchange

    @property
    def status(self) -> int:
        return self._parser.status

    @property
    def headers(self) -> Headers:
        return Headers(self._parser.fields)

    @property
    def complete(self) -> bool:
        """Whether all of the response has arrived."""
        return self._parser.phase is Phase.COMPLETE

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow: the response is all there, and read but for a little, and so is the
        connection."""
        transport = self._transport
        return (
            self._parser.may_go_on
            and not self._read_paused
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        )

    async def send(self, head: bytes, body: Payload, due: float) -> None:
        """Writes a request and waits for the head of the response, until `due` on the loop's clock: then `status` and
        `headers` are there. Raises ConnectionClosed (ConnectionClosedIdle), ProtocolError or ReadTimeout."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionClosedIdle if self._exchanges else ConnectionClosed
        parser = self._parser
        parser.expect()
        self._fault = None
        self._read_paused = False
        self._exchanges += 1
        if len(body.data) <= WRITE_PIECE_BYTES:
            transport.write(head + body.data)
        else:
            transport.write(head)
            await self._write_pieces(transport, memoryview(body.data), due)
            body.written()
        while parser.phase is Phase.HEAD:
            await self._wait(due)
        # The fault of a body is raised when it is read, after what came before it.
        if not parser.status:
            assert self._fault
            raise self._fault

    async def read(self, idle_seconds: float) -> bytes:
        """The bytes of the body that have arrived, at least one; b"" only at its proper end.

        What arrived before a fault is returned before the fault is raised: ConnectionClosed, ProtocolError, or
        ReadTimeout when nothing comes for `idle_seconds`.
        """
        parser = self._parser
        while not parser.waiting:
            if self._fault:
                raise self._fault
            if parser.phase is Phase.COMPLETE:
                return b""
            await self._wait(self._loop.time() + idle_seconds)
        return self.take()

    def take(self) -> bytes:
        """The bytes of the body that have arrived and were not read yet, if any."""
        data = self._parser.take()
        if self._read_paused:
            self._read_paused = False
            if self._transport:
                self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """Closes the socket now. A TLS connection that is closed in good manners would wait for the other side's, and
        a provider that is generating does not look."""
        self._break(ConnectionClosed())
        if self._transport:
            self._transport.abort()

    async def _write_pieces(self, transport: asyncio.Transport, body: memoryview, due: float) -> None:
        for start in range(0, len(body), WRITE_PIECE_BYTES):
            while self._write_paused and self._parser.phase is Phase.HEAD:
                await self._wait(due)
            if self._parser.phase is not Phase.HEAD:
                # Answered before all was sent: whatever came next would be taken for the rest.
                self._parser.is_spoiled = True
                return
            transport.write(body[start : start + WRITE_PIECE_BYTES])

    # -------------------------------------------------------------------------------------------- waiting

    async def _wait(self, due: float) -> None:
        """Waits for something to happen, or until `due`, which is a fault."""
        self._due = due
        if self._timer is None or self._timer.when() > due:
            self._set_timer(due)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = self._due = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_timer(self, due: float) -> None:
        # One timer, which looks when it fires whether it still matters: to set and cancel one for each wait would cost
        # more than the wait.
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._check_time)

    def _check_time(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._set_timer(self._due)
        else:
            self._break(ReadTimeout())

    def _break(self, fault: TransportError) -> None:
        if self._parser.fail():
            self._fault = fault
        self._wake()

    # ------------------------------------------------------------------------------------ what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No check of its class: uvloop's transports have none in common with asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        parser = self._parser
        if parser.phase not in UNFINISHED:
            # Nobody asked, and it must never be taken for the response to the next request.
            self.abort()
            return
        try:
            if parser.feed(self._receive_buffer[:nbytes]):
                self._wake()
        except ProtocolError as fault:
            self._break(fault)
        if parser.waiting > READ_BUFFER_BYTES and not self._read_paused and self._transport:
            self._read_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._end(None)
        # Not `close`, which would first write what the other side no longer reads.
        if self._transport:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self._transport = None
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._parser.close()
        self._on_lost(self)

    def _end(self, error: Exception | None) -> None:
        parser = self._parser
        if error is None and parser.end():
            self._wake()
        elif parser.phase is Phase.HEAD and self._exchanges > 1 and not parser.received:
            self._break(ConnectionClosedIdle())
        else:
            self._break(ConnectionClosed())

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake()
