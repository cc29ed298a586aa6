"""How calls end that nobody hears any more, because the caller has left or the server has stopped, and how calls are
refused that no handler has taken."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import grpc
from grpc._cython import cygrpc

from services.shared.error_details import DETAILS_KEY, pack_details
from services.shared.errors import Unavailable

RETRY_SECONDS = 0.1
"""When to try again after a server was stopping: one whose serving loop has ended is replaced within this time."""

Trailers = tuple[tuple[str, str | bytes], ...]


def is_call_end(error: BaseException) -> bool:
    """Whether grpc says by it that the call is over: cancellations, and the several errors of a call that cannot go on.

    grpc fails reads and writes before it cancels the handler of a caller who has left; so it does where the server has
    stopped meanwhile.
    """
    if isinstance(error, grpc.aio.AbortError):
        return False
    return isinstance(error, asyncio.CancelledError | grpc.aio.BaseError)


async def abort_call(
    context: grpc.aio.ServicerContext, code: grpc.StatusCode, message: str, trailers: Trailers
) -> NoReturn:
    """Ends a call with a status. Raises CancelledError where nobody is there to be told, else grpc's AbortError."""
    try:
        await context.abort(code, message, trailers)
    except (grpc.aio.InternalError, grpc.aio.UsageError):
        raise asyncio.CancelledError from None
    raise AssertionError("abort raises")


async def refuse_call(untaken: cygrpc.RPCState) -> None:
    """Ends a call that no handler has taken with UNAVAILABLE SERVER_STOPPING; grpc itself would say CANCELLED."""
    loop = asyncio.get_running_loop()
    context = cygrpc._ServicerContext(untaken, None, None, loop)
    await cygrpc._schedule_rpc_coro(refuse_in(context), untaken, loop, "refused")


async def refuse_in(context: grpc.aio.ServicerContext) -> NoReturn:
    """The same for one that a handler is asked for."""
    error = Unavailable(
        "the server is stopping, and has not begun this call; try again",
        reason="SERVER_STOPPING",
        retry_after=RETRY_SECONDS,
    )
    code = grpc.StatusCode.UNAVAILABLE
    await abort_call(context, code, error.message, ((DETAILS_KEY, pack_details(code.value[0], error)),))
