"""Time limits of the store's commands, which make allowance for an event loop that was held up itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

COMMAND_SECONDS = 0.05
CONNECT_SECONDS = 0.2

LAG_SECONDS = 0.02
"""Delay of a timer that shows that the event loop was held up: the answer may be there and not read yet."""


class TimeLimit:
    """A time limit, after which it calls a function, unless it is cancelled."""

    def __init__(self, seconds: float, on_pass: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._on_pass = on_pass
        self._timer = self._loop.call_later(seconds, self._pass, self._loop.time() + seconds)

    def cancel(self) -> None:
        self._timer.cancel()

    def _pass(self, due: float) -> None:
        if self._loop.time() - due < LAG_SECONDS:
            self._on_pass()
        else:
            self._timer = self._loop.call_later(self._seconds, self._on_pass)


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """A block with a time limit. Raises TimeoutError when it has passed."""
    async with asyncio.timeout(None) as timeout:
        limit = TimeLimit(seconds, lambda: timeout.reschedule(0))
        try:
            yield
        finally:
            limit.cancel()
