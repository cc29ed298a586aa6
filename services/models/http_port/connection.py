"""A connection of the HTTP port: uvicorn's protocol on httptools, with bounds for what a client may send and take.

uvicorn bounds neither the head of a request nor the time that it takes, and tells an application that its client has
left only when that asks. Here the client's leaving cancels the task that answers it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from services.models.http_port.date_field import DateField
from services.shared.fair_quota import FairQuota
from services.shared.proxy_protocol import SIGNATURE, Malformed, Relayed, read_header

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request up to the end of its header fields. Anthropic's and OpenAI's servers take less."""

HEAD_SECONDS = 10.0
"""Time for the head of a request from its first byte, or from the connection."""

IDLE_SECONDS = 75
"""Time that a connection stays open between two requests: longer than the minute after which clients close theirs."""

MAX_WAITING_REQUESTS = 16
"""Requests of a connection that may wait for the answers of those before them. Hardly a client sends a second one."""

_REFUSAL = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":null}}'


class Peers:
    """The clients of a port: how many connections they have, which of them are trusted relays, and what time they are
    told."""

    def __init__(self, max_connections: int, relays: frozenset[str], *, exposed: bool) -> None:
        self.quota = FairQuota(max_connections)
        self.relays = relays
        """The addresses whose word is taken for who has connected to them."""
        self.exposed = exposed
        """Whether others than this machine's user can reach the port."""
        self.date = DateField()


class Connection(HttpToolsProtocol):
    """One connection. `peers` is the same for all of a port."""

    def __init__(self, config: Config, state: ServerState, peers: Peers) -> None:
        super().__init__(config, state, {})
        self.exposed = peers.exposed
        """Whether the client may be somebody else than this machine's user."""
        self._peers = peers
        self._taken = ""
        """The host whose share of the connections this one is part of."""
        self._preamble: bytes | None = None
        """The first bytes of a relay, while they are incomplete."""
        self._may_be_relayed = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        """Bytes of an incomplete head, or behind a body: those of reads with nothing else."""
        self._field_bytes = 0
        """Bytes of the header fields of the newest head."""
        self._in_head = True
        """Whether the body of the last request has ended."""
        self._has_begun = False
        """Whether a head has begun, and not ended."""
        self._pieces = 0
        """The pieces and the ends of bodies that have arrived."""
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        self._may_be_relayed = host in self._peers.relays
        self._start_head_timer()
        if not self._may_be_relayed:
            self._take(host)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        if self._taken:
            self._peers.quota.release(self._taken)
            self._taken = ""
        is_answering = self._is_answering
        super().connection_lost(exc)
        if is_answering and self._answering:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        if self._may_be_relayed:
            data = self._without_preamble(data)
            if not data:
                return
        if self.transport.is_closing():
            return
        pieces = self._pieces
        self._feed(data)
        if self.transport.is_closing():
            return
        if self._has_begun or not self._in_head:
            # What came together with a piece of a body is at most one read.
            self._head_bytes = self._head_bytes + len(data) if pieces == self._pieces else 0
            if self._head_bytes > MAX_HEAD_BYTES:
                self.refuse(431, b"the head of the request is too large")
                return
        self._bound_waiting()

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Reads a request again that wants another protocol, as Java's client asks for HTTP/2: the parser takes it for
        one without a body, and its body for the next request."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self.send_400_response("")
            return
        fields = [
            b"%b: %b" % (name, _without_upgrade(value) if name == b"connection" else value)
            for name, value in self.headers
        ]
        self.parser = httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join([b"%b %b HTTP/%b" % (method, self.url, version), *fields, b"", b""]) + rest)

    def _bound_waiting(self) -> None:
        """Bounds the time for what has begun, and that of a connection on which nothing has; a request that is being
        answered, or waits for its turn to be received, has bounds of its own."""
        if self._is_answering or self._head_timer:
            return
        if self._has_begun or not self._in_head:
            self._start_head_timer()
        elif self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(IDLE_SECONDS, self.timeout_keep_alive_handler)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._has_begun = True
        self._field_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        # Those behind a body are nobody's word about the request.
        if self._has_begun:
            self._field_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = self._has_begun = False
        self._head_bytes = 0
        self._stop_head_timer()
        if self._field_bytes + len(self.url) > MAX_HEAD_BYTES:
            self.refuse(431, b"the head of the request is too large")
        elif len(self.pipeline) >= MAX_WAITING_REQUESTS:
            self.refuse(429, b"there are too many requests before an answer")
        elif not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._pieces += 1
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._pieces += 1
        self._stop_head_timer()
        if self.cycle is not None and not self.parser.should_upgrade():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.scope["connection"] = self  # type: ignore[typeddict-unknown-key]
        cycle.scope["cycle"] = cycle  # type: ignore[typeddict-unknown-key]
        # One task for each request, as uvicorn does it, and known here.
        task = self._answering = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, b"the request is not valid HTTP/1.1")

    def refuse(self, status: int, message: bytes) -> None:
        """Answers with an error, and closes the connection."""
        if self.transport.is_closing():
            return
        body = _REFUSAL % message
        head = b"HTTP/1.1 %d \r\n%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        if not self._is_answering:
            self.transport.write(head % (status, self._peers.date.line(), len(body)) + body)
        self.transport.close()

    # ------------------------------------------------------------------------------------------- of an exchange

    async def write_response(
        self,
        cycle: RequestResponseCycle,
        status: int,
        fields: bytes,
        body: bytes,
        *,
        closes: bool,
    ) -> None:
        """Writes a whole response in one piece: uvicorn would write its head alone. `fields` are the lines of its head,
        which say its length. With `closes`, the connection is not used again."""
        if not await self._may_write(cycle):
            return
        if cycle.response_started:
            raise RuntimeError("A response has begun already.")
        cycle.keep_alive = cycle.keep_alive and not closes
        head = _head(cycle, status, self._peers.date.line() + fields)
        self.transport.write(head if cycle.scope["method"] == "HEAD" else head + body)
        self._complete(cycle)

    async def begin_response(self, cycle: RequestResponseCycle, status: int, fields: bytes) -> None:
        """Writes the head of a response whose body comes in pieces."""
        if not await self._may_write(cycle):
            return
        if cycle.response_started:
            raise RuntimeError("A response has begun already.")
        # Clients of HTTP/1.0 know no chunks: the end of the connection is that of the body.
        cycle.chunked_encoding = cycle.scope["http_version"] != "1.0"
        framing = b"transfer-encoding: chunked\r\n" if cycle.chunked_encoding else b""
        self.transport.write(_head(cycle, status, self._peers.date.line() + fields + framing))

    def write_piece(self, cycle: RequestResponseCycle, data: bytes) -> None:
        """Writes a piece of a body that was begun, at once; what a client does not read is `is_full`."""
        if not self.transport.is_closing():
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if cycle.chunked_encoding else data)

    async def end_response(self, cycle: RequestResponseCycle) -> None:
        """Ends a response that was begun: it is whole."""
        if not await self._may_write(cycle):
            return
        if cycle.chunked_encoding:
            self.transport.write(b"0\r\n\r\n")
        self._complete(cycle)

    async def _may_write(self, cycle: RequestResponseCycle) -> bool:
        """Waits until the client has read what was written before, and returns whether it is still there."""
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        return not cycle.disconnected

    def _complete(self, cycle: RequestResponseCycle) -> None:
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def read_on(self) -> None:
        """Reads from the client again once a body is taken: a large one has paused that, and who does not read does not
        see that the client leaves."""
        self.flow.resume_reading()

    @property
    def is_full(self) -> bool:
        """Whether the client must read before more is written."""
        return self.flow.write_paused

    async def drain(self) -> None:
        """Waits until the client has read."""
        await self.flow.drain()

    # --------------------------------------------------------------------------------------------------- bounds

    def _take(self, host: str) -> None:
        """Counts the connection for its host, or refuses it."""
        if self._peers.quota.try_take(host):
            self._taken = host
        else:
            self.refuse(503, b"there are too many connections; close some, and try again")

    def _without_preamble(self, data: bytes) -> bytes:
        """The bytes behind the header of a relay; b"" while that is incomplete. Other clients of its host send none."""
        held = (self._preamble or b"") + data
        if not held.startswith(SIGNATURE[: len(held)]):
            self._settle_client(None)
            return held
        try:
            relayed = read_header(held)
        except Malformed:
            self.transport.close()
            return b""
        if relayed is None:
            self._preamble = held
            return b""
        self._settle_client(relayed)
        return held[relayed.size :]

    def _settle_client(self, relayed: Relayed | None) -> None:
        self._may_be_relayed, self._preamble = False, None
        if relayed:
            self.client = relayed.host, relayed.port
            self.exposed = self.exposed or relayed.exposed
        self._take(self.client[0] if self.client else "")

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_late_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_late_head(self) -> None:
        self._head_timer = None
        if not self._in_head:
            # The body of a request that has its answer.
            self.transport.close()
            return
        self.refuse(408, b"the head of the request took too long")


def _head(cycle: RequestResponseCycle, status: int, fields: bytes) -> bytes:
    """The head of a response, which begins with it."""
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    ending = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    return b"".join((STATUS_LINE[status], fields, ending))


def _without_upgrade(connection: bytes) -> bytes:
    """The field `Connection` of a request that goes on as it is."""
    return b",".join(token for token in connection.split(b",") if token.strip().lower() != b"upgrade")
