"""SQLite behind `Database`: one file, one connection for writing, a few for reading.

Every write transaction begins with BEGIN IMMEDIATE: one that started reading and wrote later would fail at once,
without waiting, if another writer was first (sqlite.org/isolation.html).

Beside the file are two more, each for a lock:

-served   held by the service whose file it is, for as long as it runs
-turn     held by who writes, that service or a command beside it, for each transaction with the checkpoint at its end

By the second one, no process writes while another one checkpoints, which can corrupt the file in every SQLite before
3.51.3 (sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import time
import weakref
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import ColumnElement, event, literal
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from services.shared.errors import StartupError
from services.shared.file_lock import PRIVATE, FileLock
from services.shared.logs import Log
from services.shared.storage_errors import busy, unavailable

READERS = 4

CROWDED_SECONDS = 4.0

BUSY_MILLISECONDS = 2000
UPGRADE_BUSY_MILLISECONDS = 60_000
POLL_SECONDS = 0.25
"""Interval of the check for new commits."""

SERVED_SECONDS = 1.0
"""Time for which a start waits for the lock of another service: one that was killed has it until the kernel is done."""

OTHERS = 0o077
"""Bits of a file's mode for its group and all other users."""

SIDE_FILES = ("-wal", "-shm", "-journal")
"""Files that SQLite creates next to a database, with the same mode (sqlite.org/tempfiles.html)."""

SERVED = "-served"
TURN = "-turn"

_ANY_CONNECTION = ("PRAGMA foreign_keys = ON", f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
_READER = (*_ANY_CONNECTION, "PRAGMA query_only = ON")
_WRITER = (*_ANY_CONNECTION, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")


class SQLite:
    """A database in one file of this machine, of one service."""

    shared = False
    """Whether the database is on a server, which others use, too, and which may be unavailable."""

    answer_seconds = None
    """Unset: there is no server that could fail to answer."""

    crowded_seconds = CROWDED_SECONDS
    """Time limit of a transaction's wait for one of this process's connections."""

    connections = READERS

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:" or url.query:
            raise StartupError("the database URL must name a file and nothing else: sqlite:///path")
        self._path = Path(url.database).expanduser().absolute()
        self._drivers: weakref.WeakSet[_Driver] = weakref.WeakSet()
        self._served: FileLock | None = None

    @property
    def location(self) -> str:
        return str(self._path)

    def prepare(self, log: Log) -> None:
        """Creates the file and its directory, for their user only, and removes the access of others to existing files.

        Raises StartupError when it cannot create them.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise StartupError(f"the directory {self._path.parent} cannot be created: {reason}") from None
        # An existing file is not opened here: closing it would release the locks of this process's other connections.
        with contextlib.suppress(OSError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
        try:
            # The asynchronous driver would leave a thread behind if the file cannot be opened.
            sqlite3.connect(self._path).close()
        except sqlite3.Error as error:
            raise StartupError(f"the file {self._path} cannot be opened: {error}") from None
        # SQLite follows links, and creates its other files next to the target.
        for suffix in ("", *SIDE_FILES, SERVED, TURN):
            _remove_access_of_others(_beside(self._path, suffix), log)

    async def reserve(self) -> None:
        """Keeps other services away from the file until `close`. Raises StartupError when one has it already."""
        self._served = served_lock(self._path)
        try:
            reserved = await self._served.acquire(SERVED_SECONDS)
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise StartupError(f"the file {self._path} cannot be locked: {reason}") from None
        if not reserved:
            raise StartupError(
                f"the file {self._path} is served by another process; stop that one, or give this one a GENAI_DATA_DIR"
                " of its own; replicas share a PostgreSQL"
            )

    def is_refusal(self, error: BaseException | None) -> bool:
        return True

    def create_engines(self) -> tuple[AsyncEngine, AsyncEngine]:
        return self._create_engine(READERS, _READER, _Connection), self._create_engine(1, _WRITER, _Writer)

    async def require_utf8(self, connection: AsyncConnection) -> None:
        """Does nothing: files in UTF-16 store every text, too."""

    def clock(self) -> ColumnElement[float]:
        return literal(time.time())

    async def begin_read(self, connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("BEGIN")

    async def begin_write(
        self, connection: AsyncConnection, name: str, scope: str | None = None, *, announced: bool = True
    ) -> None:
        await _take_turn(connection, BUSY_MILLISECONDS)
        await connection.exec_driver_sql("BEGIN IMMEDIATE")

    async def begin_upgrade(self, connection: AsyncConnection, name: str) -> None:
        """Begins a write transaction, after another process has finished its upgrade."""
        await _take_turn(connection, UPGRADE_BUSY_MILLISECONDS)
        await connection.exec_driver_sql(f"PRAGMA busy_timeout = {UPGRADE_BUSY_MILLISECONDS}")
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
        await connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")

    async def changes(self, name: str) -> AsyncGenerator[None, None]:
        """Yields at once, and after each commit of any connection to the file.

        The check neither reads the file nor waits for writers (sqlite.org/pragma.html#pragma_data_version).
        """
        seen = None
        async with self._connect(str(self._path), isolation_level=None) as connection:
            while True:
                rows = await connection.execute_fetchall("PRAGMA data_version")
                newest = next(iter(rows))[0]
                if newest != seen:
                    seen = newest
                    yield
                await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Waits for the threads of abandoned connections, which may be running a statement: they report to the event
        loop, which must still be open. Then other services may have the file."""
        for driver in list(self._drivers):
            await driver.wait_until_ended()
        if self._served:
            self._served.close()

    def _connect(self, path: str, **options: Any) -> _Driver:
        driver = _Driver(lambda: sqlite3.connect(path, **options), iter_chunk_size=64)
        # As SQLAlchemy does, so that a process can exit without it.
        driver._thread.daemon = True
        self._drivers.add(driver)
        return driver

    def _create_engine(
        self, connections: int, pragmas: tuple[str, ...], factory: type[sqlite3.Connection]
    ) -> AsyncEngine:
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self._path)),
            poolclass=AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=CROWDED_SECONDS,
            # Without an isolation level, the driver begins no transactions of its own.
            connect_args={"isolation_level": None, "factory": factory, "async_creator_fn": self._connect},
            hide_parameters=True,
        )

        @event.listens_for(engine.sync_engine, "connect")
        def configure(connection: Any, _: object) -> None:
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(pragma)
            cursor.close()

        return engine


class _Driver(aiosqlite.Connection):
    """A connection whose second `stop` does nothing.

    A task that is cancelled twice closes it twice; aiosqlite would then wait forever for a thread that has ended.
    """

    _stopped = False

    @property
    def turn(self) -> FileLock:
        """The turn of a connection for writing."""
        assert isinstance(self._connection, _Writer)
        return self._connection.turn

    def stop(self) -> asyncio.Future[Any] | None:
        if self._stopped:
            return None
        self._stopped = True
        return super().stop()

    async def wait_until_ended(self) -> None:
        """Waits until the thread has ended, for at most as long as a statement may take."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, BUSY_MILLISECONDS / 1000)


class _Connection(sqlite3.Connection):
    """A connection that rolls back before it is closed.

    SQLite keeps a closed connection, with its locks, until its last statement is finalized
    (sqlite.org/c3ref/close.html), and a cancelled call leaves a statement behind.
    """

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.rollback()
        super().close()


class _Writer(_Connection):
    """A connection for writing, which gives its turn back when its transaction has ended.

    A commit checkpoints, from time to time, before it returns.
    """

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self.turn = FileLock(_beside(Path(path), TURN))

    def commit(self) -> None:
        try:
            super().commit()
        finally:
            self.turn.release()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self.turn.release()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.turn.close()


def served_lock(path: Path) -> FileLock:
    """The lock of the service whose file it is."""
    return FileLock(_beside(path, SERVED))


async def _take_turn(connection: AsyncConnection, milliseconds: int) -> None:
    """Waits until no other process writes. Raises Unavailable when one has written for so long."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, _Driver)
    try:
        taken = await driver.turn.acquire(milliseconds / 1000)
    except OSError:
        raise unavailable() from None
    if not taken:
        raise busy()


def _beside(path: Path, suffix: str) -> Path:
    """The file beside a database, or beside what a link leads to, as SQLite names its own."""
    file = path.resolve()
    return file.with_name(file.name + suffix)


def _remove_access_of_others(file: Path, log: Log) -> None:
    """Removes all permissions on a database file except its user's."""
    try:
        mode = file.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) or not mode & OTHERS:
        return
    before = f"{stat.S_IMODE(mode):04o}"
    try:
        file.chmod(stat.S_IMODE(mode) & ~OTHERS)
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        log.warning("a storage file is open to other users and stays so", file=str(file), mode=before, why=reason)
        return
    log.warning("a storage file was open to other users; now it is its own user's only", file=str(file), mode=before)
