"""The relay of the Model Service's HTTP port: connections of clients go on to a replica, bytes for bytes, so that one
host serves gRPC and HTTP. Nothing of HTTP is read here; a PROXY header tells the replica who has connected."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence

from services.shared.channels import host_and_port, host_of, is_in_tls
from services.shared.fair_quota import FairQuota
from services.shared.logs import Log
from services.shared.proxy_protocol import write_header
from services.shared.tcp_port import TcpPort

CONNECT_SECONDS = 5.0
"""Time in which a replica must accept a connection before the next one is asked."""

WAITING_BYTES = 64 * 1024
"""Bytes that a client may send before a replica has accepted its connection; further ones stay with it."""

_AWAY = (
    b'{"error":{"message":"the Model Service cannot be reached; try again","type":"server_error","param":null,'
    b'"code":"server_error"}}'
)
_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_AWAY), _AWAY)
)


class HttpRelay(TcpPort):
    """The relay. `addresses` are those of the replicas, `https://` before those that speak TLS, for which `client_tls`
    gives the context; `exposed` says whether strangers can reach the port."""

    def __init__(
        self,
        addresses: Sequence[str],
        log: Log,
        max_connections: int,
        client_tls: Callable[[], ssl.SSLContext] | None = None,
        *,
        exposed: bool,
    ) -> None:
        super().__init__(lambda: _Incoming(self), "GATEWAY_HTTP_PORT")
        self.exposed = exposed
        self.quota = FairQuota(max_connections)
        self.connections: set[_Incoming] = set()
        self._log = log
        self._client_tls = client_tls
        self._loads = dict.fromkeys(addresses, 0)
        """The open connections to each replica."""
        self._are_away = False
        """Whether the last connection found no replica."""
        self._ended = asyncio.Event()

    async def stop(self, grace_seconds: float) -> None:
        """Accepts no more connections, and cuts those that are open after `grace_seconds`."""
        self.close()
        if self.connections:
            self._ended.clear()
            try:
                async with asyncio.timeout(grace_seconds):
                    await self._ended.wait()
            except TimeoutError:
                for connection in list(self.connections):
                    connection.cut()

    def forget(self, connection: _Incoming) -> None:
        """Takes note of a connection that has ended."""
        self.connections.discard(connection)
        if not self.connections:
            self._ended.set()

    async def connect(self, incoming: _Incoming) -> None:
        """Connects a client to the replica with the fewest connections; to the next one where it does not accept."""
        for address in sorted(self._loads, key=self._loads.__getitem__):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._connect_to(address, incoming)
            except (OSError, TimeoutError, ssl.SSLError):
                continue
            self._are_away = False
            return
        if not self._are_away:
            self._are_away = True
            self._log.warning("no HTTP port of the Model Service accepts connections", addresses=list(self._loads))
        incoming.refuse()

    async def _connect_to(self, address: str, incoming: _Incoming) -> None:
        host, port = host_of(address), int(host_and_port(address).rpartition(":")[2])
        tls = self._client_tls() if self._client_tls and is_in_tls(address) else None
        loop = asyncio.get_running_loop()
        outgoing = _Outgoing(incoming, lambda: self._count(address, -1))
        await loop.create_connection(lambda: outgoing, host, port, ssl=tls, server_hostname=host if tls else None)
        self._count(address, 1)
        incoming.begin(outgoing)

    def _count(self, address: str, change: int) -> None:
        self._loads[address] += change


class _End(asyncio.Protocol):
    """One end of a relayed connection. What one end receives, the other one sends; while that cannot, nothing is
    received."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        other, self.other, self.transport = self.other, None, None
        if other and other.transport:
            # What has been received is still sent.
            other.transport.close()


class _Incoming(_End):
    """The end of the client."""

    def __init__(self, relay: HttpRelay) -> None:
        super().__init__()
        self._relay = relay
        self._host = ""
        self._port = 0
        self._early = b""
        """Bytes that came before a replica has accepted the connection."""
        self._connecting: asyncio.Task[None] | None = None
        self._is_counted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self._host, self._port, *_ = transport.get_extra_info("peername") or ("", 0)
        self._relay.connections.add(self)
        self._is_counted = self._relay.quota.try_take(self._host)
        if not self._is_counted:
            self.refuse()
            return
        self._connecting = asyncio.get_running_loop().create_task(self._relay.connect(self))

    def data_received(self, data: bytes) -> None:
        if self.other:
            super().data_received(data)
            return
        self._early += data
        if len(self._early) > WAITING_BYTES and self.transport:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connecting:
            self._connecting.cancel()
        if self._is_counted:
            self._relay.quota.release(self._host)
        super().connection_lost(exc)
        self._relay.forget(self)

    def begin(self, outgoing: _Outgoing) -> None:
        """Relays to a replica that has accepted the connection."""
        assert outgoing.transport
        outgoing.transport.write(write_header(self._host, self._port, exposed=self._relay.exposed) + self._early)
        self._early = b""
        self.other = outgoing
        self._connecting = None
        if self.transport:
            self.transport.resume_reading()
        else:
            outgoing.transport.close()

    def refuse(self) -> None:
        """Tells the client that nobody answers."""
        if self.transport:
            self.transport.write(_UNAVAILABLE)
            self.transport.close()

    def cut(self) -> None:
        """Ends the connection at once."""
        if self.transport:
            self.transport.abort()


class _Outgoing(_End):
    """The end of the replica."""

    def __init__(self, incoming: _Incoming, on_end: Callable[[], None]) -> None:
        super().__init__()
        self.other = incoming
        self._on_end = on_end

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._on_end()
