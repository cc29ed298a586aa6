"""How long the event loop was held, told by the CPU time of its thread: other programs on the machine do not count."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator


class Holds:
    """`longest` is the most CPU time, in seconds, between two turns of the loop."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        while True:
            started = time.thread_time()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.thread_time() - started)


@contextlib.asynccontextmanager
async def watched_loop() -> AsyncIterator[Holds]:
    """What happens to the event loop in the block, without what the collection of garbage adds anywhere."""
    holds = Holds()
    gc.disable()
    watching = asyncio.create_task(holds.watch())
    await asyncio.sleep(0)
    try:
        yield holds
        # What was called last is counted too.
        await asyncio.sleep(0)
    finally:
        gc.enable()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
