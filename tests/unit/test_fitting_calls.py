"""Calls that fit all their limits are admitted in one step, with the same end as by the general way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.models.limits.charges import Charge, Estimate, matches_of
from services.models.limits.decisions import decide
from services.models.limits.memory_store import MemoryStore
from services.models.limits.rules import Facts, Rule
from services.models.limits.settlements import settlement_of
from services.models.limits.store import LEASE, Holding, State
from services.models.limits.windows import MICROSECONDS, Calendar

CALLER = Facts("team", "project", "key", "user", "", ("model",))
CALENDAR = Calendar(ZoneInfo("UTC"))
START = 1_800_000_000 * MICROSECONDS

ONE = Estimate(1, 1)

RULES = st.lists(
    st.sampled_from(
        [
            Rule("a", "org", "", "requests", "min", 5),
            Rule("b", "key", "*", "requests", "hour", 7, burst=3),
            Rule("c", "project", "project", "tokens", "min", 900),
            Rule("d", "org", "", "tokens", "min", 300, action="warn"),
            Rule("e", "key", "*", "concurrent", "", 2),
            Rule("f", "team", "*", "nano_usd", "day", 5_000),
            Rule("g", "team", "*", "nano_usd", "total", 9_000, soft_percents=(50,)),
            Rule("h", "project", "*", "requests", "month", 9),
            Rule("i", "user", "*", "tokens", "week", 0),
        ]
    ),
    unique_by=lambda rule: rule.id,
    min_size=1,
)
CALLS = st.lists(
    st.tuples(
        st.integers(0, 40).map(lambda seconds: seconds * MICROSECONDS),
        st.builds(Estimate, st.integers(0, 400), st.integers(0, 2_000)),
        st.none() | st.integers(0, 600),
        st.none() | st.integers(0, 3_000),
        st.booleans(),
    ),
    max_size=12,
)


async def load_budgets(store: MemoryStore, charges: Sequence[Charge]) -> None:
    for charge in charges:
        if charge.kind == "budget":
            await store.load(charge.key, 0, charge.span.end)


def state_of(store: MemoryStore, now: int) -> tuple[dict[str, int], dict[str, tuple[int, int, int]]]:
    """The rates that are ahead of now, and what is spent and held of the counters, with the most that ever was."""
    rates = {key: place.used for key, place in store._rates.items() if place.used > now}
    return rates, {key: (place.spent, place.held, place.peak) for key, place in store._counters.items() if place.peak}


@given(RULES, CALLS)
def test_a_fitting_call_is_one_that_the_general_way_admits(
    rules: list[Rule], calls: list[tuple[int, Estimate, int | None, int | None, bool]]
) -> None:
    now = START
    at_once, in_general = MemoryStore(lambda: now), MemoryStore(lambda: now)
    running: list[Holding] = []
    for number, (later, estimate, tokens, nano_usd, is_settled) in enumerate(calls):
        for _ in range(0, later, LEASE // 3):
            now += min(later, LEASE // 3)
            for store in (at_once, in_general):
                asyncio.run(store.renew(running))
        call_id = str(number)
        matches = matches_of(rules, CALLER, CALENDAR, now)
        charges = matches.charges_for(estimate)
        for store in (at_once, in_general):
            asyncio.run(load_budgets(store, charges))
        alike = at_once.fitting_calls(matches)
        taken = alike.take(estimate) if alike else None
        outcome = in_general.admit_now(call_id, charges)
        if taken is None or alike is None:
            # It may fit all the same: what warns or is told of is for the general way.
            assert at_once.admit_now(call_id, charges) == outcome
        else:
            assert outcome.worst is State.FITS
            decision = decide(charges, outcome)
            assert not decision.has_crossed
            assert taken.told == decision.told()
            assert [*taken.told] == [*decision.told()]
            assert [budget.used for budget in alike.budgets] == [each.used for each in decision.budgets()]
        assert state_of(at_once, now) == state_of(in_general, now)
        if not outcome.is_admitted:
            continue
        if not is_settled:
            counters = [(charge.key, charge.units) for charge in charges if charge.kind != "rate"]
            running.append(Holding(call_id, counters))
            continue
        settlement = settlement_of(call_id, charges, tokens, nano_usd, was_admitted=True)
        in_general.settle_now(settlement)
        if taken is None:
            at_once.settle_now(settlement)
        else:
            for _ in range(2):
                taken.settle(tokens, nano_usd)
        assert state_of(at_once, now) == state_of(in_general, now)


def test_what_is_known_of_fitting_calls_ends_with_its_places_and_its_windows() -> None:
    now = START
    store = MemoryStore(lambda: now)
    slots, budget = Rule("slots", "org", "", "concurrent", "", 1), Rule("day", "org", "", "requests", "day", 5)
    matches = matches_of([slots, budget], CALLER, CALENDAR, now)
    assert store.fitting_calls(matches) is None, "the budget is cold"
    asyncio.run(load_budgets(store, matches.charges))
    alike = store.fitting_calls(matches)
    assert alike
    asyncio.run(store.purge())
    assert not alike.are_current
    assert alike.take(ONE) is None, "its slots were deleted"
    alike = store.fitting_calls(matches)
    assert alike
    running = alike.take(ONE)
    assert running
    assert alike.take(ONE) is None, "there is one slot"
    running.settle()
    now = matches.end
    assert not alike.are_current
    assert alike.take(ONE) is None, "the next day has another budget"


def test_the_call_that_crosses_a_soft_percent_is_for_the_general_way() -> None:
    store = MemoryStore(lambda: START)
    budget = Rule("day", "org", "", "requests", "day", 10, soft_percents=(50,))
    matches = matches_of([budget], CALLER, CALENDAR, START)
    asyncio.run(load_budgets(store, matches.charges))
    alike = store.fitting_calls(matches)
    assert alike
    fitting = []
    for number in range(10):
        taken = alike.take(ONE)
        fitting.append(taken is not None)
        if taken is None:
            store.admit_now(str(number), matches.charges)
    assert fitting == [*[True] * 4, False, *[True] * 5]
