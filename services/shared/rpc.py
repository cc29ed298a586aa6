"""The boundary between gRPC and a service: bytes in, bytes out, errors mapped, one log line for each call.

A servicer is a class with one coroutine method (or async generator method, for a stream) for each RPC of its
service. It takes the request message and a `Call`, returns or yields response messages, and raises errors of
`services.shared.errors`. Everything else happens here, once, so that no handler is wrapped in layers:

  * the request is received here, a few at a time (`intake`), its fields are counted (`wire`), and it is parsed here,
    because grpc reports a message that it cannot parse as UNKNOWN;
  * an error becomes a status with google.rpc details; an unexpected exception becomes INTERNAL with a fixed text,
    because grpc would send the exception's own text to the caller;
  * a call without a deadline gets one;
  * a caller must have the scope of the method, where callers are asked who they are (`identity`);
  * cancellation is raised again: swallowing it would leak memory in grpc, and money at providers.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from proto import models_pb2
from services.shared import errors
from services.shared.admission import PROCESS_ADMISSION, Admission
from services.shared.call import Call
from services.shared.call_ends import abort_call, is_call_end
from services.shared.call_metrics import ENDED_CALLS, serve_method
from services.shared.error_details import DETAILS_KEY, clip_text, pack_details
from services.shared.identity import PROCESS_CALLERS, Callers, scope_of
from services.shared.intake import PROCESS_INTAKE, SMALL_BYTES, Intake
from services.shared.lanes import MethodHandlers
from services.shared.logs import Log
from services.shared.message_sizes import MAX_MESSAGE_BYTES, check_size, max_request_bytes
from services.shared.metadata import (
    CALLER_KEY,
    RECEIVED,
    REQUEST_ID_KEY,
    Metadata,
    check_metadata,
)
from services.shared.metrics import BATCH_SIZE, count_batches
from services.shared.offload import LARGE_BYTES, run_in_thread
from services.shared.running_calls import PROCESS_CALLS, RunningCalls
from services.shared.slow_readers import PROCESS_RESPONSES, StreamWriter, is_slow_reader
from services.shared.stream_ends import PROCESS_STREAMS
from services.shared.tracing import PROCESS_TRACING
from services.shared.wire import check_fields, explain_decode_error, has_few_fields

MAX_LOGGED_PATH = 128


class DefaultDeadlines(NamedTuple):
    """Deadlines of calls whose caller set none, in seconds."""

    generation: float = 600.0
    other: float = 60.0
    http: float = 3600.0
    """Of generation over HTTP, whose callers cannot set one, and read streams for as long as they come."""


DEFAULT_DEADLINES = DefaultDeadlines()

Result = TypeVar("Result")

STATUS_CODES: dict[type[errors.PlatformError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.PreconditionFailed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.LimitExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    errors.DataLoss: grpc.StatusCode.DATA_LOSS,
    errors.Internal: grpc.StatusCode.INTERNAL,
}


CALL_ERRORS = (Exception, asyncio.CancelledError)
"""Exceptions that end a call. KeyboardInterrupt and SystemExit end the process instead."""


def service_handler(
    servicer: object,
    service: ServiceDescriptor,
    log: Log,
    deadlines: DefaultDeadlines = DEFAULT_DEADLINES,
    intake: Intake = PROCESS_INTAKE,
    generation: Admission = PROCESS_ADMISSION,
    callers: Callers = PROCESS_CALLERS,
    running: RunningCalls = PROCESS_CALLS,
) -> MethodHandlers:
    """The handler that serves every method of `service` by the method of the same name of `servicer`.

    The methods that ask a provider take long: they have a default deadline of their own, `generation` admits their
    calls, so that they leave capacity for all others, and `running` lists them.
    """

    def boundary(method: MethodDescriptor) -> _Boundary:
        behaviour = getattr(servicer, method.name)
        if asks_provider(method):
            return _Boundary(method, behaviour, log, deadlines.generation, intake, generation, callers, running)
        return _Boundary(method, behaviour, log, deadlines.other, intake.others, PROCESS_ADMISSION, callers)

    paths = {method: f"/{service.full_name}/{method.name}" for method in service.methods}
    kind = DirectMethods if callers.are_direct else ServedMethods
    return kind(
        {path: _method_handler(boundary(method)) for method, path in paths.items()},
        intake,
        crowded=[path for method, path in paths.items() if asks_provider(method)],
    )


def asks_provider(method: MethodDescriptor) -> bool:
    """Whether the method asks a provider, which takes long."""
    # The stubs that protoc writes have no types for extensions.
    return bool(method.GetOptions().Extensions[models_pb2.asks_provider])  # type: ignore[index]


class ServedMethods(MethodHandlers):
    """Handlers of methods by their paths. In their calls, `RECEIVED` holds the metadata."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        handler = super().service(handler_call_details)
        if handler:
            RECEIVED.set(handler_call_details.invocation_metadata)
        return handler

    def caller_of(self, context: grpc.aio.ServicerContext) -> str:
        fields = dict(context.invocation_metadata())
        return str(fields.get(CALLER_KEY) or context.peer())


class DirectMethods(ServedMethods):
    """Methods whose callers connect by themselves: what they say of their address is not to be trusted."""

    def caller_of(self, context: grpc.aio.ServicerContext) -> str:
        return str(context.peer())


class NoSuchMethod(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The handler of all unknown methods: UNIMPLEMENTED, with the usual error details."""

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
    # Requests are declared as streams: grpc would receive the message of a unary one before it calls the handler.
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
        default_deadline: float,
        intake: Intake,
        admission: Admission,
        callers: Callers,
        running: RunningCalls | None = None,
    ) -> None:
        self.streams = method.server_streaming
        assert not self.streams or not inspect.iscoroutinefunction(behaviour), (
            f"{method.full_name} must return an async generator"
        )
        self._name = f"{method.containing_service.name}/{method.name}"
        self._full_name = f"{method.containing_service.full_name}/{method.name}"
        serve_method(self._name, self._full_name)
        self._request_descriptor = method.input_type
        self._request_type = message_factory.GetMessageClass(method.input_type)
        self._behaviour = behaviour
        self._log = log
        self._default_deadline = default_deadline
        self._admission = admission
        self._intake = intake
        self._callers = callers
        self._running = running
        self._scope = scope_of(method)
        self._max_bytes = max_request_bytes(method)

    async def unary(self, _: object, context: grpc.aio.ServicerContext) -> bytes:
        call = self._open_call(context)
        try:
            with self._admission.call(call.caller), self._listed(call):
                response = await self._with_deadline(self._respond(call, context), call)
        except CALL_ERRORS as error:
            await fail_call(self._log, self._name, error, call, context)
        self._finish(call, context)
        return response

    async def stream(self, _: object, context: grpc.aio.ServicerContext) -> None:
        # This is a coroutine that writes and not a generator: a cancellation during a write is then raised here and
        # closes the upstream at once, not when the generator is collected.
        call = self._open_call(context)
        try:
            with self._admission.call(call.caller), self._listed(call):
                try:
                    await self._with_deadline(self._write_responses(call, context), call)
                except errors.LimitExceeded as error:
                    if is_slow_reader(error):
                        await fail_call(self._log, self._name, error, call, context)
                    raise
        except CALL_ERRORS as error:
            await fail_call(self._log, self._name, error, call, context)
        self._finish(call, context)

    def _open_call(self, context: grpc.aio.ServicerContext) -> Call:
        call = Call(context, self._peer(context), is_stream=self.streams)
        call.method = self._name
        call.span = PROCESS_TRACING.start_call(self._full_name, call.metadata, call.request_id)
        return call

    def _listed(self, call: Call) -> contextlib.AbstractContextManager[None]:
        return self._running.call(call) if self._running else contextlib.nullcontext()

    def _peer(self, context: grpc.aio.ServicerContext) -> str:
        """The address of a caller that connects by itself; "" where a gateway reports it."""
        return str(context.peer()) if self._callers.are_direct else ""

    def _with_deadline(self, work: Coroutine[Any, Any, Result], call: Call) -> Coroutine[Any, Any, Result]:
        """The work, with the default deadline if the caller set none; grpc itself cancels at the caller's deadline."""
        return self._with_default_deadline(work, call) if call.remaining_seconds() is None else work

    async def _with_default_deadline(self, work: Coroutine[Any, Any, Result], call: Call) -> Result:
        call.default_timeout = timeout = asyncio.timeout(self._default_deadline)
        try:
            async with timeout:
                return await work
        except TimeoutError:
            if not timeout.expired():
                raise
            limit = f"{self._default_deadline:g} s, the service's limit for calls without a deadline"
            raise errors.DeadlineExceeded(f"no answer within {limit}; set one to wait longer") from None

    async def _respond(self, call: Call, context: grpc.aio.ServicerContext) -> bytes:
        check_metadata(call.metadata)
        await call.identify(self._callers, self._scope, context)
        data, call.reservation = await self._intake.receive(context, call.caller, call.remaining_seconds)
        with call.reservation:
            request = await self._parse(data)
            del data
            response = _serialize(await self._behaviour(request, call))
        PROCESS_RESPONSES.hold(response, call.caller, context)
        return response

    async def _write_responses(self, call: Call, context: grpc.aio.ServicerContext) -> None:
        check_metadata(call.metadata)
        await call.identify(self._callers, self._scope, context)
        data, call.reservation = await self._intake.receive(context, call.caller, call.remaining_seconds)
        with call.reservation:
            request = await self._parse(data)
            del data
            with StreamWriter(context) as writer:
                async with contextlib.aclosing(self._behaviour(request, call)) as messages:
                    async for message in messages:
                        await writer.write(_serialize(message))
                        call.chunks += 1

    async def _parse(self, data: bytes) -> Message:
        if len(data) <= SMALL_BYTES:
            return self._parse_now(data)
        check_size(len(data), self._max_bytes)
        if len(data) < LARGE_BYTES and has_few_fields(self._request_descriptor, data):
            return self._parse_now(data)
        return await run_in_thread(len(data), self._check_and_parse, data)

    def _check_and_parse(self, data: bytes) -> Message:
        check_fields(self._request_descriptor, data)
        return self._parse_now(data)

    def _parse_now(self, data: bytes) -> Message:
        try:
            return self._request_type.FromString(data)
        except DecodeError:
            violation = explain_decode_error(self._request_descriptor, data)
            raise errors.InvalidRequest.field(violation.field, violation.description) from None

    def _finish(self, call: Call, context: grpc.aio.ServicerContext) -> None:
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id), *call.trailers))
        record_call(self._log, self._name, call, "OK")


def _serialize(message: Message) -> bytes:
    """The bytes of a response. Raises LimitExceeded OUTPUT_LIMIT for one that is larger than a message may be.

    grpc would fail the call later, after the log has reported success.
    """
    data = message.SerializeToString()
    if len(data) > MAX_MESSAGE_BYTES:
        raise errors.LimitExceeded(
            f"the answer has {len(data)} bytes, and a message has at most {MAX_MESSAGE_BYTES}; ask for less",
            reason="OUTPUT_LIMIT",
        )
    return data


def record_call(log: Log, method: str, call: Call, code: str, reason: str = "") -> None:
    """Writes the log line of a call that has ended, and counts it."""
    if call.has_ended:
        return
    call.has_ended = True
    call.forget_task()
    if call.is_stream:
        PROCESS_STREAMS.count(code, reason)
    fields = {"reason": reason, **call.log_fields} if reason else call.log_fields
    seconds = call.elapsed_seconds()
    if call.span:
        fields = {**fields, "trace_id": call.span.trace_id}
        call.span.end_call(code, reason)
    ENDED_CALLS.note((method, code, call.identity, seconds, call.waited, call.first_output))
    if len(ENDED_CALLS) >= BATCH_SIZE:
        count_batches()
    milliseconds = round(seconds * 1e6) / 1000
    log.info("rpc", method=method, code=code, request_id=call.request_id, duration_ms=milliseconds, **fields)


async def fail_call(
    log: Log, method: str, error: BaseException, call: Call, context: grpc.aio.ServicerContext
) -> NoReturn:
    """Ends a call with the status of `error`, and writes its log line. Raises a cancellation again."""
    try:
        await _end_call(log, method, error, call, context)
    finally:
        # The error refers to frames, which refer to the request and to the error: a cycle that is collected much later.
        forget_frames(error)
    raise AssertionError("abort raises")


def record_failure(log: Log, method: str, error: BaseException, call: Call) -> errors.PlatformError:
    """Writes the log line of a call that has failed, and returns the error for its caller. Raises CancelledError for a
    call whose caller has left, or whose server stops."""
    if is_call_end(error) and call.interruption:
        error = call.interruption
    if is_call_end(error):
        record_call(log, method, call, describe_end(error, call).code)
        raise asyncio.CancelledError
    if not isinstance(error, errors.PlatformError):
        log.error("unexpected error", error=error, request_id=call.request_id, method=method)
        error = errors.Internal(f"internal error; the log has it under request id {call.request_id}")
    call.log_fields.update(error.logged)
    record_call(log, method, call, STATUS_CODES[type(error)].name, error.reason)
    return error


def forget_frames(error: BaseException | None) -> None:
    """Drops the frames of an error that has been answered."""
    while error:
        error.__traceback__ = None
        error = error.__context__


async def _end_call(
    log: Log, method: str, error: BaseException, call: Call, context: grpc.aio.ServicerContext
) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    error = record_failure(log, method, error, call)
    code = STATUS_CODES[type(error)]
    trailers: Metadata = (
        (REQUEST_ID_KEY, call.request_id),
        *call.trailers,
        (DETAILS_KEY, pack_details(code.value[0], error)),
    )
    await abort_call(context, code, clip_text(error.message), trailers)


class CallEnd(NamedTuple):
    """The end of a call that has failed: the name of its status, and the reason of its error."""

    code: str
    reason: str = ""


def describe_end(error: BaseException, call: Call) -> CallEnd:
    """The end of a call by an error that passes through its handler."""
    if call.interruption:
        error = call.interruption
    if isinstance(error, errors.PlatformError):
        return CallEnd(STATUS_CODES[type(error)].name, error.reason)
    if isinstance(error, Exception) and not is_call_end(error):
        return CallEnd("INTERNAL", errors.Internal.default_reason)
    return CallEnd("DEADLINE_EXCEEDED" if _deadline_passed(call) else "CANCELLED")


def _deadline_passed(call: Call) -> bool:
    """Whether the call's deadline has passed. At its deadline the caller itself cancels, which looks like any other
    cancellation, and somewhat early: grpc rounds timeouts up, by at most 1 % on each of two hops."""
    if call.default_timeout:
        return call.default_timeout.expired()
    remaining = call.remaining_seconds()
    return remaining is not None and remaining <= 0.02 * call.elapsed_seconds() + 0.01
