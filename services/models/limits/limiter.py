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
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeAlias

import msgspec

from services.models.limits.breaker import LOG_SECONDS, StoreBreaker
from services.models.limits.charges import Charge, Estimate, Matches, matches_of
from services.models.limits.decisions import (
    NO_DECISION,
    Decision,
    Standing,
    decide,
    price_unknown,
    store_unavailable,
    too_large,
)
from services.models.limits.fitting import FittingDecision
from services.models.limits.local_limits import LocalLimits
from services.models.limits.rules import Facts, Rule
from services.models.limits.settlements import settlement_of
from services.models.limits.spent_source import SpentQuery, SpentSource
from services.models.limits.standings import StandingReader
from services.models.limits.store import (
    Holding,
    LimitStore,
    Reading,
    Settlement,
    State,
    StoreUnavailable,
)
from services.models.limits.windows import Calendar
from services.shared.call import new_request_id
from services.shared.errors import PlatformError
from services.shared.logs import Log

SETTLE_SECONDS = 2.0
"""Time for which the end of a call waits until it is settled; it is settled later then."""

LOAD_SECONDS = 1.0
"""Time in which the ledger must say what a budget has spent."""

RENEW_SECONDS = 10.0
RENEWED_AT_ONCE = 1000
PURGE_SECONDS = 600.0

TRIES = 4
"""Decisions that are asked for one call: a budget may have to be loaded, and a window may end, meanwhile."""

MAX_UNSETTLED = 10_000
"""Calls that wait for the store to return; the oldest ones are left to the ledger."""

MAX_MATCHES = 4096
"""Callers and models whose matching rules are remembered."""

UnpricedPolicy: TypeAlias = Literal["refuse", "allow"]
Note: TypeAlias = Callable[[Decision | FittingDecision], None]


@dataclass(frozen=True, slots=True)
class LimiterSettings:
    """The settings of a limiter."""

    calendar: Calendar
    replicas: int = 1
    unpriced: UnpricedPolicy = "refuse"


class Admission:
    """An admitted call, for the length of a block. Its end is settled once, whichever way it ends."""

    def __init__(self, limiter: Limiter, call_id: str, decision: Decision | FittingDecision, *, at_store: bool) -> None:
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
        if isinstance(self.decision, FittingDecision):
            return self.decision.charges
        return [
            standing.charge
            for standing in self.decision.standings
            if not standing.is_over or standing.charge.kind != "rate"
        ]

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
        self._spent = spent
        self._log = log
        self._offset = 0
        """The store's time minus this machine's, in microseconds."""
        self._matches: dict[tuple[int, Facts], tuple[Sequence[Rule], Matches]] = {}
        """The rules that have matched calls, with the rules that were tried, by those and the facts of the calls."""
        self._running: dict[str, Admission] = {}
        """The calls that hold slots or reservations at the store."""
        self._waiting: OrderedDict[str, Settlement] = OrderedDict()
        """Settlements that the store has not taken yet."""
        self._catching_up = asyncio.Lock()
        """Held while the store is given what it has missed, and while a budget is loaded: calls that the ledger knows
        already must not be added to it."""
        self._loads: dict[str, asyncio.Task[bool]] = {}
        self._warned_of_ledger = -LOG_SECONDS
        self._endings: set[asyncio.Task[Any]] = set()
        self._upkeep: list[asyncio.Task[None]] = []

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
        self._upkeep = [asyncio.create_task(self._renew()), asyncio.create_task(self._purge())]

    async def close(self) -> None:
        """Waits until ended calls are settled, and closes the store."""
        for task in self._upkeep:
            task.cancel()
        if self._upkeep:
            await asyncio.wait(self._upkeep)
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
        if self._immediate and estimate.nano_usd is not None:
            units = matches.units_for(estimate)
            taken = self._immediate.take(call_id, matches, units)
            if taken:
                fitting = FittingDecision(matches, units, taken)
                admission = self._running[call_id] = Admission(self, call_id, fitting, at_store=True)
                if note:
                    note(fitting)
                return admission
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

    async def end(self, admission: Admission, tokens: int | None, nano_usd: int | None) -> None:
        """Settles a call, also if its caller leaves meanwhile. Does not raise: what the store does not take now, it is
        given when it is there again."""
        decision = admission.decision
        if self._immediate and isinstance(decision, FittingDecision):
            self._running.pop(admission.id, None)
            self._immediate.give_back(admission.id, decision.matches, decision.units, tokens, nano_usd)
            return
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
                charges = await self._load(charges, outcome.readings, facts.project)
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

    # --------------------------------------------------------------------------------------------------- loading

    async def _load(self, charges: Sequence[Charge], readings: Sequence[Reading], project: str) -> Sequence[Charge]:
        """Loads the cold budgets into the store. Returns the charges that can be made then: without those of budgets
        that only warn and that the ledger does not know now. Raises Unavailable where an enforced one is not known."""
        left = []
        for charge, reading in zip(charges, readings, strict=True):
            if reading.state is not State.COLD or await self._load_shared(charge, project):
                left.append(charge)
            elif charge.is_enforced:
                raise store_unavailable(Standing(charge, True, 0, 0, None, None))
        return left

    async def _load_shared(self, charge: Charge, project: str) -> bool:
        """Loads a budget, once for all calls that wait for it. Returns whether the ledger has known what is spent."""
        loading = self._loads.get(charge.key)
        if loading is None:
            loading = self._loads[charge.key] = asyncio.create_task(self._load_one(charge, project))
            loading.add_done_callback(lambda _: self._loads.pop(charge.key, None))
        return await asyncio.shield(loading)

    async def _load_one(self, charge: Charge, project: str) -> bool:
        async with self._catching_up:
            try:
                async with asyncio.timeout(LOAD_SECONDS):
                    spent = await self._spent.spent(SpentQuery.of(charge, project))
            except (PlatformError, TimeoutError) as error:
                self._warn_of_ledger(charge, error)
                return False
            # What the ledger knows already would be added to it once more.
            if self._is_waited_for(charge.key):
                raise StoreUnavailable("it has not taken all that it has missed")
            await self._breaker.ask(self._store.load(charge.key, spent, charge.span.end))
            return True

    def _is_waited_for(self, key: str) -> bool:
        """Whether a settlement of this counter waits for the store."""
        return any(change.key == key for settlement in self._waiting.values() for change in settlement.counters)

    def _warn_of_ledger(self, charge: Charge, error: Exception) -> None:
        """Logs that a budget cannot be loaded, at once, and then once in a while."""
        now = time.monotonic()
        if now - self._warned_of_ledger >= LOG_SECONDS:
            self._warned_of_ledger = now
            self._log.warning("what a budget has spent is not known", limit=charge.rule.id, error=error)

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

    # --------------------------------------------------------------------------------------------------- upkeep

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            holdings = [admission.holding() for admission in self._running.values()]
            for start in range(0, len(holdings), RENEWED_AT_ONCE):
                await self._try(self._store.renew(holdings[start : start + RENEWED_AT_ONCE]))

    async def _purge(self) -> None:
        while True:
            # Replicas that were started together need not do it at once.
            await asyncio.sleep(PURGE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311
            await self._try(self._store.purge())
            await self._local.purge()

    async def _try(self, command: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._breaker.ask(command)


def _machine_time() -> int:
    return time.time_ns() // 1000
