"""A port of TCP in the event loop of a process, which lives as long as that of gRPC."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from services.shared.errors import StartupError
from services.shared.listener import check_port

BACKLOG = 2048


class TcpPort:
    """A port whose connections have the protocols that `connect` makes."""

    def __init__(self, connect: Callable[[], asyncio.Protocol]) -> None:
        self._connect = connect
        self._server: asyncio.Server | None = None

    async def bind(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Binds the port (0: any free one) and returns it; it accepts connections from `start` on. Raises StartupError
        when it is not available."""
        check_port(host, port)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._connect, host, port, ssl=tls, backlog=BACKLOG, start_serving=False
            )
        except OSError as error:
            raise StartupError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Serves."""
        assert self._server, "bind comes before start"
        await self._server.start_serving()

    def close(self) -> None:
        """Accepts no more connections."""
        if self._server:
            self._server.close()
