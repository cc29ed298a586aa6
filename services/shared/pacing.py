"""Long work on the event loop, cut into slices between which other calls have their turn.

For work of many small steps: a thread would not help there, because it needs the interpreter as the loop does.
"""

from __future__ import annotations

import asyncio
import time

SLICE_SECONDS = 0.002


class Pace:
    """The slices of one piece of work.

    pace = Pace()
    for message in messages:
        work(message)
        await pace.rest()
    """

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = time.perf_counter() + SLICE_SECONDS

    async def rest(self) -> None:
        """Lets others have their turn when this slice is over; otherwise goes on at once."""
        if time.perf_counter() >= self._end:
            await asyncio.sleep(0)
            self._end = time.perf_counter() + SLICE_SECONDS
