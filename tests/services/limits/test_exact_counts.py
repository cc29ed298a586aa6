"""Two replicas on one store, at a time that is set: what limits admit is an exact number, and slots all come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from services.models.limits.limiter import Limiter
from services.models.limits.rules import Rule
from services.models.limits.store import LEASE, LimitStore
from services.models.limits.windows import MICROSECONDS
from services.shared.errors import LimitExceeded
from tests.services.limits.limiters import CALLER, SMALL, limiter_on
from tests.services.limits.stores import SetTime, postgresql_store, redis_store_at_set_time
from tests.support.redis import RedisServer

HAMMERS = 4
"""Callers of each replica that ask at once."""


class World(NamedTuple):
    """Two replicas, and the time of their store."""

    one: Limiter
    other: Limiter
    clock: SetTime


@pytest.fixture(params=["postgresql", "redis"])
async def world(
    request: pytest.FixtureRequest, patient_stores: None, postgresql_url: str, redis_server: RedisServer
) -> AsyncIterator[World]:
    redis_server.start()
    redis_server.empty()

    def opened() -> LimitStore:
        if request.param == "redis":
            return redis_store_at_set_time(redis_server.url)
        return postgresql_store(postgresql_url)

    stores = opened(), opened()
    clock = SetTime(int(time.time()) * MICROSECONDS, postgresql_url, redis_server)
    try:
        async with limiter_on(stores[0]) as one, limiter_on(stores[1]) as other:
            yield World(one, other, clock)
    finally:
        clock.close()


async def is_admitted(limiter: Limiter, rule: Rule) -> bool:
    try:
        await limiter.admit(CALLER, [rule], SMALL)
    except LimitExceeded:
        return False
    return True


async def admitted_by_both(world: World, rule: Rule) -> int:
    """The calls that are admitted now, of more than there is room for."""

    async def hammer(limiter: Limiter) -> int:
        calls = 0
        while await is_admitted(limiter, rule):
            calls += 1
        return calls

    return sum(await asyncio.gather(*map(hammer, (world.one, world.other) * HAMMERS)))


async def test_a_rate_admits_its_burst_and_its_rate_times_the_seconds(world: World) -> None:
    """100 a second and 200 at once: in 1.022 s there is room for 302.2 calls."""
    rule = Rule("rate", "org", "", "requests", "min", 6_000, burst=200)
    calls, passed = await admitted_by_both(world, rule), 0
    assert calls == 200
    for microseconds in (1, 9_998, 1, 333_333, 500_000, 178_667):
        world.clock.advance(microseconds)
        passed += microseconds
        calls += await admitted_by_both(world, rule)
        assert calls == 200 + passed * 100 // MICROSECONDS
    assert (passed, calls) == (1_022_000, 302)


async def test_a_budget_admits_what_it_has_and_counts_again_in_its_next_window(world: World) -> None:
    rule = Rule("money", "org", "", "nano_usd", "day", 157 * 1_000 + 999)
    assert await admitted_by_both(world, rule) == 157
    assert await admitted_by_both(world, rule) == 0
    world.clock.advance(24 * 3600 * MICROSECONDS)
    assert await admitted_by_both(world, rule) == 157


async def test_slots_are_all_back_after_a_thousand_calls_that_end_in_every_way(world: World) -> None:
    """A third is cancelled at any moment; the rest vanishes with its process, or hangs until it has expired."""
    rule = Rule("slots", "key", "*", "concurrent", "", 1_000)

    async def call(number: int) -> None:
        async with await world.one.admit(CALLER, [rule], SMALL):
            if number % 2:
                await asyncio.Event().wait()

    cancelled = [asyncio.create_task(call(number)) for number in range(334)]
    for number, task in enumerate(cancelled):
        asyncio.get_running_loop().call_later(number / 2_000, task.cancel)
    # Nobody renews, ends or gives back what these hold.
    lost = await asyncio.gather(*(is_admitted(world.other, rule) for _ in range(666)))
    assert all(lost)
    await asyncio.gather(*cancelled, return_exceptions=True)
    # What was cancelled while it was being admitted is given back a moment later.
    async with asyncio.timeout(20):
        while True:
            [slots] = await world.one.reader.read(CALLER, [rule])
            if slots.remaining == 1_000 - 666:
                break
            await asyncio.sleep(0.01)
    assert await admitted_by_both(world, rule) == 1_000 - 666
    world.clock.advance(LEASE - 1)
    assert not await is_admitted(world.one, rule)
    world.clock.advance(1)
    assert await admitted_by_both(world, rule) == 1_000
