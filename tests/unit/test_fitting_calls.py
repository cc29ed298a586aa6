"""Calls that fit all their limits are admitted in one step, with the same end as by the general way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.models.limits.charges import Charge, Estimate, matches_of
from services.models.limits.decisions import decide
from services.models.limits.fitting import FittingDecision
from services.models.limits.memory_store import MemoryStore
from services.models.limits.rules import Facts, Rule
from services.models.limits.settlements import settlement_of
from services.models.limits.store import State
from services.models.limits.windows import MICROSECONDS, Calendar

CALLER = Facts("team", "project", "key", "user", "", ("model",))
CALENDAR = Calendar(ZoneInfo("UTC"))
START = 1_800_000_000 * MICROSECONDS

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


def state_of(store: MemoryStore) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
    """The rates, and what is spent and held of the counters that were ever used."""
    counters = {key: (counter.spent, counter.held) for key, counter in store._counters.items()}
    return store._rates, {key: counts for key, counts in counters.items() if any(counts)}


@given(RULES, CALLS)
def test_a_fitting_call_is_one_that_the_general_way_admits(
    rules: list[Rule], calls: list[tuple[int, Estimate, int | None, int | None, bool]]
) -> None:
    now = START
    at_once, in_general = MemoryStore(lambda: now), MemoryStore(lambda: now)
    for number, (later, estimate, tokens, nano_usd, is_settled) in enumerate(calls):
        now += later
        call_id = str(number)
        matches = matches_of(rules, CALLER, CALENDAR, now)
        charges = matches.charges_for(estimate)
        for store in (at_once, in_general):
            asyncio.run(load_budgets(store, charges))
        units = matches.units_for(estimate)
        taken = at_once.take(call_id, matches, units)
        outcome = in_general.admit_now(call_id, charges)
        if taken is None:
            # It may fit all the same: what expires, warns or is told of is for the general way.
            assert at_once.admit_now(call_id, charges) == outcome
        else:
            assert outcome.worst is State.FITS
            decision, fitting = decide(charges, outcome), FittingDecision(matches, units, taken)
            assert fitting.told() == decision.told()
            assert [*fitting.standings] == [*decision.standings]
            assert [standing.used for standing in fitting.budgets()] == [each.used for each in decision.budgets()]
        if not outcome.is_admitted or not is_settled:
            continue
        settlement = settlement_of(call_id, charges, tokens, nano_usd, was_admitted=True)
        in_general.settle_now(settlement)
        if taken is None:
            at_once.settle_now(settlement)
        else:
            for _ in range(2):
                at_once.give_back(call_id, matches, units, tokens, nano_usd)
        assert state_of(at_once) == state_of(in_general)
