"""The loading of budgets: a store that does not have a counter gets from the ledger what its window has spent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from services.models.limits.breaker import LOG_SECONDS, StoreBreaker
from services.models.limits.charges import Charge
from services.models.limits.decisions import Standing, store_unavailable
from services.models.limits.spent_source import SpentQuery, SpentSource
from services.models.limits.store import LimitStore, Reading, State, StoreUnavailable
from services.shared.errors import PlatformError
from services.shared.logs import Log

LOAD_SECONDS = 1.0
"""Time in which the ledger must say what a budget has spent."""


class BudgetLoader:
    """Loads cold budgets into a store, each once for all calls that wait for it."""

    def __init__(
        self,
        store: LimitStore,
        breaker: StoreBreaker,
        spent: SpentSource,
        log: Log,
        catching_up: asyncio.Lock,
        is_waited_for: Callable[[str], bool],
    ) -> None:
        """`catching_up` is held while the store is given what it has missed; `is_waited_for` says whether a settlement
        of a counter is among that: calls that the ledger knows already must not be added to it."""
        self._store = store
        self._breaker = breaker
        self._spent = spent
        self._log = log
        self._catching_up = catching_up
        self._is_waited_for = is_waited_for
        self._loads: dict[str, asyncio.Task[bool]] = {}
        self._warned_of_ledger = -LOG_SECONDS

    async def load(self, charges: Sequence[Charge], readings: Sequence[Reading], project: str) -> Sequence[Charge]:
        """Loads the cold budgets among charges of a project's call. Returns the charges that can be made then: without
        those of budgets that only warn and that the ledger does not know now. Raises Unavailable where an enforced one
        is not known."""
        left = []
        for charge, reading in zip(charges, readings, strict=True):
            if reading.state is not State.COLD or await self._load_shared(charge, project):
                left.append(charge)
            elif charge.is_enforced:
                raise store_unavailable(Standing(charge, True, 0, 0, None, None))
        return left

    async def _load_shared(self, charge: Charge, project: str) -> bool:
        """Loads a budget. Returns whether the ledger has known what is spent."""
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

    def _warn_of_ledger(self, charge: Charge, error: Exception) -> None:
        """Logs that a budget cannot be loaded, at once, and then once in a while."""
        now = time.monotonic()
        if now - self._warned_of_ledger >= LOG_SECONDS:
            self._warned_of_ledger = now
            self._log.warning("what a budget has spent is not known", limit=charge.rule.id, error=error)
