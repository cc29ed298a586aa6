"""The HTTP port: uvicorn's server on httptools in the event loop of the service, with the life of its gRPC port."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Collection

from uvicorn.config import Config
from uvicorn.server import ServerState

from services.models.http_port.application import Application
from services.models.http_port.connection import IDLE_SECONDS, Connection, Peers
from services.shared.errors import StartupError
from services.shared.listener import check_port

BACKLOG = 2048


class HttpPort:
    """The port, bound by `bind` and served from `start` to `stop`."""

    def __init__(
        self, application: Application, max_connections: int, relays: Collection[str], *, exposed: bool
    ) -> None:
        # What uvicorn tells of single connections is for no operator to read: anybody can cause it.
        logging.getLogger("uvicorn").disabled = True
        logging.getLogger("uvicorn.error").disabled = True
        self._config = Config(
            application,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
        )
        self._config.load()
        self._state = ServerState()
        self._peers = Peers(max_connections, frozenset(relays), exposed=exposed)
        self._server: asyncio.Server | None = None

    async def bind(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Binds the port (0: any free one) and returns it; it accepts connections from `start` on. Raises StartupError
        when it is not available."""
        check_port(host, port)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._config, self._state, self._peers),
                host,
                port,
                ssl=tls,
                backlog=BACKLOG,
                start_serving=False,
            )
        except OSError as error:
            raise StartupError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Serves."""
        assert self._server, "bind comes before start"
        await self._server.start_serving()

    async def stop(self, grace_seconds: float) -> None:
        """Accepts no more connections, lets running requests finish for `grace_seconds`, then cancels them."""
        if self._server:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=grace_seconds)
        for task in set(self._state.tasks):
            task.cancel()
        for connection in list(self._state.connections):
            connection.transport.close()
