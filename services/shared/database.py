"""The database of a service: SQLite by default, PostgreSQL by URL; its users need not know which.

There are two kinds of transactions. `read` sees a snapshot and cannot write. `write` sees everything that was committed
before it, runs alone, and commits either all of its work, to disk, or nothing, even if it is cancelled: the connection
is then closed and replaced, because a statement may still be running on it.

    async with database.write() as connection:
        await connection.execute(table.insert().values(name=name))

Statements raise SQLAlchemy's errors for programming errors (a violated constraint is an IntegrityError); faults of the
storage itself become a PlatformError, as `storage_errors` lists them.

A PostgreSQL server may be unavailable, at the start and at any other time. Transactions are then refused at once, and
accepted again a second or two after it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.shared import migrations as schema
from services.shared.errors import DataLoss, PlatformError, StartupError, Unavailable
from services.shared.logs import Log
from services.shared.postgresql import PostgreSQL
from services.shared.sqlite import SQLite
from services.shared.storage_errors import unavailable
from services.shared.transactions import Begin, Transactions
from services.shared.watches import Refresh, Watches

RECONNECT_SECONDS = 1.0

UNWRITABLE = frozenset({"STORAGE_FULL", "STORAGE_READ_ONLY"})
"""Reasons of errors after which further writes are likely to fail as well."""


class Database:
    """The tables of one service, at the newest schema."""

    def __init__(self, backend: SQLite | PostgreSQL, migrations: Path, log: Log, *, announced: bool) -> None:
        self._backend = backend
        self._migrations = migrations
        self._name = migrations.parent.name
        self._announced = announced
        self._log = log
        reader, writer = backend.create_engines()
        self._reads = Transactions(reader, backend, log, self._lose)
        self._writes = Transactions(writer, backend, log, self._lose)
        self._watches = Watches(lambda: backend.changes(self._name), log)
        self._available = False
        self._stores = True
        self._damaged = False
        self._recovery: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, url: str, migrations: Path, log: Log, *, announced: bool = True, serves: bool = False
    ) -> Database:
        """Opens the database at `url` and brings its schema to the newest script in the folder `migrations`.

        The folder's parent, `sessions` in services/sessions/migrations, names the service, and so its schema in a
        PostgreSQL database that services share.
        A missing SQLite file, and its directory, are created. An unreachable PostgreSQL server is awaited in the
        background. Raises StartupError, without having changed anything, when the database refuses the user, cannot be
        read or written, is not in UTF-8, or has a schema that this program does not know.
        Writes are `announced` to watchers. PostgreSQL commits announced writes one after another, which slows down a
        service with many writes.
        A service `serves` the data: in SQLite, a second one is refused with a StartupError, since replicas need
        PostgreSQL. Commands may open the file beside it.
        """
        backend = choose_backend(url)
        backend.prepare(log)
        database = cls(backend, migrations, log, announced=announced)
        try:
            if serves:
                await backend.reserve()
            await database._start()
        except BaseException:
            await database.close()
            raise
        return database

    @classmethod
    async def migrate(cls, url: str, migrations: Path, log: Log) -> str:
        """Upgrades the schema as `open` does, and returns the location of the data.

        Raises StartupError as `open` does, and when the database cannot be reached.
        """
        database = await cls.open(url, migrations, log)
        await database.close()
        if not database.available:
            raise StartupError(f"{database.location}: {unavailable().message}")
        return database.location

    @property
    def location(self) -> str:
        """The location of the data: a file's path, or a URL without its password."""
        return self._backend.location

    @property
    def available(self) -> bool:
        """Whether the database could be reached at its last use."""
        return self._available

    @property
    def writable(self) -> bool:
        """Whether the last write succeeded: the database is not away, full, read-only or damaged."""
        return self._available and self._stores and not self._damaged

    def clock(self) -> ColumnElement[float]:
        """The time of the database in seconds since 1970, as an expression: the clocks of replicas may differ."""
        return self._backend.clock()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees a snapshot until the block ends, and refuses to write."""
        self._require_available()
        with self._faults_noted():
            async with self._read() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def write(self, scope: str | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection whose work is committed when the block ends, and rolled back when the block raises.

        Writers run one at a time. With a `scope`, such as the id of the one row that is read and changed, only writers
        of the same scope, and those without a scope, are certain to exclude each other.
        Raises Unavailable COMMIT_UNKNOWN when the database was lost during the commit: the work may be stored or not.
        """
        self._require_available()
        async with self._write(scope) as connection:
            yield connection

    async def watch(self, on_change: Refresh) -> None:
        """Awaits `on_change` now, and within a second of every announced commit, by this process or any other.

        It is for copies in memory: `await database.watch(registry.load)` loads the registry and keeps it up to date.
        `on_change` is also awaited when the database becomes available, because changes may have been missed. It never
        runs twice at once; one call may stand for many commits. When it raises, the error is logged and the call
        repeated; only the first call's error is raised here, unless it is Unavailable. Watching ends in `close`.
        """
        try:
            await on_change()
        except Unavailable:
            self._log.warning("what is stored is not known until the storage is there", database=self.location)
        self._watches.add(on_change)

    def stale_seconds(self) -> float:
        """The time for which a watched copy may have been out of date; 0 while all are current. For any thread."""
        return self._watches.stale_seconds()

    async def check(self) -> bool:
        """Whether the database can be read now. True for a busy one; False, for good, once it was found damaged."""
        with contextlib.suppress(PlatformError):
            async with self.read() as connection:
                await schema.current_revision(connection, self._name)
        return self._available and not self._damaged

    async def close(self) -> None:
        """Ends all watches and closes every connection; SQLite then merges its WAL into the file."""
        await self._watches.close()
        if self._recovery:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        await self._reads.close()
        await self._writes.close()
        await self._backend.close()

    async def _start(self) -> None:
        try:
            await self._upgrade()
            # Detects a read-only database now and not at the first call.
            async with self._write(None):
                pass
        except PlatformError as error:
            if self._recovery is None or self._backend.is_refusal(error.__cause__):
                raise StartupError(f"{self.location}: {_explain(error)}") from None
            self._log.warning("the storage is not there yet", database=self.location, why=_explain(error))
        except DBAPIError as error:
            if self._backend.is_refusal(error):
                raise StartupError(f"{self.location}: {_first_line(error)}") from None
            raise
        else:
            self._available = True

    async def _upgrade(self) -> None:
        known = schema.known_revisions(self._migrations)
        async with self._read() as connection:
            await self._backend.require_utf8(connection)
            revision = await schema.current_revision(connection, self._name)
            if revision is None and not self._backend.shared and await schema.has_tables(connection):
                raise StartupError(f"{self.location}: holds the tables of another program; name another file")
        if revision is not None and revision not in known:
            raise StartupError(
                f"{self.location}: has schema {revision}, which is newer than this program's {known[-1]}; "
                "run the program that wrote it"
            )
        if revision == known[-1]:
            return
        async with _upgrading(), self._commit(self._begin_upgrade, has_time_limit=False) as connection:
            # Another process that started at the same time may have been first.
            if await schema.current_revision(connection, self._name) != known[-1]:
                await connection.run_sync(schema.upgrade, self._migrations, self._name)
                self._log.info("schema upgraded", database=self.location, before=revision, now=known[-1])

    def _lose(self) -> None:
        """Refuses transactions until the server is back. Does nothing for a local file."""
        if not self._backend.shared:
            return
        self._available = False
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        while True:
            try:
                await self._upgrade()
            except Unavailable:
                self._log.info("the storage is still away", database=self.location)
            except Exception as error:
                self._log.error("the storage cannot be used", database=self.location, error=error)
            else:
                self._available = True
                self._log.info("the storage is there", database=self.location)
                return
            await asyncio.sleep(RECONNECT_SECONDS)

    def _require_available(self) -> None:
        if not self._available:
            raise unavailable()

    def _read(self) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        return self._reads.run(self._backend.begin_read)

    def _write(self, scope: str | None) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        async def begin(connection: AsyncConnection) -> None:
            await self._backend.begin_write(connection, self._name, scope, announced=self._announced)

        return self._commit(begin)

    async def _begin_upgrade(self, connection: AsyncConnection) -> None:
        await self._backend.begin_upgrade(connection, self._name)

    @contextlib.asynccontextmanager
    async def _commit(self, begin: Begin, *, has_time_limit: bool = True) -> AsyncIterator[AsyncConnection]:
        with self._faults_noted():
            async with self._writes.run(begin, has_time_limit=has_time_limit) as connection:
                yield connection
                await self._writes.commit(connection)
        self._stores = True

    @contextlib.contextmanager
    def _faults_noted(self) -> Iterator[None]:
        try:
            yield
        except DataLoss:
            self._damaged = True
            raise
        except PlatformError as error:
            if error.reason in UNWRITABLE:
                self._stores = False
            raise


_upgrades: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def _upgrading() -> asyncio.Lock:
    """A lock for upgrades, one at a time in a process: Alembic keeps in global variables what it is working on."""
    return _upgrades.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def sqlite_url(directory: Path, name: str) -> str:
    """The URL of the SQLite file `name`.db in `directory`."""
    return URL.create("sqlite", database=str(directory / f"{name}.db")).render_as_string()


def choose_backend(url: str) -> SQLite | PostgreSQL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StartupError("the database URL cannot be read; write sqlite:///path or postgresql://…") from None
    match parsed.drivername:
        case "sqlite" | "sqlite+aiosqlite":
            return SQLite(parsed)
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return PostgreSQL(parsed)
    raise StartupError(f"the database URL begins with {parsed.drivername}; write sqlite:///path or postgresql://…")


def _explain(error: PlatformError) -> str:
    """The error's message with the driver's, for the operator only."""
    cause = error.__cause__
    if not isinstance(cause, DBAPIError):
        return error.message
    return f"{error.message} ({_first_line(cause)})"


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
