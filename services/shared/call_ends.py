"""Ends of calls: of those whose caller has left or whose server has stopped, and of those that no handler accepted.

The latter may be repeated elsewhere by a client, which tells them apart by `has_not_begun`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import NoReturn

import grpc
from grpc._cython import cygrpc

from services.shared.error_details import DETAILS_KEY, pack_details, read_reason
from services.shared.errors import PlatformError, Unavailable
from services.shared.intake import too_late

RETRY_SECONDS = 0.1
"""Retry delay while a server stops: one whose serving loop has ended is replaced within this time."""

SERVER_STOPPING = "SERVER_STOPPING"

# grpc's own status for a call that was never sent, because no connection could be made.
_NOT_CONNECTED = "failed to connect to all addresses"

STOPPING = Unavailable(
    "the server is stopping, and has not begun this call; try again",
    reason=SERVER_STOPPING,
    retry_after=RETRY_SECONDS,
)

Trailers = tuple[tuple[str, str | bytes], ...]


def is_call_end(error: BaseException) -> bool:
    """Whether the error means that the call is over: a cancellation, or one of grpc's errors for an ended call.

    When a caller leaves or the server stops, grpc fails reads and writes before it cancels the handler.
    """
    if isinstance(error, grpc.aio.AbortError):
        return False
    return isinstance(error, asyncio.CancelledError | grpc.aio.BaseError)


def has_not_begun(error: grpc.aio.AioRpcError) -> bool:
    """Whether a call has provably not begun: it was never sent, or its server has refused it in order to stop."""
    if error.code() is not grpc.StatusCode.UNAVAILABLE or error.initial_metadata():
        return False
    details = error.trailing_metadata().get(DETAILS_KEY)
    if details is None:
        return (error.details() or "").startswith(_NOT_CONNECTED)
    return read_reason(details) == SERVER_STOPPING


async def abort_call(
    context: grpc.aio.ServicerContext, code: grpc.StatusCode, message: str, trailers: Trailers
) -> NoReturn:
    """Ends a call with a status. Raises grpc's AbortError, or CancelledError if the call is already over."""
    try:
        await context.abort(code, message, trailers)
    except (grpc.aio.InternalError, grpc.aio.UsageError):
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises")


async def refuse_unaccepted(unaccepted: cygrpc.RPCState) -> None:
    """Ends a call that no handler accepted with UNAVAILABLE SERVER_STOPPING; grpc itself would say CANCELLED."""
    loop = asyncio.get_running_loop()
    context = cygrpc._ServicerContext(unaccepted, None, None, loop)
    await cygrpc._schedule_rpc_coro(refuse_call(context), unaccepted, loop, "refused")


async def refuse_call(context: grpc.aio.ServicerContext) -> NoReturn:
    """Ends a call in its handler with UNAVAILABLE SERVER_STOPPING."""
    await _abort(context, grpc.StatusCode.UNAVAILABLE, STOPPING)


async def refuse_late(unaccepted: cygrpc.RPCState) -> None:
    """Ends a call that no handler accepted with RESOURCE_EXHAUSTED SERVER_BUSY."""
    context = cygrpc._ServicerContext(unaccepted, None, None, asyncio.get_running_loop())
    with contextlib.suppress(grpc.aio.AbortError, asyncio.CancelledError):
        await _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, too_late())


async def _abort(context: grpc.aio.ServicerContext, code: grpc.StatusCode, error: PlatformError) -> NoReturn:
    await abort_call(context, code, error.message, ((DETAILS_KEY, pack_details(code.value[0], error)),))
