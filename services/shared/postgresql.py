"""PostgreSQL behind `Database`: for state that several replicas share."""

from __future__ import annotations

import hashlib

from sqlalchemy import bindparam, func, select
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.shared.errors import StartupError
from services.shared.logs import Log
from services.shared.storage_errors import POOL_SECONDS

CONNECTIONS = 5
"""For reading, and as many again for writing, so that writers who wait for each other do not hold up readers."""

RECYCLE_SECONDS = 1800

_SESSION_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
}
_CONNECTION_SETTINGS: dict[str, str | int] = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "application_name": "genai-platform",
}

_lock_all = select(func.pg_advisory_xact_lock(bindparam("everything")))
_lock_one = select(
    func.pg_advisory_xact_lock_shared(bindparam("everything")), func.pg_advisory_xact_lock(bindparam("one"))
)


class PostgreSQL:
    """A database on a PostgreSQL server."""

    shared = True
    """Whether other services may keep their tables in the same database."""

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

    def create_engines(self) -> tuple[AsyncEngine, AsyncEngine]:
        return self._create_engine(), self._create_engine()

    async def begin_read(self, connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    async def begin_write(self, connection: AsyncConnection, name: str, scope: str | None) -> None:
        everything = _lock_key(name)
        if scope is None:
            await connection.execute(_lock_all, {"everything": everything})
            return
        await connection.execute(_lock_one, {"everything": everything, "one": _lock_key(f"{name}/{scope}")})

    async def begin_upgrade(self, connection: AsyncConnection, name: str) -> None:
        """Begins to write, alone and without time limits, when another replica has finished its upgrade."""
        await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        await connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
        await self.begin_write(connection, name, None)

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


def _lock_key(name: str) -> int:
    """A stable number for a name: PostgreSQL's advisory locks are numbered."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
