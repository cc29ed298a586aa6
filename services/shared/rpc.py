"""The boundary between gRPC and a service: bytes in, bytes out, errors mapped, one log line for each call.

A servicer is a class with one coroutine method (or async generator method, for a stream) for each RPC of its
service. It takes the request message and a `Call`, returns or yields response messages, and raises errors of
`services.shared.errors`. Everything else happens here, once, so that no handler is wrapped in layers:

  * the request is received here, a few at a time (`intake`), measured before it is parsed (`wire`), and parsed here,
    because grpc reports a message that it cannot parse as UNKNOWN;
  * an error becomes a status with google.rpc details; what is not in the family becomes INTERNAL with a fixed text,
    because grpc would send the exception's own text to the caller;
  * a call without a deadline gets one;
  * cancellation passes through untouched: swallowing it leaks memory in grpc and money at providers.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from services.shared import errors
from services.shared.admission import PROCESS_ADMISSION, Admission
from services.shared.call_ends import abort_call, is_call_end
from services.shared.error_details import DETAILS_KEY, clip_text, pack_details
from services.shared.intake import PROCESS_INTAKE, SMALL_BYTES, Intake, Room
from services.shared.logs import Log
from services.shared.message_sizes import MAX_MESSAGE_BYTES, check_size, max_request_bytes
from services.shared.metadata import (
    CALLER_KEY,
    EXPOSED_KEY,
    RECEIVED,
    REQUEST_ID_KEY,
    Metadata,
    check_metadata,
    is_flood,
)
from services.shared.offload import LARGE_BYTES, run_in_thread
from services.shared.wire import check_fields, explain_decode_error, has_few_fields

MAX_LOGGED_PATH = 128

GENERATING_METHODS = frozenset({"Chat", "ChatStream"})


class TimeLimits(NamedTuple):
    """How long a call may take whose caller set no deadline, in seconds."""

    generation: float = 600.0
    other: float = 60.0


TIME_LIMITS = TimeLimits()

Result = TypeVar("Result")

STATUS_CODES: dict[type[errors.PlatformError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.PreconditionFailed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    errors.DataLoss: grpc.StatusCode.DATA_LOSS,
    errors.Internal: grpc.StatusCode.INTERNAL,
}


class Call:
    """One RPC in progress, as a servicer sees it."""

    __slots__ = ("_context", "caller", "came_exposed", "log_fields", "metadata", "request_id", "room", "started")

    def __init__(self, context: grpc.aio.ServicerContext, caller: str = "") -> None:
        """`caller` is who calls, where metadata are not to be believed."""
        self._context = context
        self.started = time.perf_counter()
        self.metadata: Metadata = RECEIVED.get() or context.invocation_metadata() or ()
        # What outlives the call keeps its context.
        RECEIVED.set(())
        told = {} if is_flood(self.metadata) else dict(self.metadata)
        self.request_id = _request_id(told.get(REQUEST_ID_KEY, ""))
        self.caller: str = caller or told.get(CALLER_KEY) or context.peer()
        """Who calls, as far as callers can be told apart: the address that the gateway names, else the peer's own."""
        self.came_exposed = bool(told.get(EXPOSED_KEY))
        """Whether the gateway says that it is exposed: then the caller may be anybody, and is not the operator."""
        self.log_fields: dict[str, Any] = {}
        """What the servicer adds to the call's log line. Never a prompt, an answer or a key."""
        self.room: Room | None = None
        """What a large request takes of the bytes that the process holds; to be shrunk when less of it is held."""

    def remaining_seconds(self) -> float | None:
        """The time until the caller's deadline, or None when it set none."""
        remaining: float | None = self._context.time_remaining()
        return remaining

    def elapsed_seconds(self) -> float:
        return time.perf_counter() - self.started


def new_id() -> str:
    """32 hexadecimal digits, never the same twice. No secret: whoever knows it can look it up in the log."""
    # The system's generator would be a system call for each.
    return f"{random.getrandbits(128):032x}"


def _request_id(told: str | bytes) -> str:
    if isinstance(told, str) and 0 < len(told) <= 128 and told.isascii() and told.isprintable():
        return told
    return new_id()


def service_handler(
    servicer: object,
    service: ServiceDescriptor,
    log: Log,
    limits: TimeLimits = TIME_LIMITS,
    intake: Intake = PROCESS_INTAKE,
    generation: Admission = PROCESS_ADMISSION,
) -> grpc.GenericRpcHandler:
    """The handler that serves every method of `service` by the method of the same name of `servicer`.

    `generation` admits the calls that generate: they last long, and must leave room for those that do not.
    """
    handlers = {
        method.name: _method_handler(_Boundary(method, getattr(servicer, method.name), log, limits, intake, generation))
        for method in service.methods
    }
    return MethodHandlers({f"/{service.full_name}/{name}": handler for name, handler in handlers.items()})


class MethodHandlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Handlers by the paths of their methods, in whose calls `RECEIVED` has the metadata."""

    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        self._handlers = dict(handlers)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        handler = self._handlers.get(handler_call_details.method)
        if handler:
            RECEIVED.set(handler_call_details.invocation_metadata)
        return handler


class NoSuchMethod(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The handler of every method that no other one serves: UNIMPLEMENTED, with details as all errors have them."""

    def __init__(self, service_names: Sequence[str], log: Log) -> None:
        self._served = " and ".join(service_names)
        self._log = log

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path: str = handler_call_details.method
        RECEIVED.set(handler_call_details.invocation_metadata)

        async def refuse(_: object, context: grpc.aio.ServicerContext) -> None:
            message = f"there is no such method here; {self._served} is what is served"
            error = errors.Unimplemented(message, reason="METHOD_NOT_SERVED")
            await fail_call(self._log, path[:MAX_LOGGED_PATH], error, Call(context), context)

        return grpc.stream_stream_rpc_method_handler(refuse)


def _method_handler(boundary: _Boundary) -> grpc.RpcMethodHandler:
    # To grpc requests are streams: it would take in the only message of a unary one before anybody is asked.
    if boundary.streams:
        return grpc.stream_stream_rpc_method_handler(boundary.stream)
    return grpc.stream_unary_rpc_method_handler(boundary.unary)


class _Boundary:
    """Serves one method."""

    def __init__(
        self,
        method: MethodDescriptor,
        behaviour: Callable[..., Any],
        log: Log,
        limits: TimeLimits,
        intake: Intake,
        generation: Admission,
    ) -> None:
        generates = method.name in GENERATING_METHODS
        self.streams = method.server_streaming
        assert not self.streams or not inspect.iscoroutinefunction(behaviour), (
            f"{method.full_name} must return an async generator"
        )
        self._name = f"{method.containing_service.name}/{method.name}"
        self._request_descriptor = method.input_type
        self._request_type = message_factory.GetMessageClass(method.input_type)
        self._behaviour = behaviour
        self._log = log
        self._limit = limits.generation if generates else limits.other
        self._admission = generation if generates else PROCESS_ADMISSION
        self._intake = intake
        self._max_bytes = max_request_bytes(method.name)

    async def unary(self, _: object, context: grpc.aio.ServicerContext) -> bytes:
        call = Call(context)
        try:
            with self._admission.call(call.caller):
                answer = await self._in_time(self._answer(call, context), call)
        except BaseException as error:
            await fail_call(self._log, self._name, error, call, context)
        self._succeed(call, context)
        return answer

    async def stream(self, _: object, context: grpc.aio.ServicerContext) -> None:
        # Written as a coroutine that writes, not as a generator: a cancellation that arrives during a write is then
        # raised here and closes the upstream at once, instead of whenever the generator is collected.
        call = Call(context)
        try:
            with self._admission.call(call.caller):
                await self._in_time(self._write_answers(call, context), call)
        except BaseException as error:
            await fail_call(self._log, self._name, error, call, context)
        self._succeed(call, context)

    def _in_time(self, work: Coroutine[Any, Any, Result], call: Call) -> Coroutine[Any, Any, Result]:
        """The work, with a limit where its caller set none: a caller's own deadline is kept by grpc, which cancels."""
        return self._limited(work) if call.remaining_seconds() is None else work

    async def _limited(self, work: Coroutine[Any, Any, Result]) -> Result:
        limit = asyncio.timeout(self._limit)
        try:
            async with limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            text = f"no answer within {self._limit:g} s, the limit for calls without a deadline; set one to wait longer"
            raise errors.DeadlineExceeded(text) from None

    async def _answer(self, call: Call, context: grpc.aio.ServicerContext) -> bytes:
        check_metadata(call.metadata)
        data, call.room = await self._intake.receive(context, call.caller)
        with call.room:
            request = await self._parse(data)
            del data
            return _written(await self._behaviour(request, call))

    async def _write_answers(self, call: Call, context: grpc.aio.ServicerContext) -> None:
        check_metadata(call.metadata)
        data, call.room = await self._intake.receive(context, call.caller)
        with call.room:
            request = await self._parse(data)
            del data
            async with contextlib.aclosing(self._behaviour(request, call)) as messages:
                async for message in messages:
                    await context.write(_written(message))

    async def _parse(self, data: bytes) -> Message:
        if len(data) <= SMALL_BYTES:
            return self._read(data)
        check_size(len(data), self._max_bytes)
        if len(data) < LARGE_BYTES and has_few_fields(self._request_descriptor, data):
            return self._read(data)
        return await run_in_thread(len(data), self._check_and_read, data)

    def _check_and_read(self, data: bytes) -> Message:
        check_fields(self._request_descriptor, data)
        return self._read(data)

    def _read(self, data: bytes) -> Message:
        try:
            return self._request_type.FromString(data)
        except DecodeError:
            violation = explain_decode_error(self._request_descriptor, data)
            raise errors.InvalidRequest.field(violation.field, violation.description) from None

    def _succeed(self, call: Call, context: grpc.aio.ServicerContext) -> None:
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id),))
        record_call(self._log, self._name, call, "OK")


def _written(message: Message) -> bytes:
    """The bytes of an answer. Raises LimitExceeded OUTPUT_LIMIT for one that is too large for a message.

    grpc would fail it later, when the log has told that all was well.
    """
    data = message.SerializeToString()
    if len(data) > MAX_MESSAGE_BYTES:
        raise errors.LimitExceeded(
            f"the answer has {len(data)} bytes, and a message has at most {MAX_MESSAGE_BYTES}; ask for less",
            reason="OUTPUT_LIMIT",
        )
    return data


def record_call(log: Log, method: str, call: Call, code: str, reason: str = "") -> None:
    """Writes the one log line of a call that has ended."""
    fields = {"reason": reason, **call.log_fields} if reason else call.log_fields
    milliseconds = round(call.elapsed_seconds() * 1e6) / 1000
    log.info("rpc", method=method, code=code, request_id=call.request_id, duration_ms=milliseconds, **fields)


async def fail_call(
    log: Log, method: str, error: BaseException, call: Call, context: grpc.aio.ServicerContext
) -> NoReturn:
    """Ends a call with the status that `error` stands for, and writes its log line. A cancellation passes through."""
    try:
        await _end_with(log, method, error, call, context)
    finally:
        # Frames hold requests, and an error is held by frames: such circles are found much later.
        _forget_frames(error)
    raise AssertionError("abort raises")


def _forget_frames(error: BaseException | None) -> None:
    while error:
        error.__traceback__ = None
        error = error.__context__


async def _end_with(
    log: Log, method: str, error: BaseException, call: Call, context: grpc.aio.ServicerContext
) -> NoReturn:
    if is_call_end(error):
        record_call(log, method, call, "DEADLINE_EXCEEDED" if _is_late(call) else "CANCELLED")
        raise asyncio.CancelledError
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, errors.PlatformError):
        log.error("unexpected error", error=error, request_id=call.request_id, method=method)
        error = errors.Internal(f"internal error; the log has it under request id {call.request_id}")
    code = STATUS_CODES[type(error)]
    call.log_fields.update(error.logged)
    record_call(log, method, call, code.name, error.reason)
    trailers = ((REQUEST_ID_KEY, call.request_id), (DETAILS_KEY, pack_details(code.value[0], error)))
    await abort_call(context, code, clip_text(error.message), trailers)


def _is_late(call: Call) -> bool:
    """Whether the caller's deadline is here. A caller whose own clock says so cancels, which looks like any other
    cancellation, and somewhat early: grpc rounds a timeout up, by 1 % at most, on each of two hops."""
    remaining = call.remaining_seconds()
    return remaining is not None and remaining <= 0.02 * call.elapsed_seconds() + 0.01
