"""The limit store of one process, in its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from services.models.limits.charges import Charge
from services.models.limits.rules import MAX_AMOUNT
from services.models.limits.store import (
    KEPT,
    LEASE,
    CounterChange,
    Holding,
    Outcome,
    Reading,
    Settlement,
    State,
    may_go_on,
)
from services.models.limits.windows import FOREVER


@dataclass(slots=True)
class _Reservation:
    units: int
    expires_at: int


@dataclass(slots=True)
class _Counter:
    """The counter of slots or of a budget. `held` is the sum of its reservations."""

    end: int
    spent: int = 0
    held: int = 0
    peak: int = 0
    reservations: dict[str, _Reservation] = field(default_factory=dict)
    first_expiry: int = FOREVER
    """A time before which no reservation expires."""

    def reserve(self, call_id: str, units: int, now: int) -> None:
        self.reservations[call_id] = _Reservation(units, now + LEASE)
        self.first_expiry = min(self.first_expiry, now + LEASE)
        self.held += units
        self.peak = max(self.peak, self.spent + self.held)

    def release(self, call_id: str) -> None:
        reservation = self.reservations.pop(call_id, None)
        if reservation:
            self.held -= reservation.units

    def expire(self, now: int) -> None:
        """Gives back all that has expired by then."""
        for call_id in [name for name, entry in self.reservations.items() if entry.expires_at <= now]:
            self.release(call_id)
        self.first_expiry = min((entry.expires_at for entry in self.reservations.values()), default=FOREVER)

    def live(self, call_id: str, now: int) -> Iterator[_Reservation]:
        reservation = self.reservations.get(call_id)
        if reservation and reservation.expires_at > now:
            yield reservation


def _now() -> int:
    return time.time_ns() // 1000


class MemoryStore:
    """The limits of one process, which are lost with it."""

    largest_amount = MAX_AMOUNT
    is_immediate = True

    def __init__(self, clock: Callable[[], int] = _now) -> None:
        self._clock = clock
        self._rates: dict[str, int] = {}
        """The time up to which each rate is used."""
        self._counters: dict[str, _Counter] = {}
        self._unsettled: dict[str, int] = {}
        """The time up to which each call can be settled at least."""
        self._settled_late: dict[str, int] = {}
        """The same of calls that were settled and never admitted."""

    async def admit(self, call_id: str, charges: Sequence[Charge]) -> Outcome:
        return self.decide(call_id, charges)

    def decide(self, call_id: str, charges: Sequence[Charge]) -> Outcome:
        """The same without waiting."""
        now = self._clock()
        readings = [self.read(charge, now) for charge in charges]
        if not may_go_on(charges, readings):
            return Outcome(now, readings)
        is_settled = False
        for charge, reading in zip(charges, readings, strict=True):
            self._write(call_id, charge, reading, now)
            is_settled |= charge.is_settled
        if is_settled:
            self._unsettled[call_id] = now + KEPT
        return Outcome(now, readings)

    async def load(self, key: str, spent: int, end: int) -> None:
        self._counters.setdefault(key, _Counter(end, spent))

    async def settle(self, settlement: Settlement) -> None:
        now = self._clock()
        if not self._take(settlement, now):
            return
        for rate in settlement.rates:
            self._rates[rate.key] = max(now, max(now, self._rates.get(rate.key, 0)) + rate.microseconds)
        for change in settlement.counters:
            self._settle_counter(settlement.id, change)

    def _take(self, settlement: Settlement, now: int) -> bool:
        """Whether the settlement is the first one of its call."""
        is_known = self._unsettled.pop(settlement.id, None) is not None
        if settlement.was_admitted:
            return is_known
        is_first = settlement.id not in self._settled_late
        self._settled_late[settlement.id] = now + KEPT
        return is_first

    def _settle_counter(self, call_id: str, change: CounterChange) -> None:
        counter = self._counters.get(change.key)
        if counter:
            counter.release(call_id)
            counter.spent += change.spent

    async def renew(self, holdings: Sequence[Holding]) -> None:
        now = self._clock()
        for holding in holdings:
            for key, _ in holding.counters:
                counter = self._counters.get(key)
                for reservation in counter.live(holding.id, now) if counter else ():
                    reservation.expires_at = now + LEASE

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
            is_over = used + charge.cost - charge.tolerance > now
            return Reading(State.OVER if is_over else State.FITS, used)
        span = charge.span
        if not span.start <= now < span.end:
            return Reading(State.STALE, 0)
        counter = self._counters.get(charge.key)
        if counter is None:
            if charge.kind == "budget":
                return Reading(State.COLD, 0)
            counter = _Counter(0)
        if now >= counter.first_expiry:
            counter.expire(now)
        is_over = counter.spent + counter.held + charge.units > charge.rule.amount
        return Reading(State.OVER if is_over else State.FITS, counter.spent, counter.held, counter.peak)

    def _write(self, call_id: str, charge: Charge, reading: Reading, now: int) -> None:
        if charge.kind != "rate":
            # The counter of slots has no end: it may be deleted whenever it holds nothing.
            self._counters.setdefault(charge.key, _Counter(0)).reserve(call_id, charge.units, now)
        elif reading.state is State.FITS:
            self._rates[charge.key] = reading.used + charge.cost
