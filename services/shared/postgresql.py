"""PostgreSQL behind `Database`, for state that several replicas share."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, cast

from sqlalchemy import ColumnElement, Double, bindparam, extract, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.shared.errors import StartupError
from services.shared.logs import Log

if TYPE_CHECKING:
    from psycopg import AsyncConnection as DriverConnection

CONNECTIONS = 5
"""Connections for reading, and as many again for writing, so that waiting writers do not block readers."""

RECYCLE_SECONDS = 1800

ANSWER_SECONDS = 2.0
CROWDED_SECONDS = 4.0
POOL_SECONDS = 10.0
"""The pool's own timeout: longer than CROWDED_SECONDS, which therefore applies."""

PING_SECONDS = 3.0
"""Silence of the listening connection after which it is checked."""
PONG_SECONDS = 3.0

_SESSION_SETTINGS = {
    "statement_timeout": "5s",
    # Below ANSWER_SECONDS, so that a wait for a lock is not taken for an unavailable server.
    "lock_timeout": "1500ms",
    "idle_in_transaction_session_timeout": "10s",
}
_CONNECTION_SETTINGS: dict[str, str | int] = {
    "connect_timeout": 2,
    "tcp_user_timeout": 5000,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "application_name": "genai-platform",
    # Without it, text from a database in SQL_ASCII would come as bytes.
    "client_encoding": "utf8",
}

_REFUSALS = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "is not permitted to log in",
    "permission denied",
    "invalid port number",
    "invalid connection option",
    '" does not exist',
)

_lock_all = select(func.pg_advisory_xact_lock(bindparam("everything")))
_lock_one = select(
    func.pg_advisory_xact_lock_shared(bindparam("everything")), func.pg_advisory_xact_lock(bindparam("one"))
)
# PostgreSQL sends it to the listeners when the transaction commits.
_announcement = func.pg_notify(bindparam("channel"), "")


class PostgreSQL:
    """A database on a PostgreSQL server."""

    shared = True
    """Whether the database is on a server, which others use, too, and which may be unavailable."""

    answer_seconds = ANSWER_SECONDS
    """Time limit for the begin of a transaction, after which a server that has not answered others counts as lost."""

    crowded_seconds = CROWDED_SECONDS
    """Time limit of a transaction's wait for others."""

    connections = CONNECTIONS

    def __init__(self, url: URL) -> None:
        if not url.database:
            raise StartupError("the database URL must name a database: postgresql://user@host/database")
        # Parameters in the URL override the settings here.
        defaults = {name: value for name, value in _CONNECTION_SETTINGS.items() if name not in url.query}
        ours = " ".join(f"-c {name}={value}" for name, value in _SESSION_SETTINGS.items())
        theirs = url.query.get("options", "")
        options = " ".join((ours, *([theirs] if isinstance(theirs, str) else theirs)))
        self._url = url.set(drivername="postgresql+psycopg").difference_update_query(["options"])
        self._connect_args = {**defaults, "options": options}

    @property
    def location(self) -> str:
        host = self._url.host or self._url.query.get("host") or "localhost"
        place = f"{host}:{self._url.port}" if self._url.port else str(host)
        return f"postgresql://{place}/{self._url.database}"

    def prepare(self, log: Log) -> None:
        """Does nothing: the server's operator creates the database."""

    async def reserve(self) -> None:
        """Does nothing: replicas of a service share a database."""

    def is_refusal(self, error: BaseException | None) -> bool:
        """Whether the error means that the URL or the server's configuration must be changed, and not that it is away.

        Only the server's text shows this, which is matched in English; in another language, a refusal is taken for an
        unavailable server.
        """
        return isinstance(error, DBAPIError) and any(words in str(error.orig) for words in _REFUSALS)

    def create_engines(self) -> tuple[AsyncEngine, AsyncEngine]:
        return self._create_engine(), self._create_engine()

    async def require_utf8(self, connection: AsyncConnection) -> None:
        """Raises StartupError for a database in another encoding, which cannot store every text."""
        encoding = (await connection.exec_driver_sql("SHOW server_encoding")).scalar_one()
        if encoding != "UTF8":
            raise StartupError(
                f"{self.location}: is encoded in {encoding} and must be in UTF8; create one with CREATE DATABASE name"
                " ENCODING 'UTF8' TEMPLATE template0"
            )

    def clock(self) -> ColumnElement[float]:
        # That of now() stands still during a transaction.
        return extract("epoch", func.clock_timestamp()).cast(Double)

    async def begin_read(self, connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    async def begin_write(
        self, connection: AsyncConnection, name: str, scope: str | None = None, *, announced: bool = True
    ) -> None:
        lock = _lock_all if scope is None else _lock_one
        values: dict[str, int | str] = {"everything": _lock_key(name), "one": _lock_key(f"{name}/{scope}")}
        if announced:
            lock = lock.add_columns(_announcement)
            values["channel"] = _channel(name)
        await connection.execute(lock, values)

    async def begin_upgrade(self, connection: AsyncConnection, name: str) -> None:
        """Begins a write transaction, alone and without time limits, after another replica has finished its upgrade."""
        await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        await connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
        await self.begin_write(connection, name)

    async def changes(self, name: str) -> AsyncGenerator[None, None]:
        """Yields at once, and after each announced commit of the service (postgresql.org/docs/current/sql-notify.html).

        A connection pooler in between must pool by session: otherwise notifications are lost.
        """
        engine = self._create_engine()
        try:
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                channel = connection.dialect.identifier_preparer.quote_identifier(_channel(name))
                await connection.exec_driver_sql(f"LISTEN {channel}")
                yield
                raw = await connection.get_raw_connection()
                driver = cast("DriverConnection", raw.driver_connection)
                while True:
                    async with contextlib.aclosing(driver.notifies(timeout=PING_SECONDS)) as notifications:
                        async for _ in notifications:
                            yield
                    async with asyncio.timeout(PONG_SECONDS):
                        await driver.execute("SELECT 1")
        finally:
            await engine.dispose()

    async def connect(self) -> DriverConnection:
        """A connection beside those of the engines, in autocommit mode, for statements that are one transaction each.

        The server answers a commit before it is on disk.
        """
        from psycopg import AsyncConnection

        _, of_url = self._url.get_dialect()().create_connect_args(self._url)
        options = f"{self._connect_args['options']} -c synchronous_commit=off"
        return await AsyncConnection.connect(**{**of_url, **self._connect_args, "options": options}, autocommit=True)

    async def close(self) -> None:
        """Does nothing: the engines have closed all connections."""

    def _create_engine(self) -> AsyncEngine:
        return create_async_engine(
            self._url,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            pool_recycle=RECYCLE_SECONDS,
            # Connections that the server has closed are replaced before use.
            pool_pre_ping=True,
            connect_args=self._connect_args,
            hide_parameters=True,
        )


def _channel(name: str) -> str:
    """The channel on which the commits of a service are announced."""
    return f"{name}_changes"


def _lock_key(name: str) -> int:
    """The number of a name's advisory lock; PostgreSQL identifies these locks by numbers."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
