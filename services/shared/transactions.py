"""Begins transactions, none later than its time limit, and notices when the server is lost."""

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
    """Closes the connection, which undoes what was not committed."""


class Transactions:
    """Transactions on one pool of connections.

    `on_loss` is called when one cannot begin because the server is not there.
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
    async def run(self, begin: Begin, *, patient: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection on which `begin` has begun. What is not committed in the block is undone at its end.

        Raises Unavailable when it cannot begin in time; one that is `patient` waits as long as `begin` does.
        """
        with translated(self._log):
            beginning = self._begin(begin)
            begun = await (beginning if patient else self._in_time(beginning))
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
        """Closes all connections, and gives up what has not begun."""
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
        """Gives a late beginning up without waiting for its end: a server that does not answer does not end it."""
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
        last_look = time.monotonic() + self._backend.crowded_seconds - answer_seconds
        while not (await asyncio.wait({task}, timeout=answer_seconds))[0]:
            if not self._is_crowded(answer_seconds):
                self._on_loss()
                raise unavailable()
            if time.monotonic() > last_look:
                raise busy()
        return task.result()

    def _is_crowded(self, seconds: float) -> bool:
        """Whether it is the other transactions that hold a new one up, and not the server."""
        answered = time.monotonic() - self._last_answer < seconds
        return answered or self._running >= self._backend.connections

    def _close(self, task: asyncio.Task[_Begun]) -> None:
        """Closes what had begun when nobody waited for it any more."""
        if not task.cancelled() and task.exception() is None:
            closing = asyncio.create_task(task.result().closing.aclose())
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)
