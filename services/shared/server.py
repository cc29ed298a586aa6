"""The life cycle of a process: start, serve, drain, stop.

SIGTERM or SIGINT   health says NOT_SERVING, new calls are refused, running calls get `grace_seconds`
the same again      running calls are cancelled at once

If somebody watches the health, as a gateway does, the port stays open for a moment: calls that were sent before the
news has arrived are refused in words, so that they can be sent elsewhere. grpc would end them as CANCELLED, which does
not say whether they have begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, NoReturn, Protocol

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from services.shared import descriptors
from services.shared.admin_port import AdminPort
from services.shared.admission import PROCESS_ADMISSION, wait_for_calls
from services.shared.allocator import return_large_blocks
from services.shared.errors import StartupError
from services.shared.event_loop import run_on_loop
from services.shared.garbage_collection import freeze_all_objects, freeze_live_objects
from services.shared.health import NOT_SERVING, SERVING, Health
from services.shared.identity import PROCESS_CALLERS, Callers
from services.shared.intake import PROCESS_INTAKE
from services.shared.listener import Listener, ServingLost
from services.shared.logs import Log
from services.shared.loop_watch import LoopWatch
from services.shared.parsing_handlers import ParsingHandlers
from services.shared.reflection import Reflection
from services.shared.scheduling import wake_up_without_interrupting
from services.shared.settings import ServiceSettings, load_env_file
from services.shared.stream_ends import PROCESS_STREAMS
from services.shared.tls import ServerTls

EXIT_CONFIG = 78
"""sysexits.h EX_CONFIG: the configuration must be changed before another start can succeed."""

EXIT_LOST = 70
"""sysexits.h EX_SOFTWARE: the process can no longer serve, and its supervisor must restart it."""

FINALIZE_SECONDS = 5.0

LINGER_SECONDS = 0.5
"""Time for which a stopping server refuses calls before it closes its port, if its health is watched."""


class FurtherPort(Protocol):
    """A port beside that of gRPC, which lives as long."""

    async def start(self) -> None:
        """Serves."""

    async def stop(self, grace_seconds: float) -> None:
        """Accepts nothing new, lets running requests finish for `grace_seconds`, then cancels them."""


class Server:
    """A gRPC server with health and reflection, bound to one port.

    The handlers that it is given must serve the services named in `service_names`. Reflection is for `callers` that say
    who they are, and health for all.
    """

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        service_names: Sequence[str],
        callers: Callers = PROCESS_CALLERS,
    ) -> None:
        self.health = Health()
        self._service_names = tuple(service_names)
        self._listener = Listener()
        standard = ParsingHandlers()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, standard)
        reflected = (*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(reflected, callers), standard)
        self._listener.add_handlers([standard, *handlers])
        self._further: list[FurtherPort] = []

    def attach(self, port: FurtherPort) -> None:
        """Serves another port beside; possible until `start`."""
        self._further.append(port)

    def add(self, handler: grpc.GenericRpcHandler) -> None:
        """Adds a handler; possible until `start`."""
        self._listener.add_handlers([handler])

    def bind(self, host: str, port: int, max_connections: int | None = None, tls: ServerTls | None = None) -> int:
        """Binds the port (0: any free one) and returns it. Raises StartupError when it is not available.

        `max_connections` are accepted at a time, by default as many as there are descriptors for. Without `tls` the
        port is unencrypted.
        """
        return self._listener.bind(host, port, max_connections or descriptors.connection_limit(), tls)

    async def start(self) -> None:
        """Serves. Health stays NOT_SERVING until `ready`."""
        PROCESS_STREAMS.begin_serving()
        for name in self._service_names:
            await self.health.set(name, NOT_SERVING)
        await self._listener.start()
        for port in self._further:
            await port.start()

    async def ready(self) -> None:
        """Sets the overall health and that of each service to SERVING."""
        for name in ("", *self._service_names):
            await self.health.set(name, SERVING)

    def read_health(self) -> dict[str, bool]:
        """Whether the process and each of its services are SERVING. Safe to call in any thread."""
        statuses = self.health.statuses()
        return {name: statuses.get(name) == SERVING for name in ("", *self._service_names)}

    async def keep_serving(self, log: Log) -> NoReturn:
        """Restores the port whenever it is lost, until cancelled. Raises ServingLost when that fails."""
        while True:
            failure = await self._listener.wait_until_lost()
            log.error("the port was lost, and is served again", error=failure or "no exception")
            await self._listener.replace()
            self.health.end_watches()

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, lets running ones finish for `grace_seconds`, then cancels them."""
        linger_seconds = min(LINGER_SECONDS, grace_seconds) if self.health.is_watched else 0.0
        await self.health.drain()
        timer = asyncio.get_running_loop().call_later(grace_seconds, PROCESS_STREAMS.begin_stop)
        further = [asyncio.create_task(port.stop(grace_seconds)) for port in self._further]
        await self._listener.stop(grace_seconds, linger_seconds)
        await asyncio.gather(*further)
        timer.cancel()


async def serve(
    server: Server, settings: ServiceSettings, log: Log, announcement: str = "", admin: AdminPort | None = None
) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises ServingLost, after draining, when the port is lost for good.

    The announcement is printed after the signal handlers are set, so that its reader may stop the process at once.
    `admin` reports the server's health.
    """
    PROCESS_INTAKE.resize(settings.request_memory * 1024 * 1024)
    PROCESS_ADMISSION.resize(settings.max_calls)
    stop = asyncio.Event()
    stop_now = asyncio.Event()

    def on_signal() -> None:
        (stop_now if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    freeze_live_objects()
    await server.ready()
    if announcement:
        announce(announcement)
    with LoopWatch(log) as watch:
        if admin:
            admin.follow(server.read_health, watch)
        keeping = asyncio.create_task(server.keep_serving(log))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        log.info("draining", grace_seconds=settings.grace_seconds, tasks=len(asyncio.all_tasks()))
        stop.set()
        keeping.cancel()
        await _drain(server, settings.grace_seconds, stop_now)
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
    log.info("stopped", streams=PROCESS_STREAMS.as_fields())


async def _drain(server: Server, grace_seconds: float, stop_now: asyncio.Event) -> None:
    drained = asyncio.create_task(server.stop(grace_seconds))
    interrupted = asyncio.create_task(stop_now.wait())
    await asyncio.wait({drained, interrupted}, return_when=asyncio.FIRST_COMPLETED)
    if not drained.done():
        await server.stop(0)
    interrupted.cancel()
    await drained
    await wait_for_calls(FINALIZE_SECONDS)


def announce(line: str) -> None:
    """Prints the line that says where the service listens, for a person or for the program that started this one."""
    try:
        print(line, flush=True)
    except OSError:
        # Nobody reads it. Python would fail with it once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a service's main coroutine. An error ends the process with one line on standard error: a StartupError with
    exit code 78, a ServingLost with 70."""
    descriptors.open_standard_streams()
    return_large_blocks()
    wake_up_without_interrupting()
    try:
        load_env_file()
        run_on_loop(main)
    except StartupError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_CONFIG)
    except ServingLost as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_LOST)
    except KeyboardInterrupt:
        # Ctrl-C before the signal handlers were set.
        sys.exit(130)
    finally:
        freeze_all_objects()


@contextlib.asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    """Starts a server for the length of a block; for tests and tools."""
    await server.start()
    await server.ready()
    try:
        yield server
    finally:
        await server.stop(0)
