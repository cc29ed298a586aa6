"""Tunnels and forwarding: the two ways through an HTTP proxy.

A tunnel (CONNECT, RFC 9110, section 9.3.6) passes every byte on to the server. A forwarded request has the whole URL as
its target (absolute form, RFC 9112, section 3.2.2).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import cast

from services.models.transport.connection import Connection
from services.models.transport.payload import Payload
from services.models.transport.proxies import Proxy
from services.models.transport.request_head import Origin
from services.models.transport.response_parser import MAX_HEAD_BYTES, TransportError

AUTHENTICATION_REQUIRED = 407

_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})[ \r\n]")
_END = re.compile(rb"\r?\n\r?\n")


class ProxyError(TransportError):
    """A proxy that cannot be reached, or that refuses to connect.

    `status` is the HTTP status with which it refuses; None if it cannot be reached, or does not answer in HTTP.
    """

    def __init__(self, proxy: Proxy, status: int | None = None, cause: OSError | None = None) -> None:
        why = f"HTTP status {status}" if status else type(cause).__name__ if cause else "no answer in HTTP"
        super().__init__(why)
        self.proxy = proxy
        self.status = status


class Tunnel(asyncio.Protocol):
    """Tunnel: a connection to a proxy, which passes everything on to a server once it is open."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()

    async def open(
        self, connection: Connection, host: str, port: int, tls: ssl.SSLContext | None, server_name: str
    ) -> None:
        """Opens the tunnel to a host and makes `connection` use it, in TLS if `tls` is given. Raises ProxyError,
        ssl.SSLError or another OSError."""
        transport = self._transport
        if transport is None:
            raise ProxyError(self._proxy)
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode()
        transport.write(head + self._proxy.header_lines + b"\r\n")
        await self._opened
        if tls:
            through = await self._loop.start_tls(transport, connection, tls, server_hostname=server_name)
            connection.connection_made(cast(asyncio.BaseTransport, through))
        else:
            transport.set_protocol(connection)
            connection.connection_made(transport)

    def abort(self) -> None:
        """Closes the socket."""
        if self._transport:
            self._transport.abort()

    # ------------------------------------------------------------------------------------ what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._opened.done():
            # A server sends nothing before the first request.
            self.abort()
            return
        self._received += data
        while end := _END.search(self._received):
            status = _STATUS.match(self._received)
            if not status or not status[1].startswith(b"1"):
                self._end(int(status[1]) if status else 0, is_last=end.end() == len(self._received))
                return
            # Further heads follow an interim one.
            del self._received[: end.end()]
        if len(self._received) > MAX_HEAD_BYTES:
            self._fail()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail()

    def _end(self, status: int, *, is_last: bool) -> None:
        if 200 <= status < 300 and is_last:
            self._opened.set_result(None)
        else:
            self._fail(status if status >= 300 else None)

    def _fail(self, status: int | None = None) -> None:
        if not self._opened.done():
            self._opened.set_exception(ProxyError(self._proxy, status))
            # Retrieves the exception: a cancelled caller does not await it.
            self._opened.exception()


class ForwardedConnection(Connection):
    """Connection to a proxy that forwards requests to one server, by the whole URL in each."""

    def __init__(
        self, proxy: Proxy, origin: Origin, receive_buffer: memoryview, on_lost: Callable[[Connection], None]
    ) -> None:
        super().__init__(receive_buffer, on_lost)
        self._proxy = proxy
        self._server = f"http://{origin.authority}".encode()

    async def send(self, head: bytes, body: Payload, due: float) -> None:
        """As `Connection.send`. Also raises ProxyError when the proxy demands other credentials (407)."""
        method, path, rest = head.split(b" ", 2)
        version, fields = rest.split(b"\r\n", 1)
        first_line = b"%b %b%b %b\r\n" % (method, self._server, path, version)
        await super().send(first_line + self._proxy.header_lines + fields, body, due)
        if self.status == AUTHENTICATION_REQUIRED:
            raise ProxyError(self._proxy, self.status)
