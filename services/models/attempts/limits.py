"""Limits of attempts that all chats of the process share: the retry budget, and a circuit breaker for each target."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.models.attempts.circuit_breaker import CircuitBreaker
from services.models.attempts.retry_budget import RetryBudget
from services.models.providers.base import Target

MAX_ATTEMPTS = 3
"""Requests to models' servers for one chat, unless the operator wants fewer."""

MAX_TARGETS = 4096
"""Targets whose circuit breakers are kept: registrations come and go."""


class AttemptLimits:
    """The limits of one process. `now` is a monotonic clock, in seconds."""

    def __init__(self, max_attempts: int = MAX_ATTEMPTS, now: Callable[[], float] = time.monotonic) -> None:
        self.max_attempts = max_attempts
        self.now = now
        self.budget = RetryBudget(now)
        self._breakers: dict[tuple[str, str], CircuitBreaker] = {}

    def breaker(self, target: Target) -> CircuitBreaker:
        """The circuit breaker of a target: of one model at one endpoint."""
        key = (target.endpoint, target.model)
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = CircuitBreaker()
            if len(self._breakers) > MAX_TARGETS:
                del self._breakers[next(iter(self._breakers))]
        return breaker
