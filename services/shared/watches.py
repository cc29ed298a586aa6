"""Watches of the database: copies in memory are refreshed when stored data may have changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from services.shared.logs import Log

RECONNECT_SECONDS = 1.0
RETRY_SECONDS = 1.0

PAUSE_SECONDS = 0.1
"""Pause between two refreshes of a copy, so that many changes cause one refresh."""

Refresh = Callable[[], Awaitable[None]]
Changes = Callable[[], AsyncGenerator[None, None]]


class Watches:
    """Refreshes copies whenever `changes` yields.

    `changes` yields when it starts, because earlier changes may have been missed, and after each change. When it
    raises, it is restarted.
    """

    def __init__(self, changes: Changes, log: Log) -> None:
        self._changes = changes
        self._log = log
        self._signals: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, refresh: Refresh) -> None:
        """Awaits `refresh` after each change, never twice at once; when it raises, it is repeated."""
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._listen()))
        changed = asyncio.Event()
        self._signals.append(changed)
        self._tasks.append(asyncio.create_task(self._follow(changed, refresh)))

    async def close(self) -> None:
        """Ends all watching. A refresh that is running is cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        lost = False
        while True:
            try:
                async with contextlib.aclosing(self._changes()) as changes:
                    async for _ in changes:
                        if lost:
                            self._log.info("changes are seen again")
                        lost = False
                        for changed in self._signals:
                            changed.set()
            except Exception as error:
                if not lost:
                    self._log.warning("changes of others are not seen", error=type(error).__name__)
                lost = True
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self, changed: asyncio.Event, refresh: Refresh) -> None:
        while True:
            await changed.wait()
            changed.clear()
            try:
                await refresh()
            except Exception as error:
                # The copy stays as it is until a refresh succeeds.
                self._log.warning("a change was not taken in; trying again", error=error)
                changed.set()
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(PAUSE_SECONDS)
