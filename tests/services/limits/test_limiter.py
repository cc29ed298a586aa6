"""The limiter on each store: what is admitted and refused, in which words, and what comes back at the end of a call."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest

from services.models.limits import store as store_module
from services.models.limits import upkeep
from services.models.limits.charges import Estimate, charges_of
from services.models.limits.limiter import Limiter
from services.models.limits.memory_store import MemoryStore
from services.models.limits.redis_store import RedisStore
from services.models.limits.rules import Facts, Rule
from services.models.limits.store import Holding, LimitStore
from services.models.limits.windows import Calendar
from services.shared.errors import LimitExceeded, PreconditionFailed, Unavailable
from tests.services.limits.limiters import CALLER, SMALL, Spent, admitted, limiter_on, refused
from tests.services.limits.stores import postgresql_store

SLOTS = Rule("slots", "project", "p", "concurrent", "", 3)
BUDGET = Rule("budget", "team", "*", "nano_usd", "month", 10_000, soft_percents=(50, 80, 95))
REQUESTS = Rule("requests", "key", "*", "requests", "min", 3)
TOKENS = Rule("tokens", "key", "*", "tokens", "min", 1000)


def open_store(kind: str, request: pytest.FixtureRequest) -> LimitStore:
    if kind == "memory":
        return MemoryStore()
    if kind == "redis":
        return RedisStore(request.getfixturevalue("redis_url"))
    return postgresql_store(request.getfixturevalue("postgresql_url"))


@pytest.fixture(params=["memory", "postgresql", "redis"])
def store(request: pytest.FixtureRequest, patient_stores: None) -> LimitStore:
    return open_store(request.param, request)


@pytest.fixture(params=["postgresql", "redis"])
def two_stores(request: pytest.FixtureRequest, patient_stores: None) -> tuple[LimitStore, LimitStore]:
    """The same store as two processes have it: over connections of their own."""
    first = open_store(request.param, request)
    if isinstance(first, RedisStore):
        return first, RedisStore(request.getfixturevalue("redis_server").url)
    return first, postgresql_store(request.getfixturevalue("postgresql_url"))


async def test_each_limit_refuses_in_its_own_words(store: LimitStore) -> None:
    async with limiter_on(store) as limiter:
        for _ in range(3):
            await admitted(limiter, REQUESTS, SLOTS)
        rate = await refused(limiter, REQUESTS)
        assert isinstance(rate, LimitExceeded)
        assert rate.reason == "RATE_LIMITED"
        assert rate.retry_after is not None
        assert 15 < rate.retry_after <= 20
        assert rate.metadata == {
            "limit_id": "requests",
            "scope": "key:k",
            "resource": "requests",
            "amount": "3",
            "remaining": "0",
            "window_end": "",
        }
        slots = await refused(limiter, SLOTS)
        assert (slots.reason, slots.retry_after) == ("CONCURRENCY_LIMITED", 1)
        await admitted(limiter, BUDGET, estimate=Estimate(1, 9_500))
        budget = await refused(limiter, BUDGET)
        assert (budget.reason, budget.retry_after) == ("BUDGET_EXHAUSTED", None)
        assert "team:t, 0.00001 USD a month, leaves 0.0000005, and this call probably takes 0.0" in budget.message
        assert budget.metadata["remaining"] == "500"
        assert budget.metadata["spent_nano_usd"] == "9500"
        assert budget.metadata["window_end"].endswith("-01T00:00:00Z")
        # A budget is tighter than a wait, and that than a slot.
        tightest = await refused(limiter, SLOTS, REQUESTS, BUDGET, TOKENS)
        assert tightest.metadata["limit_id"] == "budget"
        quotas = [(quota.quota_id, quota.subject, quota.metric, quota.window) for quota in tightest.quotas]
        assert quotas[0] == ("budget", "team:t", "nano_usd", "month")
        assert sorted(quota[0] for quota in quotas) == ["budget", "requests", "slots"]
        assert tightest.quotas[0].description == tightest.message
        assert (await refused(limiter, SLOTS, REQUESTS)).metadata["limit_id"] == "requests"
        too_large = await refused(limiter, TOKENS, estimate=Estimate(1001, 0))
        assert (too_large.reason, too_large.retry_after) == ("RATE_LIMITED", None)


async def test_a_refused_call_takes_nothing_of_any_limit(store: LimitStore) -> None:
    async with limiter_on(store) as limiter:
        full = Rule("full", "org", "", "requests", "min", 0)
        for _ in range(5):
            await refused(limiter, full, SLOTS, BUDGET, TOKENS, REQUESTS)
        decision = (await admitted(limiter, SLOTS, BUDGET, TOKENS, REQUESTS)).decision
        found = {standing.rule.id: standing.remaining for standing in decision.standings}
        # It fills up meanwhile.
        assert 900 <= found.pop("tokens") < 1000
        assert found == {"slots": 2, "budget": 9_000, "requests": 2}


async def test_limits_are_read_without_a_call(store: LimitStore) -> None:
    async with limiter_on(store) as limiter:
        rules = [REQUESTS, SLOTS, BUDGET, TOKENS, Rule("gpt-3", "org", "", "tokens", "day", 700, model_glob="gpt-3")]
        nobody = CALLER.with_models()

        async def left() -> dict[str, int]:
            return {each.rule.id: each.remaining for each in await limiter.reader.read(nobody, rules)}

        # What is spent of budgets is not known before a call asks.
        assert await left() == {"requests": 3, "slots": 3, "tokens": 1000}
        admission = await admitted(limiter, *rules)
        for _ in range(3):
            found = await left()
            # It fills up meanwhile.
            assert 900 <= found.pop("tokens") < 1000
            assert found == {"requests": 2, "slots": 2, "budget": 9_000}
        await admission.settle(10, 700)
        found = await left()
        assert 990 <= found.pop("tokens") <= 1000
        assert found == {"requests": 2, "slots": 3, "budget": 9_300}


async def test_the_end_settles_the_difference_once(store: LimitStore) -> None:
    async with limiter_on(store) as limiter:
        rules = (SLOTS, BUDGET, TOKENS)
        admission = await admitted(limiter, *rules, estimate=Estimate(800, 5_000))
        await admission.settle(tokens=300, nano_usd=2_000)
        await admission.settle(tokens=900, nano_usd=9_000)
        async with await admitted(limiter, *rules, estimate=Estimate(100, 0)):
            pass
        decision = (await admitted(limiter, *rules, estimate=Estimate(0, 0))).decision
        remaining = {standing.rule.id: standing.remaining for standing in decision.standings}
        assert remaining["slots"] == 2
        assert remaining["budget"] == 8_000
        # It fills up meanwhile.
        assert 700 <= remaining["tokens"] <= 1000


async def test_an_edited_amount_keeps_what_is_spent(store: LimitStore) -> None:
    async with limiter_on(store) as limiter:
        await (await admitted(limiter, BUDGET)).settle(0, 9_900)
        await refused(limiter, BUDGET)
        raised = Rule("budget", "team", "*", "nano_usd", "month", 12_000)
        [standing] = (await admitted(limiter, raised)).decision.standings
        assert standing.used == 10_900


async def test_warnings_refuse_nothing_and_percents_are_told_once(store: LimitStore) -> None:
    async with limiter_on(store) as limiter:
        shadow = Rule("shadow", "org", "", "requests", "min", 1, action="warn")
        told = []
        for _ in range(9):
            admission = await admitted(limiter, BUDGET, shadow, estimate=Estimate(0, 1_000))
            await admission.settle(0, 1_000)
            told.append(([each.percent for each in admission.decision.crossings], len(admission.decision.warnings)))
        assert told == [([], 0), *[([], 1)] * 3, ([50], 1), *[([], 1)] * 2, ([80], 1), ([], 1)]


async def test_prices_that_are_not_known(store: LimitStore) -> None:
    unpriced = Estimate(100, None)
    async with limiter_on(store) as limiter:
        error = await refused(limiter, BUDGET, estimate=unpriced)
        assert isinstance(error, PreconditionFailed)
        assert error.reason == "PRICE_UNKNOWN"
    async with limiter_on(MemoryStore(), unpriced="allow") as limiter:
        assert (await admitted(limiter, BUDGET, estimate=unpriced)).decision.is_unpriced


async def test_callers_are_told_of_the_tightest_limits(store: LimitStore) -> None:
    async with limiter_on(store) as limiter:
        roomy = Rule("roomy", "org", "", "requests", "hour", 1000)
        noted = []
        await limiter.admit(CALLER, [roomy, REQUESTS, TOKENS, BUDGET, SLOTS], SMALL, note=noted.append)
        await refused(limiter, Rule("none", "org", "", "tokens", "day", 0))
        told = noted[0].told()
        assert told.pop("nano_usd").startswith('"nano_usd";q=10000;r=9000')
        assert told == {
            "requests": '"requests";q=3;r=2;t=20',
            "tokens": '"tokens";q=1000;r=900;t=6',
        }


async def test_a_missing_budget_is_loaded_before_anything_is_admitted(store: LimitStore) -> None:
    ledger = Spent(9_500)
    async with limiter_on(store, ledger) as limiter:
        errors = await asyncio.gather(*(refused(limiter, BUDGET) for _ in range(5)))
        assert {error.metadata["remaining"] for error in errors} == {"500"}
        # A call that was answered before the load, and read after it, loads once more, which changes nothing.
        assert {(query.rule.id, query.member) for query in ledger.asked} == {("budget", "t")}
        ledger.is_away = True
        error = await refused(limiter, BUDGET, facts=Facts(team="other"))
        assert isinstance(error, Unavailable)
        assert error.reason == "LIMIT_STORE_UNAVAILABLE"
        shadow = Rule("shadow", "org", "", "tokens", "day", 1, action="warn")
        assert (await admitted(limiter, shadow, REQUESTS)).decision.standings[0].rule is REQUESTS


async def test_two_processes_admit_exactly_what_is_allowed(two_stores: tuple[LimitStore, LimitStore]) -> None:
    rate = Rule("rate", "org", "", "requests", "min", 6_000, burst=40)
    budget = Rule("money", "org", "", "nano_usd", "day", 100 * 1_000)
    slots = Rule("slots", "org", "", "concurrent", "", 7)
    async with limiter_on(two_stores[0]) as one, limiter_on(two_stores[1]) as other:
        for limiter in (one, other):
            await admitted(limiter, TOKENS)
        calls, refusals, began, refused_at, first_at = 0, 0, time.monotonic(), 0.0, 0.0

        async def hammer(limiter: Limiter) -> None:
            nonlocal calls, refusals, refused_at, first_at
            while refusals < 200:
                asked_at = time.monotonic()
                try:
                    await admitted(limiter, rate)
                except LimitExceeded:
                    refusals += 1
                    refused_at = asked_at
                else:
                    calls += 1
                    first_at = first_at or time.monotonic()

        await asyncio.gather(*(hammer(limiter) for limiter in (one, other) for _ in range(3)))
        # A refusal shows that all was taken that there was at its time; nothing is added before the first one is taken.
        assert calls >= 40 + (refused_at - first_at) * 100 - 1
        assert calls <= 40 + (time.monotonic() - began) * 100 + 1

        async def count(rule: Rule, attempts: int) -> int:
            calls = (
                limiter.admit(CALLER, [rule], SMALL)
                for _, limiter in zip(range(attempts), itertools.cycle((one, other)))
            )
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(outcome).__name__ for outcome in outcomes} == {"Admission", "LimitExceeded"}
            return sum(not isinstance(outcome, LimitExceeded) for outcome in outcomes)

        assert await count(budget, 140) == 100
        assert await count(slots, 30) == 7


async def test_all_slots_come_back(two_stores: tuple[LimitStore, LimitStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """After calls that end, are cancelled at any moment, or vanish with their process, and beside one that runs on."""
    slots, budget = Rule("slots", "org", "", "concurrent", "", 2_000), Rule("m", "org", "", "nano_usd", "day", 10**9)
    rules, short = (slots, budget), 1_500_000

    def set_lease(microseconds: int) -> None:
        for module in ("postgresql_store", "redis_store"):
            monkeypatch.setattr(f"services.models.limits.{module}.LEASE", microseconds)

    survivor, victim = two_stores
    renewed, renew = asyncio.Event(), survivor.renew

    async def renew_and_tell(holdings: Sequence[Holding]) -> None:
        await renew(holdings)
        renewed.set()

    monkeypatch.setattr(survivor, "renew", renew_and_tell)
    monkeypatch.setattr(upkeep, "RENEW_SECONDS", 0.05)
    async with limiter_on(survivor) as limiter:
        set_lease(short)
        await admitted(limiter, *rules)
        charges = charges_of(rules, CALLER, SMALL, Calendar(ZoneInfo("UTC")), time.time_ns() // 1000)
        lost = [await victim.admit(f"lost {number}", charges) for number in range(30)]
        assert lost[-1].is_admitted
        set_lease(store_module.LEASE)
        # The first one may have begun with the short lease.
        for _ in range(2):
            renewed.clear()
            await renewed.wait()

        async def call(number: int) -> None:
            async with await admitted(limiter, *rules) as admission:
                if number % 3 == 0:
                    await admission.settle(10, 500)

        calls = [asyncio.create_task(call(number)) for number in range(600)]
        for number, task in enumerate(calls):
            if number % 2:
                asyncio.get_running_loop().call_later(number / 2000, task.cancel)
        await asyncio.gather(*calls, return_exceptions=True)
        settled = sum(not task.cancelled() for number, task in enumerate(calls) if number % 3 == 0)
        assert settled >= 100
        async with asyncio.timeout(30):
            while True:
                if limiter.running == 1:
                    break
                await asyncio.sleep(0.01)
        await asyncio.sleep(short / 1e6)
        decision = (await admitted(limiter, *rules, estimate=Estimate(0, 0))).decision
        used = {standing.rule.id: standing.used for standing in decision.standings}
        assert used["slots"] == 2, "this one and the one that runs on"
        assert used["m"] - SMALL.nano_usd >= settled * 500  # type: ignore[operator]
    await victim.close()


async def test_a_call_without_a_matching_rule_asks_no_store() -> None:
    class Untouchable:
        largest_amount = 0
        immediate = None

        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

        async def close(self) -> None:
            pass

    store: LimitStore = Untouchable()  # type: ignore[assignment]
    async with limiter_on(store) as limiter:
        for rule in (
            Rule("other", "key", "another", "concurrent", "", 0),
            Rule("nobody", "end_user", "*", "concurrent", "", 0),
            Rule("model", "org", "", "concurrent", "", 0, model_glob="claude*"),
        ):
            admission = await admitted(limiter, rule)
            assert not admission.decision.told()
            await admission.settle(1, 1)
