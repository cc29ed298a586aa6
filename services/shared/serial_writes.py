"""Serial writes of a registry: to the database, and then to its copy in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class SerialWrites:
    """Runs the writes of one registry one after another, each to its end even if its caller is cancelled.

    A write changes the database and then memory; a cancellation between the two would leave them different. A caller
    that is cancelled before its write has started leaves no write behind.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._running: asyncio.Task[Any] | None = None

    async def run(self, write: Coroutine[Any, Any, Result]) -> Result:
        """Returns or raises what `write` does, after all earlier writes have ended."""
        try:
            await self._lock.acquire()
        except BaseException:
            write.close()
            raise
        self._running = task = asyncio.create_task(write)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    def _end(self, write: asyncio.Task[Any]) -> None:
        self._lock.release()
        if not write.cancelled():
            # Retrieves the exception: asyncio would log it if the caller was cancelled meanwhile.
            write.exception()
