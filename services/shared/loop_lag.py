"""Lag of the event loop: how late its timers are, which grows when more work is ready than it can do."""

from __future__ import annotations

import asyncio

INTERVAL_SECONDS = 0.02
DECAY = 0.8
"""Share of the lag that is left after an interval without any: between two late timers the loop is no less busy."""


class LoopLag:
    """The lag of the running event loop, measured while it is read.

    The measurement ends when nothing has read the lag for an interval, so that an idle process does not wake up.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._is_read = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def seconds(self) -> float:
        """The lag in seconds; 0 at the first reading after a pause."""
        self._is_read = True
        loop = asyncio.get_running_loop()
        if self._timer is None or loop is not self._loop:
            self._loop, self._seconds = loop, 0.0
            self._set_timer(loop)
        return self._seconds

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + INTERVAL_SECONDS
        self._timer = loop.call_at(due, self._measure, loop, due)

    def _measure(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._seconds = max(loop.time() - due, DECAY * self._seconds)
        self._timer = None
        if self._is_read:
            self._is_read = False
            self._set_timer(loop)


PROCESS_LAG = LoopLag()
"""The lag of the loop of this process."""
