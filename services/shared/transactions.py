"""Transactions, which begin within a time limit, and the detection of a lost server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.shared.logs import Log
from services.shared.postgresql import PostgreSQL
from services.shared.sqlite import SQLite
from services.shared.storage_errors import busy, is_lost, translated, translated_commit, unavailable

Begin = Callable[[AsyncConnection], Awaitable[None]]


class _Begun(NamedTuple):
    connection: AsyncConnection
    closing: contextlib.AsyncExitStack
    """Closes the connection, which rolls back uncommitted work."""


class Transactions:
    """Transactions on one pool of connections.

    `on_loss` is called when a transaction cannot begin because the server is unavailable.
    """

    def __init__(
        self, engine: AsyncEngine, backend: SQLite | PostgreSQL, log: Log, on_loss: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._backend = backend
        self._log = log
        self._on_loss = on_loss
        self._running = 0
        self._last_answer = 0.0
        self._beginnings: set[asyncio.Task[_Begun]] = set()
        self._closings: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def run(self, begin: Begin, *, has_time_limit: bool = True) -> AsyncIterator[AsyncConnection]:
        """A connection with a transaction that `begin` has begun. Uncommitted work is rolled back after the block.

        Raises Unavailable when the transaction cannot begin within the time limit.
        """
        with translated(self._log):
            beginning = self._begin(begin)
            begun = await (self._in_time(beginning) if has_time_limit else beginning)
            async with begun.closing:
                self._running += 1
                try:
                    yield begun.connection
                finally:
                    self._running -= 1

    async def commit(self, connection: AsyncConnection) -> None:
        """Commits. Raises Unavailable COMMIT_UNKNOWN when the server was lost before it answered."""
        with translated_commit(self._log):
            await connection.commit()

    async def close(self) -> None:
        """Closes all connections, and cancels transactions that have not begun."""
        for task in self._beginnings:
            task.cancel()
        await asyncio.gather(*self._beginnings, *self._closings, return_exceptions=True)
        await self._engine.dispose()

    async def _begin(self, begin: Begin) -> _Begun:
        try:
            async with contextlib.AsyncExitStack() as closing:
                connection = await closing.enter_async_context(self._engine.connect())
                self._last_answer = time.monotonic()
                await begin(connection)
                return _Begun(connection, closing.pop_all())
        except DBAPIError as error:
            if is_lost(error):
                self._on_loss()
            raise

    async def _in_time(self, beginning: Coroutine[Any, Any, _Begun]) -> _Begun:
        """Waits within the time limit, and does not wait for a cancelled begin: a silent server would never end it."""
        if self._backend.answer_seconds is None:
            return await beginning
        task = asyncio.create_task(beginning)
        self._beginnings.add(task)
        task.add_done_callback(self._beginnings.discard)
        try:
            return await self._wait(task, self._backend.answer_seconds)
        except BaseException:
            task.cancel()
            task.add_done_callback(self._close)
            raise

    async def _wait(self, task: asyncio.Task[_Begun], answer_seconds: float) -> _Begun:
        last_check = time.monotonic() + self._backend.crowded_seconds - answer_seconds
        while not (await asyncio.wait({task}, timeout=answer_seconds))[0]:
            if not self._is_crowded(answer_seconds):
                self._on_loss()
                raise unavailable()
            if time.monotonic() > last_check:
                raise busy()
        return task.result()

    def _is_crowded(self, seconds: float) -> bool:
        """Whether a new transaction waits for other transactions, and not for the server."""
        answered = time.monotonic() - self._last_answer < seconds
        return answered or self._running >= self._backend.connections

    def _close(self, task: asyncio.Task[_Begun]) -> None:
        """Closes a transaction that began after its caller had stopped waiting."""
        if not task.cancelled() and task.exception() is None:
            closing = asyncio.create_task(task.result().closing.aclose())
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)
