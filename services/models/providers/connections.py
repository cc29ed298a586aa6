"""aiohttp's connections, with the faults made visible that it would hide from the transport.

Checked against aiohttp 3.14. Where its private names are used, a test in tests/wire/test_transport.py fails when they
change. aiohttp itself resends only idempotent methods (`retry_persistent_connection` in client.py), never a POST.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from services.models.endpoints import EndpointPolicy

POOLED_SECONDS = 60.0
DNS_CACHE_SECONDS = 30


class StaleConnection(aiohttp.ServerDisconnectedError):
    """A request was written to a pooled connection, which then closed without one byte of an answer."""


class Connection(ResponseHandler):
    """One connection to a provider, for one exchange after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._exchanges = 0
        self._answered = False

    def set_response_params(self, **parameters: Any) -> None:
        """Begins an exchange."""
        self._exchanges += 1
        self._answered = False
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        # aiohttp passes no bytes when it resumes a parser that it had paused.
        if data:
            self._answered = True
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if self._exchanges > 1 and not self._answered:
            exc = StaleConnection()
        # After bytes that are no HTTP, aiohttp tells only whoever waits for a head: a body's reader would wait on.
        self._break_body(exc)
        super().set_exception(exc, *cause)

    def connection_lost(self, exc: BaseException | None) -> None:
        # A body without a length ends where the connection does; a reset is not such an end.
        if exc is not None:
            self._break_body(aiohttp.ClientPayloadError())
        super().connection_lost(exc)

    def close(self) -> None:
        # A TLS connection that is closed in good manners waits up to 30 seconds for the other side's manners, and a
        # provider that is generating does not look. Aborting it frees the socket now.
        self._break_body(aiohttp.ClientPayloadError())
        self.abort()

    def _break_body(self, error: BaseException) -> None:
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(error)


def _connection(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return Connection(loop)


class Connector(aiohttp.TCPConnector):
    """The pool: as many connections as there are calls, each kept for a while after its last answer.

    With `force_close` there is no pool: every call gets a connection of its own. A new connection raises what
    `EndpointPolicy.check` raises, before a byte goes out.
    """

    def __init__(self, endpoints: EndpointPolicy, *, trusted: ssl.SSLContext | None, force_close: bool = False) -> None:
        super().__init__(
            limit=0,
            ttl_dns_cache=DNS_CACHE_SECONDS,
            force_close=force_close,
            keepalive_timeout=None if force_close else POOLED_SECONDS,
            ssl=trusted or True,
        )
        self._factory = functools.partial(_connection, asyncio.get_running_loop())
        self._endpoints = endpoints

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            # Whatever a server sent without being asked would be taken for the answer to the next request.
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()

    async def _resolve_host(self, host: str, port: int, traces: Sequence[Trace] | None = None) -> list[ResolveResult]:
        # Every host comes through here, a resolved one, one out of the cache and an address alike, and these very
        # addresses are connected to next.
        found = await super()._resolve_host(host, port, traces)
        self._endpoints.check(host, port, [address["host"] for address in found])
        return found
