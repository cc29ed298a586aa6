"""HTTP/1.1 connection to a server, as its client: one exchange after the other.

It adds to the parser the timeouts, the bytes that had arrived before a connection broke, and the decision whether the
connection can be used for another exchange.
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
"""Bytes of a body that may wait for their reader; while there are more, the socket is not read."""

WRITE_PIECE_BYTES = 256 * 1024
"""Size of the pieces in which larger bodies are written: encrypting all at once would block the event loop."""


STALE_SECONDS = 1.0
"""Time after a request in which the end of a used connection means that it had been closed before: the server's answer
to what comes late takes no longer. A server that ends it later may have worked on the request."""


class ConnectionClosed(TransportError):
    """The connection closed too early."""


class ConnectionClosedIdle(ConnectionClosed):
    """A request was written to a connection that had been used before and now closed, at once and without one byte of a
    response."""


class ReadTimeout(TransportError):
    """Nothing arrived in time."""


class Connection(asyncio.BufferedProtocol):
    """A connection to a server. `receive_buffer` may be shared by all connections of a loop: its bytes are taken out
    before the loop reads another socket. `on_lost` is called once, when the connection has ended."""

    def __init__(self, receive_buffer: memoryview, on_lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive_buffer = receive_buffer
        self._on_lost = on_lost
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        self._exchanges = 0
        self._sent_at = 0.0
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
        """Whether another exchange may follow: the response is complete and nearly all of it read, and the connection
        is open."""
        transport = self._transport
        return (
            self._parser.is_reusable
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
        self._sent_at = self._loop.time()
        body.is_sent = True
        if len(body.data) <= WRITE_PIECE_BYTES:
            transport.write(head + body.data)
        else:
            transport.write(head)
            await self._write_pieces(transport, memoryview(body.data), due)
            body.written()
        while parser.phase is Phase.HEAD:
            await self._wait(due)
        # A fault of the body is raised by `read`, after the bytes that arrived before it.
        if not parser.status:
            assert self._fault
            raise self._fault

    async def read(self, idle_seconds: float) -> bytes:
        """The bytes of the body that have arrived, at least one; b"" only at its proper end.

        Bytes that arrived before a fault are returned first; the next read raises the fault: ConnectionClosed,
        ProtocolError, or ReadTimeout when nothing arrives for `idle_seconds`.
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
        """Closes the socket at once. An orderly end of TLS would wait for the server, and a provider does not read from
        its socket while it generates."""
        self._break(ConnectionClosed())
        if self._transport:
            self._transport.abort()

    async def _write_pieces(self, transport: asyncio.Transport, body: memoryview, due: float) -> None:
        for start in range(0, len(body), WRITE_PIECE_BYTES):
            while self._write_paused and self._parser.phase is Phase.HEAD:
                await self._wait(due)
            if self._parser.phase is not Phase.HEAD:
                # The server answered early. It would take a next request for the rest of this one.
                self._parser.is_last = True
                return
            transport.write(body[start : start + WRITE_PIECE_BYTES])

    # -------------------------------------------------------------------------------------------- waiting

    async def _wait(self, due: float) -> None:
        """Waits for the next event of the connection; at `due` the exchange fails with ReadTimeout."""
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
        # One timer for all waits, which checks `_due` when it fires: a timer for each wait would cost more than the
        # wait.
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
        # The class is not checked: uvloop's transports share none with asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        parser = self._parser
        if parser.phase not in UNFINISHED:
            # Bytes without a request must never be taken for the response to the next one.
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
        # Not `close`, which would first write bytes that the server no longer reads.
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
        elif parser.phase is Phase.HEAD and not parser.received and self._is_stale():
            self._break(ConnectionClosedIdle())
        else:
            self._break(ConnectionClosed())

    def _is_stale(self) -> bool:
        return self._exchanges > 1 and self._loop.time() - self._sent_at < STALE_SECONDS

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake()
