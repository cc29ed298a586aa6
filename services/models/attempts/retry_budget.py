"""Retry budget: bounds the attempts beyond the first of all chats together, so that an outage is not made worse."""

from __future__ import annotations

from collections.abc import Callable

PER_CHAT = 0.2
PER_SECOND = 1.0
CAPACITY = 10.0


class RetryBudget:
    """A token bucket of `CAPACITY` tokens, of which each further attempt takes one, but for those at targets that are
    proven to work (`Traffic.is_proven`): they make no outage worse.

    Each chat of which a request is sent adds `PER_CHAT`, so that in a total outage the upstream sees at most a fifth
    more requests, and each second adds `PER_SECOND`, so that a chat that is alone has its attempts.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._tokens = CAPACITY
        self._filled_at = now()

    def add_chat(self) -> None:
        """Counts a chat of which a request is sent."""
        self._tokens = min(CAPACITY, self._tokens + PER_CHAT)

    def has_token(self, *, leaves_half: bool = False) -> bool:
        """Whether there is a token for a further attempt, or one beside half of the capacity."""
        now = self._now()
        self._tokens = min(CAPACITY, self._tokens + (now - self._filled_at) * PER_SECOND)
        self._filled_at = now
        return self._tokens >= 1 + (CAPACITY / 2 if leaves_half else 0)

    def take(self) -> None:
        """Takes the token of a further attempt."""
        self._tokens -= 1

    def give_back(self) -> None:
        """Gives the token of an attempt back that is not made."""
        self._tokens += 1
