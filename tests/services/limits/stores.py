"""Stores of limits to test: opened on real servers, with the time of the server or one that the test sets."""

from __future__ import annotations

import psycopg
from sqlalchemy.engine import make_url

from services.models.limits import scripts
from services.models.limits.charges import Charge
from services.models.limits.postgresql_store import PostgreSQLStore
from services.models.limits.redis_store import PREFIX, RedisStore, _script
from services.models.limits.store import LimitStore, Outcome, State
from services.shared.postgresql import PostgreSQL
from tests.support.databases import provide_behind
from tests.support.redis import RedisServer

TIME_KEY = f"{PREFIX}test-time"


def postgresql_store(url: str) -> PostgreSQLStore:
    """A store in the schema of the URL, with connections of its own."""
    provide_behind(url, "limits")
    return PostgreSQLStore(PostgreSQL(make_url(url)).connect)


class SetTime:
    """A time that the test sets, for all stores."""

    def __init__(self, now: int, url: str, redis: RedisServer) -> None:
        self.now = now
        self._postgresql = psycopg.connect(url, autocommit=True)
        self._postgresql.execute("CREATE TABLE set_time (now bigint)")
        self._postgresql.execute("INSERT INTO set_time VALUES (0)")
        self._postgresql.execute(
            "CREATE OR REPLACE FUNCTION limit_time() RETURNS bigint LANGUAGE sql AS 'SELECT now FROM set_time'"
        )
        self._redis = redis.operator()
        self.advance(0)

    def advance(self, microseconds: int) -> None:
        self.now += microseconds
        self._postgresql.execute("UPDATE set_time SET now = %s", [self.now])
        self._redis.set(TIME_KEY, self.now)

    def close(self) -> None:
        self._postgresql.close()
        self._redis.close()


def redis_store_at_set_time(url: str) -> RedisStore:
    """A store whose scripts read the time that the test sets."""
    store = RedisStore(url)
    set_time = f"local now = tonumber(redis.call('GET', '{TIME_KEY}'))\n"
    for name in ("ADMIT", "SETTLE", "RENEW"):
        setattr(store, f"_{name.lower()}", _script(getattr(scripts, name).replace(scripts.TIME, set_time)))
    return store


async def admit_warm(store: LimitStore, call_id: str, charges: list[Charge], spent: int = 0) -> Outcome:
    """The decision of a store whose cold budgets have spent so much."""
    outcome = await store.admit(call_id, charges)
    if outcome.worst is not State.COLD:
        return outcome
    for charge, reading in zip(charges, outcome.readings, strict=True):
        if reading.state is State.COLD:
            await store.load(charge.key, spent, charge.span.end)
    return await store.admit(call_id, charges)
