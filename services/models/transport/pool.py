"""Pool of connections to servers, which are kept for a while after their last exchange."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from services.models.transport.connection import Connection
from services.models.transport.connector import Connector
from services.models.transport.request_head import Origin
from services.models.transport.sockets import connections_exhausted
from services.shared.fair_quota import FairQuota

IDLE_SECONDS = 60.0
"""The time that a connection is kept without use."""


class Pool:
    """The open connections: one for each running exchange, within `quota`, and the idle ones. Belongs to one event
    loop.

    Idle connections are kept by server. Each server has one route, so a connection is never used for another route.
    """

    def __init__(self, connector: Connector, quota: FairQuota) -> None:
        self._connector = connector
        self._quota = quota
        self._making_room = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[Connection] = set()
        self._idle: defaultdict[Origin, list[tuple[float, Connection]]] = defaultdict(list)
        """With the time of its last use, the newest last."""
        self._sweeping: asyncio.TimerHandle | None = None
        self.closed = False

    def now(self) -> float:
        """The time on the loop's clock."""
        # Cached: `get_running_loop` makes a system call.
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    def take(self, origin: Origin) -> Connection | None:
        """The idle connection that was used last, if any. The older ones are left to reach `IDLE_SECONDS`."""
        idle = self._idle.get(origin)
        while idle:
            since, connection = idle.pop()
            if connection.reusable and since > self.now() - IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    def put_back(self, origin: Origin, connection: Connection) -> None:
        """Returns a connection to the pool after an exchange. Closes it if it cannot be used again."""
        if self.closed or not connection.reusable:
            connection.abort()
            return
        now = self.now()
        self._idle[origin].append((now, connection))
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_at(now + IDLE_SECONDS, self._sweep)

    async def connect(self, origin: Origin) -> Connection:
        """A new connection.

        Raises PreconditionFailed as `EndpointPolicy.check` does before a byte goes out, LimitExceeded when this process
        has no resources for it (UPSTREAM_CONNECTIONS_EXHAUSTED, DESCRIPTORS_EXHAUSTED, SYSTEM_EXHAUSTED, SERVER_BUSY),
        ProxyError, ResolveError, ssl.SSLError, or another OSError.
        """
        route = await self._connector.route(origin)
        await self._make_room(origin)
        connection = await self._connector.open(route, self._open.discard)
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

    async def _make_room(self, origin: Origin) -> None:
        """Closes idle connections, the oldest first, until the quota allows another one to `origin`."""
        if self._quota.can_take(origin):
            return
        self._check_room(origin)
        # One task at a time; otherwise several would close more connections than needed.
        async with self._making_room:
            while not self._quota.can_take(origin):
                self._check_room(origin)
                oldest = min((idle for idle in self._idle.values() if idle), key=lambda idle: idle[0][0])
                oldest.pop(0)[1].abort()
                # Lets the event loop close the socket.
                await asyncio.sleep(0)

    def _check_room(self, origin: Origin) -> None:
        unused = sum(len(idle) for idle in self._idle.values())
        if not self._quota.can_take(origin, extra_free=unused):
            raise connections_exhausted(self._quota)
