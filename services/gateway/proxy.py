"""Forwards calls as bytes: nothing that passes is parsed, changed or kept.

What the gateway adds to a call is an `x-request-id` when the caller sent none, one log line, and the error of a
backend that is not there. Everything else goes through both ways: metadata, deadline, cancellation, messages as they
come, the status with its details and trailers. Nothing is retried here.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor

from services.gateway.routes import Backend
from services.shared import errors
from services.shared.logs import Log
from services.shared.rpc import (
    CALLER_KEY,
    DETAILS_KEY,
    EXPOSED_KEY,
    INTERNAL_PREFIX,
    REQUEST_ID_KEY,
    Call,
    RunningCall,
    fail_call,
    record_call,
)

RETRY_SECONDS = 1.0
"""When to try again after a backend was not there: one that has come back is connected to within this time."""

MAX_LOGGED_NAME = 128
MIN_TIMEOUT_SECONDS = 0.001

Metadata = tuple[tuple[str, str | bytes], ...]

# These belong to one hop: grpc writes its own on the next.
_HOP_KEYS = frozenset({"content-type", "te", "user-agent"})
_HOP_PREFIXES = ("grpc-", ":", INTERNAL_PREFIX)


class Proxy(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Hands each call to the backend that serves its service.

    A method that the descriptors do not know is forwarded too, so a new one needs no new gateway.
    """

    def __init__(self, backends: Sequence[Backend], log: Log, *, exposed: bool = False) -> None:
        """`exposed` says that anybody may call, which the backends are told with every call."""
        self._log = log
        self._told: Metadata = ((EXPOSED_KEY, "yes"),) if exposed else ()
        self._backends = {backend.service.full_name: backend for backend in backends}
        self._handlers = {
            f"/{backend.service.full_name}/{method.name}": self._known_method(backend, method)
            for backend in backends
            for method in backend.service.methods
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path: str = handler_call_details.method
        return self._handlers.get(path) or self._unknown_method(path)

    def _known_method(self, backend: Backend, method: MethodDescriptor) -> grpc.RpcMethodHandler:
        path = f"/{backend.service.full_name}/{method.name}"
        if method.client_streaming:
            return self._any_method(backend, method.name)
        if method.server_streaming:
            forward = Forward(backend, method.name, backend.channel.unary_stream(path), self._log, self._told)
            return grpc.unary_stream_rpc_method_handler(forward.relay)
        forward = Forward(backend, method.name, backend.channel.unary_unary(path), self._log, self._told)
        return grpc.unary_unary_rpc_method_handler(forward.unary)

    def _unknown_method(self, path: str) -> grpc.RpcMethodHandler:
        service, _, method = path.removeprefix("/").partition("/")
        backend = self._backends.get(service)
        return self._any_method(backend, method) if backend else self._no_method(path)

    def _any_method(self, backend: Backend, name: str) -> grpc.RpcMethodHandler:
        path = f"/{backend.service.full_name}/{name}"
        forward = Forward(backend, name, backend.channel.stream_stream(path), self._log, self._told)
        return grpc.stream_stream_rpc_method_handler(forward.relay)

    def _no_method(self, path: str) -> grpc.RpcMethodHandler:
        async def refuse(_: AsyncIterable[bytes], context: grpc.aio.ServicerContext) -> None:
            served = " and ".join(self._backends)
            error = errors.Unimplemented(f"this gateway serves only {served}", reason="SERVICE_NOT_SERVED")
            await fail_call(self._log, path[:MAX_LOGGED_NAME], error, Call(context), context)

        return grpc.stream_stream_rpc_method_handler(refuse)


class Forward:
    """Forwards one method: `start` begins its call to the backend."""

    def __init__(self, backend: Backend, method: str, start: Callable[..., Any], log: Log, told: Metadata = ()) -> None:
        self._backend = backend
        self._name = f"{backend.service.name}/{method[:MAX_LOGGED_NAME]}"
        self._start = start
        self._log = log
        self._told = told

    async def unary(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Forwards one message and returns the one that comes back."""
        call = Call(context)
        call.facts["request_bytes"] = len(request)
        try:
            with RunningCall():
                onward = self._start(request, timeout=_timeout(call), metadata=self._metadata(call, context))
                try:
                    await _return_initial_metadata(onward, context)
                    response: bytes = await onward
                    context.set_trailing_metadata(_returned(await onward.trailing_metadata()))
                finally:
                    onward.cancel()
        except BaseException as error:
            await self._fail(error, call, context)
        call.facts["response_bytes"] = len(response)
        record_call(self._log, self._name, call, "OK")
        return response

    async def relay(self, request: bytes | AsyncIterable[bytes], context: grpc.aio.ServicerContext) -> None:
        """Forwards one message, or a stream of them, and writes each that comes back before the next is read."""
        call = Call(context)
        messages = 0
        try:
            with RunningCall():
                onward = self._start(request, timeout=_timeout(call), metadata=self._metadata(call, context))
                try:
                    await _return_initial_metadata(onward, context)
                    async for message in onward:
                        await context.write(message)
                        messages += 1
                    context.set_trailing_metadata(_returned(await onward.trailing_metadata()))
                finally:
                    # Leaving the loop would not end the backend's work.
                    onward.cancel()
                    call.facts["messages"] = messages
        except BaseException as error:
            await self._fail(error, call, context)
        record_call(self._log, self._name, call, "OK")

    def _metadata(self, call: Call, context: grpc.aio.ServicerContext) -> Metadata:
        """The caller's metadata, with exactly one request id, the one that this gateway logs, and what it tells."""
        received: Metadata = context.invocation_metadata() or ()
        passed = [(key, value) for key, value in received if key != REQUEST_ID_KEY and not _belongs_to_hop(key)]
        return (*passed, (REQUEST_ID_KEY, call.request_id), (CALLER_KEY, context.peer()), *self._told)

    async def _fail(self, error: BaseException, call: Call, context: grpc.aio.ServicerContext) -> NoReturn:
        if isinstance(error, grpc.aio.AioRpcError):
            if not _is_from_grpc_itself(error):
                await self._pass_status(error, call, context)
            # For the operator: a refused connection, a broken one, a proxy between that answers in plain HTTP.
            call.facts["cause"] = error.details()
            error = self._lost() if call.facts.get("messages") else self._unreachable()
        await fail_call(self._log, self._name, error, call, context)

    async def _pass_status(
        self, error: grpc.aio.AioRpcError, call: Call, context: grpc.aio.ServicerContext
    ) -> NoReturn:
        record_call(self._log, self._name, call, error.code().name)
        await context.abort(error.code(), error.details() or "", _returned(error.trailing_metadata()))
        raise AssertionError("abort raises")

    def _unreachable(self) -> errors.Unavailable:
        backend = self._backend
        return errors.Unavailable(
            f"the {backend.title} at {backend.address} cannot be reached; is it running?",
            reason="BACKEND_UNAVAILABLE",
            retry_after=RETRY_SECONDS,
            metadata={"backend": backend.name},
        )

    def _lost(self) -> errors.Unavailable:
        # Names no time to retry after: a caller that repeated the call by itself would pay for the answer twice.
        backend = self._backend
        return errors.Unavailable(
            f"the {backend.title} at {backend.address} was lost in mid-stream; the answer so far is incomplete",
            reason="BACKEND_LOST",
            metadata={"backend": backend.name, "phase": "mid_stream"},
        )


def _timeout(call: Call) -> float | None:
    # To grpc.aio a timeout of 0 means none.
    remaining = call.remaining_seconds()
    return None if remaining is None else max(remaining, MIN_TIMEOUT_SECONDS)


def _belongs_to_hop(key: str) -> bool:
    return key in _HOP_KEYS or key.startswith(_HOP_PREFIXES)


def _returned(received: Iterable[tuple[str, str | bytes]]) -> Metadata:
    return tuple((key, value) for key, value in received if key == DETAILS_KEY or not _belongs_to_hop(key))


async def _return_initial_metadata(onward: Any, context: grpc.aio.ServicerContext) -> None:
    # Not sent when empty: response headers tell a caller's grpc that the call was accepted and may not be repeated.
    metadata = _returned(await onward.initial_metadata())
    if metadata:
        await context.send_initial_metadata(metadata)


def _is_from_grpc_itself(error: grpc.aio.AioRpcError) -> bool:
    """Whether the backend cannot have said this: every error that a service raises comes with details."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and DETAILS_KEY not in error.trailing_metadata()
