"""A listening gRPC server that is replaced, on the same port, when its serving loop ends.

grpc.aio reads the method of a call outside of any handler: a `:path` that is not UTF-8 raises in the loop that accepts
calls, and ends it. grpc then closes the port, cancels every call and leaves the process running. Here the calls
continue, and another server binds the port within milliseconds. The same happens after any other exception in grpc, or
when the port no longer accepts connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Sequence

import grpc

from services.shared.errors import StartupError
from services.shared.lanes import GrpcServer
from services.shared.tls import ServerTls

REPLACE_SECONDS = 10.0
"""Time limit for binding the port again."""

REPLACE_PAUSE_SECONDS = 0.005

CHECK_SECONDS = 2.0
"""Interval of the check whether the port accepts connections."""

MAX_RETIRED = 64
"""Replaced servers that may still have calls; beyond that, the calls of the oldest one are cancelled."""

RETIRED_SECONDS = 3600.0
"""Grace for the calls of a replaced server."""


class ServingLost(Exception):
    """The port could not be bound again: the process must be restarted."""


class Listener:
    """One port, and the successive servers that listen on it. Handlers are added before `start`."""

    def __init__(self) -> None:
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._host = ""
        self._port = 0
        self._max_connections = 0
        self._tls: ServerTls | None = None
        self._server: GrpcServer | None = None
        self._retired: dict[GrpcServer, asyncio.Task[None]] = {}

    def add_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._handlers += handlers

    def bind(self, host: str, port: int, max_connections: int, tls: ServerTls | None = None) -> int:
        """Binds the port (0: any free one) and returns it; without `tls` it is unencrypted. Raises StartupError when it
        is not available."""
        self._host = host
        self._max_connections = max_connections
        self._tls = tls
        self._server = GrpcServer(max_connections)
        self._port = _bind(self._server, host, port, tls)
        return self._port

    async def start(self) -> None:
        assert self._server, "bind comes before start"
        self._server.add_handlers(self._handlers)
        await self._server.start()

    async def stop(self, grace_seconds: float, linger_seconds: float = 0.0) -> None:
        """Refuses new calls, lets running ones finish for `grace_seconds`, then cancels them. The port is open for the
        first `linger_seconds`."""
        retired = [asyncio.create_task(server.stop(grace_seconds)) for server in self._retired]
        if self._server:
            # Awaited here and not in a task, so that the very next call is refused.
            await self._server.stop(grace_seconds, linger_seconds)
        await asyncio.gather(*retired)

    async def wait_until_lost(self) -> BaseException | None:
        """Waits until the port is no longer served. Returns the exception that ended the serving loop, if any."""
        server = self._server
        assert server
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await server.ended.wait()
                return server.failure
            if await self._refuses_connections():
                return None

    async def replace(self) -> None:
        """Lets a new server take over the port; the calls of the present one continue. Raises ServingLost."""
        old, server = self._server, GrpcServer(self._max_connections)
        assert old
        server.add_handlers(self._handlers)
        self._retire(old)
        try:
            async with asyncio.timeout(REPLACE_SECONDS):
                while not _is_free(self._host, self._port):  # noqa: ASYNC110 the kernel sends no notification
                    await asyncio.sleep(REPLACE_PAUSE_SECONDS)
            _bind(server, self._host, self._port, self._tls)
        except (TimeoutError, StartupError):
            raise ServingLost(f"port {self._port} cannot be had again") from None
        self._server = server
        await server.start()

    def _retire(self, server: GrpcServer) -> None:
        if len(self._retired) >= MAX_RETIRED:
            self._stop_retired(next(iter(self._retired)), 0)
        self._stop_retired(server, RETIRED_SECONDS)

    def _stop_retired(self, server: GrpcServer, grace_seconds: float) -> None:
        stopping = self._retired[server] = asyncio.create_task(server.stop(grace_seconds))
        stopping.add_done_callback(lambda _: self._retired.pop(server, None))

    async def _refuses_connections(self) -> bool:
        """Whether the port refuses connections. Also False if the check fails for another reason."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                _, writer = await asyncio.open_connection(_reachable(self._host), self._port)
        except ConnectionRefusedError:
            return True
        except (OSError, TimeoutError):
            return False
        writer.close()
        return False


def _bind(server: GrpcServer, host: str, port: int, tls: ServerTls | None) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # grpc would log C++ traces and no reason.
    check_port(host, port)
    encoded = address.encode()
    bound = int(server.add_secure_port(encoded, tls.credentials()) if tls else server.add_insecure_port(encoded))
    if not bound:
        certificate = ", or gRPC does not take the certificate in GENAI_TLS_CERT_FILE" if tls else ""
        raise StartupError(f"cannot listen on {address}: it is in use, or no address of this machine{certificate}")
    return bound


def _is_free(host: str, port: int) -> bool:
    try:
        _try_port(host, port)
    except OSError:
        return False
    return True


def check_port(host: str, port: int) -> None:
    """Raises StartupError, with a message of one line, for a port that cannot be bound."""
    if port == 0:
        return
    try:
        _try_port(host, port)
    except OSError as error:
        reason = error.strerror or error
        if error.errno == errno.EADDRINUSE and not _is_served(host, port):
            # Nobody listens there: the kernel has given the port to a connection to elsewhere.
            reason = f"{reason} by a connection to elsewhere, which leaves it a minute after its end; try again then"
        raise StartupError(f"cannot listen on {host}:{port}: {reason}") from None


def _try_port(host: str, port: int) -> None:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _is_served(host: str, port: int) -> bool:
    """Whether something listens on a port of this machine. Also True if that cannot be seen."""
    try:
        socket.create_connection((_reachable(host), port), timeout=CHECK_SECONDS).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    return True


def _reachable(host: str) -> str:
    """The address by which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
