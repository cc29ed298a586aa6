"""Opens the limiter with the store that the settings choose."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy.engine import make_url

from services.models.limits.limiter import Limiter, LimiterSettings, UnpricedPolicy
from services.models.limits.memory_store import MemoryStore
from services.models.limits.postgresql_store import PostgreSQLStore
from services.models.limits.spent_source import NothingSpent, SpentSource
from services.models.limits.store import LimitStore
from services.models.limits.windows import Calendar
from services.shared.database import Database
from services.shared.errors import StartupError
from services.shared.logs import Log
from services.shared.postgresql import PostgreSQL

MIGRATIONS = Path(__file__).resolve().parent / "migrations"

StoreKind: TypeAlias = Literal["memory", "postgresql", "redis"]


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """The settings of limits."""

    store: StoreKind = "memory"
    database_url: str = ""
    redis_url: str = ""
    timezone: str = "UTC"
    replicas: int = 1
    unpriced: UnpricedPolicy = "refuse"

    def calendar(self) -> Calendar:
        """The calendar of the time zone. Raises StartupError for an unknown one."""
        try:
            return Calendar(ZoneInfo(self.timezone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise StartupError(
                f"LIMITS_TIMEZONE: {self.timezone[:64]!r} is no time zone that this machine knows; write one such as"
                " Europe/Berlin"
            ) from None


@contextlib.asynccontextmanager
async def open_limiter(settings: LimitSettings, log: Log, spent: SpentSource | None = None) -> AsyncIterator[Limiter]:
    """Opens the limiter for the length of a block; `spent` is the ledger. Raises StartupError."""
    calendar = settings.calendar()
    async with _open_store(settings, log) as store:
        limiter = Limiter(
            store, LimiterSettings(calendar, settings.replicas, settings.unpriced), spent or NothingSpent(), log
        )
        limiter.start()
        try:
            yield limiter
        finally:
            await limiter.close()


async def migrate_limits(settings: LimitSettings, log: Log) -> None:
    """Brings the tables of limits, where the store has some, to the newest schema. Raises StartupError."""
    if settings.store == "postgresql":
        await Database.migrate(_database_url(settings), MIGRATIONS, log)


@contextlib.asynccontextmanager
async def _open_store(settings: LimitSettings, log: Log) -> AsyncIterator[LimitStore]:
    if settings.store == "memory":
        yield MemoryStore()
    elif settings.store == "redis":
        yield _redis_store(settings.redis_url)
    else:
        url = _database_url(settings)
        # It migrates, also when the server comes later; decisions have connections of their own.
        database = await Database.open(url, MIGRATIONS, log, announced=False)
        try:
            yield PostgreSQLStore(PostgreSQL(make_url(url)).connect)
        finally:
            await database.close()


def _redis_store(url: str) -> LimitStore:
    if not url:
        raise StartupError("LIMITS_REDIS_URL: is required for LIMITS_STORE=redis; write redis://host:6379/0")
    try:
        from services.models.limits.redis_store import RedisStore
    except ImportError:
        raise StartupError("LIMITS_STORE=redis needs the extra: pip install 'genai-platform-services[redis]'") from None
    try:
        return RedisStore(url)
    except ValueError:
        raise StartupError("LIMITS_REDIS_URL: cannot be read; write redis://host:6379/0") from None


def _database_url(settings: LimitSettings) -> str:
    if not settings.database_url or settings.database_url.startswith("sqlite"):
        raise StartupError("LIMITS_STORE=postgresql needs a PostgreSQL in LIMITS_DATABASE_URL or MODELS_DATABASE_URL")
    return settings.database_url
