"""Watches of the database: copies in memory are refreshed when stored data may have changed."""

from __future__ import annotations

import asyncio
import contextlib
import time
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

    `stale_seconds` is for any thread.
    """

    def __init__(self, changes: Changes, log: Log) -> None:
        self._changes = changes
        self._log = log
        self._signals: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._lost_at: float | None = None
        """The time from which on changes were not seen."""
        self._changed_at: dict[asyncio.Event, float] = {}
        """The times of the changes that copies do not have yet."""

    def stale_seconds(self) -> float:
        """The time for which a copy may have been out of date; 0 while all of them are current."""
        since = [*self._changed_at.values(), *([] if self._lost_at is None else [self._lost_at])]
        return time.monotonic() - min(since) if since else 0.0

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
        while True:
            try:
                async with contextlib.aclosing(self._changes()) as changes:
                    async for _ in changes:
                        if self._lost_at is not None:
                            self._log.info("changes are seen again")
                        self._lost_at = None
                        for changed in self._signals:
                            self._changed_at.setdefault(changed, time.monotonic())
                            changed.set()
            except Exception as error:
                if self._lost_at is None:
                    self._lost_at = time.monotonic()
                    self._log.warning("changes of others are not seen", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self, changed: asyncio.Event, refresh: Refresh) -> None:
        while True:
            await changed.wait()
            changed.clear()
            begun = time.monotonic()
            try:
                await refresh()
            except Exception as error:
                # The copy stays as it is until a refresh succeeds.
                self._log.warning("a change was not taken in; trying again", error=error)
                changed.set()
                await asyncio.sleep(RETRY_SECONDS)
            else:
                if changed.is_set():
                    self._changed_at[changed] = begun
                else:
                    self._changed_at.pop(changed, None)
            await asyncio.sleep(PAUSE_SECONDS)
