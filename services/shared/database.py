"""Where a service keeps its state: SQLite by default, PostgreSQL by URL. Nothing above depends on which.

Work happens in two kinds of transactions. `read` sees one unchanging state and cannot write. `write` sees everything
that was committed before it, runs alone, and leaves either all of its work, on disk, or nothing. That holds when it is
cancelled too: the connection is then closed and replaced, because a statement may still be running on it.

    async with database.write() as connection:
        await connection.execute(table.insert().values(name=name))

Statements raise SQLAlchemy's errors for faults of the program (a broken constraint is an IntegrityError); faults of
the storage itself become errors of the family, as `storage_errors` says.

A PostgreSQL server may be away, at the start as at any other time. Transactions are then refused at once, and accepted
again a second or two after it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

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
"""Reasons of errors after which the next write is likely to fail as well."""


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
    async def open(cls, url: str, migrations: Path, log: Log, *, announced: bool = True) -> Database:
        """Opens the database at `url` and brings its schema to the newest script in the folder `migrations`.

        The folder's parent, `sessions` in services/sessions/migrations, names the service; that tells its schema from
        another's in a shared PostgreSQL database.
        A missing SQLite file, and its directory, are created. A PostgreSQL server that cannot be reached is waited for
        in the background. Raises StartupError, having changed nothing, when the database refuses the user, cannot be
        read or written, or has a schema that this program does not know.
        Writes are `announced` to those who `watch`. PostgreSQL commits announced writes one after the other, which
        slows down whoever writes much.
        """
        backend = _choose_backend(url)
        backend.prepare(log)
        database = cls(backend, migrations, log, announced=announced)
        try:
            await database._start()
        except BaseException:
            await database.close()
            raise
        return database

    @classmethod
    async def migrate(cls, url: str, migrations: Path, log: Log) -> str:
        """Does to the schema what `open` does, and returns where the data is.

        Raises StartupError also when the database cannot be reached.
        """
        database = await cls.open(url, migrations, log)
        await database.close()
        if not database.available:
            raise StartupError(f"{database.location}: {unavailable().message}")
        return database.location

    @property
    def location(self) -> str:
        """Where the data is: a file's path, or a URL without its password."""
        return self._backend.location

    @property
    def available(self) -> bool:
        """Whether the database was there when it was last needed."""
        return self._available

    @property
    def writable(self) -> bool:
        """Whether the newest write found a database that takes writes: not one that is away, full, read-only or
        damaged."""
        return self._available and self._stores and not self._damaged

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one unchanging state until the block ends, and refuses to write."""
        self._require_available()
        with self._faults_noted():
            async with self._read() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def write(self, scope: str | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection whose work is committed when the block ends, and undone when the block raises.

        Writers run one at a time. With a `scope`, such as the id of the one thing that is read and changed, only
        writers of the same scope, and those without one, are sure to wait for each other.
        Raises Unavailable COMMIT_UNKNOWN when the database was lost during the commit: the work may be there or not.
        """
        self._require_available()
        async with self._write(scope) as connection:
            yield connection

    async def watch(self, on_change: Refresh) -> None:
        """Awaits `on_change` now, and again within a second of every announced commit, by this process or any other.

        It is for copies in memory: `await database.watch(registry.load)` loads the registry and keeps it fresh. It is
        also awaited when the database is there for the first time, and when it is there again: changes may have been
        missed. It never runs twice at once; many commits may be one call. When it raises, that is logged, and it is
        awaited again; only the first time, what it raises is raised here, unless it is Unavailable. Ends in `close`.
        """
        try:
            await on_change()
        except Unavailable:
            self._log.warning("what is stored is not known until the storage is there", database=self.location)
        self._watches.add(on_change)

    async def check(self) -> bool:
        """Whether the database can be read now. One that is busy can; one that was found damaged cannot, for good."""
        with contextlib.suppress(PlatformError):
            async with self.read() as connection:
                await schema.current_revision(connection, self._name)
        return self._available and not self._damaged

    async def close(self) -> None:
        """Ends all watches and closes every connection; SQLite then folds its log into the file."""
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
            # A database that cannot be written is better found now than at the first call.
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
        async with self._commit(self._begin_upgrade, patient=True) as connection:
            # Whoever started at the same time may have been first.
            if await schema.current_revision(connection, self._name) != known[-1]:
                await connection.run_sync(schema.upgrade, self._migrations, self._name)
                self._log.info("schema upgraded", database=self.location, before=revision, now=known[-1])

    def _lose(self) -> None:
        """Refuses transactions from now on, until the server is back. A file of this machine is never waited for."""
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
    async def _commit(self, begin: Begin, *, patient: bool = False) -> AsyncIterator[AsyncConnection]:
        with self._faults_noted():
            async with self._writes.run(begin, patient=patient) as connection:
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


def sqlite_url(directory: Path, name: str) -> str:
    """The URL of the SQLite file `name`.db in `directory`."""
    return URL.create("sqlite", database=str(directory / f"{name}.db")).render_as_string()


def _choose_backend(url: str) -> SQLite | PostgreSQL:
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
    """What callers are told, and what the driver said: for the operator only, who has to find out why."""
    cause = error.__cause__
    if not isinstance(cause, DBAPIError):
        return error.message
    return f"{error.message} ({_first_line(cause)})"


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
