"""A port of TCP in the event loop of a process, which lives as long as that of gRPC."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from services.shared.errors import StartupError
from services.shared.listener import check_port

BACKLOG = 2048


def check_named_port(host: str, port: int, variable: str) -> None:
    """Raises StartupError, with the setting of its number, for a port that cannot be bound."""
    try:
        check_port(host, port)
    except StartupError as error:
        raise StartupError(f"{variable}: {error}; set another port, or 0 for none") from None


class TcpPort:
    """A port whose connections have the protocols that `connect` makes; `variable` is the setting of its number."""

    def __init__(self, connect: Callable[[], asyncio.Protocol], variable: str) -> None:
        self._connect = connect
        self._variable = variable
        self._server: asyncio.Server | None = None

    async def bind(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Binds the port (0: any free one) and returns it; it accepts connections from `start` on. Raises StartupError
        when it is not available."""
        check_named_port(host, port, self._variable)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._connect, host, port, ssl=tls, backlog=BACKLOG, start_serving=False
            )
        except OSError as error:
            raise StartupError(f"{self._variable}: cannot listen on {host}:{port}: {error.strerror}") from None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Serves."""
        assert self._server, "bind comes before start"
        await self._server.start_serving()

    def close(self) -> None:
        """Accepts no more connections."""
        if self._server:
            self._server.close()
