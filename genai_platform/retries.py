"""Retries of the client: calls that are made again, because nothing was generated, changed or tried by the first one.

An error says by its `retry_after` that waiting helps and repeating is safe: no gateway was reached, or the service has
refused the call before it was begun. A chat whose models' servers were asked is not repeated, since the service has
tried what may help. Reads are repeated after every `Unavailable` but a connection that TLS refuses, since they change
nothing.

Only few retries are made while most calls fail: a budget for each client bounds them, as in grpc's own throttling.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from genai_platform.errors import GATEWAY_UNREACHABLE, GenAIError, Unavailable

MAX_RETRIES = 2

MAX_PAUSE_SECONDS = 10.0
"""The longest pause; an error that asks for a longer one is raised at once."""
FIRST_PAUSE_SECONDS = 0.1
JITTER = 0.25
"""The part by which a pause may be longer, so that many clients do not come back in one moment."""

BUDGET_TOKENS = 10.0
SUCCESS_TOKENS = 0.1


class RetryBudget:
    """The failures that a client may answer with a retry: none while half of the tokens are spent.

    A failure takes a token, a success gives back a tenth. Safe to use from many threads.
    """

    def __init__(self) -> None:
        self._tokens = BUDGET_TOKENS
        self._lock = threading.Lock()

    def add_success(self) -> None:
        if self._tokens < BUDGET_TOKENS:
            with self._lock:
                self._tokens = min(BUDGET_TOKENS, self._tokens + SUCCESS_TOKENS)

    def take(self) -> bool:
        """Counts a failure; returns whether it may be answered with a retry."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1)
            return self._tokens > BUDGET_TOKENS / 2


class Attempts:
    """The attempts of one call, within its deadline."""

    def __init__(
        self,
        seconds: float,
        *,
        is_read: bool,
        max_retries: int,
        budget: RetryBudget,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline = clock() + seconds
        self._is_read = is_read
        self._left = max_retries
        self._made = 0
        self._budget = budget
        self._clock = clock

    def remaining_seconds(self) -> float:
        return max(self._deadline - self._clock(), 0.001)

    def succeeded(self) -> None:
        self._budget.add_success()

    def pause_after(self, error: GenAIError) -> float | None:
        """The pause in seconds before the next attempt; None if there is to be none."""
        pause = self._asked_pause(error)
        if pause is None or not self._budget.take() or self._left <= 0:
            return None
        pause *= 1 + JITTER * random.random()  # noqa: S311 - no secret
        if pause > MAX_PAUSE_SECONDS * (1 + JITTER) or pause >= self.remaining_seconds():
            return None
        self._left -= 1
        self._made += 1
        return pause

    def _asked_pause(self, error: GenAIError) -> float | None:
        if error.retry_after is not None and (self._is_read or not error.attempts):
            return float(error.retry_after)
        # What TLS refuses stays refused. Of a name with several addresses, the next attempt might only tell that
        # nothing listens at another one.
        if self._is_read and isinstance(error, Unavailable) and error.reason != GATEWAY_UNREACHABLE:
            return FIRST_PAUSE_SECONDS * 2.0**self._made
        return None


def check_max_retries(max_retries: int) -> int:
    """The number, checked. Raises ValueError for anything but a whole number from 0."""
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ValueError(f"max_retries must be a whole number from 0, not {max_retries!r}")
    return max_retries
