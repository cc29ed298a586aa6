"""HTTP client: the `Transport` that uses the network, with a pool of connections.

It knows HTTP and nothing above it: no JSON and no provider, and it retries no request that a provider may have begun to
answer. Leaving a response closes its socket at once, and a truncated response raises an error. If a pooled connection
turns out to be closed, the request is sent on a new one.
"""

from __future__ import annotations

import contextlib
from asyncio import timeout
from collections.abc import AsyncIterator, Mapping

from services.models.transport.base import HttpResponse, HttpTimeouts, SizeCheck
from services.models.transport.connection import Connection, ConnectionClosedIdle
from services.models.transport.connector import RESOLVED_SECONDS, Connector, Network
from services.models.transport.egress import EndpointPolicy
from services.models.transport.failures import (
    body_error,
    check_status,
    connect_error,
    head_error,
    unreachable,
    unsendable,
)
from services.models.transport.payload import Payload
from services.models.transport.pool import Pool
from services.models.transport.request_head import Origin, encode_headers, request_head
from services.models.transport.response import IncomingResponse
from services.models.transport.response_parser import TransportError
from services.models.transport.tunnel import ProxyError
from services.shared import descriptors
from services.shared.fair_quota import FairQuota

CONNECTIONS = 512


PROBING = HttpTimeouts(connect=30.0, first_byte=2.0, idle=2.0)
"""Timeouts of probes and of requests for lists of models, whose callers have shorter deadlines of their own."""


class HttpClient:
    """Connections to models' servers. Belongs to the event loop of its first call.

    It keeps no cookies, follows no redirects, reads no netrc and always verifies TLS. `endpoints` says where it may
    connect: by default everywhere except to link-local addresses and metadata services. If it is discreet, errors do
    not say why a connection failed: UPSTREAM_UNREACHABLE replaces UPSTREAM_TLS and the proxy's reasons. `network` has
    the proxies and the certificate authorities; by default there is no proxy. `connections` is the quota of
    connections, which several clients may share; a server gets no more of them than are left free. Addresses of names
    are remembered for `resolved_seconds`.

    Every call may raise, before there is a response:

      * Unavailable: UPSTREAM_UNREACHABLE (no connection, or it broke), UPSTREAM_TIMEOUT (no head within `first_byte`),
        PROXY_UNREACHABLE, PROXY_REFUSED (the proxy could not connect)
      * PreconditionFailed: UPSTREAM_TLS, UPSTREAM_REDIRECT, UPSTREAM_REQUEST_INVALID (the address or a header, a key
        with a line break for one, cannot be sent), ENDPOINT_NOT_ALLOWED (`endpoints` forbids the host or an address),
        PROXY_REFUSED (the proxy wants credentials, or does not allow the host)
      * LimitExceeded: as `Pool.connect`, when this process has no resources for a connection
      * Internal: UPSTREAM_PROTOCOL_ERROR (what came is not HTTP)

    A request is sent a second time only if a pooled connection was closed at once, before the first byte of a response:
    a server that closes it later may have worked on the request. A request whose body is released once it is written
    (`Payload`) always uses a new connection.
    """

    def __init__(
        self,
        timeouts: HttpTimeouts | None = None,
        *,
        endpoints: EndpointPolicy | None = None,
        connections: FairQuota | None = None,
        network: Network | None = None,
        resolved_seconds: float = RESOLVED_SECONDS,
    ) -> None:
        self._timeouts = timeouts or HttpTimeouts()
        endpoints = endpoints or EndpointPolicy()
        connections = connections or FairQuota(CONNECTIONS)
        connector = Connector(endpoints, connections, network, resolved_seconds=resolved_seconds)
        self._pool = Pool(connector, connections)
        self._discreet = endpoints.discreet

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Payload,
        check_size: SizeCheck | None = None,
        timeouts: HttpTimeouts | None = None,
    ) -> HttpResponse:
        """Sends `body` and returns the response, whatever its status: up to MAX_BODY_BYTES of its body, and the first
        MAX_START_BYTES of one that is an error.

        Raises what opening a call (see the class), reading a body (`IncomingResponse.read_all`) and `check_size` raise.
        """
        timeouts = timeouts or self._timeouts
        origin, connection = await self._send(url, headers, body, timeouts, timeouts.answer)
        try:
            check_status(connection.status)
            headers = connection.headers
            if connection.complete and "content-encoding" not in headers:
                # Most responses have arrived whole by the time that their head is looked at.
                return HttpResponse(connection.status, headers, connection.take())
            response = IncomingResponse(connection, timeouts.idle)
            is_error = response.status >= 400
            read = await (response.read_start() if is_error else response.read_all(check_size=check_size))
            return HttpResponse(response.status, headers, read)
        finally:
            self._pool.put_back(origin, connection)

    @contextlib.asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str], body: bytes | Payload, timeouts: HttpTimeouts | None = None
    ) -> AsyncIterator[IncomingResponse]:
        """Sends `body` and gives the response, whatever its status, as soon as its head has arrived.

        Leaving the block before the end of the body closes the socket at once.
        """
        timeouts = timeouts or self._timeouts
        origin, connection = await self._send(url, headers, body, timeouts, timeouts.first_byte)
        try:
            check_status(connection.status)
            yield IncomingResponse(connection, timeouts.idle)
        finally:
            self._pool.put_back(origin, connection)

    @contextlib.asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[IncomingResponse]:
        """Asks for `url` and gives the response, whatever its status, as soon as its head has arrived.

        It always goes over a new connection, which the end of the block closes: a pooled one that the server has closed
        meanwhile would look like a server that is down. The body is not decompressed. A connection that closes before
        the head has arrived is UPSTREAM_STREAM_INTERRUPTED, as within the body.
        """
        self._check_open()
        try:
            origin, first_lines = request_head("GET", url)
            head = b"%bUser-Agent: genai-platform-probe\r\n%b\r\n" % (first_lines, encode_headers(headers))
        except ValueError:
            raise unsendable() from None
        connection = await self._connect(origin, self._timeouts.connect)
        try:
            try:
                await connection.send(head, Payload(b""), self._pool.now() + self._timeouts.first_byte)
            except TransportError as fault:
                raise body_error(fault) from None
            yield IncomingResponse(connection, self._timeouts.idle, decompress=False)
        finally:
            connection.abort()

    async def close(self) -> None:
        """Closes all connections. Responses in progress are broken off."""
        self._pool.close()

    async def _send(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Payload,
        timeouts: HttpTimeouts,
        head_seconds: float,
    ) -> tuple[Origin, Connection]:
        self._check_open()
        payload = body if isinstance(body, Payload) else Payload(body)
        try:
            origin, first_lines = request_head("POST", url)
            head = b"%b%bContent-Length: %d\r\n\r\n" % (first_lines, encode_headers(headers), len(payload.data))
        except ValueError:
            raise unsendable() from None
        due = self._pool.now() + head_seconds
        used = self._pool.take(origin) if payload.is_kept else None
        if used:
            with contextlib.suppress(ConnectionClosedIdle):
                return origin, await self._exchange(origin, used, head, payload, due)
        connection = await self._connect(origin, timeouts.connect)
        return origin, await self._exchange(origin, connection, head, payload, due)

    def _check_open(self) -> None:
        if self._pool.closed:
            raise unreachable("this service is stopping")

    async def _connect(self, origin: Origin, seconds: float) -> Connection:
        try:
            async with timeout(seconds):
                return await self._pool.connect(origin)
        except (OSError, ProxyError) as fault:
            raise connect_error(fault, origin, discreet=self._discreet) from None

    async def _exchange(
        self, origin: Origin, connection: Connection, head: bytes, body: Payload, due: float
    ) -> Connection:
        try:
            await connection.send(head, body, due)
        except BaseException as fault:
            connection.abort()
            if isinstance(fault, TransportError) and not isinstance(fault, ConnectionClosedIdle):
                raise head_error(fault, origin) from None
            raise
        return connection


def open_probing_client(endpoints: EndpointPolicy, network: Network | None = None) -> HttpClient:
    """A client for free questions to servers. It remembers no addresses, and has connections of its own, so that a
    model's status is known when the chats take all of theirs."""
    connections = FairQuota(descriptors.connection_limit() // 18)
    return HttpClient(PROBING, endpoints=endpoints, connections=connections, network=network, resolved_seconds=0)
