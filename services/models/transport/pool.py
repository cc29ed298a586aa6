"""Connections to providers: opened where the endpoint policy allows, and kept for a while after their last answer."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import aiohappyeyeballs

from services.models.transport.connection import Connection
from services.models.transport.egress import EndpointPolicy
from services.models.transport.request_head import Origin
from services.models.transport.resolver import AddressInfo
from services.models.transport.sockets import SocketFactory, connections_exhausted
from services.shared.descriptors import shortage_from
from services.shared.fair_quota import FairQuota
from services.shared.fair_threads import start_thread

IDLE_SECONDS = 60.0
"""How long a connection is kept without use."""

RESOLVED_SECONDS = 30.0
MAX_RESOLVED = 1024
"""As many servers' addresses are remembered."""

SECOND_ADDRESS_SECONDS = 0.25
"""How long one address is tried alone before the next is tried extra_free it (RFC 8305, section 8)."""

RECEIVE_BUFFER_BYTES = 64 * 1024


class Pool:
    """As many connections as there are exchanges at a time, as far as `connections` allows: no server may have more
    than are left free. Belongs to one event loop.

    `authorities` is a PEM file of certificate authorities that are trusted beside the system's; addresses of names are
    remembered for `resolved_seconds`.
    """

    def __init__(
        self,
        endpoints: EndpointPolicy,
        connections: FairQuota,
        *,
        authorities: Path | None = None,
        resolved_seconds: float = RESOLVED_SECONDS,
    ) -> None:
        self._endpoints = endpoints
        self._quota = connections
        self._making_room = asyncio.Lock()
        self._authorities = authorities
        self._resolved_seconds = resolved_seconds
        self._resolved: dict[Origin, tuple[float, Sequence[AddressInfo]]] = {}
        """Until when they may be used, the last that were used last."""
        self._tls_context: asyncio.Future[ssl.SSLContext] | None = None
        # The loop has every byte taken out before it reads the next socket.
        self._receive_buffer = memoryview(bytearray(RECEIVE_BUFFER_BYTES))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[Connection] = set()
        self._idle: defaultdict[Origin, list[tuple[float, Connection]]] = defaultdict(list)
        """With the time of its last use, the newest last."""
        self._sweeping: asyncio.TimerHandle | None = None
        self.closed = False

    def now(self) -> float:
        """The time on the loop's clock."""
        # Remembered: to ask which loop runs is a system call.
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    def take(self, origin: Origin) -> Connection | None:
        """A connection that was used before, the last one that was: the others may come to their end."""
        idle = self._idle.get(origin)
        while idle:
            since, connection = idle.pop()
            if connection.reusable and since > self.now() - IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    def leave(self, origin: Origin, connection: Connection) -> None:
        """Gives a connection back after an exchange, which closes it unless it can be used again."""
        if self.closed or not connection.reusable:
            connection.abort()
            return
        now = self.now()
        self._idle[origin].append((now, connection))
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_at(now + IDLE_SECONDS, self._sweep)

    async def connect(self, origin: Origin) -> Connection:
        """A new connection.

        Raises PreconditionFailed as `EndpointPolicy.check` does before a byte goes out, LimitExceeded when what it
        takes is not there on our side (UPSTREAM_CONNECTIONS_EXHAUSTED, DESCRIPTORS_EXHAUSTED, SYSTEM_EXHAUSTED,
        SERVER_BUSY), ResolveError, ssl.SSLError, or another OSError.
        """
        addresses = await self._resolve(origin)
        tls = await self._context() if origin.tls else None
        await self._make_room(origin)
        sockets = SocketFactory(self._quota, origin)
        try:
            connected = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=SECOND_ADDRESS_SECONDS, socket_factory=sockets
            )
        except OSError as error:
            raise sockets.explain(error, addresses) or error from None
        factory = functools.partial(Connection, self._receive_buffer, self._open.discard)
        name = origin.host.rstrip(".") if tls else None
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(factory, sock=connected, ssl=tls, server_hostname=name)
        except BaseException:
            connected.close()
            raise
        self._open.add(connection)
        if self.closed:
            connection.abort()
        return connection

    def close(self) -> None:
        """Closes all connections. Exchanges in progress are broken off."""
        self.closed = True
        if self._sweeping:
            self._sweeping.cancel()
        for connection in list(self._open):
            connection.abort()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        for origin, idle in list(self._idle.items()):
            while idle and idle[0][0] <= loop.time() - IDLE_SECONDS:
                idle.pop(0)[1].abort()
            if not idle:
                del self._idle[origin]
        oldest = min((idle[0][0] for idle in self._idle.values()), default=None)
        self._sweeping = None if oldest is None else loop.call_at(oldest + IDLE_SECONDS, self._sweep)

    async def _resolve(self, origin: Origin) -> Sequence[AddressInfo]:
        """Addresses that were checked, and are the very ones that are connected to next."""
        known = self._resolved.pop(origin, None)
        if known is None or known[0] <= self.now():
            addresses = await self._endpoints.resolve(origin.host, origin.port)
            known = self.now() + self._resolved_seconds, addresses
        self._resolved[origin] = known
        if len(self._resolved) > MAX_RESOLVED:
            del self._resolved[next(iter(self._resolved))]
        return known[1]

    async def _make_room(self, origin: Origin) -> None:
        """Gives up unused connections, the oldest first, until there is a place for another one to `origin`."""
        if self._quota.can_take(origin):
            return
        self._check_room(origin)
        # One after the other, or each would give up one for the same place.
        async with self._making_room:
            while not self._quota.can_take(origin):
                self._check_room(origin)
                oldest = min((idle for idle in self._idle.values() if idle), key=lambda idle: idle[0][0])
                oldest.pop(0)[1].abort()
                # The loop closes its socket now.
                await asyncio.sleep(0)

    def _check_room(self, origin: Origin) -> None:
        unused = sum(len(idle) for idle in self._idle.values())
        if not self._quota.can_take(origin, extra_free=unused):
            raise connections_exhausted(self._quota)

    async def _context(self) -> ssl.SSLContext:
        # In a thread, because reading the system's authorities takes some 50 ms.
        if self._tls_context is None:
            self._tls_context = start_thread(functools.partial(_trusting, self._authorities))
            self._tls_context.add_done_callback(self._forget_failure)
        try:
            return await asyncio.shield(self._tls_context)
        except OSError as error:
            raise shortage_from(error) or error from None

    def _forget_failure(self, context: asyncio.Future[ssl.SSLContext]) -> None:
        if context.exception():
            self._tls_context = None


def _trusting(authorities: Path | None) -> ssl.SSLContext:
    # Named, because those that are loaded by default are left out without a word when a file cannot be opened.
    paths = ssl.get_default_verify_paths()
    context = ssl.create_default_context(cafile=paths.cafile, capath=paths.capath)
    context.set_alpn_protocols(["http/1.1"])
    if authorities:
        context.load_verify_locations(authorities)
    return context
