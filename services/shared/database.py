"""Where a service keeps its state: SQLite by default, PostgreSQL by URL. Nothing above depends on which.

Work happens in two kinds of transactions. `read` sees one unchanging state and cannot write. `write` sees everything
that was committed before it, runs alone, and leaves either all of its work, on disk, or nothing. That holds when it is
cancelled too: the connection is then closed and replaced, because a statement may still be running on it.

    async with database.write() as connection:
        await connection.execute(table.insert().values(name=name))

Statements raise SQLAlchemy's errors for faults of the program (a broken constraint is an IntegrityError); faults of
the storage itself become errors of the family, as `storage_errors` says.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.shared import migrations as schema
from services.shared.errors import PlatformError, StartupError
from services.shared.logs import Log
from services.shared.postgresql import PostgreSQL
from services.shared.sqlite import SQLite
from services.shared.storage_errors import translated


class Database:
    """The tables of one service, at the newest schema."""

    def __init__(self, backend: SQLite | PostgreSQL, name: str, log: Log) -> None:
        self._backend = backend
        self._name = name
        self._log = log
        self._reader, self._writer = backend.create_engines()

    @classmethod
    async def open(cls, url: str, migrations: Path, log: Log) -> Database:
        """Opens the database at `url` and brings its schema to the newest script in the folder `migrations`.

        The folder's parent, `sessions` in services/sessions/migrations, names the service; that tells its schema from
        another's in a shared PostgreSQL database.
        A missing SQLite file, and its directory, are created. Raises StartupError, having changed nothing, when the
        database cannot be reached, read or written, or has a schema that this program does not know.
        """
        backend = _choose_backend(url)
        backend.prepare(log)
        database = cls(backend, migrations.parent.name, log)
        try:
            await database._upgrade(migrations)
        except PlatformError as error:
            await database.close()
            raise StartupError(f"{database.location}: {_explain(error)}") from None
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def location(self) -> str:
        """Where the data is: a file's path, or a URL without its password."""
        return self._backend.location

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one unchanging state until the block ends, and refuses to write."""
        with translated(self._log):
            async with self._reader.connect() as connection:
                await self._backend.begin_read(connection)
                yield connection

    @contextlib.asynccontextmanager
    async def write(self, scope: str | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection whose work is committed when the block ends, and undone when the block raises.

        Writers run one at a time. With a `scope`, such as the id of the one thing that is read and changed, only
        writers of the same scope, and those without one, are sure to wait for each other.
        """
        async with self._committed() as connection:
            await self._backend.begin_write(connection, self._name, scope)
            yield connection

    async def close(self) -> None:
        """Closes every connection; SQLite then folds its log into the file."""
        await self._reader.dispose()
        await self._writer.dispose()

    async def _upgrade(self, migrations: Path) -> None:
        known = schema.known_revisions(migrations)
        async with self.read() as connection:
            revision = await schema.current_revision(connection, self._name)
            if revision is None and not self._backend.shared and await schema.has_tables(connection):
                raise StartupError(f"{self.location}: holds the tables of another program; name another file")
        if revision is not None and revision not in known:
            raise StartupError(
                f"{self.location}: has schema {revision}, which is newer than this program's {known[-1]}; "
                "run the program that wrote it"
            )
        if revision == known[-1]:
            # A database that cannot be written is better found now than at the first call.
            async with self.write():
                return
        async with self._committed() as connection:
            await self._backend.begin_upgrade(connection, self._name)
            # Whoever started at the same time may have been first.
            if await schema.current_revision(connection, self._name) != known[-1]:
                await connection.run_sync(schema.upgrade, migrations, self._name)
                self._log.info("schema upgraded", database=self.location, before=revision, now=known[-1])

    @contextlib.asynccontextmanager
    async def _committed(self) -> AsyncIterator[AsyncConnection]:
        """The connection that writes. Closing it, when the block was left early, undoes what was not committed."""
        with translated(self._log):
            async with self._writer.connect() as connection:
                yield connection
                await connection.commit()


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
    said = str(cause.orig).strip().partition("\n")[0]
    return f"{error.message} ({said})"
