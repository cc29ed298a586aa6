"""The Limiter: admits calls by all limits that apply to them, and settles their real usage at their end.

    async with await limiter.admit(facts, rules, estimate) as admission:
        usage = await ask_the_model()
        await admission.settle(usage.tokens, usage.nano_usd)

A call without a matching rule asks no store. A block that ends without `settle` has spent nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeAlias

import msgspec

from services.models.limits.breaker import StoreBreaker
from services.models.limits.charges import Charge, Estimate, Matches, matches_of
from services.models.limits.decisions import NO_DECISION, Decision, decide, price_unknown, too_large
from services.models.limits.fitting import FittingCalls
from services.models.limits.loading import BudgetLoader
from services.models.limits.local_limits import LocalLimits
from services.models.limits.rules import Facts, Rule
from services.models.limits.settlements import settlement_of
from services.models.limits.spent_source import SpentSource
from services.models.limits.standings import StandingReader
from services.models.limits.store import (
    Holding,
    LimitStore,
    Settlement,
    State,
    StoreUnavailable,
)
from services.models.limits.upkeep import Upkeep
from services.models.limits.windows import Calendar
from services.shared.call import new_request_id
from services.shared.errors import PlatformError
from services.shared.logs import Log

SETTLE_SECONDS = 2.0
"""Time for which the end of a call waits until it is settled; it is settled later then."""

TRIES = 4
"""Decisions that are asked for one call: a budget may have to be loaded, and a window may end, meanwhile."""

MAX_UNSETTLED = 10_000
"""Calls that wait for the store to return; the oldest ones are left to the ledger."""

MAX_MATCHES = 4096
"""Callers and models whose matching rules are remembered."""

UnpricedPolicy: TypeAlias = Literal["refuse", "allow"]
Note: TypeAlias = Callable[[Decision], None]


@dataclass(frozen=True, slots=True)
class LimiterSettings:
    """The settings of a limiter."""

    calendar: Calendar
    replicas: int = 1
    unpriced: UnpricedPolicy = "refuse"


class Admission:
    """An admitted call, for the length of a block. Its end is settled once, whichever way it ends."""

    def __init__(self, limiter: Limiter, call_id: str, decision: Decision, *, at_store: bool) -> None:
        self.id = call_id
        self.decision = decision
        self.at_store = at_store
        """Whether the store knows of it."""
        self._limiter = limiter
        self._has_ended = False

    async def __aenter__(self) -> Admission:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cancel()

    async def settle(self, tokens: int | None = None, nano_usd: int | None = None) -> None:
        """Ends the call with its usage; what is not known is as the estimate was. Only the first end counts."""
        if not self._has_ended:
            self._has_ended = True
            await self._limiter.end(self, tokens, nano_usd)

    @functools.cached_property
    def charges(self) -> Sequence[Charge]:
        """The charges that were made, without those to rates that only warn and were over."""
        return [
            standing.charge
            for standing in self.decision.standings
            if not standing.is_over or standing.charge.kind != "rate"
        ]

    @property
    def request_limits(self) -> frozenset[str]:
        """The ids of the limits on requests that have counted it."""
        return frozenset(charge.rule.id for charge in self.charges if charge.rule.resource == "requests")

    async def cancel(self) -> None:
        """Ends a call that has used nothing."""
        await self.settle(0, 0)

    @property
    def has_counters(self) -> bool:
        """True if it holds slots or reservations."""
        # Rates come first.
        return bool(self.charges) and self.charges[-1].kind != "rate"

    def holding(self) -> Holding:
        return Holding(self.id, [(charge.key, charge.units) for charge in self.charges if charge.kind != "rate"])


class Limiter:
    """Decides about calls by a store, and alone while that is away. Open it with `start`, end it with `close`."""

    def __init__(self, store: LimitStore, settings: LimiterSettings, spent: SpentSource, log: Log) -> None:
        self._store = store
        self._immediate = store.immediate
        self._breaker = StoreBreaker(store, log, self._settle_waiting)
        self.reader = StandingReader(store, self._breaker, settings.calendar)
        self._local = LocalLimits(settings.replicas)
        self._settings = settings
        self._offset = 0
        """The store's time minus this machine's, in microseconds."""
        self._matches: dict[tuple[int, Facts], tuple[Sequence[Rule], Matches]] = {}
        """The rules that have matched calls, with the rules that were tried, by those and the facts of the calls."""
        self._running: dict[str, Admission] = {}
        """The calls that hold slots or reservations at the store."""
        self._waiting: OrderedDict[str, Settlement] = OrderedDict()
        """Settlements that the store has not taken yet."""
        self._catching_up = asyncio.Lock()
        """Held while the store is given what it has missed, and while a budget is loaded."""
        self._loader = BudgetLoader(store, self._breaker, spent, log, self._catching_up, self._is_waited_for)
        self._endings: set[asyncio.Task[Any]] = set()
        self._upkeep = Upkeep(store, self._breaker, self._local, self._holdings)

    @property
    def is_degraded(self) -> bool:
        """Whether this process decides alone, because the store is away."""
        return self._breaker.is_degraded

    @property
    def running(self) -> int:
        """The calls that hold slots or reservations at the store."""
        return len(self._running)

    def start(self) -> None:
        """Starts renewing the leases of running calls."""
        self._upkeep.start()

    async def close(self) -> None:
        """Waits until ended calls are settled, and closes the store."""
        await self._upkeep.close()
        if self._endings:
            await asyncio.wait(self._endings, timeout=SETTLE_SECONDS)
        await self._breaker.close()
        await self._store.close()

    async def admit(
        self,
        facts: Facts,
        rules: Sequence[Rule],
        estimate: Estimate,
        call_id: str = "",
        note: Note | None = None,
    ) -> Admission:
        """Admits a call, or raises the error of the limit that refuses it: LimitExceeded, PreconditionFailed
        (PRICE_UNKNOWN) or Unavailable (LIMIT_STORE_UNAVAILABLE).

        `call_id` is unique to the call, and no id that a caller chooses. `note` is given the decision in either case.
        """
        matches = self._matching(rules, facts, self._now())
        if not matches.charges:
            return Admission(self, call_id, NO_DECISION, at_store=False)
        call_id = call_id or new_request_id()
        charges = matches.charges_for(estimate)
        if estimate.nano_usd is None:
            self._check_price(charges)
        admitting = self._admit(facts, rules, estimate, charges, call_id)
        admission = await (admitting if self._immediate else self._finish(admitting))
        decision = admission.decision
        if note:
            note(decision)
        if decision.over and (error := decision.refusal()):
            raise error
        return admission

    def fitting_calls(self, facts: Facts, rules: Sequence[Rule]) -> FittingCalls | None:
        """The limits of calls with these facts, if such may be admitted at once; to be kept for many of them. Raises
        PreconditionFailed for an amount that cannot be kept."""
        if self._immediate is None:
            return None
        return self._immediate.fitting_calls(self._matching(rules, facts, self._now()))

    async def end(self, admission: Admission, tokens: int | None, nano_usd: int | None) -> None:
        """Settles a call, also if its caller leaves meanwhile. Does not raise: what the store does not take now, it is
        given when it is there again."""
        charges = admission.charges
        if not charges:
            return
        if not self._immediate:
            self._local.end(charges)
        self._running.pop(admission.id, None)
        # A store that is away may have crashed, and lost the admission: it must not need to know of it.
        was_admitted = admission.at_store and not self._breaker.is_degraded
        settlement = settlement_of(admission.id, charges, tokens, nano_usd, was_admitted=was_admitted)
        if not settlement.rates and not settlement.counters:
            return
        if not admission.at_store:
            await self._local.settle(settlement)
        if self._immediate:
            self._immediate.settle_now(settlement)
            return
        ending = self._follow(self._settle(settlement))
        await asyncio.wait({ending}, timeout=SETTLE_SECONDS)

    # ------------------------------------------------------------------------------------------------- admission

    def _charges(self, rules: Sequence[Rule], facts: Facts, estimate: Estimate, now: int) -> Sequence[Charge]:
        """The charges of the rules that match a call."""
        return self._matching(rules, facts, now).charges_for(estimate)

    def _matching(self, rules: Sequence[Rule], facts: Facts, now: int) -> Matches:
        """The rules that match a call, which are remembered for the next call like it."""
        place = (id(rules), facts)
        known = self._matches.get(place)
        # As long as the rules are kept here, no others have their id.
        if known is None or known[0] is not rules or not known[1].start <= now < known[1].end:
            if len(self._matches) >= MAX_MATCHES:
                self._matches.clear()
            matches = matches_of(rules, facts, self._settings.calendar, now)
            self._check_amounts(matches.charges)
            known = self._matches[place] = rules, matches
        return known[1]

    def _check_amounts(self, charges: Sequence[Charge]) -> None:
        """Raises PreconditionFailed for an amount that the store cannot keep."""
        for charge in charges:
            if charge.kind != "rate" and charge.rule.amount > self._store.largest_amount:
                raise too_large(charge.rule, self._store.largest_amount)

    def _check_price(self, charges: Sequence[Charge]) -> None:
        """Raises PreconditionFailed for a price that is not known, unless such calls are allowed."""
        for charge in charges:
            if self._settings.unpriced == "refuse" and charge.rule.resource == "nano_usd" and charge.is_enforced:
                raise price_unknown(charge.rule)

    async def _finish(self, admitting: Coroutine[Any, Any, Admission]) -> Admission:
        """The admission; when this is cancelled, it is given back as soon as it is there."""
        task = asyncio.create_task(admitting)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # It may be admitted in spite of the cancellation.
            self._follow(self._cancel(task))
            raise

    async def _admit(
        self, facts: Facts, rules: Sequence[Rule], estimate: Estimate, charges: Sequence[Charge], call_id: str
    ) -> Admission:
        """The decision, of the store or alone. An admitted call is counted as running."""
        try:
            decision = await self._decide(facts, rules, estimate, charges, call_id)
            if not self._immediate:
                self._local.observe(decision)
        except StoreUnavailable:
            decision = await self._local.decide(call_id, charges)
        if estimate.nano_usd is None and any(charge.rule.resource == "nano_usd" for charge in charges):
            decision = msgspec.structs.replace(decision, is_unpriced=True)
        admission = Admission(self, call_id, decision, at_store=not decision.is_degraded)
        if decision.refused_by is None:
            if not self._immediate:
                self._local.begin(admission.charges)
            if admission.at_store and admission.has_counters:
                self._running[call_id] = admission
        return admission

    async def _decide(
        self, facts: Facts, rules: Sequence[Rule], estimate: Estimate, charges: Sequence[Charge], call_id: str
    ) -> Decision:
        for _ in range(TRIES):
            if self._immediate:
                outcome = self._immediate.admit_now(call_id, charges)
            else:
                outcome = await self._breaker.ask(self._store.admit(call_id, charges))
            worst = outcome.worst
            if worst is State.STALE:
                self._offset = outcome.now - _machine_time()
                charges = self._charges(rules, facts, estimate, outcome.now)
            elif worst is State.COLD:
                charges = await self._loader.load(charges, outcome.readings, facts.project)
            else:
                return decide(charges, outcome)
        raise StoreUnavailable("it does not keep what is loaded into it")

    def _now(self) -> int:
        return _machine_time() + self._offset

    async def _cancel(self, admitting: asyncio.Task[Admission]) -> None:
        with contextlib.suppress(PlatformError):
            admission = await admitting
            if admission.decision.refused_by is None:
                await admission.cancel()

    # -------------------------------------------------------------------------------------------------- the end

    def _follow(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs work that goes on when its caller leaves, and that `close` waits for."""
        task = asyncio.create_task(work)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task

    async def _settle(self, settlement: Settlement) -> None:
        try:
            await self._breaker.ask(self._store.settle(settlement))
        except StoreUnavailable:
            self._waiting[settlement.id] = settlement
            if len(self._waiting) > MAX_UNSETTLED:
                self._waiting.popitem(last=False)

    def _settle_waiting(self) -> None:
        """Gives the store that is there again all that it has missed."""
        self._follow(self._settle_all())

    async def _settle_all(self) -> None:
        async with self._catching_up:
            for call_id in list(self._waiting):
                if settlement := self._waiting.pop(call_id, None):
                    await self._settle(settlement)

    def _is_waited_for(self, key: str) -> bool:
        """Whether a settlement of this counter waits for the store."""
        return any(change.key == key for settlement in self._waiting.values() for change in settlement.counters)

    def _holdings(self) -> Sequence[Holding]:
        return [admission.holding() for admission in self._running.values()]


def _machine_time() -> int:
    return time.time_ns() // 1000
