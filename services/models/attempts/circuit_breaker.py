"""Circuit breaker: keeps requests from a target that fails them all, and lets a trial through now and then."""

from __future__ import annotations

from collections import deque

FAILURES_IN_ROW = 5
"""Failures after which a circuit may open."""
FAILED_SHARE = 0.9
"""Share of the recent results that must be failures: a target that answers every second request is of use."""
WINDOW_SECONDS = 10.0
WINDOW_RESULTS = 50
"""Age and number of the results that are recent."""
OPEN_SECONDS = 5.0
"""Time between two trials, while the circuit is open."""


class CircuitBreaker:
    """The circuit breaker of one target. All times are those of one monotonic clock, in seconds."""

    __slots__ = ("_next_trial", "_results", "last_reason")

    def __init__(self) -> None:
        self.last_reason = ""
        """The reason of the newest failure."""
        self._results: deque[tuple[float, bool]] = deque(maxlen=WINDOW_RESULTS)
        """Time and success of the recent results, the newest last."""
        self._next_trial: float | None = None
        """The time of the next trial; None while the circuit is closed."""

    @property
    def is_closed(self) -> bool:
        """Whether every request may go to the target."""
        return self._next_trial is None

    def trial_is_due(self, now: float) -> bool:
        """Whether the circuit is open, and the next request would be its trial."""
        return self._next_trial is not None and now >= self._next_trial

    def try_pass(self, now: float) -> bool:
        """Whether a request may go to the target. One that may go although the circuit is open is a trial."""
        if self._next_trial is None:
            return True
        if now < self._next_trial:
            return False
        self._next_trial = now + OPEN_SECONDS
        return True

    def release_trial(self, started: float, now: float) -> None:
        """Lets the next trial through at once, if a request that started then was the last trial: it has no result."""
        if self._next_trial is not None and started >= self._next_trial - OPEN_SECONDS:
            self._next_trial = now

    def seconds_to_trial(self, now: float) -> float:
        """The seconds until a request may go to the target."""
        return max(0.0, (self._next_trial or now) - now)

    def record_success(self, now: float) -> None:
        """Counts a result that shows that the target works, and closes the circuit."""
        self._results.append((now, True))
        self._next_trial = None

    def record_failure(self, now: float, reason: str) -> None:
        """Counts a failure of the target, and opens the circuit once nearly all recent results are failures."""
        self.last_reason = reason
        self._results.append((now, False))
        if self._next_trial is not None or self._is_failing(now):
            self._next_trial = now + OPEN_SECONDS

    def _is_failing(self, now: float) -> bool:
        recent = [success for time, success in self._results if now - time <= WINDOW_SECONDS]
        in_row = len(recent) >= FAILURES_IN_ROW and not any(recent[-FAILURES_IN_ROW:])
        return in_row and recent.count(False) >= FAILED_SHARE * len(recent)
