"""Connector: opens connections to servers, directly or through a proxy, to addresses that were checked."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import aiohappyeyeballs

from services.models.transport import resolver
from services.models.transport.connection import Connection
from services.models.transport.egress import EndpointPolicy
from services.models.transport.proxies import Proxies, Proxy
from services.models.transport.request_head import Origin
from services.models.transport.resolver import AddressInfo
from services.models.transport.sockets import SocketFactory
from services.models.transport.tls_trust import TlsTrust
from services.models.transport.tunnel import ForwardedConnection, ProxyError, Tunnel
from services.shared.fair_quota import FairQuota

Protocol = TypeVar("Protocol", bound=asyncio.BaseProtocol)

RESOLVED_SECONDS = 30.0
MAX_RESOLVED = 1024
"""Number of servers whose routes are remembered, the most recently used ones."""

SECOND_ADDRESS_SECONDS = 0.25
"""The delay before the next address is tried beside the first (RFC 8305, section 8)."""

RECEIVE_BUFFER_BYTES = 64 * 1024


class Network(NamedTuple):
    """The network's proxies and certificate authorities."""

    proxies: Proxies
    trust: TlsTrust


class Route(NamedTuple):
    """The route to a server: its addresses, or a proxy and the host to request from it."""

    origin: Origin
    addresses: Sequence[AddressInfo]
    """The addresses of the server, or of the proxy."""
    proxy: Proxy | None = None
    requested_host: str = ""
    """The host that is requested from the proxy: the server's name, or the address of it that was checked."""

    @property
    def is_forwarded(self) -> bool:
        """Whether the proxy reads each request and forwards it, which needs no tunnel: for http URLs by name."""
        return self.proxy is not None and not self.origin.tls and self.requested_host == self.origin.host.rstrip(".")


class Connector:
    """Opens connections. Belongs to one event loop.

    `endpoints` says where they may lead. Each socket counts in the `quota` of its server, through a proxy too. Routes
    are remembered for `resolved_seconds`.
    """

    def __init__(
        self,
        endpoints: EndpointPolicy,
        quota: FairQuota,
        network: Network | None = None,
        *,
        resolved_seconds: float = RESOLVED_SECONDS,
    ) -> None:
        self._endpoints = endpoints
        self._quota = quota
        self._proxies, self._trust = network or Network(Proxies(), TlsTrust())
        self._resolved_seconds = resolved_seconds
        self._routes: dict[Origin, tuple[float, Route]] = {}
        """Each with the time when it expires, the most recently used last."""
        # One buffer is enough: its bytes are taken out before the loop reads another socket.
        self._receive_buffer = memoryview(bytearray(RECEIVE_BUFFER_BYTES))

    async def route(self, origin: Origin) -> Route:
        """The route to a server. Its addresses were checked, and `open` connects to these very ones.

        Raises PreconditionFailed as `EndpointPolicy.check` does, LimitExceeded, ResolveError, or ProxyError.
        """
        now = asyncio.get_running_loop().time()
        known = self._routes.pop(origin, None)
        if known is None or known[0] <= now:
            route = await self._find_route(origin)
            # Loaded now, so that `open` need not wait for it.
            await self._tls(origin)
            known = now + self._resolved_seconds, route
        self._routes[origin] = known
        if len(self._routes) > MAX_RESOLVED:
            del self._routes[next(iter(self._routes))]
        return known[1]

    async def open(self, route: Route, on_lost: Callable[[Connection], None]) -> Connection:
        """A new connection. Raises LimitExceeded, ProxyError, ssl.SSLError, or another OSError."""
        origin, proxy = route.origin, route.proxy
        if proxy is None:
            factory = functools.partial(Connection, self._receive_buffer, on_lost)
            return await self._connect(route, origin, factory)
        try:
            if route.is_forwarded:
                forwarding = functools.partial(ForwardedConnection, proxy, origin, self._receive_buffer, on_lost)
                return await self._connect(route, proxy.origin, forwarding)
            tunnel = await self._connect(route, proxy.origin, functools.partial(Tunnel, proxy))
        except OSError as error:
            raise ProxyError(proxy, cause=error) from None
        connection = Connection(self._receive_buffer, on_lost)
        try:
            await tunnel.open(
                connection, route.requested_host, origin.port, await self._tls(origin), _server_name(origin)
            )
        except BaseException:
            tunnel.abort()
            raise
        return connection

    async def _find_route(self, origin: Origin) -> Route:
        proxy = self._proxies.find(origin)
        if proxy is None:
            return Route(origin, await self._endpoints.resolve(origin.host, origin.port))
        requested_host = await self._endpoints.resolve_for_proxy(origin.host, origin.port)
        try:
            addresses = await resolver.resolve(proxy.origin.host, proxy.origin.port, queued=False)
        except OSError as error:
            raise ProxyError(proxy, cause=error) from None
        return Route(origin, addresses, proxy, requested_host)

    async def _connect(self, route: Route, peer: Origin, factory: Callable[[], Protocol]) -> Protocol:
        """Connects to one of the route's addresses, which are the peer's."""
        tls = await self._tls(peer)
        sockets = SocketFactory(self._quota, route.origin)
        try:
            connected = await aiohappyeyeballs.start_connection(
                route.addresses, happy_eyeballs_delay=SECOND_ADDRESS_SECONDS, socket_factory=sockets
            )
        except OSError as error:
            raise sockets.explain(error, route.addresses) or error from None
        name = _server_name(peer) if tls else None
        loop = asyncio.get_running_loop()
        try:
            _, protocol = await loop.create_connection(factory, sock=connected, ssl=tls, server_hostname=name)
        except BaseException:
            connected.close()
            raise
        return protocol

    async def _tls(self, peer: Origin) -> ssl.SSLContext | None:
        return await self._trust.context() if peer.tls else None


def _server_name(peer: Origin) -> str:
    """The name that the peer's certificate must have."""
    return peer.host.rstrip(".")
