"""The limit store of one process, in its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from services.models.limits.charges import Charge, Matches
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
    Taken,
    outcome_of,
)
from services.models.limits.windows import FOREVER


class _Counter:
    """The counter of slots or of a budget. `held` is the sum of its reservations."""

    __slots__ = ("end", "first_expiry", "held", "peak", "reservations", "spent")

    def __init__(self, end: int, spent: int = 0) -> None:
        self.end = end
        self.spent = spent
        self.held = 0
        self.peak = 0
        self.reservations: dict[str, tuple[int, int]] = {}
        """The units of each call, and the time at which they expire."""
        self.first_expiry = FOREVER
        """A time before which no reservation expires."""

    def reserve(self, call_id: str, units: int, expires_at: int) -> None:
        self.reservations[call_id] = units, expires_at
        if expires_at < self.first_expiry:
            self.first_expiry = expires_at
        self.held += units
        if self.spent + self.held > self.peak:
            self.peak = self.spent + self.held

    def release(self, call_id: str) -> None:
        reservation = self.reservations.pop(call_id, None)
        if reservation:
            self.held -= reservation[0]

    def renew(self, call_id: str, now: int) -> None:
        """Extends a reservation that has not expired yet."""
        units, expires_at = self.reservations.get(call_id, (0, 0))
        if expires_at > now:
            self.reservations[call_id] = units, now + LEASE

    def expire(self, now: int) -> None:
        """Gives back all that has expired by then."""
        for call_id in [name for name, (_, expires_at) in self.reservations.items() if expires_at <= now]:
            self.release(call_id)
        self.first_expiry = min((expires_at for _, expires_at in self.reservations.values()), default=FOREVER)


def _now() -> int:
    return time.time_ns() // 1000


class MemoryStore:
    """The limits of one process, which are lost with it."""

    largest_amount = MAX_AMOUNT

    def __init__(self, clock: Callable[[], int] = _now) -> None:
        self._clock = clock
        self._rates: dict[str, int] = {}
        """The time up to which each rate is used."""
        self._counters: dict[str, _Counter] = {}
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
                    self._rates[charge.key] = reading.used + charge.cost
                continue
            counter = self._counters.get(charge.key)
            if counter is None:
                # The counter of slots has no end: it may be deleted whenever it holds nothing.
                counter = self._counters[charge.key] = _Counter(0)
            counter.reserve(call_id, charge.units, now + LEASE)
        if is_settled:
            self._unsettled[call_id] = now + KEPT
        return outcome

    def take(self, call_id: str, matches: Matches, units: Sequence[int]) -> Taken | None:
        now, levels = self._clock(), []
        if not matches.start <= now < matches.end:
            return None
        rates, counters = self._rates, self._counters
        for charge, count in zip(matches.charges, units, strict=True):
            if charge.kind == "rate":
                used = rates.get(charge.key, now)
                level = (used if used > now else now) + (charge.cost if count == 1 else charge.microseconds(count))
                if level - charge.tolerance > now:
                    return None
            else:
                counter = counters.get(charge.key)
                if counter is None or now >= counter.first_expiry or charge.rule.soft_percents:
                    return None
                level = counter.spent + counter.held + count
                if level > charge.rule.amount:
                    return None
            levels.append(level)
        for charge, count, level in zip(matches.charges, units, levels, strict=True):
            if charge.kind == "rate":
                rates[charge.key] = level
            else:
                counters[charge.key].reserve(call_id, count, now + LEASE)
        self._unsettled[call_id] = now + KEPT
        return Taken(now, levels)

    def give_back(
        self, call_id: str, matches: Matches, units: Sequence[int], tokens: int | None, nano_usd: int | None
    ) -> None:
        if self._unsettled.pop(call_id, None) is None:
            return
        now = self._clock()
        for charge, count in zip(matches.charges, units, strict=True):
            if charge.kind == "slots":
                spent = 0
            elif not charge.is_settled:
                continue
            else:
                resource = charge.rule.resource
                real = tokens if resource == "tokens" else nano_usd if resource == "nano_usd" else None
                spent = count if real is None else real
            if charge.kind != "rate":
                counter = self._counters.get(charge.key)
                if counter:
                    counter.release(call_id)
                    counter.spent += spent
            elif spent != count:
                used = self._rates.get(charge.key, now)
                used = (used if used > now else now) + charge.microseconds(spent) - charge.microseconds(count)
                self._rates[charge.key] = used if used > now else now

    async def load(self, key: str, spent: int, end: int) -> None:
        self._counters.setdefault(key, _Counter(end, spent))

    async def settle(self, settlement: Settlement) -> None:
        self.settle_now(settlement)

    def settle_now(self, settlement: Settlement) -> None:
        now = self._clock()
        if not self._take(settlement, now):
            return
        for rate in settlement.rates:
            used = self._rates.get(rate.key, now)
            used = (used if used > now else now) + rate.microseconds
            self._rates[rate.key] = used if used > now else now
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
        self._rates = {key: used for key, used in self._rates.items() if used > now}
        self._unsettled = {call_id: end for call_id, end in self._unsettled.items() if end > now}
        self._settled_late = {call_id: end for call_id, end in self._settled_late.items() if end > now}
        for key, counter in list(self._counters.items()):
            counter.expire(now)
            is_idle = counter.end == 0 and not counter.reservations
            if is_idle or 0 < counter.end < now - KEPT:
                del self._counters[key]

    async def close(self) -> None:
        """Does nothing: the process ends with its memory."""

    def read(self, charge: Charge, now: int) -> Reading:
        """The reading of a limit before a charge."""
        if charge.kind == "rate":
            used = self._rates.get(charge.key, now)
            if used < now:
                used = now
            return Reading(OVER if used + charge.cost - charge.tolerance > now else FITS, used)
        span = charge.span
        if not span.start <= now < span.end:
            return Reading(STALE, 0)
        counter = self._counters.get(charge.key)
        if counter is None:
            if charge.kind == "budget":
                return Reading(COLD, 0)
            counter = _Counter(0)
        elif now >= counter.first_expiry:
            counter.expire(now)
        spent, held = counter.spent, counter.held
        is_over = spent + held + charge.units > charge.rule.amount
        return Reading(OVER if is_over else FITS, spent, held, counter.peak)
