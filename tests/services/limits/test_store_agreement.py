"""All stores decide alike: random histories of calls, with a time that is set, beside a simple reference."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.models.limits.charges import Charge, Estimate, charges_of
from services.models.limits.memory_store import MemoryStore
from services.models.limits.rules import Facts, Rule
from services.models.limits.store import (
    KEPT,
    LEASE,
    CounterChange,
    Holding,
    LimitStore,
    Outcome,
    RateChange,
    Reading,
    Settlement,
    State,
    outcome_of,
)
from services.models.limits.windows import MICROSECONDS, Calendar
from tests.services.limits.stores import SetTime, admit_warm, postgresql_store, redis_store_at_set_time
from tests.support.redis import RedisServer

CALENDAR = Calendar(ZoneInfo("Europe/Berlin"))

RULES = (
    Rule("requests", "project", "*", "requests", "min", 30, burst=4),
    Rule("tokens", "org", "", "tokens", "min", 1000),
    Rule("hourly", "key", "k2", "tokens", "hour", 3000, action="warn"),
    Rule("slots", "key", "*", "concurrent", "", 2),
    Rule("shadow-slots", "org", "", "concurrent", "", 1, action="warn"),
    Rule("daily", "project", "*", "nano_usd", "day", 900, soft_percents=(50, 80)),
    Rule("weekly", "user", "u1", "tokens", "week", 5000),
    Rule("total", "org", "", "tokens", "total", 20_000, action="warn"),
    Rule("calls", "key", "*", "requests", "month", 9),
)

PEOPLE = (
    Facts(project="p1", key="k1", user="u1"),
    Facts(project='p"2\\', key="k2", user="u1"),
    Facts(project="p1", key="k3"),
)


class Admit(NamedTuple):
    who: int
    tokens: int
    nano_usd: int


class Settle(NamedTuple):
    call: int
    tokens: int
    nano_usd: int
    was_admitted: bool


class Renew(NamedTuple):
    calls: tuple[int, ...]


class Advance(NamedTuple):
    microseconds: int


class Purge(NamedTuple):
    pass


Step: TypeAlias = Admit | Settle | Renew | Advance | Purge

newest = st.integers(0, 4)
"""A call, by how many were admitted after it."""

admits = st.builds(Admit, st.integers(0, 2), st.sampled_from([0, 50, 250, 500, 1001]), st.sampled_from([0, 30, 450]))
small_admits = st.builds(Admit, st.integers(0, 2), st.just(50), st.just(30))
settles = st.builds(
    Settle,
    newest,
    st.sampled_from([0, 10, 700]),
    st.sampled_from([0, 30, 500]),
    st.sampled_from([True, True, True, False]),
)
renews = st.builds(Renew, st.lists(newest, max_size=3).map(tuple))
short = st.builds(Advance, st.sampled_from([0, 1, 2_000_000, 12 * MICROSECONDS, LEASE - 1, LEASE]))
long = st.builds(Advance, st.sampled_from([61 * MICROSECONDS, 7 * 3600 * MICROSECONDS, KEPT]))
steps = st.one_of(small_admits, small_admits, admits, settles, settles, renews, short, long, st.builds(Purge))


@dataclass
class Call:
    """A call that was admitted, as the reference remembers it: all of it, for good."""

    id: str
    charges: list[Charge]
    admitted_at: int
    expires_at: int
    has_ended: bool = False
    was_settled_late: bool = False


@dataclass
class Reference:
    """The limits as one would define them: by all calls that there were."""

    calls: list[Call] = field(default_factory=list)
    used_until: dict[str, int] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)

    def find(self, number: int, now: int) -> Call | None:
        """The call of this number, unless it was so long ago that stores may have forgotten it."""
        if number >= len(self.calls):
            return None
        call = self.calls[-1 - number]
        return call if now < call.admitted_at + KEPT * 3 // 4 else None

    def admit(self, call_id: str, charges: list[Charge], now: int) -> Outcome:
        readings = [self._read(charge, now) for charge in charges]
        refused = any(
            reading.state is State.OVER and charge.is_enforced
            for charge, reading in zip(charges, readings, strict=True)
        )
        if not refused:
            self.calls.append(Call(call_id, charges, now, now + LEASE))
            for charge, reading in zip(charges, readings, strict=True):
                if charge.kind == "rate" and reading.state is State.FITS:
                    self.used_until[charge.key] = reading.used + charge.cost
                elif charge.kind == "budget":
                    most = reading.used + reading.held + charge.units
                    self.peaks[charge.key] = max(self.peaks.get(charge.key, 0), most)
        return outcome_of(charges, now, readings)

    def _read(self, charge: Charge, now: int) -> Reading:
        if charge.kind == "rate":
            used = max(now, self.used_until.get(charge.key, 0))
            return Reading(State(used + charge.cost > now + charge.tolerance), used)
        held = sum(
            held.units
            for call in self.calls
            if not call.has_ended and call.expires_at > now
            for held in call.charges
            if held.key == charge.key
        )
        spent = self.spent.get(charge.key, 0)
        peak = self.peaks.get(charge.key, 0)
        return Reading(State(spent + held + charge.units > charge.rule.amount), spent, held, peak)

    def settle(self, call: Call, settlement: Settlement, now: int) -> None:
        if settlement.was_admitted:
            is_first = not call.has_ended
        else:
            is_first, call.was_settled_late = not call.was_settled_late, True
        if not is_first:
            return
        call.has_ended = True
        for rate in settlement.rates:
            self.used_until[rate.key] = max(now, max(now, self.used_until.get(rate.key, 0)) + rate.microseconds)
        for change in settlement.counters:
            self.spent[change.key] = self.spent.get(change.key, 0) + change.spent

    def renew(self, calls: Sequence[Call], now: int) -> None:
        for call in calls:
            if call.expires_at > now:
                call.expires_at = now + LEASE


def settlement_of(call: Call, step: Settle) -> Settlement:
    real = {"tokens": step.tokens, "nano_usd": step.nano_usd}
    rates = [
        RateChange(charge.key, charge.microseconds(step.tokens) - charge.cost)
        for charge in call.charges
        if charge.kind == "rate" and charge.is_settled
    ]
    counters = [
        CounterChange(charge.key, charge.units, real.get(charge.rule.resource, int(charge.kind == "budget")))
        for charge in call.charges
        if charge.kind != "rate"
    ]
    return Settlement(call.id, rates, counters, step.was_admitted)


def without_peaks_of_slots(charges: Sequence[Charge], outcome: Outcome) -> Outcome:
    """The outcome without the peaks that nobody reads, and that stores forget."""
    readings = [
        msgspec.structs.replace(reading, peak=0) if charge.kind == "slots" else reading
        for charge, reading in zip(charges, outcome.readings, strict=True)
    ]
    return msgspec.structs.replace(outcome, readings=readings)


def holding_of(call: Call) -> Holding:
    return Holding(call.id, [(charge.key, charge.units) for charge in call.charges if charge.kind != "rate"])


class World:
    """The stores with the same time and the same history."""

    def __init__(self, clock: SetTime, stores: dict[str, LimitStore]) -> None:
        self.clock = clock
        self._stores = stores
        self._runs = itertools.count()

    async def play(self, history: Sequence[Step]) -> None:
        run, numbers, reference = next(self._runs), itertools.count(), Reference()
        memory = MemoryStore(lambda: self.clock.now)
        stores = {"memory": memory, **self._stores}
        rules = [rename(rule, run) for rule in RULES]
        for step in history:
            match step:
                case Admit(who, tokens, nano_usd):
                    call_id, now = f"{run}-{next(numbers)}", self.clock.now
                    charges = list(charges_of(rules, PEOPLE[who], Estimate(tokens, nano_usd), CALENDAR, now))
                    expected = reference.admit(call_id, charges, now)
                    for name, store in stores.items():
                        outcome = await admit_warm(store, call_id, charges)
                        assert without_peaks_of_slots(charges, outcome) == expected, name
                case Settle(number) if call := reference.find(number, self.clock.now):
                    settlement = settlement_of(call, step)
                    reference.settle(call, settlement, self.clock.now)
                    for store in stores.values():
                        await store.settle(settlement)
                case Renew(indexes):
                    found = (reference.find(index, self.clock.now) for index in set(indexes))
                    calls = [call for call in found if call]
                    reference.renew(calls, self.clock.now)
                    for store in stores.values():
                        await store.renew([holding_of(call) for call in calls])
                case Advance(microseconds):
                    self.clock.advance(microseconds)
                case Purge():
                    for store in stores.values():
                        await store.purge()


def rename(rule: Rule, run: int) -> Rule:
    """The same rule with counters of its own."""
    return Rule(
        f"{rule.id}-{run}",
        rule.scope_kind,
        rule.scope_id,
        rule.resource,
        rule.window,
        rule.amount,
        burst=rule.burst,
        soft_percents=rule.soft_percents,
        action=rule.action,
    )


@pytest.fixture
def world(
    patient_stores: None, postgresql_url: str, redis_server: RedisServer, redis_url: str
) -> Iterator[tuple[asyncio.Runner, World]]:
    with asyncio.Runner() as runner:

        async def begin() -> dict[str, LimitStore]:
            return {"postgresql": postgresql_store(postgresql_url), "redis": redis_store_at_set_time(redis_url)}

        stores = runner.run(begin())
        # Redis forgets keys by its own time: that which is set is never behind.
        clock = SetTime(int(time.time()) * MICROSECONDS + MICROSECONDS, postgresql_url, redis_server)
        try:
            yield runner, World(clock, stores)
        finally:
            for store in stores.values():
                runner.run(store.close())
            clock.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=15, max_size=40))
def test_stores_agree_with_the_reference(history: list[Step], world: tuple[asyncio.Runner, World]) -> None:
    runner, stores = world
    runner.run(stores.play(history))
