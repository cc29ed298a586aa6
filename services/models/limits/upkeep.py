"""The upkeep of a limiter: renews the leases of running calls, and deletes what no decision needs any more."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from services.models.limits.breaker import StoreBreaker
from services.models.limits.local_limits import LocalLimits
from services.models.limits.store import Holding, LimitStore, StoreUnavailable

RENEW_SECONDS = 10.0
RENEWED_AT_ONCE = 1000
PURGE_SECONDS = 600.0


class Upkeep:
    """The upkeep of a store and of the limits beside it. Begin it with `start`, end it with `close`."""

    def __init__(
        self,
        store: LimitStore,
        breaker: StoreBreaker,
        local: LocalLimits,
        holdings: Callable[[], Sequence[Holding]],
    ) -> None:
        """`holdings` gives the running calls."""
        self._store = store
        self._breaker = breaker
        self._local = local
        self._holdings = holdings
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._renew()), asyncio.create_task(self._purge())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            holdings = self._holdings()
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
