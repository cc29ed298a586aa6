"""Work on the event loop, cut into slices between which other calls have their turn.

For work that takes a few milliseconds, or is of many small steps: a thread would not help there, because it needs the
interpreter as the loop does.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

SLICE_SECONDS = 0.005

WOKEN_TOGETHER = 32
"""How many tasks may find that there is no time left for them."""


class Pace:
    """The slices of one piece of work.

    pace = Pace()
    for message in messages:
        work(message)
        await pace.rest()
    """

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begins a slice, after a wait."""
        self._end = time.perf_counter() + SLICE_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether it is time to rest."""
        return time.perf_counter() >= self._end

    async def rest(self) -> None:
        """Lets others have their turn when this slice is over; otherwise goes on at once."""
        if self.is_over:
            await asyncio.sleep(0)
            self.begin()


class SharedSlice:
    """A slice of each round of the event loop, in which many tasks work: without it a thousand that were woken together
    would all work in the same round, and nobody else until they were done. Belongs to one loop.

    await shared_slice.wait()
    work_for_a_millisecond()
    """

    __slots__ = ("_is_followed", "_over", "_waiting", "_woken_in_vain")

    def __init__(self) -> None:
        self._over = 0.0
        """When it ends; 0 before the first task of a round."""
        self._is_followed = False
        """Whether the next one will begin by itself."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._woken_in_vain: deque[asyncio.Future[None]] = deque()
        """Those who found no time left; they are in front of the others."""

    async def wait(self) -> None:
        """Returns at once while there is time left in this slice, else in a later one."""
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
        # Behind the tasks that were woken, which may all have left.
        self._follow()


async def _put_into(waiting: deque[asyncio.Future[None]]) -> None:
    """Returns when it is woken."""
    waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.append(waking)
    await waking
