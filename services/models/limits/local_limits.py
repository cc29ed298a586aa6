"""Limits while the store is away: each process keeps its share of them alone.

Rates and slots are divided by the number of replicas. Of a budget a process may spend at most its share of what was
left when it last heard of it; of one that it has not heard of, nothing.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from services.models.limits.charges import Charge
from services.models.limits.decisions import Decision, decide
from services.models.limits.memory_store import MemoryStore
from services.models.limits.store import RateChange, Reading, Settlement, State, outcome_of

MAX_BUDGETS = 10_000
"""Budgets of which a process remembers the rest; the oldest give way."""


def _now() -> int:
    return time.time_ns() // 1000


class LocalLimits:
    """The share of one process in all limits."""

    def __init__(self, replicas: int, clock: Callable[[], int] = _now) -> None:
        self._replicas = replicas
        self._clock = clock
        self._rates = MemoryStore(clock)
        self._running: Counter[str] = Counter()
        """The calls of this process by their slots, however they were admitted."""
        self._remaining: OrderedDict[str, int] = OrderedDict()
        """The rest of each budget at the last contact."""
        self._taken: Counter[str] = Counter()
        """The units of each budget that were taken without the store since then."""

    def observe(self, decision: Decision) -> None:
        """Remembers what the store has told of budgets."""
        for standing in decision.standings:
            if standing.charge.kind != "budget":
                continue
            key = standing.charge.key
            self._remaining[key] = standing.remaining
            self._remaining.move_to_end(key)
            self._taken.pop(key, None)
            if len(self._remaining) > MAX_BUDGETS:
                oldest, _ = self._remaining.popitem(last=False)
                self._taken.pop(oldest, None)

    def begin(self, charges: Sequence[Charge]) -> None:
        """Counts a call that runs."""
        for charge in charges:
            if charge.kind == "slots":
                self._running[charge.key] += 1

    def end(self, charges: Sequence[Charge]) -> None:
        for charge in charges:
            if charge.kind != "slots":
                continue
            self._running[charge.key] -= 1
            if not self._running[charge.key]:
                del self._running[charge.key]

    async def decide(self, call_id: str, charges: Sequence[Charge]) -> Decision:
        """The decision without the store; an admitted call is charged."""
        now = self._clock()
        shares = [self._share(charge) for charge in charges]
        readings = [self._read(share, now) for share in shares]
        outcome = outcome_of(shares, now, readings)
        if outcome.is_admitted:
            await self._rates.admit(call_id, [share for share in shares if share.kind == "rate"])
            self._take(shares)
        decision = decide(shares, outcome)
        standings = [
            msgspec.structs.replace(standing, charge=charge, crossed=())
            for standing, charge in zip(decision.standings, charges, strict=True)
        ]
        over = [standing for standing in standings if standing.is_over]
        decision = Decision(standings, is_degraded=True, over=over)
        refused_by = decision.refused_by
        is_of_budget = refused_by is not None and refused_by.charge.kind == "budget"
        return msgspec.structs.replace(decision, store_refused=is_of_budget)

    async def settle(self, settlement: Settlement) -> None:
        """Corrects what an admitted call has taken by what it has spent."""
        moves = [RateChange(change.key, change.microseconds * self._replicas) for change in settlement.rates]
        await self._rates.settle(Settlement(settlement.id, moves, []))
        for change in settlement.counters:
            if change.key in self._taken:
                self._taken[change.key] += change.spent - change.held

    async def purge(self) -> None:
        """Deletes what no decision needs any more."""
        await self._rates.purge()

    def _share(self, charge: Charge) -> Charge:
        """The charge to the share of this process."""
        rule = charge.rule
        if charge.kind == "budget":
            amount = self._remaining.get(charge.key, 0) // self._replicas
            return charge.by(dataclasses.replace(rule, amount=amount))
        amount = max(1, rule.amount // self._replicas) if rule.amount else 0
        burst = None
        if charge.kind == "rate" and amount:
            # A call that the whole limit allows is not too large for the share.
            burst = max(1, charge.burst // self._replicas, min(charge.units, charge.burst))
        return charge.by(dataclasses.replace(rule, amount=amount, burst=burst))

    def _read(self, share: Charge, now: int) -> Reading:
        if share.kind == "rate":
            return self._rates.read(share, now)
        used = (self._running if share.kind == "slots" else self._taken)[share.key]
        is_over = used + share.units > share.rule.amount
        if share.kind == "budget":
            is_over = is_over or share.key not in self._remaining
        return Reading(State.OVER if is_over else State.FITS, used)

    def _take(self, shares: Sequence[Charge]) -> None:
        for share in shares:
            if share.kind == "budget":
                self._taken[share.key] += share.units
