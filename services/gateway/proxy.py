"""The proxy: forwards calls as bytes, which it does not parse, change or store.

The gateway adds an `x-request-id` if the caller sent none, the caller's address, one log line, and the error of an
unreachable backend. Where callers need a key, it replaces the key by the caller's signed identity. It forwards all the
rest in both directions: metadata, deadline, cancellation, messages as they come, the status with its details and
trailers.

A call that a replica has provably not begun is sent to another one, and so is one about something that one replica
alone has, such as a call that runs, until that one is found. A list of which each replica has a part is asked of all of
them; its messages alone are parsed. No other call is sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError

from proto import models_pb2
from services.gateway.gathering import Answer, Gathered, gather, gather_timeout, is_of_all_replicas, join_calls
from services.gateway.metadata import Fields, forwarded, received_first, received_last, returned
from services.gateway.routes import Backend
from services.gateway.search import Search, is_of_one_replica
from services.shared import errors
from services.shared.admission import PROCESS_ADMISSION
from services.shared.call import Call
from services.shared.call_ends import abort_call, has_not_begun
from services.shared.call_metrics import serve_method
from services.shared.error_details import DETAILS_KEY
from services.shared.identity import scope_of
from services.shared.intake import PROCESS_INTAKE, SMALL_BYTES, Intake, Reservation
from services.shared.logs import Log
from services.shared.message_sizes import check_size, max_request_bytes
from services.shared.metadata import CALLER_KEY, CREDENTIAL_KEYS, EXPOSED_KEY, REQUEST_ID_KEY, Metadata
from services.shared.replicas import Replica
from services.shared.rpc import CALL_ERRORS, DirectMethods, asks_provider, fail_call, record_call
from services.shared.slow_readers import PROCESS_RESPONSES, StreamWriter, is_slow_reader
from services.shared.tracing import PROCESS_TRACING, TRACE_KEYS, trace_fields

if TYPE_CHECKING:
    # Imports the storage, which a gateway without keys does not need.
    from services.access.authentication import Authenticator
    from services.access.forwarded_audit import ForwardedAudit

RETRY_SECONDS = 1.0
"""Retry delay for an unreachable backend; the gateway reconnects to one that is back within this time."""

REFUSAL_SECONDS = 0.25
"""Time for which a large request is kept for another replica after it was sent: one that stops refuses it sooner."""

MIN_TIMEOUT_SECONDS = 0.001
MAX_TIMEOUT_SECONDS = 365 * 24 * 3600.0

# grpc's own statuses for a backend that is away or stops, and for one that violates the protocol.
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_PROTOCOL_ERROR = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
_STREAM_REMOVED = "Stream removed ("

Result = TypeVar("Result")


class Proxy(DirectMethods):
    """Forwards each call to the backend that serves its method, and refuses unknown methods.

    Those are not forwarded, because grpc stores the path of each method that was ever called, for good.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        log: Log,
        *,
        exposed: bool = False,
        authenticator: Authenticator | None = None,
        audit: ForwardedAudit | None = None,
        intake: Intake = PROCESS_INTAKE,
    ) -> None:
        """`exposed`: strangers may call. The backends receive it in the metadata of every call. Without an
        `authenticator` nobody is asked who calls; with one, `audit` records the calls that must be."""
        added: Metadata = ((EXPOSED_KEY, "yes"),) if exposed else ()
        for backend in backends:
            if any(asks_provider(method) for method in backend.service.methods):
                backend.replicas.on_backlog = intake.hold
        super().__init__(
            {
                f"/{backend.service.full_name}/{method.name}": _handler(
                    _forward_class(method)(
                        backend, method, log, added, authenticator, audit if is_audited(method) else None, intake
                    )
                )
                for backend in backends
                for method in backend.service.methods
            },
            intake,
            crowded=[
                f"/{backend.service.full_name}/{method.name}"
                for backend in backends
                for method in backend.service.methods
                if asks_provider(method)
            ],
        )


def is_audited(method: MethodDescriptor) -> bool:
    """Whether calls of the method are in the audit log."""
    # The stubs that protoc writes have no types for extensions.
    return bool(method.GetOptions().Extensions[models_pb2.audited])  # type: ignore[index]


def _forward_class(method: MethodDescriptor) -> type[Forward]:
    return ForwardToAll if is_of_all_replicas(method) else Forward


def _handler(forward: Forward) -> grpc.RpcMethodHandler:
    # Requests are declared as streams: grpc would receive the message of a unary one before it calls the handler.
    if forward.streams:
        return grpc.stream_stream_rpc_method_handler(forward.relay)
    return grpc.stream_unary_rpc_method_handler(forward.unary)


class _Method(NamedTuple):
    """A method's callables at one replica: one that takes the request, and one to which it is written."""

    start: Any
    start_in_pieces: Any


class _LargeRequest:
    """A large request. A call that gets its request at its start holds it until it ends; this one is dropped when it
    was sent, or a moment later if it is kept for another replica."""

    def __init__(self, data: bytes, reservation: Reservation) -> None:
        self._data = data
        self._reservation = reservation
        self._timer: asyncio.TimerHandle | None = None
        self.is_dropped = False

    async def send(self, onward: Any, *, is_kept: bool) -> None:
        """Sends the request. If the call ends meanwhile, its status is raised when the response is awaited."""
        await onward.wait_for_connection()
        with contextlib.suppress(grpc.aio.InternalError):
            # `write` would replace the status of a backend that answers before it has received the whole request.
            await onward._cython_call.send_serialized_message(self._data)
            await onward.done_writing()
        if is_kept:
            self._timer = asyncio.get_running_loop().call_later(REFUSAL_SECONDS, self._drop)
        else:
            self._drop()

    def stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _drop(self) -> None:
        self._data = b""
        self.is_dropped = True
        self._reservation.shrink_to(0)


class Forward:
    """Forwards the calls of one method; their requests are single messages."""

    def __init__(
        self,
        backend: Backend,
        method: MethodDescriptor,
        log: Log,
        added: Metadata,
        authenticator: Authenticator | None,
        audit: ForwardedAudit | None,
        intake: Intake,
    ) -> None:
        self.streams = method.server_streaming
        self._path = f"/{backend.service.full_name}/{method.name}"
        self._backend = backend
        self._replicas = backend.replicas
        self._name = f"{backend.service.name}/{method.name}"
        serve_method(self._name, self._path.removeprefix("/"))
        self._max_bytes = max_request_bytes(method)
        self._log = log
        self._added = added
        self._authenticator = authenticator
        self._method_descriptor = method
        self._audit = audit
        self._scope = scope_of(method)
        self._of_one_replica = is_of_one_replica(method)
        self._withheld = CREDENTIAL_KEYS if authenticator else ()
        self._intake = intake if asks_provider(method) else intake.others

    async def unary(self, _: object, context: grpc.aio.ServicerContext) -> bytes:
        """Forwards one message and returns the response."""
        call = self._open_call(context)
        try:
            with PROCESS_ADMISSION.call(call.caller):
                response = await self._forward(self._return_response, call, context)
        except CALL_ERRORS as error:
            await self._fail(error, call, context)
        record_call(self._log, self._name, call, "OK")
        return response

    async def relay(self, _: object, context: grpc.aio.ServicerContext) -> None:
        """Forwards one message; writes each response before it reads the next one."""
        call = self._open_call(context)
        try:
            with PROCESS_ADMISSION.call(call.caller):
                try:
                    await self._forward(self._write_responses, call, context)
                except errors.LimitExceeded as error:
                    if is_slow_reader(error):
                        await self._fail(error, call, context)
                    raise
        except CALL_ERRORS as error:
            await self._fail(error, call, context)
        record_call(self._log, self._name, call, "OK")

    def _open_call(self, context: grpc.aio.ServicerContext) -> Call:
        call = Call(context, context.peer(), is_stream=self.streams)
        call.span = PROCESS_TRACING.start_call(self._path.removeprefix("/"), call.metadata, call.request_id)
        return call

    async def _return_response(self, onward: Any, call: Call, context: grpc.aio.ServicerContext) -> bytes:
        begun = time.perf_counter()
        try:
            await _return_initial_metadata(onward, context)
            response: bytes | None = await onward
        finally:
            call.waited += time.perf_counter() - begun
        if response is None:
            raise self._lost(call, "has ended the call without an answer")
        call.log_fields["response_bytes"] = len(response)
        PROCESS_RESPONSES.hold(response, call.caller, context)
        context.set_trailing_metadata(returned(await received_last(onward)))
        return response

    async def _write_responses(self, onward: Any, call: Call, context: grpc.aio.ServicerContext) -> None:
        messages, begun = 0, time.perf_counter()
        try:
            await _return_initial_metadata(onward, context)
            with StreamWriter(context) as writer:
                # As `async for` does, whose generator would live on for a while after a cancelled call. `read` looks at
                # the status first, which may have come before the last messages.
                while (message := await onward._read()) is not grpc.aio.EOF:
                    await writer.write(message)
                    messages += 1
                await onward._raise_for_status()
            context.set_trailing_metadata(returned(await received_last(onward)))
        finally:
            call.waited += time.perf_counter() - begun
            call.log_fields["messages"] = messages

    async def _forward(
        self,
        deliver: Callable[[Any, Call, grpc.aio.ServicerContext], Coroutine[Any, Any, Result]],
        call: Call,
        context: grpc.aio.ServicerContext,
    ) -> Result:
        """Sends the call to a replica, and delivers its answer."""
        metadata = Fields(await self._metadata(call, context))
        data, reservation = await self._intake.receive(context, call.caller, call.remaining_seconds)
        call.log_fields["request_bytes"] = len(data)
        large = None
        with reservation:
            if self._audit:
                await self._audit.record(self._method_descriptor, data, call)
            if len(data) > SMALL_BYTES:
                check_size(len(data), self._max_bytes)
                large, data = _LargeRequest(data, reservation), b""
            replica, search = self._replicas.pick(), None
            while replica:
                method = self._method(replica, call)
                if large:
                    onward = method.start_in_pieces(timeout=_timeout(call), metadata=metadata)
                else:
                    onward = method.start(data, timeout=_timeout(call), metadata=metadata)
                try:
                    if large:
                        await large.send(onward, is_kept=len(self._replicas) > 1)
                    return await deliver(onward, call, context)
                except grpc.aio.AioRpcError as error:
                    if large and large.is_dropped:
                        raise
                    search = search or Search(self._replicas, of_one_replica=self._of_one_replica)
                    other = search.next_after(replica, error, call)
                finally:
                    _end(onward, replica)
                    if large:
                        large.stop_timer()
                replica = other
            raise self._unreachable()

    def _method(self, replica: Replica, call: Call) -> _Method:
        """The method's callables, for one call that `_end` ends."""
        replica.running_calls += 1
        call.log_fields["replica"] = replica.address
        method: _Method | None = replica.methods.get(self._path)
        if method is None:
            method = replica.methods[self._path] = self._open_method(replica.channel)
        return method

    def _open_method(self, channel: grpc.aio.Channel) -> _Method:
        if self.streams:
            return _Method(channel.unary_stream(self._path), channel.stream_stream(self._path))
        return _Method(channel.unary_unary(self._path), channel.stream_unary(self._path))

    async def _metadata(self, call: Call, context: grpc.aio.ServicerContext) -> Metadata:
        """The caller's metadata, with the request id that this gateway logs as the only one, and the gateway's own.

        Raises as `Authenticator.admit` does, before anything of the request is read.
        """
        withheld = TRACE_KEYS.union(self._withheld) if call.span else self._withheld
        passed = (*forwarded(call.metadata, withheld), *trace_fields(call.span))
        own = ((REQUEST_ID_KEY, call.request_id), (CALLER_KEY, call.caller), *self._added)
        if self._authenticator is None:
            return (*passed, *own)
        caller = await self._authenticator.admit(call.metadata, self._scope, call.caller, context)
        call.set_identity(caller.identity)
        return (*passed, *own, *self._authenticator.signed(caller))

    async def _fail(self, error: BaseException, call: Call, context: grpc.aio.ServicerContext) -> NoReturn:
        if isinstance(error, grpc.aio.AioRpcError):
            if not _is_made_by_grpc(error):
                await self._pass_status(error, call, context)
            # For the operator, such as a refused or broken connection, or a proxy in between that answers in HTTP.
            call.log_fields["cause"] = error.details()
            error = self._backend_error(error, call)
        await fail_call(self._log, self._name, error, call, context)

    async def _pass_status(
        self, error: grpc.aio.AioRpcError, call: Call, context: grpc.aio.ServicerContext
    ) -> NoReturn:
        record_call(self._log, self._name, call, error.code().name)
        await abort_call(context, error.code(), error.details() or "", returned(error.trailing_metadata()))

    def _unreachable(self) -> errors.Unavailable:
        backend = self._backend
        return errors.Unavailable(
            f"the {self._label(backend.replicas.addresses)} cannot be reached; is it running?",
            reason="BACKEND_UNAVAILABLE",
            retry_after=RETRY_SECONDS,
            metadata={"backend": backend.name},
        )

    def _backend_error(self, error: grpc.aio.AioRpcError, call: Call) -> errors.Unavailable:
        code = error.code()
        if call.log_fields.get("messages"):
            return self._lost(call, "was lost in mid-stream; the answer so far is incomplete", phase="mid_stream")
        if code is grpc.StatusCode.CANCELLED:
            return self._lost(call, "has ended the call without a status: it is stopping, or far too busy")
        if code in _AWAY and has_not_begun(error):
            return self._unreachable()
        if code in _AWAY:
            return self._lost(call, "was lost before it has answered; whether it had begun this call is not known")
        return self._lost(call, "has answered in a way that cannot be read")

    def _lost(self, call: Call, problem: str, **facts: str) -> errors.Unavailable:
        # Has no retry delay: a caller that repeated the call by itself would pay for the answer twice.
        return errors.Unavailable(
            f"the {self._label(call.log_fields['replica'])} {problem}",
            reason="BACKEND_LOST",
            metadata={"backend": self._backend.name, **facts},
        )

    def _label(self, address: str) -> str:
        # Strangers do not learn addresses; the log has them.
        return self._backend.title if self._added else f"{self._backend.title} at {address}"


class ForwardToAll(Forward):
    """Forwards the calls of one method to all replicas, and joins their answers, where there are several."""

    async def _forward(
        self,
        deliver: Callable[[Any, Call, grpc.aio.ServicerContext], Coroutine[Any, Any, Result]],
        call: Call,
        context: grpc.aio.ServicerContext,
    ) -> Any:
        if len(self._replicas) < 2:
            return await super()._forward(deliver, call, context)
        metadata = Fields(await self._metadata(call, context))
        data, reservation = await self._intake.receive(context, call.caller, call.remaining_seconds)
        with reservation:
            check_size(len(data), self._max_bytes)
            if self._audit:
                await self._audit.record(self._method_descriptor, data, call)
            gathered = await self._gather(data, metadata, call)
            try:
                response = join_calls(data, gathered)
            except DecodeError:
                raise self._lost(call, "has answered in a way that cannot be read") from None
        context.set_trailing_metadata(returned(gathered.answers[0].trailers))
        return response

    async def _gather(self, data: bytes, metadata: Fields, call: Call) -> Gathered:
        timeout = max(gather_timeout(call.remaining_seconds()), MIN_TIMEOUT_SECONDS)

        async def ask(replica: Replica) -> Answer:
            onward = self._method(replica, call).start(data, timeout=timeout, metadata=metadata)
            try:
                return Answer(await onward or b"", await received_last(onward))
            finally:
                _end(onward, replica)

        begun = time.perf_counter()
        try:
            gathered = await gather(self._replicas.all(), ask)
        finally:
            call.waited += time.perf_counter() - begun
        if gathered.unreached:
            call.log_fields["unreached"] = gathered.unreached
        return gathered


def _end(onward: Any, replica: Replica) -> None:
    # To leave a stream unread would not end the backend's work.
    onward.cancel()
    replica.running_calls -= 1


def _timeout(call: Call) -> float | None:
    # For grpc.aio a timeout of 0 means none, and one of centuries expires at once.
    remaining = call.remaining_seconds()
    return None if remaining is None else min(max(remaining, MIN_TIMEOUT_SECONDS), MAX_TIMEOUT_SECONDS)


async def _return_initial_metadata(onward: Any, context: grpc.aio.ServicerContext) -> None:
    # Empty metadata are not sent: after response headers, the caller's grpc takes the call as accepted and does not
    # repeat it.
    metadata = returned(await received_first(onward))
    if metadata:
        await context.send_initial_metadata(metadata)


def _is_made_by_grpc(error: grpc.aio.AioRpcError) -> bool:
    """Whether grpc itself made the status, and not the backend: errors of a service always have details. grpc ends
    calls with CANCELLED when the backend stops, although the caller has not cancelled them."""
    if error.code() not in _AWAY | _PROTOCOL_ERROR:
        return False
    return DETAILS_KEY not in error.trailing_metadata() or (error.details() or "").startswith(_STREAM_REMOVED)
