"""Limits of attempts that all chats of the process share: the retry budget, and the traffic of each target."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.models.attempts.retry_budget import RetryBudget
from services.models.attempts.traffic import Traffic
from services.models.providers.base import Target

MAX_ATTEMPTS = 3
"""Requests to models' servers for one chat, unless the operator wants fewer."""

MAX_TARGETS = 4096
"""Targets whose traffic is kept, those that were used last: registrations come and go."""


class AttemptLimits:
    """The limits of one process. `now` is a monotonic clock, in seconds."""

    def __init__(self, max_attempts: int = MAX_ATTEMPTS, now: Callable[[], float] = time.monotonic) -> None:
        self.max_attempts = max_attempts
        self.now = now
        self.budget = RetryBudget(now)
        self._traffic: dict[tuple[str, str], Traffic] = {}
        """In the order of their last use."""

    def traffic(self, target: Target) -> Traffic:
        """The traffic of a target."""
        return self.traffic_of(target.endpoint, target.model)

    def traffic_of(self, endpoint: str, model: str) -> Traffic:
        """The traffic of the target with this base URL and this model."""
        key = (endpoint, model)
        traffic = self._traffic.pop(key, None)
        if traffic is None:
            traffic = Traffic()
            if len(self._traffic) >= MAX_TARGETS:
                del self._traffic[next(iter(self._traffic))]
        self._traffic[key] = traffic
        return traffic
