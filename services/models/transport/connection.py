"""One HTTP/1.1 connection, as the client of a provider: one exchange after the other.

llhttp, by httptools, parses what arrives (RFC 9112). What is ours is the exchange around it: who waits for what and for
how long, what a broken connection had already said, and whether another exchange may follow.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import NamedTuple, cast
from urllib.parse import quote, urlsplit

import httptools

from services.models.transport.host_names import ascii_host
from services.models.transport.payload import Payload
from services.shared.bounded_cache import BoundedCache

MAX_HEAD_BYTES = 64 * 1024
"""Of all that stands around a body: the head, what comes before it, the heads and extensions of chunks, trailers."""

WRAPPING_PER_BYTE = 8
"""How many bytes of chunk heads each byte of a body may bring beside that: a chunk of one byte has five."""

MAX_FIELDS = 1000

READ_BUFFER_BYTES = 32 * 1024
"""How much of a body may wait for its reader before the socket is left to fill up."""

WRITE_PIECE_BYTES = 256 * 1024
"""Larger bodies go out in such pieces: encrypting one at once would hold up the loop."""

_PORTS = {"http": 80, "https": 443}
_PLAIN = "/?%:@!$&'()*+,;=[]"
"""What may stand in a path or a query beside letters, digits and `_.-~`."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class TransportError(Exception):
    """An exchange that did not come to its end."""


class ConnectionClosed(TransportError):
    """The connection closed too early."""


class ConnectionClosedIdle(ConnectionClosed):
    """A request was written to a connection that had been used before and now closed without one byte of an answer."""


class ProtocolError(TransportError):
    """What came breaks the protocol."""


class ReadTimeout(TransportError):
    """Nothing came in time."""


class Headers(Mapping[str, str]):
    """The fields of an answer's head. Names are found in any case, and repeated fields are joined by commas."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower().encode("latin-1")].decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower().encode("latin-1") in self._fields

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Origin(NamedTuple):
    """Whom a connection is to."""

    tls: bool
    host: str
    port: int


@BoundedCache
def request_head(method: str, url: str) -> tuple[Origin, bytes]:
    """The server of a URL, and the first lines of a request to it. Raises ValueError for what is no http or https URL.

    Names beyond ASCII are sent by IDNA 2008, other characters that do not belong into a URL in percent encoding.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("no http or https URL")
    host = ascii_host(parts.hostname)
    port = parts.port or _PORTS[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    if port != _PORTS[parts.scheme]:
        shown = f"{shown}:{port}"
    path = quote(parts.path or "/", safe=_PLAIN) + (f"?{quote(parts.query, safe=_PLAIN)}" if parts.query else "")
    lines = f"{method} {path} HTTP/1.1\r\nHost: {shown}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
    return Origin(parts.scheme == "https", host, port), lines.encode("ascii")


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """The lines of a request's head for these fields. Raises ValueError for what would not be one line each."""
    return _encode_headers(tuple(headers.items()))


@BoundedCache
def _encode_headers(fields: tuple[tuple[str, str], ...]) -> bytes:
    # Every call to one server has the same ones, until its key is replaced.
    lines = []
    for name, value in fields:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("a header that cannot be sent")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")


class _Phase(Enum):
    IDLE = auto()
    HEAD = auto()
    """A request was sent, and the head of its answer has not come."""
    BODY = auto()
    COMPLETE = auto()
    """All of the answer has come."""
    BROKEN = auto()


class Connection(asyncio.BufferedProtocol):
    """A connection to a provider. `receive_buffer` may be shared by all connections of a loop: what the loop puts
    there is taken out before the loop goes on. `on_lost` is called once, when the connection has ended."""

    def __init__(self, receive_buffer: memoryview, on_lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive_buffer = receive_buffer
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        # Servers in the wild get these wrong, and nothing is taken for something else by it.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._transport: asyncio.Transport | None = None
        self._phase = _Phase.IDLE
        self._exchanges = 0
        self._waiter: asyncio.Future[None] | None = None
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_paused = False
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self._fields: dict[bytes, bytes] = {}
        self._fault: TransportError | None = None
        self._received = 0
        self._delivered = 0
        self._fields_seen = 0
        self._pieces: list[bytes] = []
        self._pending = 0
        self._read_paused = False
        self._ends_with_connection = False
        self._keeps_alive = False
        self._spoiled = False

    # ------------------------------------------------------------------------------------------- exchange

    @property
    def headers(self) -> Headers:
        return Headers(self._fields)

    @property
    def complete(self) -> bool:
        """Whether all of the answer has come."""
        return self._phase is _Phase.COMPLETE

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow: the answer is all there, and read but for a little, and so is the
        connection."""
        transport = self._transport
        return (
            self._phase is _Phase.COMPLETE
            and not self._read_paused
            and self._keeps_alive
            and not self._spoiled
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        )

    async def send(self, head: bytes, body: Payload, due: float) -> None:
        """Writes a request and waits for the head of the answer, until `due` on the loop's clock: then `status` and
        `headers` are there. Raises ConnectionClosed (ConnectionClosedIdle), ProtocolError or ReadTimeout."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionClosedIdle if self._exchanges else ConnectionClosed
        self._begin()
        self._phase = _Phase.HEAD
        self._exchanges += 1
        if len(body.data) <= WRITE_PIECE_BYTES:
            transport.write(head + body.data)
        else:
            transport.write(head)
            await self._write_pieces(transport, memoryview(body.data), due)
            body.written()
        while self._phase is _Phase.HEAD:
            await self._wait(due)
        # The fault of a body is raised when it is read, after what came before it.
        if not self.status:
            assert self._fault
            raise self._fault

    async def read(self, idle_seconds: float) -> bytes:
        """The bytes of the body that have arrived, at least one; b"" only at its proper end.

        What arrived before a fault is returned before the fault is raised: ConnectionClosed, ProtocolError, or
        ReadTimeout when nothing comes for `idle_seconds`.
        """
        while not self._pieces:
            if self._fault:
                raise self._fault
            if self._phase is _Phase.COMPLETE:
                return b""
            await self._wait(self._loop.time() + idle_seconds)
        return self.take()

    def take(self) -> bytes:
        """The bytes of the body that have arrived and were not read yet, if any."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._pending = 0
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
            while self._write_paused and self._phase is _Phase.HEAD:
                await self._wait(due)
            if self._phase is not _Phase.HEAD:
                # Answered before all was sent: whatever came next would be taken for the rest.
                self._spoiled = True
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
        if self._phase in (_Phase.HEAD, _Phase.BODY):
            self._fault = fault
            self._phase = _Phase.BROKEN
        self._spoiled = True
        self._wake()

    # ------------------------------------------------------------------------------------ what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No check of its class: uvloop's transports have none in common with asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._phase not in (_Phase.HEAD, _Phase.BODY):
            # Nobody asked, and it must never be taken for the answer to the next request.
            self.abort()
            return
        self._received += nbytes
        try:
            self._parser.feed_data(self._receive_buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break(ProtocolError())
        if self._received > MAX_HEAD_BYTES and self._is_mostly_wrapping():
            self._break(ProtocolError())

    def _is_mostly_wrapping(self) -> bool:
        """Whether so much has come around the body that it may never end: heads, blank lines, trailers."""
        return self._received > MAX_HEAD_BYTES + (1 + WRAPPING_PER_BYTE) * self._delivered

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
        # The two refer to each other, and no byte comes any more.
        del self._parser
        self._on_lost(self)

    def _end(self, error: Exception | None) -> None:
        if self._phase is _Phase.BODY and self._ends_with_connection and error is None:
            self._phase = _Phase.COMPLETE
            self._wake()
        elif self._phase is _Phase.HEAD and self._exchanges > 1 and not self._received:
            self._break(ConnectionClosedIdle())
        else:
            self._break(ConnectionClosed())

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake()

    # ---------------------------------------------------------------------------------- what the parser calls

    def on_message_begin(self) -> None:
        if self._phase is _Phase.HEAD:
            self._fields = {}
        else:
            self._spoiled = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is not _Phase.HEAD:
            return
        self._fields_seen += 1
        if self._fields_seen > MAX_FIELDS:
            self._break(ProtocolError())
            return
        name = name.lower()
        earlier = self._fields.get(name)
        self._fields[name] = value if earlier is None else earlier + b", " + value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._phase is not _Phase.HEAD or (status < 200 and status != 101):
            return
        self.status = status
        length, coding = self._fields.get(b"content-length"), self._fields.get(b"transfer-encoding")
        # A length beside a coding is overridden, and nothing that follows is to be believed (RFC 9112, 6.3).
        self._spoiled = self._spoiled or (length is not None and coding is not None)
        self._ends_with_connection = length is None if coding is None else not coding.lower().endswith(b"chunked")
        self._phase = _Phase.BODY
        self._wake()

    def on_body(self, data: bytes) -> None:
        if self._phase is not _Phase.BODY:
            return
        self._pieces.append(data)
        self._pending += len(data)
        self._delivered += len(data)
        if self._pending > READ_BUFFER_BYTES and not self._read_paused and self._transport:
            self._read_paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self._phase is not _Phase.BODY:
            return
        self._phase = _Phase.COMPLETE
        self._keeps_alive = self._parser.should_keep_alive()
        self._wake()
