"""One request of a client and its response, where a call over gRPC has grpc's context."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from services.models.http_port.connection import Connection
from services.shared.message_sizes import MAX_MESSAGE_BYTES, check_size
from services.shared.metadata import API_KEY_KEY, AUTHORIZATION_KEY, EXPOSED_KEY, REQUEST_ID_KEY, Metadata
from services.shared.slow_readers import STALLED_SECONDS
from services.shared.tracing import TRACE_KEYS

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Fields = Iterable[tuple[str, str]]

JSON = "application/json"
_FIELDS_OF_EVENTS = (
    b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
)

_METADATA = {
    "authorization": AUTHORIZATION_KEY,
    "x-api-key": API_KEY_KEY,
    # What OpenAI's client for Azure sends a key in.
    "api-key": API_KEY_KEY,
    **{key: key for key in TRACE_KEYS},
}
"""Header fields that are metadata of the call. Clients send many others, which mean nothing here."""

_REQUEST_IDS = ("x-request-id", "x-client-request-id")


class HttpExchange:
    """A request that has arrived up to its body, and the response to it."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.headers = _headers(scope["headers"])
        """The header fields, names in lower case; a repeated one as `_headers` says it."""
        self.raw_path: str = scope["raw_path"].decode("latin-1")
        self.query: bytes = scope["query_string"]
        self.connection: Connection = scope["connection"]
        self._cycle = scope["cycle"]
        self.status = 0
        """The status of the response; 0 while it has not begun."""
        self._receive = receive
        self._callbacks: list[Callable[[HttpExchange], None]] = []
        self._loop = asyncio.get_running_loop()
        self._unsent: list[bytes] = []
        self._written = self._loop.time()
        """The loop's time of the last piece."""

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.raw_path)

    # ------------------------------------------------------------------------------------ what a `Call` asks for

    def peer(self) -> str:
        """The client's address, in grpc's form."""
        host, port = self.connection.client or ("", 0)
        return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"

    def time_remaining(self) -> None:
        """HTTP has no deadlines: a client that waits no longer leaves."""

    def invocation_metadata(self) -> Metadata:
        """The metadata of the call."""
        return tuple(self._metadata())

    def _metadata(self) -> Iterable[tuple[str, str]]:
        headers = self.headers
        for name in _REQUEST_IDS:
            if name in headers:
                yield REQUEST_ID_KEY, headers[name]
                break
        for name, key in _METADATA.items():
            if name in headers:
                yield key, headers[name]
        if self.connection.exposed:
            yield EXPOSED_KEY, "yes"

    async def read(self) -> bytes:
        """The body. Raises LimitExceeded MESSAGE_TOO_LARGE."""
        length = self.headers.get("content-length", "0")
        check_size(int(length), MAX_MESSAGE_BYTES)
        message = await self._receive()
        if not message.get("more_body"):
            self.connection.read_on()
            return bytes(message.get("body", b""))
        body = bytearray(message["body"])
        while message.get("more_body"):
            message = await self._receive()
            body += message.get("body", b"")
            check_size(len(body), MAX_MESSAGE_BYTES)
        self.connection.read_on()
        return bytes(body)

    def add_done_callback(self, callback: Callable[[HttpExchange], None]) -> None:
        """Calls `callback` when the exchange is over."""
        self._callbacks.append(callback)

    def close(self) -> None:
        """Ends the exchange."""
        for callback in self._callbacks:
            callback(self)

    # --------------------------------------------------------------------------------------------- the response

    async def respond(
        self, status: int, headers: Fields, body: bytes, content_type: str = JSON, *, closes: bool = False
    ) -> None:
        """Sends a whole response; with `closes`, the last one of its connection."""
        self.status = status
        # The responses before it may not be read.
        await self.settle()
        fields = b"%bcontent-length: %d\r\n" % (_lines(headers), len(body))
        if body:
            fields += b"content-type: %b\r\n" % content_type.encode()
        await self.connection.write_response(self._cycle, status, fields, body, closes=closes)

    async def begin_events(self, headers: Fields) -> None:
        """Sends the head of a response in events."""
        self.status = 200
        await self.connection.begin_response(self._cycle, 200, _lines(headers) + _FIELDS_OF_EVENTS)

    async def write(self, data: bytes) -> None:
        """Sends a piece of a response in events, with all others of this turn of the loop, once its client has room."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)
        if self.connection.is_full:
            await self.connection.drain()

    def write_if_idle(self, data: bytes, silent_seconds: float) -> None:
        """Sends a piece if nothing was sent for so long, and nothing waits to be read."""
        if self._loop.time() - self._written >= silent_seconds and not self.connection.is_full:
            self._unsent.append(data)
            self._flush()

    def _flush(self) -> None:
        if self._unsent:
            self.connection.write_piece(self._cycle, b"".join(self._unsent))
            self._unsent.clear()
            self._written = self._loop.time()

    async def end_events(self) -> None:
        """Ends a response in events: it is whole."""
        self._flush()
        await self.settle()
        await self.connection.end_response(self._cycle)

    def cut(self) -> None:
        """Ends a response in events without its end, so that no client takes it for whole."""
        self._flush()
        self.connection.transport.close()

    def abort(self) -> None:
        """Ends the connection at once; what the client has not read is lost."""
        self.connection.transport.abort()

    async def settle(self) -> None:
        """Waits until the client has read what was sent, but not for long."""
        if self.connection.is_full:
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    await self.connection.drain()
            except TimeoutError:
                self.abort()


def _headers(fields: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header fields by name. The values of a repeated one are joined with commas, as RFC 9110 5.3 has it for lists, and
    equal ones are one; so nobody takes one of two keys for the only one."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
    if len(headers) == len(fields):
        return headers
    values: dict[bytes, dict[bytes, None]] = {}
    for name, value in fields:
        values.setdefault(name, {})[value] = None
    return {name.decode("latin-1"): b",".join(each).decode("latin-1") for name, each in values.items()}


_CONTROLS = dict.fromkeys([*range(0x20), 0x7F], "?")


def _lines(headers: Fields) -> bytes:
    """The lines of the fields in a head."""
    return "".join([f"{name}: {_clean(value)}\r\n" for name, value in headers]).encode("latin-1", "replace")


def _clean(value: str) -> str:
    """The value of a field without controls: names of models are words of others, and may have any character."""
    return value if value.isprintable() else value.translate(_CONTROLS)
