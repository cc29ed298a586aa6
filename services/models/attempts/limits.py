"""Limits of attempts that all chats of the process share: the retry budget, and the traffic of each target."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from services.models.attempts.places import Places
from services.models.attempts.retry_budget import RetryBudget
from services.models.attempts.traffic import Traffic
from services.models.providers.base import Target
from services.models.providers.endpoints import Endpoint

MAX_ATTEMPTS = 3
"""Requests to models' servers for one chat, unless the operator wants fewer."""

MAX_TARGETS = 4096
"""Targets whose traffic is kept, those that were used last: registrations come and go."""


class AttemptLimits:
    """The limits of one process. `now` is a monotonic clock, in seconds."""

    def __init__(
        self,
        max_attempts: int = MAX_ATTEMPTS,
        now: Callable[[], float] = time.monotonic,
        max_requests: Mapping[str, int] | None = None,
    ) -> None:
        """`max_requests` are the operator's limits of requests in flight, by models and providers."""
        self.max_attempts = max_attempts
        self.now = now
        self.budget = RetryBudget(now)
        self.places = Places(max_requests or {})
        self._traffic: dict[tuple[str, str, bool], Traffic] = {}
        """In the order of their last use. Failures of what strangers have registered are not held against a server of
        the operator's, even if it is the same."""

    def traffic(self, target: Target) -> Traffic:
        """The traffic of a target."""
        return self._traffic_of((target.endpoint, target.model, target.untrusted))

    def traffic_at(self, endpoint: Endpoint) -> Traffic:
        """The traffic of the target at an endpoint."""
        return self._traffic_of((endpoint.root, endpoint.model, endpoint.untrusted))

    def _traffic_of(self, key: tuple[str, str, bool]) -> Traffic:
        traffic = self._traffic.pop(key, None)
        if traffic is None:
            traffic = Traffic()
            if len(self._traffic) >= MAX_TARGETS:
                del self._traffic[next(iter(self._traffic))]
        self._traffic[key] = traffic
        return traffic
