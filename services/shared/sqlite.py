"""SQLite behind `Database`: one file, one connection that writes, a few that read.

Every write transaction begins with BEGIN IMMEDIATE: one that turned from reading to writing half-way would fail at
once, without waiting, when another writer came first (sqlite.org/isolation.html).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import weakref
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from services.shared.errors import StartupError
from services.shared.logs import Log

READERS = 4

CROWDED_SECONDS = 4.0

BUSY_MILLISECONDS = 2000
UPGRADE_BUSY_MILLISECONDS = 60_000
LOOK_SECONDS = 0.25
"""Between two looks at whether something was committed."""

PRIVATE = 0o600
OTHERS = 0o077
"""Of a file's mode: what its user's group and everybody else may do."""

SIDE_FILES = ("-wal", "-shm", "-journal")
"""Made by SQLite beside a database, with the mode of its file (sqlite.org/tempfiles.html)."""

_ANY_CONNECTION = ("PRAGMA foreign_keys = ON", f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
_READER = (*_ANY_CONNECTION, "PRAGMA query_only = ON")
_WRITER = (*_ANY_CONNECTION, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")


class SQLite:
    """A database in one file of this machine, used by one process."""

    shared = False
    """Whether the database is a server's, which others use too and which may be away."""

    answer_seconds = None
    """There is no server that could fail to answer."""

    crowded_seconds = CROWDED_SECONDS
    """How long a transaction waits at most for one of this process's connections."""

    connections = READERS

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:" or url.query:
            raise StartupError("the database URL must name a file and nothing else: sqlite:///path")
        self._path = Path(url.database).expanduser().absolute()
        self._drivers: weakref.WeakSet[_Driver] = weakref.WeakSet()

    @property
    def location(self) -> str:
        return str(self._path)

    def prepare(self, log: Log) -> None:
        """Creates the file and its directory, for their user only, and closes a file that was open to others.

        Raises StartupError when it cannot create them.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise StartupError(f"the directory {self._path.parent} cannot be created: {reason}") from None
        # An existing file is not opened here: to close it would give up the locks that others in this process have.
        with contextlib.suppress(OSError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
        try:
            # The asynchronous driver leaves a thread behind when it cannot open the file.
            sqlite3.connect(self._path).close()
        except sqlite3.Error as error:
            raise StartupError(f"the file {self._path} cannot be opened: {error}") from None
        # What a link leads to is what SQLite writes, and beside it.
        file = self._path.resolve()
        for name in (file.name, *(file.name + suffix for suffix in SIDE_FILES)):
            _close_to_others(file.with_name(name), log)
        if has_wal_reset_bug(sqlite3.sqlite_version_info[:3]):
            log.warning(
                "this SQLite can corrupt a file that two processes write; give each file one process, or upgrade",
                sqlite_version=sqlite3.sqlite_version,
                see="https://sqlite.org/wal.html#walresetbug",
            )

    def is_refusal(self, error: BaseException | None) -> bool:
        return True

    def create_engines(self) -> tuple[AsyncEngine, AsyncEngine]:
        return self._create_engine(READERS, _READER), self._create_engine(1, _WRITER)

    async def begin_read(self, connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("BEGIN")

    async def begin_write(
        self, connection: AsyncConnection, name: str, scope: str | None = None, *, announced: bool = True
    ) -> None:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")

    async def begin_upgrade(self, connection: AsyncConnection, name: str) -> None:
        """Begins to write, when another process has finished its upgrade."""
        await connection.exec_driver_sql(f"PRAGMA busy_timeout = {UPGRADE_BUSY_MILLISECONDS}")
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
        await connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")

    async def changes(self, name: str) -> AsyncGenerator[None, None]:
        """Yields at once, and after each commit of any connection to the file.

        A look costs no reading of it, and waits for no writer (sqlite.org/pragma.html#pragma_data_version).
        """
        seen = None
        async with self._connect(str(self._path), isolation_level=None) as connection:
            while True:
                rows = await connection.execute_fetchall("PRAGMA data_version")
                newest = next(iter(rows))[0]
                if newest != seen:
                    seen = newest
                    yield
                await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """Waits for the threads of connections that were given up, with a statement in progress for one: what they have
        to tell, they tell the event loop, which must still be there."""
        for driver in list(self._drivers):
            await driver.ended()

    def _connect(self, path: str, **options: Any) -> _Driver:
        driver = _Driver(lambda: sqlite3.connect(path, **options), iter_chunk_size=64)
        # As SQLAlchemy does: a process that ends does not wait for it.
        driver._thread.daemon = True
        self._drivers.add(driver)
        return driver

    def _create_engine(self, connections: int, pragmas: tuple[str, ...]) -> AsyncEngine:
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self._path)),
            poolclass=AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=CROWDED_SECONDS,
            # The driver then begins no transaction of its own; every BEGIN is one of ours.
            connect_args={"isolation_level": None, "factory": _Connection, "async_creator_fn": self._connect},
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
    """A connection that can be closed although it was stopped.

    Who is cancelled twice closes it twice, and waits for a thread that has ended: for ever, and the process with it.
    """

    _stopped = False

    def stop(self) -> asyncio.Future[Any] | None:
        if self._stopped:
            return None
        self._stopped = True
        return super().stop()

    async def ended(self) -> None:
        """Waits until its thread has ended, for as long as a statement may last."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, BUSY_MILLISECONDS / 1000)


class _Connection(sqlite3.Connection):
    """A connection that undoes its work before it is closed.

    SQLite keeps a closed connection, with its locks, until the last of its statements is done with
    (sqlite.org/c3ref/close.html), and a cancelled call leaves one behind.
    """

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.rollback()
        super().close()


def _close_to_others(file: Path, log: Log) -> None:
    """Takes from everybody but its user what they may do with a file of the database."""
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


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite may corrupt a WAL that several connections write (sqlite.org/wal.html#walresetbug)."""
    repaired_branches = {(3, 44): 6, (3, 50): 7}
    repair = repaired_branches.get((version[0], version[1]))
    if repair is not None and version[2] >= repair:
        return False
    return (3, 7, 0) <= version < (3, 51, 3)
