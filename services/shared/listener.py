"""A listening gRPC server that is replaced, on the same port, when its serving loop ends.

grpc.aio reads the method of a call outside of any handler: a `:path` that is not UTF-8 raises in the loop that accepts
calls, and ends it. grpc then closes the port, cancels every call and leaves the process as it is. Here the calls go on
to their end, and another server takes the port within milliseconds. Whatever else ends the loop is met the same way: an
exception of grpc's own, or a port that no longer accepts connections.

A server that stops, for whatever reason, first refuses the calls that wait in grpc: otherwise they would end as if
their callers had cancelled them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc

from services.shared import received_fields
from services.shared.call_ends import refuse_call, refuse_in
from services.shared.errors import StartupError
from services.shared.message_sizes import MAX_MESSAGE_BYTES
from services.shared.metadata import SIZE_OPTIONS

SERVER_OPTIONS: list[tuple[str, int]] = [
    # Without this a second server on the same port binds silently and takes half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    *SIZE_OPTIONS,
    ("grpc.max_concurrent_streams", 10_000),
    # Of calls that nobody has taken yet, some 15 KB each. By itself grpc ends some at random from 1,000 on, of whatever
    # caller.
    ("grpc.server.max_pending_requests", 3_000),
    ("grpc.server.max_pending_requests_hard_limit", 3_000),
    # Small and fixed windows: with growing ones, megabytes of requests that nobody has asked for wait in grpc.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 16 * 1024),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Of a connection that says nothing.
    ("grpc.server_handshake_timeout_ms", 10_000),
]

REPLACE_SECONDS = 10.0
"""How long to try to have the port again."""

REPLACE_PAUSE_SECONDS = 0.005

LOOK_SECONDS = 2.0
"""Between two looks at whether the port accepts connections."""

MAX_RETIRED = 64
"""How many replaced servers may still have calls; the oldest one's are cancelled then."""

RETIRED_SECONDS = 3600.0
"""How long the calls of a replaced server may go on."""

QUIET_SECONDS = 0.005
"""Once no call has come for so long, none waits in grpc."""

REFUSED_AT_ONCE = 64
"""So many that wait are refused however little time there is."""

REFUSING_SECONDS = 0.05
"""How long at most a server that stops goes on refusing calls before it closes its port."""

FOREVER = 1e6
"""Seconds: to grpc, None means at once."""


class ServingLost(Exception):
    """The port cannot be had again: the process must be started anew."""


class _Core(cygrpc.AioServer):  # type: ignore[misc]  # grpc ships no types
    """grpc's server, which says when its serving loop has ended instead of cancelling all calls."""

    def __init__(self, handlers: Sequence[grpc.GenericRpcHandler], max_connections: int) -> None:
        options = (*SERVER_OPTIONS, ("grpc.max_allowed_incoming_connections", max_connections))
        super().__init__(asyncio.get_running_loop(), None, [_Gate(self), *handlers], None, options, None)
        self.ended = asyncio.Event()
        self.failure: BaseException | None = None
        self.is_stopping = False
        self._stopped = asyncio.Event()
        self._hurrying: asyncio.Task[None] | None = None
        self._refused = 0
        self._refusals: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        # The serving loop begins here, and the tasks of all calls have their context from its own.
        with received_fields.limited():
            await super().start()

    def _serving_task_crash_handler(self, task: asyncio.Task[None]) -> None:
        # Called by grpc when the loop has ended, however it did.
        self.failure = None if task.cancelled() else task.exception()
        self.ended.set()

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, lets running ones finish for `grace_seconds`, then cancels them. May be called again, for
        a shorter grace."""
        if self.is_stopping:
            await self._at_most(grace_seconds, self._stopped.wait())
            return
        self.is_stopping = True
        try:
            await self._refuse_waiting_calls()
            await self._at_most(grace_seconds, self._stop_in_peace())
        finally:
            self._stopped.set()

    async def _at_most(self, seconds: float, stopping: Coroutine[Any, Any, object]) -> None:
        hurrying = asyncio.get_running_loop().call_later(seconds, self._hurry)
        try:
            await stopping
        finally:
            hurrying.cancel()

    async def _stop_in_peace(self) -> None:
        # The first attempt raises what ended the loop, before it has waited for anything.
        with contextlib.suppress(Exception):
            await self.shutdown(FOREVER)
        await self.shutdown(FOREVER)
        await asyncio.gather(*self._refusals, return_exceptions=True)

    async def _refuse_waiting_calls(self) -> None:
        """Returns when no call waits in grpc any more, or they do not end."""
        if not self.is_running():
            return
        for _ in range(REFUSED_AT_ONCE):
            self._keep(self._refuse_calls())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFUSING_SECONDS):
                seen = -1
                while seen != self._refused:
                    seen = self._refused
                    await asyncio.sleep(QUIET_SECONDS)

    async def _refuse_calls(self) -> None:
        """Refuses one call after the other until the server shuts down."""
        with contextlib.suppress(cygrpc._RequestCallError):
            while True:
                untaken = await self._request_call()
                self._refused += 1
                self._keep(refuse_call(untaken))

    def _keep(self, refusing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(refusing)
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)

    def _hurry(self) -> None:
        # At once, and not after a grace of its own: two that come to their ends together crash grpc.
        self._hurrying = asyncio.create_task(self.shutdown(None))


class _Gate(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The first handler that a server asks. While the server stops it refuses the calls that its serving loop takes."""

    def __init__(self, core: _Core) -> None:
        self._core = core

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        received_fields.lift_limit()
        return REFUSING if self._core.is_stopping else None


async def _refuse(_: object, context: grpc.aio.ServicerContext) -> None:
    await refuse_in(context)


REFUSING = grpc.stream_stream_rpc_method_handler(_refuse)


class Listener:
    """One port, and the servers that listen on it one after the other. Handlers are added before `start`."""

    def __init__(self) -> None:
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._host = ""
        self._port = 0
        self._max_connections = 0
        self._core: _Core | None = None
        self._retired: dict[_Core, asyncio.Task[None]] = {}

    def add_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._handlers += handlers

    def bind(self, host: str, port: int, max_connections: int) -> int:
        """Takes the port (0: any free one) and returns it. Raises StartupError when it cannot be had."""
        self._host = host
        self._max_connections = max_connections
        self._core = _Core([], max_connections)
        self._port = _bind(self._core, host, port)
        return self._port

    async def start(self) -> None:
        assert self._core, "bind comes before start"
        self._core.add_generic_rpc_handlers(self._handlers)
        await self._core.start()

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, lets running ones finish for `grace_seconds`, then cancels them."""
        retired = [asyncio.create_task(core.stop(grace_seconds)) for core in self._retired]
        if self._core:
            # In no task: whoever was told to go elsewhere is refused by the next call already.
            await self._core.stop(grace_seconds)
        await asyncio.gather(*retired)

    async def lost(self) -> BaseException | None:
        """Waits until nobody serves the port any more, and returns what ended the serving loop, if anything did."""
        core = self._core
        assert core
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await core.ended.wait()
                return core.failure
            if await self._refuses():
                return None

    async def replace(self) -> None:
        """Serves the port by another server, while the calls of the present one go on. Raises ServingLost."""
        old, core = self._core, _Core(self._handlers, self._max_connections)
        assert old
        self._retire(old)
        try:
            async with asyncio.timeout(REPLACE_SECONDS):
                while not _is_free(self._host, self._port):  # noqa: ASYNC110 the kernel tells nobody
                    await asyncio.sleep(REPLACE_PAUSE_SECONDS)
            _bind(core, self._host, self._port)
        except (TimeoutError, StartupError):
            raise ServingLost(f"port {self._port} cannot be had again") from None
        self._core = core
        await core.start()

    def _retire(self, core: _Core) -> None:
        if len(self._retired) >= MAX_RETIRED:
            self._end(next(iter(self._retired)), 0)
        self._end(core, RETIRED_SECONDS)

    def _end(self, core: _Core, grace_seconds: float) -> None:
        stopping = self._retired[core] = asyncio.create_task(core.stop(grace_seconds))
        stopping.add_done_callback(lambda _: self._retired.pop(core, None))

    async def _refuses(self) -> bool:
        """Whether the port refuses connections. When there is none for another reason, nothing is known."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                _, writer = await asyncio.open_connection(_reachable(self._host), self._port)
        except ConnectionRefusedError:
            return True
        except (OSError, TimeoutError):
            return False
        writer.close()
        return False


def _bind(core: _Core, host: str, port: int) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # grpc would log C++ traces and say less.
    _explain_occupied(host, port)
    bound = int(core.add_insecure_port(address.encode()))
    if not bound:
        raise StartupError(f"cannot listen on {address}: it is in use, or no address of this machine")
    return bound


def _is_free(host: str, port: int) -> bool:
    try:
        _explain_occupied(host, port)
    except StartupError:
        return False
    return True


def _explain_occupied(host: str, port: int) -> None:
    """Raises StartupError, in one line, for a port that cannot be had."""
    if port == 0:
        return
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StartupError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def _reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
