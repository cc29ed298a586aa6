"""A gRPC server with a lane for each method.

The calls of each known method are accepted in a lane of its own, so that none wait behind the calls of another method,
and several at a time. grpc's own loop, which accepts all the others, takes one after the other, and that alone is a
quarter of the processor time of a small call.

A server that stops first refuses the calls that wait in grpc; otherwise they would end as CANCELLED.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

import grpc
from grpc._cython import cygrpc

from services.shared import received_fields
from services.shared.admission import MAX_CALLS
from services.shared.call_ends import refuse_call, refuse_late, refuse_unaccepted
from services.shared.intake import Intake
from services.shared.message_sizes import MAX_MESSAGE_BYTES
from services.shared.metadata import SIZE_OPTIONS

SERVER_OPTIONS: list[tuple[str, int]] = [
    # Without this a second server on the same port binds silently and takes half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    *SIZE_OPTIONS,
    ("grpc.max_concurrent_streams", MAX_CALLS),
    # Calls that no handler has accepted yet, some 15 KB each. By default grpc ends random ones from 1,000 on.
    ("grpc.server.max_pending_requests", 1_200),
    ("grpc.server.max_pending_requests_hard_limit", 1_200),
    # Small and fixed windows: with growing ones, megabytes of unread requests are buffered in grpc.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 16 * 1024),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # For a connection that sends nothing.
    ("grpc.server_handshake_timeout_ms", 10_000),
]

QUIET_SECONDS = 0.005
"""If no call arrives for this time, none waits in grpc."""

REFUSED_AT_ONCE = 64
"""Waiting calls that are refused at the same time."""

REFUSING_SECONDS = 0.05
"""Time limit for the refusal of waiting calls, before a stopping server closes its port."""

ENDING_SECONDS = 1.0
"""Time limit for handlers whose calls have ended, before a stopped server leaves them to themselves."""

FOREVER = 1e6
"""Grace without limit, in seconds: for grpc, None means at once."""

_REQUESTS: set[object] = set()
"""The requests for calls that have not come yet."""

AT_ONCE_SECONDS = 0.002
"""Time within which a call comes that has waited in grpc."""

ACCEPTORS = 4
CROWD_ACCEPTORS = 16
"""Calls of one method that are accepted in one round of the event loop: of methods that crowds call, enough to keep the
loop busy while it also serves them."""


class MethodHandlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """The handler of methods whose paths are known. Each of them gets a lane."""

    def __init__(
        self,
        handlers: Mapping[str, grpc.RpcMethodHandler],
        intake: Intake | None = None,
        crowded: Collection[str] = (),
    ) -> None:
        """`handlers` are those of the methods, by their paths; `crowded` are the paths of those that crowds call. While
        `intake` is full, no calls of these are accepted, and none of the others while its `others` are."""
        self.handlers = dict(handlers)
        self.intake = intake
        self.crowded = crowded

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self.handlers.get(handler_call_details.method)

    def caller_of(self, context: grpc.aio.ServicerContext) -> str:
        """The caller of a call, as the intake knows it."""
        return str(context.peer())


class GrpcServer(cygrpc.AioServer):  # type: ignore[misc]  # grpc ships no types
    """grpc's server; when its serving loop or a lane ends, it sets `ended` instead of cancelling all calls."""

    def __init__(self, max_connections: int) -> None:
        options = (*SERVER_OPTIONS, ("grpc.max_allowed_incoming_connections", max_connections))
        super().__init__(asyncio.get_running_loop(), None, [_Gate(self)], None, options, None)
        self.ended = asyncio.Event()
        self.failure: BaseException | None = None
        self._is_stopping = False
        self._stopped = asyncio.Event()
        self._hurried = asyncio.Event()
        self._stopping_now: asyncio.Task[None] | None = None
        self._refused = 0
        self._lanes: list[_Lane] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_stopping(self) -> bool:
        return self._is_stopping

    def add_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Adds handlers; possible until `start`."""
        self.add_generic_rpc_handlers(handlers)
        self._lanes += (
            _Lane(path, handler, self)
            for handler in handlers
            if isinstance(handler, MethodHandlers)
            for path in handler.handlers
        )

    async def start(self) -> None:
        # Registered without handlers: only so that grpc awaits their calls separately.
        self.add_registered_method_handlers(dict.fromkeys(lane.path for lane in self._lanes))
        # The serving loop starts here; the tasks of all calls inherit its context.
        with received_fields.limited():
            await super().start()
            for lane in self._lanes:
                for _ in range(lane.acceptors):
                    self._track(self._accept_calls(lane)).add_done_callback(self._note_failure)

    async def _request_call(self) -> cygrpc.RPCState:
        return await self._keep(super()._request_call())

    async def _request_registered_call(self, method: bytes) -> NoReturn:
        # The serving loop would accept them too, one at a time.
        await asyncio.get_running_loop().create_future()
        raise AssertionError("never done")

    async def _accept_calls(self, lane: _Lane) -> None:
        """Accepts calls of one method, one after another, until the server has shut down."""
        loop = asyncio.get_running_loop()
        # To ask a server that is gone crashes the process.
        while self.is_running():
            if lane.is_full and not self.is_stopping:
                await lane.wait_for_room()
                continue
            asked_at = loop.time()
            try:
                call = await self._keep(super()._request_registered_call(lane.encoded_path))
            except cygrpc._RequestCallError:
                continue
            if self.is_stopping:
                self._refuse(call)
            elif loop.time() - asked_at < AT_ONCE_SECONDS and lane.is_too_late(call):
                # Not awaited here: a connection that takes nothing would keep the refusal, and this acceptor, waiting.
                self._track(refuse_late(call))
            else:
                handling = cygrpc._handle_rpc(lane.path, lane, (), call, loop, False)
                self._track(cygrpc._schedule_rpc_coro(handling, call, loop, lane.path))

    async def _keep(self, request: Coroutine[asyncio.Future[None], None, cygrpc.RPCState]) -> cygrpc.RPCState:
        """The result of a request for a call. The request is kept if this is cancelled, because grpc writes into it
        when a call comes, or the server goes."""
        future = request.send(None)
        _REQUESTS.add(request)
        # So that it can be awaited here.
        future._asyncio_future_blocking = False
        with contextlib.suppress(cygrpc._RequestCallError):
            await future
        _REQUESTS.discard(request)
        try:
            request.send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("awaits nothing else")

    def _note_failure(self, acceptor: asyncio.Task[None]) -> None:
        if not acceptor.cancelled() and (failure := acceptor.exception()):
            self.failure = failure
            self.ended.set()

    def _serving_task_crash_handler(self, task: asyncio.Task[None]) -> None:
        # grpc calls this when the loop has ended.
        self.failure = None if task.cancelled() else task.exception()
        self.ended.set()

    async def stop(self, grace_seconds: float, linger_seconds: float = 0.0) -> None:
        """Refuses new calls, lets running ones finish for `grace_seconds`, then cancels them. The port is open for the
        first `linger_seconds`.

        May be called again with a shorter grace.
        """
        if self.is_stopping:
            await self._within_grace(grace_seconds, self._stopped.wait())
            return
        self._is_stopping = True
        for lane in self._lanes:
            lane.end_waits_for_room()
        try:
            await self._linger(linger_seconds)
            await self._refuse_waiting_calls()
            await self._within_grace(grace_seconds - linger_seconds, self._shut_down())
        finally:
            self._stopped.set()

    async def _linger(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()

    async def _within_grace(self, seconds: float, stopping: Coroutine[Any, Any, object]) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._stop_now)
        try:
            await stopping
        finally:
            timer.cancel()

    async def _shut_down(self) -> None:
        await self._end_calls(FOREVER)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ENDING_SECONDS)

    async def _end_calls(self, grace_seconds: float | None) -> None:
        # The first attempt raises the error that ended the loop, before it waits for the calls.
        with contextlib.suppress(Exception):
            await self.shutdown(grace_seconds)
        await self.shutdown(grace_seconds)

    async def _refuse_waiting_calls(self) -> None:
        """Refuses the calls that wait in grpc, for at most `REFUSING_SECONDS`."""
        if not self.is_running():
            return
        for _ in range(REFUSED_AT_ONCE):
            self._track(self._refuse_calls())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFUSING_SECONDS):
                seen = -1
                while seen != self._refused:
                    seen = self._refused
                    await asyncio.sleep(QUIET_SECONDS)

    async def _refuse_calls(self) -> None:
        """Refuses calls, one after another, until the server shuts down."""
        with contextlib.suppress(cygrpc._RequestCallError):
            while True:
                self._refuse(await self._request_call())

    def _refuse(self, unaccepted: cygrpc.RPCState) -> None:
        self._refused += 1
        self._track(refuse_unaccepted(unaccepted))

    def _track(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _stop_now(self) -> None:
        self._hurried.set()
        # Without a grace: two shutdowns whose graces end together crash grpc.
        self._stopping_now = asyncio.create_task(self._end_calls(None))


class _Gate(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The first handler of a server. It refuses the calls that the serving loop accepts while the server stops."""

    def __init__(self, server: GrpcServer) -> None:
        self._server = server

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        received_fields.lift_limit()
        return REFUSING if self._server.is_stopping else None


class _Lane:
    """The calls of one method, which grpc awaits separately from those of others."""

    __slots__ = ("_handlers", "_intake", "_server", "acceptors", "encoded_path", "path")

    def __init__(self, path: str, handlers: MethodHandlers, server: GrpcServer) -> None:
        self.path = path
        self.encoded_path = path.encode()
        is_crowded = path in handlers.crowded
        self.acceptors = CROWD_ACCEPTORS if is_crowded else ACCEPTORS
        self._intake = handlers.intake if is_crowded or not handlers.intake else handlers.intake.others
        self._handlers = handlers
        self._server = server

    @property
    def is_full(self) -> bool:
        """Whether no further calls should be accepted now."""
        return self._intake is not None and self._intake.is_full

    async def wait_for_room(self) -> None:
        if self._intake:
            await self._intake.wait_for_room()

    def end_waits_for_room(self) -> None:
        if self._intake:
            self._intake.end_waits_for_room()

    def is_too_late(self, call: cygrpc.RPCState) -> bool:
        """Whether a call would only take time from others, as it will have expired when its turn comes."""
        if self._intake is None:
            return False
        context = cygrpc._ServicerContext(call, None, None, None)
        return self._intake.is_too_late(context.time_remaining, functools.partial(self._caller_of, context))

    def _caller_of(self, context: grpc.aio.ServicerContext) -> str:
        # In a context of its own: the acceptor's counts the fields of one call.
        return contextvars.copy_context().run(self._handlers.caller_of, context)

    def resolve_handler(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of an accepted call; grpc calls this."""
        received_fields.lift_limit()
        return REFUSING if self._server.is_stopping else self._handlers.service(details)


async def _refuse(_: object, context: grpc.aio.ServicerContext) -> None:
    await refuse_call(context)


REFUSING = grpc.stream_stream_rpc_method_handler(_refuse)
