"""How many calls run at a time: bounded, with room for other callers than those who call most."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, Token
from typing import Any

from services.shared.errors import LimitExceeded
from services.shared.shares import Shares

MAX_CALLS = 8000
"""Of one process. Fewer than the streams of one connection, such as the gateway's to a service: what is beyond those
waits where nobody sees it."""

RETRY_SECONDS = 1.0

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""Who makes the call that runs, for whatever is shared out between callers below it; nobody, for the service's own
work. A name and not the call itself: connections and tasks that outlive a call keep its context."""

_running: set[asyncio.Task[Any]] = set()


class Admission:
    """Up to `limit` running calls. A caller who has as many as are left free gets no more: alone, half of them."""

    __slots__ = ("_calls",)

    def __init__(self, limit: int) -> None:
        self._calls = Shares(limit)

    def call(self, caller: str) -> Admitted:
        """A block that is one call of `caller`. Entering it raises LimitExceeded TOO_MANY_CALLS."""
        return Admitted(self._calls, caller)


class Admitted:
    """A block that is one running call, in which `CALLER` tells whose. A stop can wait for what it does at its end."""

    __slots__ = ("_caller", "_calls", "_task", "_token")

    def __init__(self, calls: Shares, caller: str) -> None:
        self._calls = calls
        self._caller = caller

    def __enter__(self) -> None:
        if not self._calls.take(self._caller):
            raise _refusal(self._calls)
        self._token: Token[str] = CALLER.set(self._caller)
        self._task = asyncio.current_task()
        assert self._task
        _running.add(self._task)

    def __exit__(self, *_: object) -> None:
        assert self._task
        _running.discard(self._task)
        CALLER.reset(self._token)
        self._calls.give_back(self._caller)


PROCESS_ADMISSION = Admission(MAX_CALLS)


async def wait_for_calls(seconds: float) -> None:
    """Waits until every call has come to its end; grpc's own stop returns before cancelled handlers have."""
    if _running:
        await asyncio.wait(set(_running), timeout=seconds)


def _refusal(calls: Shares) -> LimitExceeded:
    return LimitExceeded(
        f"too many calls are running: of {calls.limit} in all, nobody may have more than are left free; "
        "wait until some have ended",
        reason="TOO_MANY_CALLS",
        retry_after=RETRY_SECONDS,
    )
