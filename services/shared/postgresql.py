"""PostgreSQL behind `Database`: for state that several replicas share."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, cast

from sqlalchemy import bindparam, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.shared.errors import StartupError
from services.shared.logs import Log

if TYPE_CHECKING:
    from psycopg import AsyncConnection as DriverConnection

CONNECTIONS = 5
"""For reading, and as many again for writing, so that writers who wait for each other do not hold up readers."""

RECYCLE_SECONDS = 1800

ANSWER_SECONDS = 2.0
CROWDED_SECONDS = 4.0
POOL_SECONDS = 10.0
"""How long the pool lets a transaction wait: longer than CROWDED_SECONDS, so that this is the limit."""

PING_SECONDS = 3.0
"""How long a connection that waits for notices may be silent before it is asked whether it is still there."""
PONG_SECONDS = 3.0

_SESSION_SETTINGS = {
    "statement_timeout": "5s",
    # Below ANSWER_SECONDS: who waits for a lock is told so, before the server is taken to be away.
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
# Sent to those who listen when the transaction commits, and only then.
_announcement = func.pg_notify(bindparam("channel"), "")


class PostgreSQL:
    """A database on a PostgreSQL server."""

    shared = True
    """Whether the database is a server's, which others use too and which may be away."""

    answer_seconds = ANSWER_SECONDS
    """A server that has let a new transaction wait so long, and has answered no other, is taken for lost."""

    crowded_seconds = CROWDED_SECONDS
    """How long a transaction waits at most until others let it begin."""

    connections = CONNECTIONS

    def __init__(self, url: URL) -> None:
        if not url.database:
            raise StartupError("the database URL must name a database: postgresql://user@host/database")
        # What the URL itself says wins over the settings here.
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
        """Nothing: the server's operator creates the database."""

    def is_refusal(self, error: BaseException | None) -> bool:
        """Whether the server was there, or can never be, and the URL must be changed.

        The driver tells these only by the server's text, which is matched in English; in another language, a refusal
        is taken for a server that is away.
        """
        return isinstance(error, DBAPIError) and any(words in str(error.orig) for words in _REFUSALS)

    def create_engines(self) -> tuple[AsyncEngine, AsyncEngine]:
        return self._create_engine(), self._create_engine()

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
        """Begins to write, alone and without time limits, when another replica has finished its upgrade."""
        await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        await connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
        await self.begin_write(connection, name)

    async def changes(self, name: str) -> AsyncGenerator[None, None]:
        """Yields at once, and after each announced commit of the service (postgresql.org/docs/current/sql-notify.html).

        A proxy between must give each session a connection of its own: notices are lost otherwise.
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
                    async with contextlib.aclosing(driver.notifies(timeout=PING_SECONDS)) as notices:
                        async for _ in notices:
                            yield
                    async with asyncio.timeout(PONG_SECONDS):
                        await driver.execute("SELECT 1")
        finally:
            await engine.dispose()

    async def close(self) -> None:
        """Nothing is left when the engines are disposed of."""

    def _create_engine(self) -> AsyncEngine:
        return create_async_engine(
            self._url,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            pool_recycle=RECYCLE_SECONDS,
            # A connection that the server has closed is replaced before it is used.
            pool_pre_ping=True,
            connect_args=self._connect_args,
            hide_parameters=True,
        )


def _channel(name: str) -> str:
    """Where the commits of a service are announced."""
    return f"{name}_changes"


def _lock_key(name: str) -> int:
    """A stable number for a name: PostgreSQL's advisory locks are numbered."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
