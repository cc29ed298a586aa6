"""The standings of a caller's limits, read without a call: what is left of each, and until when."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import msgspec

from services.models.limits.breaker import StoreBreaker
from services.models.limits.charges import Charge, Estimate, charges_of
from services.models.limits.decisions import Standing, decide
from services.models.limits.rules import EACH, Facts, Rule
from services.models.limits.store import LimitStore, State, StoreUnavailable, outcome_of
from services.models.limits.windows import Calendar, Span
from services.shared.call import new_request_id

TRIES = 2
"""A window may end while it is read."""

NOTHING = Estimate(0, 0)

PAST = Charge(
    key="past",
    rule=Rule("past", "org", "", "requests", "day", 0),
    kind="budget",
    units=0,
    cost=0,
    tolerance=0,
    burst=0,
    is_enforced=False,
    is_settled=False,
    span=Span("past", 0, 0),
    member="",
)
"""A charge that is always stale: a store that is asked for it tells of all others, and changes nothing."""


class StandingReader:
    """Reads limits at their store."""

    def __init__(self, store: LimitStore, breaker: StoreBreaker, calendar: Calendar) -> None:
        self._store = store
        self._breaker = breaker
        self._calendar = calendar

    async def read(self, facts: Facts, rules: Sequence[Rule]) -> Sequence[Standing]:
        """The limits of a caller as its next call finds them, whatever its model.

        Left out are those that the store cannot tell: budgets that it has not loaded, and all while it is away.
        """
        any_model = [dataclasses.replace(rule, model_glob=EACH) for rule in rules]
        now = time.time_ns() // 1000
        for _ in range(TRIES):
            charges = [_empty(charge) for charge in charges_of(any_model, facts, NOTHING, self._calendar, now)]
            if not charges:
                break
            try:
                outcome = await self._breaker.ask(self._store.admit(new_request_id(), [*charges, PAST]))
            except StoreUnavailable:
                break
            pairs = list(zip(charges, outcome.readings[:-1], strict=True))
            now = outcome.now
            if any(reading.state is State.STALE for _, reading in pairs):
                continue
            known = [(charge, reading) for charge, reading in pairs if reading.state is not State.COLD]
            known_charges, readings = [charge for charge, _ in known], [reading for _, reading in known]
            return decide(known_charges, outcome_of(known_charges, now, readings)).standings
        return []


def _empty(charge: Charge) -> Charge:
    return msgspec.structs.replace(charge, units=0, cost=0, is_enforced=False)
