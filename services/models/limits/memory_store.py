"""The limit store of one process, in its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from services.models.limits.charges import Charge, Matches
from services.models.limits.fitting import FittingCalls
from services.models.limits.places import CounterPlace, Era, RatePlace
from services.models.limits.rules import MAX_AMOUNT
from services.models.limits.store import (
    COLD,
    FITS,
    KEPT,
    LEASE,
    OVER,
    STALE,
    Holding,
    Outcome,
    Reading,
    Settlement,
    outcome_of,
)
from services.models.limits.windows import MICROSECONDS

RATE_KEPT = 3600 * MICROSECONDS
"""Time for which a rate is kept that is not used: calls of then that still run may correct it."""


def _now() -> int:
    return time.time_ns() // 1000


class MemoryStore:
    """The limits of one process, which are lost with it."""

    largest_amount = MAX_AMOUNT

    def __init__(self, clock: Callable[[], int] = _now) -> None:
        self._clock = clock
        self._rates: dict[str, RatePlace] = {}
        self._counters: dict[str, CounterPlace] = {}
        self._era = Era()
        self._unsettled: dict[str, int] = {}
        """The time up to which each call can be settled at least."""
        self._settled_late: dict[str, int] = {}
        """The same of calls that were settled and never admitted."""

    @property
    def immediate(self) -> MemoryStore:
        return self

    async def admit(self, call_id: str, charges: Sequence[Charge]) -> Outcome:
        return self.admit_now(call_id, charges)

    def admit_now(self, call_id: str, charges: Sequence[Charge]) -> Outcome:
        now = self._clock()
        readings = [self.read(charge, now) for charge in charges]
        outcome = outcome_of(charges, now, readings)
        if not outcome.is_admitted:
            return outcome
        is_settled = False
        for charge, reading in zip(charges, readings, strict=True):
            if charge.is_settled:
                is_settled = True
            if charge.kind == "rate":
                if reading.state is FITS:
                    self._rate(charge.key).used = reading.used + charge.cost
                continue
            self._counter(charge.key).reserve(call_id, charge.units, now + LEASE)
        if is_settled:
            self._unsettled[call_id] = now + KEPT
        return outcome

    def fitting_calls(self, matches: Matches) -> FittingCalls | None:
        rates, counters = {}, {}
        for charge in matches.charges:
            key = charge.key
            if charge.kind == "rate":
                if not charge.rule.amount:
                    return None
                rates[key] = self._rate(key)
                continue
            counter = self._counter(key) if charge.kind == "slots" else self._counters.get(key)
            if counter is None:
                return None
            counters[key] = counter
        return FittingCalls(matches, rates, counters, self._era, self._clock)

    def _rate(self, key: str) -> RatePlace:
        place = self._rates.get(key)
        if place is None:
            place = self._rates[key] = RatePlace()
        return place

    def _counter(self, key: str) -> CounterPlace:
        """The place of slots. It has no end: it may be deleted whenever it holds nothing."""
        place = self._counters.get(key)
        if place is None:
            place = self._counters[key] = CounterPlace(0)
        return place

    async def load(self, key: str, spent: int, end: int) -> None:
        self._counters.setdefault(key, CounterPlace(end, spent))

    async def settle(self, settlement: Settlement) -> None:
        self.settle_now(settlement)

    def settle_now(self, settlement: Settlement) -> None:
        now = self._clock()
        if not self._take(settlement, now):
            return
        for rate in settlement.rates:
            place = self._rate(rate.key)
            place.used = max(max(place.used, now) + rate.microseconds, now)
        for change in settlement.counters:
            counter = self._counters.get(change.key)
            if counter:
                counter.release(settlement.id)
                counter.spent += change.spent

    def _take(self, settlement: Settlement, now: int) -> bool:
        """Whether the settlement is the first one of its call."""
        is_known = self._unsettled.pop(settlement.id, None) is not None
        if settlement.was_admitted:
            return is_known
        is_first = settlement.id not in self._settled_late
        self._settled_late[settlement.id] = now + KEPT
        return is_first

    async def renew(self, holdings: Sequence[Holding]) -> None:
        now = self._clock()
        for holding in holdings:
            for key, _ in holding.counters:
                if counter := self._counters.get(key):
                    counter.renew(holding.id, now)

    async def ping(self) -> None:
        """Returns at once."""

    async def purge(self) -> None:
        now = self._clock()
        # What fitting calls have known of the places may be wrong from now on.
        self._era.is_over = True
        self._era = Era()
        self._rates = {key: place for key, place in self._rates.items() if place.used > now - RATE_KEPT}
        self._unsettled = {call_id: end for call_id, end in self._unsettled.items() if end > now}
        self._settled_late = {call_id: end for call_id, end in self._settled_late.items() if end > now}
        for key, counter in list(self._counters.items()):
            counter.expire(now)
            is_idle = counter.end == 0 and not counter.held
            if is_idle or 0 < counter.end < now - KEPT:
                del self._counters[key]

    async def close(self) -> None:
        """Does nothing: the process ends with its memory."""

    def read(self, charge: Charge, now: int) -> Reading:
        """The reading of a limit before a charge."""
        if charge.kind == "rate":
            place = self._rates.get(charge.key)
            used = max(place.used, now) if place else now
            return Reading(OVER if used + charge.cost - charge.tolerance > now else FITS, used)
        span = charge.span
        if not span.start <= now < span.end:
            return Reading(STALE, 0)
        counter = self._counters.get(charge.key)
        if counter is None:
            if charge.kind == "budget":
                return Reading(COLD, 0)
            counter = CounterPlace(0)
        elif now >= counter.first_expiry:
            counter.expire(now)
        spent, held = counter.spent, counter.held
        is_over = spent + held + charge.units > charge.rule.amount
        return Reading(OVER if is_over else FITS, spent, held, counter.peak)
