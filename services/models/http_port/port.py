"""The HTTP port: uvicorn's server on httptools in the event loop of the service, with the life of its gRPC port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from uvicorn.config import Config
from uvicorn.server import ServerState

from services.models.http_port.application import Application
from services.models.http_port.connection import IDLE_SECONDS, Connection, Peers
from services.shared.tcp_port import TcpPort


class HttpPort(TcpPort):
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
        super().__init__(lambda: Connection(self._config, self._state, self._peers), "MODELS_HTTP_PORT")

    async def stop(self, grace_seconds: float) -> None:
        """Accepts no more connections, lets running requests finish for `grace_seconds`, then cancels them."""
        self.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=grace_seconds)
        for task in set(self._state.tasks):
            task.cancel()
        for connection in list(self._state.connections):
            connection.transport.close()
