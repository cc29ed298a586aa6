"""The life of a process: start, serve, drain, stop.

SIGTERM or SIGINT   health says NOT_SERVING, new calls are refused, running calls get `grace_seconds`
the same again      running calls are cancelled at once
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.shared.errors import StartupError
from services.shared.logs import Log
from services.shared.rpc import wait_for_calls
from services.shared.settings import ServiceSettings

EXIT_CONFIG = 78
"""sysexits.h EX_CONFIG: something in the configuration must be changed before another start can succeed."""

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
FINALIZE_SECONDS = 5.0

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

SERVER_OPTIONS: list[tuple[str, int]] = [
    # Without this a second server on the same port binds silently and takes half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", 10_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc ships no types
    """The standard health service, grpc.health.v1.

    Not the servicer of grpcio-health-checking: its watches stay open through a stop, which then takes the whole grace,
    and its `set` waits for a watcher that does not read.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {"": NOT_SERVING}
        self._draining = False
        self._changed = asyncio.Event()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext) -> None:
        written = None
        while True:
            changed, draining = self._changed, self._draining
            status = self._statuses.get(request.service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != written:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                written = status
            if draining:
                return
            await changed.wait()

    async def set(self, service: str, status: int) -> None:
        """Says `status` of a service from now on. Does nothing after `drain`."""
        if not self._draining:
            self._statuses[service] = status
            self._tell_watches()

    async def drain(self) -> None:
        """Says NOT_SERVING of everything for good, and ends all watches once they have said so."""
        self._draining = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._tell_watches()

    def _tell_watches(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Server:
    """A gRPC server with health and reflection, bound to one port.

    The handlers that it is given must serve the services named in `service_names`.
    """

    def __init__(self, handlers: Sequence[grpc.GenericRpcHandler], service_names: Sequence[str]) -> None:
        self.health = Health()
        self._service_names = tuple(service_names)
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        reflected = (*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(reflected, self._server)
        self._server.add_generic_rpc_handlers(tuple(handlers))

    def add(self, handler: grpc.GenericRpcHandler) -> None:
        """Adds a handler; possible until `start`."""
        self._server.add_generic_rpc_handlers((handler,))

    def bind(self, host: str, port: int) -> int:
        """Takes the port (0: any free one) and returns it. Raises StartupError when it cannot be had."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        _check_free(host, port)
        try:
            return int(self._server.add_insecure_port(address))
        except RuntimeError:
            raise StartupError(f"cannot listen on {address}: it is in use, or no address of this machine") from None

    async def start(self) -> None:
        """Serves. Health stays NOT_SERVING until `ready`."""
        for name in self._service_names:
            await self.health.set(name, NOT_SERVING)
        await self._server.start()

    async def ready(self) -> None:
        """Says SERVING for the whole and for each service."""
        for name in ("", *self._service_names):
            await self.health.set(name, SERVING)

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, lets running ones finish for `grace_seconds`, then cancels them."""
        await self.health.drain()
        await self._server.stop(grace_seconds)


def _check_free(host: str, port: int) -> None:
    """Explains a port in use in one line; grpc would log C++ traces and say less."""
    if port == 0:
        return
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StartupError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


async def serve(server: Server, settings: ServiceSettings, log: Log, announcement: str = "") -> None:
    """Serves until SIGTERM or SIGINT, then drains.

    The announcement is printed when signals are heeded already: whoever waits for it may stop the process at once.
    """
    stop = asyncio.Event()
    hurry = asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await server.ready()
    if announcement:
        announce(announcement)
    await stop.wait()
    log.info("draining", grace_seconds=settings.grace_seconds)
    drained = asyncio.create_task(server.stop(settings.grace_seconds))
    hurried = asyncio.create_task(hurry.wait())
    await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
    if not drained.done():
        await server.stop(0)
    hurried.cancel()
    await drained
    await wait_for_calls(FINALIZE_SECONDS)
    log.info("stopped")


def announce(line: str) -> None:
    """Prints the line that tells a person, or the program that started this one, where the service listens."""
    print(line, flush=True)


def run(name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a service's main coroutine. A StartupError ends the process with one line and exit code 78."""
    try:
        asyncio.run(main())
    except StartupError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_CONFIG)
    except KeyboardInterrupt:
        # Ctrl-C before the signal handlers were there.
        sys.exit(130)


@contextlib.asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    """A started server for the length of a block; for tests and tools."""
    await server.start()
    await server.ready()
    try:
        yield server
    finally:
        await server.stop(0)
