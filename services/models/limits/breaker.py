"""The circuit breaker in front of a limit store that is away: calls do not wait for it, one probe a second does."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from services.models.limits.store import LimitStore, StoreUnavailable
from services.shared.logs import Log

FAILURES = 3
FAILURE_SECONDS = 1.0
"""So many failures within this time open the breaker."""

PROBE_SECONDS = 1.0
LOG_SECONDS = 60.0

Result = TypeVar("Result")


class StoreBreaker:
    """Asks a store unless that has failed several times just now. `on_return` is called when it works again."""

    def __init__(self, store: LimitStore, log: Log, on_return: Callable[[], None]) -> None:
        self._store = store
        self._log = log
        self._on_return = on_return
        self._failures: deque[float] = deque(maxlen=FAILURES)
        self._probing: asyncio.Task[None] | None = None
        self._logged = -LOG_SECONDS
        self._is_down = False
        """Whether the last command has failed."""

    @property
    def is_open(self) -> bool:
        return self._probing is not None

    @property
    def is_degraded(self) -> bool:
        """Whether decisions are made without the store."""
        return self._is_down

    async def ask(self, command: Coroutine[Any, Any, Result]) -> Result:
        """The result of a command to the store. Raises StoreUnavailable; while the breaker is open, it is not run."""
        if self._probing:
            command.close()
            raise StoreUnavailable("it has failed several times just now")
        try:
            result = await command
        except StoreUnavailable as error:
            self._note_failure(error)
            raise
        if self._is_down and self._probing is None:
            self._note_return()
        return result

    async def close(self) -> None:
        if self._probing:
            self._probing.cancel()
            await asyncio.wait({self._probing})

    def _note_failure(self, error: StoreUnavailable) -> None:
        now = time.monotonic()
        self._is_down = True
        self._failures.append(now)
        self._warn(error)
        if len(self._failures) == FAILURES and now - self._failures[0] <= FAILURE_SECONDS and self._probing is None:
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await self._store.ping()
            except StoreUnavailable as error:
                self._warn(error)
            else:
                break
        self._probing = None
        self._failures.clear()
        self._note_return()

    def _note_return(self) -> None:
        self._is_down = False
        self._logged = -LOG_SECONDS
        self._log.info("the store of the limits is there")
        self._on_return()

    def _warn(self, error: StoreUnavailable) -> None:
        """Logs at once, and then once in a while."""
        now = time.monotonic()
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            self._log.warning("the store of the limits is away: this process decides alone", why=str(error))
