"""Places: the memory of a process in which each limit is counted."""

from __future__ import annotations

from services.models.limits.store import LEASE
from services.models.limits.windows import FOREVER


class Era:
    """A time in which no place is deleted."""

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


class RatePlace:
    """The place of a rate."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = 0
        """The time up to which it is used, which may be over."""


class CounterPlace:
    """The place of slots or of a budget."""

    __slots__ = ("end", "first_expiry", "held", "peak", "reservations", "spent")

    def __init__(self, end: int, spent: int = 0) -> None:
        self.end = end
        """The end of a budget's window; 0 for slots."""
        self.spent = spent
        self.held = 0
        """The sum of its reservations, and of what fitting calls hold."""
        self.peak = 0
        """The most that was ever spent and held."""
        self.reservations: dict[str, tuple[int, int]] = {}
        """The units of each call, and the time at which they expire."""
        self.first_expiry = FOREVER
        """A time before which no reservation expires."""

    def reserve(self, call_id: str, units: int, expires_at: int) -> None:
        self.reservations[call_id] = units, expires_at
        if expires_at < self.first_expiry:
            self.first_expiry = expires_at
        self.held += units
        if self.spent + self.held > self.peak:
            self.peak = self.spent + self.held

    def release(self, call_id: str) -> None:
        reservation = self.reservations.pop(call_id, None)
        if reservation:
            self.held -= reservation[0]

    def renew(self, call_id: str, now: int) -> None:
        """Extends a reservation that has not expired yet."""
        units, expires_at = self.reservations.get(call_id, (0, 0))
        if expires_at > now:
            self.reservations[call_id] = units, now + LEASE

    def expire(self, now: int) -> None:
        """Gives back all that has expired by then."""
        for call_id in [name for name, (_, expires_at) in self.reservations.items() if expires_at <= now]:
            self.release(call_id)
        self.first_expiry = min((expires_at for _, expires_at in self.reservations.values()), default=FOREVER)
