"""Admission of calls: a bounded number of running calls, shared fairly by the callers."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, Token
from typing import Any

from services.shared.errors import LimitExceeded
from services.shared.fair_quota import FairQuota

MAX_CALLS = 20_000
"""Running calls of one process, by default. As many as the streams of one connection, such as the gateway's to a
service: calls beyond those would wait unseen in grpc."""

RETRY_SECONDS = 1.0

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""The caller of the running call, for quotas further down; "" for the service's own work. It is a name and not the
call itself, because connections and tasks that outlive a call keep its context."""

_running: set[asyncio.Task[Any]] = set()


class Admission:
    """Up to `limit` running calls, as a `FairQuota`: a single caller gets half of them."""

    __slots__ = ("_calls",)

    def __init__(self, limit: int) -> None:
        self._calls = FairQuota(limit)

    @property
    def running(self) -> int:
        return self._calls.limit - self._calls.free

    def resize(self, limit: int) -> None:
        """Sets the number of running calls."""
        self._calls.resize(limit)

    def call(self, caller: str) -> Admitted:
        """A context manager for one call of `caller`. Entering it raises LimitExceeded TOO_MANY_CALLS."""
        return Admitted(self._calls, caller)


class Admitted:
    """A context manager for one running call; it sets `CALLER`. `wait_for_calls` waits until it is left."""

    __slots__ = ("_caller", "_calls", "_task", "_token")

    def __init__(self, calls: FairQuota, caller: str) -> None:
        self._calls = calls
        self._caller = caller

    def __enter__(self) -> None:
        if not self._calls.try_take(self._caller):
            raise _refusal(self._calls)
        self._token: Token[str] = CALLER.set(self._caller)
        self._task = asyncio.current_task()
        assert self._task
        _running.add(self._task)

    def __exit__(self, *_: object) -> None:
        assert self._task
        _running.discard(self._task)
        CALLER.reset(self._token)
        self._calls.release(self._caller)


PROCESS_ADMISSION = Admission(MAX_CALLS)


def count_running_calls() -> int:
    """The number of calls that run in this process."""
    return len(_running)


async def wait_for_calls(seconds: float) -> None:
    """Waits until every call has ended; grpc's own stop returns before cancelled handlers are done."""
    if _running:
        await asyncio.wait(set(_running), timeout=seconds)


def _refusal(calls: FairQuota) -> LimitExceeded:
    return LimitExceeded(
        f"too many calls are running: of {calls.limit} in all, nobody may have more than are left free; "
        "wait until some have ended",
        reason="TOO_MANY_CALLS",
        retry_after=RETRY_SECONDS,
    )
