"""Time slices: work on the event loop, interrupted so that other tasks can run.

They are for work of a few milliseconds, or of many small steps. A thread would not help there, because it would compete
with the loop for the interpreter.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

SLICE_SECONDS = 0.005

WOKEN_TOGETHER = 32
"""Waiting tasks that are woken at a time; some of them may find that the slice is over."""


class TimeSlices:
    """The time slices of one piece of work.

    slices = TimeSlices()
    for message in messages:
        work(message)
        await slices.yield_if_over()
    """

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Starts a new slice, after a wait."""
        self._end = time.perf_counter() + SLICE_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether the slice is over."""
        return time.perf_counter() >= self._end

    async def yield_if_over(self) -> None:
        """Lets other tasks run if this slice is over; else returns at once."""
        if self.is_over:
            await asyncio.sleep(0)
            self.restart()


class SharedTimeSlice:
    """A time slice of each round of the event loop, shared by many tasks. Belongs to one loop.

    Without it, a thousand tasks that are woken together would all work in the same round, and block all others.

    await shared_slice.wait()
    work_for_a_millisecond()
    """

    __slots__ = ("_is_followed", "_over", "_waiting", "_woken_in_vain")

    def __init__(self) -> None:
        self._over = 0.0
        """End of the slice; 0 before the first task of a round."""
        self._is_followed = False
        """Whether the start of the next slice is scheduled."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._woken_in_vain: deque[asyncio.Future[None]] = deque()
        """Tasks that were woken after the slice was over; they come first in the next one."""

    async def wait(self) -> None:
        """Waits for a slice with time left. Returns at once if this is one."""
        if not self._waiting and not self._woken_in_vain and self._has_time():
            return
        await _put_into(self._waiting)
        while not self._has_time():
            await _put_into(self._woken_in_vain)

    def _has_time(self) -> bool:
        now = time.monotonic()
        if self._over:
            return now < self._over
        self._over = now + SLICE_SECONDS
        self._follow()
        return True

    def _follow(self) -> None:
        if not self._is_followed:
            self._is_followed = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._over = 0.0
        self._is_followed = False
        self._waiting.extendleft(reversed(self._woken_in_vain))
        self._woken_in_vain.clear()
        if not self._waiting:
            return
        for _ in range(min(WOKEN_TOGETHER, len(self._waiting))):
            waking = self._waiting.popleft()
            if not waking.done():
                waking.set_result(None)
        # After the woken tasks; all of them may have been cancelled.
        self._follow()


async def _put_into(waiting: deque[asyncio.Future[None]]) -> None:
    """Waits in the queue until woken."""
    waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.append(waking)
    await waking
