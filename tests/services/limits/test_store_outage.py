"""A store of limits that is stopped, hangs or comes back empty: bounded local shares, and never a budget from zero."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import psycopg
import pytest

from services.models.limits import breaker, time_limits
from services.models.limits.charges import Estimate
from services.models.limits.limiter import Limiter
from services.models.limits.redis_store import RedisStore
from services.models.limits.rules import Rule
from services.models.limits.store import LimitStore
from services.shared.errors import Unavailable
from tests.services.limits.limiters import CALLER, SMALL, Spent, admitted, limiter_on, refused
from tests.services.limits.stores import postgresql_store
from tests.services.log_file import LogFile
from tests.support.postgresql import PostgreSQLServer
from tests.support.redis import RedisServer

REQUESTS = Rule("requests", "key", "*", "requests", "hour", 6)
SLOTS = Rule("slots", "key", "*", "concurrent", "", 4)
BUDGET = Rule("budget", "team", "*", "nano_usd", "total", 10_000)

COMMAND_SECONDS = 0.3
"""Longer than the product's own, for a busy machine."""


class StoreServer(NamedTuple):
    """A server that accidents happen to."""

    store: LimitStore
    stopped: Callable[[], AbstractContextManager[None]]
    frozen: Callable[[], AbstractContextManager[None]]
    empty: Callable[[], None]


@contextlib.contextmanager
def stopped(server: PostgreSQLServer | RedisServer) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@pytest.fixture(params=["postgresql", "redis"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StoreServer:
    monkeypatch.setattr(time_limits, "COMMAND_SECONDS", COMMAND_SECONDS)
    monkeypatch.setattr(time_limits, "CONNECT_SECONDS", COMMAND_SECONDS)
    monkeypatch.setattr(breaker, "PROBE_SECONDS", 0.1)
    if request.param == "redis":
        url, redis = request.getfixturevalue("redis_url"), request.getfixturevalue("redis_server")
        return StoreServer(RedisStore(url), lambda: stopped(redis), redis.frozen, redis.empty)
    url, postgresql = request.getfixturevalue("postgresql_url"), request.getfixturevalue("postgresql_server")
    store = postgresql_store(url)

    def empty() -> None:
        with psycopg.connect(url, autocommit=True) as operator:
            operator.execute("TRUNCATE limit_rate, limit_counter, limit_reservation")

    return StoreServer(store, lambda: stopped(postgresql), postgresql.frozen, empty)


@contextlib.asynccontextmanager
async def eventually(seconds: float = 20.0) -> AsyncIterator[None]:
    async with asyncio.timeout(seconds):
        yield


async def is_back(limiter: Limiter) -> None:
    async with eventually():
        while True:
            if not limiter.is_degraded:
                return
            await asyncio.sleep(0.02)


async def has_spent(limiter: Limiter, units: int) -> None:
    """Waits until the budget has spent so much, after the store has taken what it had missed."""
    async with eventually():
        while True:
            admission = await admitted(limiter, BUDGET, estimate=Estimate(0, 0))
            await admission.cancel()
            [standing] = admission.decision.standings
            if standing.used == units and not admission.decision.is_degraded:
                return
            await asyncio.sleep(0.02)


async def keep_shares(limiter: Limiter) -> list[object]:
    """Lets this process take all of its share, of two, while the store is away."""
    # One to find out, and those that come meanwhile.
    taken = await asyncio.gather(*(limiter.admit(CALLER, [REQUESTS], SMALL) for _ in range(3)))
    assert all(admission.decision.is_degraded for admission in taken)
    assert limiter.is_degraded
    began = time.monotonic()
    assert (await refused(limiter, REQUESTS)).reason == "RATE_LIMITED"
    await admitted(limiter, SLOTS)
    assert (await refused(limiter, SLOTS)).reason == "CONCURRENCY_LIMITED"
    spending = [await admitted(limiter, BUDGET) for _ in range(4)]
    error = await refused(limiter, BUDGET)
    assert isinstance(error, Unavailable)
    assert (error.reason, error.metadata["limit_id"]) == ("LIMIT_STORE_UNAVAILABLE", "budget")
    # Nobody has waited for the store.
    assert time.monotonic() - began < COMMAND_SECONDS
    # What has cost less than its share leaves room, as it would at the store.
    await spending.pop().settle(0, 200)
    return [await admitted(limiter, BUDGET), *spending]


@pytest.mark.parametrize("accident", ["stopped", "frozen"])
async def test_shares_of_a_process_while_the_store_is_away(server: StoreServer, accident: str) -> None:
    log, ledger = LogFile(), Spent(0)
    async with limiter_on(server.store, ledger, log, replicas=2) as limiter:
        running = await admitted(limiter, SLOTS, BUDGET)
        with getattr(server, accident)():
            spending = await keep_shares(limiter)
            await running.settle(0, 500)
            for admission in spending:
                await admission.settle(0, 700)  # type: ignore[attr-defined]
            warnings = [entry for entry in log.entries() if entry["level"] == "warning"]
            assert len(warnings) <= 1
            ledger.units = 500 + 200 + 4 * 700
        await is_back(limiter)
        await has_spent(limiter, 500 + 200 + 4 * 700)
        assert not (await admitted(limiter, REQUESTS)).decision.is_degraded
        limiter._breaker._log.flush()
        told = [entry["event"] for entry in log.entries() if "the store of the limits" in entry["event"]]
        assert told[0] == "the store of the limits is away: this process decides alone"
        assert told[-1] == "the store of the limits is there"


async def test_a_call_is_counted_whose_admission_was_lost_in_a_crash(
    postgresql_url: str, postgresql_server: PostgreSQLServer, patient_stores: None
) -> None:
    async with limiter_on(postgresql_store(postgresql_url)) as limiter:
        running = await admitted(limiter, BUDGET)
        with stopped(postgresql_server):
            assert (await admitted(limiter, BUDGET, estimate=Estimate(0, 0))).decision.is_degraded
            await running.settle(0, 500)
        # The crash itself loses the last tenths of a second, in which the budget may have been loaded, too.
        with psycopg.connect(postgresql_url, autocommit=True) as operator:
            operator.execute("TRUNCATE limit_reservation, limit_counter")
            operator.execute("INSERT INTO limit_counter VALUES ('budget|t|total', 0, 0, 0, 0, 4611686018427387904)")
        await has_spent(limiter, 500)


async def test_a_cold_budget_is_not_loaded_before_all_ends_of_its_calls_are_counted(
    postgresql_url: str, patient_stores: None
) -> None:
    ledger = Spent(0)
    with psycopg.connect(postgresql_url, autocommit=True) as operator:
        async with limiter_on(postgresql_store(postgresql_url), ledger) as limiter:
            running = await admitted(limiter, BUDGET)
            operator.execute("ALTER FUNCTION limit_settle RENAME TO limit_settle_of_old")
            await running.settle(0, 500)
            ledger.units = 500
            operator.execute("TRUNCATE limit_counter, limit_reservation")
            assert (await admitted(limiter, BUDGET, estimate=Estimate(0, 0))).decision.is_degraded
            operator.execute("ALTER FUNCTION limit_settle_of_old RENAME TO limit_settle")
            await has_spent(limiter, 500)


async def test_a_budget_that_was_never_heard_of_has_no_share(server: StoreServer) -> None:
    async with limiter_on(server.store) as limiter:
        with server.stopped():
            assert (await refused(limiter, BUDGET)).reason == "LIMIT_STORE_UNAVAILABLE"
            shadow = Rule("shadow", "team", "*", "nano_usd", "total", 10_000, action="warn")
            await admitted(limiter, shadow)


async def test_a_store_that_comes_back_empty_begins_with_what_was_spent(server: StoreServer) -> None:
    ledger = Spent(0)
    async with limiter_on(server.store, ledger) as limiter:
        await (await admitted(limiter, BUDGET)).settle(0, 9_000)
        ledger.units = 9_000
        server.empty()
        assert (await refused(limiter, BUDGET, estimate=Estimate(0, 1_001))).metadata["remaining"] == "1000"
        ledger.is_away = True
        server.empty()
        assert (await refused(limiter, BUDGET)).reason == "LIMIT_STORE_UNAVAILABLE"
