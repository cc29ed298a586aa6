"""The proxy: forwards calls as bytes, which it does not parse, change or store.

The gateway adds an `x-request-id` if the caller sent none, the caller's address, one log line, and the error of an
unreachable backend. It forwards all the rest in both directions: metadata, deadline, cancellation, messages as they
come, the status with its details and trailers. It retries no call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor

from services.gateway.metadata import forwarded, returned
from services.gateway.routes import Backend
from services.shared import errors
from services.shared.admission import PROCESS_ADMISSION
from services.shared.call_ends import abort_call
from services.shared.error_details import DETAILS_KEY
from services.shared.intake import PROCESS_INTAKE, SMALL_BYTES, Intake
from services.shared.logs import Log
from services.shared.message_sizes import check_size, max_request_bytes
from services.shared.metadata import CALLER_KEY, EXPOSED_KEY, REQUEST_ID_KEY, Metadata
from services.shared.rpc import CALL_ERRORS, Call, ServedMethods, fail_call, record_call

RETRY_SECONDS = 1.0
"""Retry delay for an unreachable backend; the gateway reconnects to one that is back within this time."""

MIN_TIMEOUT_SECONDS = 0.001
MAX_TIMEOUT_SECONDS = 365 * 24 * 3600.0

# grpc's own statuses for a backend that is away or stops, and for one that violates the protocol.
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_PROTOCOL_ERROR = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
_STREAM_REMOVED = "Stream removed ("


class Proxy(ServedMethods):
    """Forwards each call to the backend that serves its method, and refuses unknown methods.

    Those are not forwarded, because grpc stores the path of each method that was ever called, for good.
    """

    def __init__(
        self, backends: Sequence[Backend], log: Log, *, exposed: bool = False, intake: Intake = PROCESS_INTAKE
    ) -> None:
        """`exposed`: strangers may call. The backends receive it in the metadata of every call."""
        added: Metadata = ((EXPOSED_KEY, "yes"),) if exposed else ()
        super().__init__(
            {
                f"/{backend.service.full_name}/{method.name}": _handler(Forward(backend, method, log, added, intake))
                for backend in backends
                for method in backend.service.methods
            }
        )


def _handler(forward: Forward) -> grpc.RpcMethodHandler:
    # Requests are declared as streams: grpc would receive the message of a unary one before it calls the handler.
    if forward.streams:
        return grpc.stream_stream_rpc_method_handler(forward.relay)
    return grpc.stream_unary_rpc_method_handler(forward.unary)


class Forward:
    """Forwards the calls of one method; their requests are single messages."""

    def __init__(self, backend: Backend, method: MethodDescriptor, log: Log, added: Metadata, intake: Intake) -> None:
        path, channel = f"/{backend.service.full_name}/{method.name}", backend.channel
        self.streams = method.server_streaming
        self._start = channel.unary_stream(path) if self.streams else channel.unary_unary(path)
        self._start_in_pieces = channel.stream_stream(path) if self.streams else channel.stream_unary(path)
        self._backend = backend
        # Strangers do not learn the address; the log has it.
        self._label = backend.title if added else f"{backend.title} at {backend.address}"
        self._name = f"{backend.service.name}/{method.name}"
        self._max_bytes = max_request_bytes(method)
        self._log = log
        self._added = added
        self._intake = intake

    async def unary(self, _: object, context: grpc.aio.ServicerContext) -> bytes:
        """Forwards one message and returns the response."""
        call = Call(context, context.peer())
        try:
            with PROCESS_ADMISSION.call(call.caller):
                onward = await self._begin(call, context)
                try:
                    await _return_initial_metadata(onward, context)
                    response: bytes | None = await onward
                    if response is None:
                        raise self._lost("has ended the call without an answer")
                    context.set_trailing_metadata(returned(await onward.trailing_metadata()))
                finally:
                    onward.cancel()
        except CALL_ERRORS as error:
            await self._fail(error, call, context)
        call.log_fields["response_bytes"] = len(response)
        record_call(self._log, self._name, call, "OK")
        return response

    async def relay(self, _: object, context: grpc.aio.ServicerContext) -> None:
        """Forwards one message; writes each response before it reads the next one."""
        call = Call(context, context.peer())
        messages = 0
        try:
            with PROCESS_ADMISSION.call(call.caller):
                onward = await self._begin(call, context)
                try:
                    await _return_initial_metadata(onward, context)
                    async for message in onward:
                        await context.write(message)
                        messages += 1
                    context.set_trailing_metadata(returned(await onward.trailing_metadata()))
                finally:
                    # To leave the loop would not end the backend's work.
                    onward.cancel()
                    call.log_fields["messages"] = messages
        except CALL_ERRORS as error:
            await self._fail(error, call, context)
        record_call(self._log, self._name, call, "OK")

    async def _begin(self, call: Call, context: grpc.aio.ServicerContext) -> Any:
        """Starts the call to the backend, and sends the request."""
        metadata = self._metadata(call)
        data, reservation = await self._intake.receive(context, call.caller)
        call.log_fields["request_bytes"] = len(data)
        with reservation:
            if len(data) <= SMALL_BYTES:
                return self._start(data, timeout=_timeout(call), metadata=metadata)
            check_size(len(data), self._max_bytes)
            onward = self._start_in_pieces(timeout=_timeout(call), metadata=metadata)
            try:
                # A call that gets its request at its start holds it until it ends.
                await _send(onward, data)
            except BaseException:
                onward.cancel()
                raise
            return onward

    def _metadata(self, call: Call) -> Metadata:
        """The caller's metadata, with the request id that this gateway logs as the only one, and the gateway's own."""
        return (*forwarded(call.metadata), (REQUEST_ID_KEY, call.request_id), (CALLER_KEY, call.caller), *self._added)

    async def _fail(self, error: BaseException, call: Call, context: grpc.aio.ServicerContext) -> NoReturn:
        if isinstance(error, grpc.aio.AioRpcError):
            if not _is_made_by_grpc(error):
                await self._pass_status(error, call, context)
            # For the operator, such as a refused or broken connection, or a proxy in between that answers in HTTP.
            call.log_fields["cause"] = error.details()
            error = self._backend_error(error.code(), is_in_mid_stream=bool(call.log_fields.get("messages")))
        await fail_call(self._log, self._name, error, call, context)

    async def _pass_status(
        self, error: grpc.aio.AioRpcError, call: Call, context: grpc.aio.ServicerContext
    ) -> NoReturn:
        record_call(self._log, self._name, call, error.code().name)
        await abort_call(context, error.code(), error.details() or "", returned(error.trailing_metadata()))

    def _unreachable(self) -> errors.Unavailable:
        backend = self._backend
        return errors.Unavailable(
            f"the {self._label} cannot be reached; is it running?",
            reason="BACKEND_UNAVAILABLE",
            retry_after=RETRY_SECONDS,
            metadata={"backend": backend.name},
        )

    def _backend_error(self, code: grpc.StatusCode, *, is_in_mid_stream: bool) -> errors.Unavailable:
        if is_in_mid_stream:
            return self._lost("was lost in mid-stream; the answer so far is incomplete", phase="mid_stream")
        if code in _AWAY:
            return self._unreachable()
        return self._lost("has answered in a way that cannot be read")

    def _lost(self, problem: str, **facts: str) -> errors.Unavailable:
        # Has no retry delay: a caller that repeated the call by itself would pay for the answer twice.
        backend = self._backend
        return errors.Unavailable(
            f"the {self._label} {problem}",
            reason="BACKEND_LOST",
            metadata={"backend": backend.name, **facts},
        )


def _timeout(call: Call) -> float | None:
    # For grpc.aio a timeout of 0 means none, and one of centuries expires at once.
    remaining = call.remaining_seconds()
    return None if remaining is None else min(max(remaining, MIN_TIMEOUT_SECONDS), MAX_TIMEOUT_SECONDS)


async def _send(onward: Any, request: bytes) -> None:
    """Sends a request. If the call ends meanwhile, its status is raised when the response is awaited."""
    await onward.wait_for_connection()
    with contextlib.suppress(grpc.aio.InternalError):
        # `write` would replace the status of a backend that answers before it has received the whole request.
        await onward._cython_call.send_serialized_message(request)
        await onward.done_writing()


async def _return_initial_metadata(onward: Any, context: grpc.aio.ServicerContext) -> None:
    # Empty metadata are not sent: after response headers, the caller's grpc takes the call as accepted and does not
    # repeat it.
    metadata = returned(await onward.initial_metadata())
    if metadata:
        await context.send_initial_metadata(metadata)


def _is_made_by_grpc(error: grpc.aio.AioRpcError) -> bool:
    """Whether grpc itself made the status, and not the backend: errors of a service always have details. grpc ends
    calls with CANCELLED when the backend stops, although the caller has not cancelled them."""
    if error.code() not in _AWAY | _PROTOCOL_ERROR:
        return False
    return DETAILS_KEY not in error.trailing_metadata() or (error.details() or "").startswith(_STREAM_REMOVED)
