"""Forwards calls as bytes: nothing that passes is parsed, changed or kept.

What the gateway adds to a call is an `x-request-id` when the caller sent none, who calls, one log line, and the error
of a backend that is not there. Everything else goes through both ways: metadata, deadline, cancellation, messages as
they come, the status with its details and trailers. Nothing is retried here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor

from services.gateway.metadata import returned, sent_on
from services.gateway.routes import Backend
from services.shared import errors
from services.shared.admission import PROCESS_ADMISSION
from services.shared.call_ends import abort_call
from services.shared.error_details import DETAILS_KEY
from services.shared.intake import PROCESS_INTAKE, SMALL_BYTES, Intake
from services.shared.logs import Log
from services.shared.message_sizes import check_size, max_request_bytes
from services.shared.metadata import CALLER_KEY, EXPOSED_KEY, REQUEST_ID_KEY, Metadata
from services.shared.rpc import Call, MethodHandlers, fail_call, record_call

RETRY_SECONDS = 1.0
"""When to try again after a backend was not there: one that has come back is connected to within this time."""

MIN_TIMEOUT_SECONDS = 0.001
MAX_TIMEOUT_SECONDS = 365 * 24 * 3600.0

# What grpc says of a backend that is not there, or that stops; of one that does not keep to the protocol.
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_BROKEN = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
_STREAM_REMOVED = "Stream removed ("


class Proxy(MethodHandlers):
    """Hands each call to the backend that serves its method; other methods are not there.

    They are not passed on to be refused: grpc keeps the path of each method that was ever called, for good.
    """

    def __init__(
        self, backends: Sequence[Backend], log: Log, *, exposed: bool = False, intake: Intake = PROCESS_INTAKE
    ) -> None:
        """`exposed` says that anybody may call, which the backends are told with every call."""
        told: Metadata = ((EXPOSED_KEY, "yes"),) if exposed else ()
        super().__init__(
            {
                f"/{backend.service.full_name}/{method.name}": _handler(Forward(backend, method, log, told, intake))
                for backend in backends
                for method in backend.service.methods
            }
        )


def _handler(forward: Forward) -> grpc.RpcMethodHandler:
    # To grpc requests are streams: it would take in the only message of a unary one before anybody is asked.
    if forward.streams:
        return grpc.stream_stream_rpc_method_handler(forward.relay)
    return grpc.stream_unary_rpc_method_handler(forward.unary)


class Forward:
    """Forwards one method, whose request is one message."""

    def __init__(self, backend: Backend, method: MethodDescriptor, log: Log, told: Metadata, intake: Intake) -> None:
        path, channel = f"/{backend.service.full_name}/{method.name}", backend.channel
        self.streams = method.server_streaming
        self._start = channel.unary_stream(path) if self.streams else channel.unary_unary(path)
        self._start_in_pieces = channel.stream_stream(path) if self.streams else channel.stream_unary(path)
        self._backend = backend
        # Where it is, is not for strangers; the log has it.
        self._place = backend.title if told else f"{backend.title} at {backend.address}"
        self._name = f"{backend.service.name}/{method.name}"
        self._max_bytes = max_request_bytes(method.name)
        self._log = log
        self._told = told
        self._intake = intake

    async def unary(self, _: object, context: grpc.aio.ServicerContext) -> bytes:
        """Forwards one message and returns the one that comes back."""
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
        except BaseException as error:
            await self._fail(error, call, context)
        call.log_fields["response_bytes"] = len(response)
        record_call(self._log, self._name, call, "OK")
        return response

    async def relay(self, _: object, context: grpc.aio.ServicerContext) -> None:
        """Forwards one message, and writes each that comes back before the next is read."""
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
                    # Leaving the loop would not end the backend's work.
                    onward.cancel()
                    call.log_fields["messages"] = messages
        except BaseException as error:
            await self._fail(error, call, context)
        record_call(self._log, self._name, call, "OK")

    async def _begin(self, call: Call, context: grpc.aio.ServicerContext) -> Any:
        """The call to the backend, which has the request."""
        metadata = self._metadata(call)
        data, room = await self._intake.receive(context, call.caller)
        call.log_fields["request_bytes"] = len(data)
        with room:
            if len(data) <= SMALL_BYTES:
                return self._start(data, timeout=_timeout(call), metadata=metadata)
            check_size(len(data), self._max_bytes)
            onward = self._start_in_pieces(timeout=_timeout(call), metadata=metadata)
            try:
                # A call that is given its request at its start keeps it to its end.
                await _send(onward, data)
            except BaseException:
                onward.cancel()
                raise
            return onward

    def _metadata(self, call: Call) -> Metadata:
        """The caller's metadata, with exactly one request id, the one that this gateway logs, and what it tells."""
        return (*sent_on(call.metadata), (REQUEST_ID_KEY, call.request_id), (CALLER_KEY, call.caller), *self._told)

    async def _fail(self, error: BaseException, call: Call, context: grpc.aio.ServicerContext) -> NoReturn:
        if isinstance(error, grpc.aio.AioRpcError):
            if not _is_from_grpc_itself(error):
                await self._pass_status(error, call, context)
            # For the operator: a refused connection, a broken one, a proxy between that answers in plain HTTP.
            call.log_fields["cause"] = error.details()
            error = self._broken_off(error.code(), is_in_mid_stream=bool(call.log_fields.get("messages")))
        await fail_call(self._log, self._name, error, call, context)

    async def _pass_status(
        self, error: grpc.aio.AioRpcError, call: Call, context: grpc.aio.ServicerContext
    ) -> NoReturn:
        record_call(self._log, self._name, call, error.code().name)
        await abort_call(context, error.code(), error.details() or "", returned(error.trailing_metadata()))

    def _unreachable(self) -> errors.Unavailable:
        backend = self._backend
        return errors.Unavailable(
            f"the {self._place} cannot be reached; is it running?",
            reason="BACKEND_UNAVAILABLE",
            retry_after=RETRY_SECONDS,
            metadata={"backend": backend.name},
        )

    def _broken_off(self, code: grpc.StatusCode, *, is_in_mid_stream: bool) -> errors.Unavailable:
        if is_in_mid_stream:
            return self._lost("was lost in mid-stream; the answer so far is incomplete", phase="mid_stream")
        if code in _AWAY:
            return self._unreachable()
        return self._lost("has answered in a way that cannot be read")

    def _lost(self, how: str, **facts: str) -> errors.Unavailable:
        # Names no time to retry after: a caller that repeated the call by itself would pay for the answer twice.
        backend = self._backend
        return errors.Unavailable(
            f"the {self._place} {how}",
            reason="BACKEND_LOST",
            metadata={"backend": backend.name, **facts},
        )


def _timeout(call: Call) -> float | None:
    # To grpc.aio a timeout of 0 means none, and one of centuries is over at once.
    remaining = call.remaining_seconds()
    return None if remaining is None else min(max(remaining, MIN_TIMEOUT_SECONDS), MAX_TIMEOUT_SECONDS)


async def _send(onward: Any, request: bytes) -> None:
    """Sends a request. A call that has ended before it had all of it tells how when it is asked for its answer."""
    await onward.wait_for_connection()
    with contextlib.suppress(grpc.aio.InternalError):
        # `write` would replace the status of a backend that has answered before it had all.
        await onward._cython_call.send_serialized_message(request)
        await onward.done_writing()


async def _return_initial_metadata(onward: Any, context: grpc.aio.ServicerContext) -> None:
    # Not sent when empty: response headers tell a caller's grpc that the call was accepted and may not be repeated.
    metadata = returned(await onward.initial_metadata())
    if metadata:
        await context.send_initial_metadata(metadata)


def _is_from_grpc_itself(error: grpc.aio.AioRpcError) -> bool:
    """Whether the backend cannot have said this: every error that a service raises comes with details. CANCELLED, too,
    is grpc's word for a call that it gave up as the backend stopped: the caller has cancelled nothing."""
    if error.code() not in _AWAY | _BROKEN:
        return False
    return DETAILS_KEY not in error.trailing_metadata() or (error.details() or "").startswith(_STREAM_REMOVED)
