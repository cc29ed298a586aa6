"""Long work on the event loop, cut into slices between which other calls have their turn.

For work of many small steps: a thread would not help there, because it needs the interpreter as the loop does.
"""

from __future__ import annotations

import asyncio
import time

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
