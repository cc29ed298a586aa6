"""Work on the event loop, cut into slices between which other calls have their turn.

For work that takes a few milliseconds, or is of many small steps: a thread would not help there, because it needs the
interpreter as the loop does.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

SLICE_SECONDS = 0.005


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


class Turns:
    """The turns of many tasks, of which one works in each round of the event loop: without them a thousand that were
    woken together would all work in the same round, and nobody else until they were done. Belongs to one loop.

    await turns.wait()
    work_for_a_few_milliseconds()
    """

    __slots__ = ("_is_taken", "_waiting")

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Returns when it is the caller's turn, which lasts until the caller waits for something again."""
        loop = asyncio.get_running_loop()
        if self._is_taken:
            turn: asyncio.Future[None] = loop.create_future()
            self._waiting.append(turn)
            await turn
            return
        self._is_taken = True
        loop.call_soon(self._begin_round, loop)

    def _begin_round(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                # Behind the task that this wakes.
                loop.call_soon(self._begin_round, loop)
                return
        self._is_taken = False
