"""Traffic of a target: its circuit breaker, its requests in flight, and what their results say of it."""

from __future__ import annotations

from services.models.attempts.circuit_breaker import CircuitBreaker

PROVEN_SECONDS = 30.0
"""Time for which answered requests prove that the target works."""
PROVEN_GROWTH = 2
"""The factor by which a target may have more requests in flight than it has answered at once."""
UNPROVEN_FAILURES = 2
"""Failures in a row after which nothing is proven any more."""

REST_SECONDS = 1.0
MAX_REST_SECONDS = 10.0
"""Time for which an endpoint that has failed is not chosen while others can be: without and with a Retry-After."""


class Traffic:
    """The traffic to one target: to one model at one endpoint. Times are those of one monotonic clock, in seconds."""

    __slots__ = ("_answered_at", "_answered_at_once", "_failures_in_row", "_rests_until", "breaker", "in_flight")

    def __init__(self) -> None:
        self.breaker = CircuitBreaker()
        self.in_flight = 0
        """The attempts that run."""
        self._answered_at_once = 0
        """The most requests in flight beside one that was answered, itself included, and the time of that answer."""
        self._answered_at = 0.0
        self._failures_in_row = 0
        self._rests_until = 0.0

    def record_success(self, now: float) -> None:
        """Counts an answer, while its request is still in flight."""
        self.breaker.record_success(now)
        self._failures_in_row = 0
        self._rests_until = 0.0
        if self.in_flight >= self._answered_at_once or self._is_old(now):
            self._answered_at_once, self._answered_at = self.in_flight, now

    def record_failure(self, now: float, reason: str, retry_after: float | None, *, trips: bool) -> None:
        """Counts a failure that is not the request's own fault. The circuit breaker counts only those that `trips`."""
        if trips:
            self.breaker.record_failure(now, reason)
        self._failures_in_row += 1
        if self._failures_in_row >= UNPROVEN_FAILURES:
            self._answered_at_once = 0
        self._rests_until = now + min(max(retry_after or 0.0, REST_SECONDS), MAX_REST_SECONDS)

    def is_proven(self, now: float) -> bool:
        """Whether recent answers show that the target can take one more request.

        The number in flight at most doubles with each answer, so that a target which is used little does not get all
        requests of another one that fails.
        """
        return self.in_flight < PROVEN_GROWTH * self._answered_at_once and not self._is_old(now)

    def rests(self, now: float) -> bool:
        """Whether the target has failed just now, and has answered nothing since."""
        return now < self._rests_until

    def _is_old(self, now: float) -> bool:
        return now - self._answered_at > PROVEN_SECONDS
