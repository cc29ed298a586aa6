"""Fair quotas: a limited number of units, such that one holder's demand leaves units for the others."""

from __future__ import annotations

from collections.abc import Hashable


class FairQuota:
    """A quota with dynamic thresholds (Choudhury and Hahne, 1998): a holder of as many units as are free gets no more.

    So the first greedy holder gets half of all units, and each further one half of the rest; two that grow at the same
    time get a third each. A holder of no units is refused only when none is free.
    """

    __slots__ = ("_taken", "free", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.free = limit
        """Free units; below zero after a holder took more than were free."""
        self._taken: dict[Hashable, int] = {}

    def can_take(self, holder: Hashable, *, extra_free: int = 0) -> bool:
        """Whether `try_take` would succeed if `extra_free` more units were free."""
        return self._taken.get(holder, 0) < self.free + extra_free

    def try_take(self, holder: Hashable, amount: int = 1) -> bool:
        """Takes `amount` units, which may be more than are free. Returns False if the holder is refused."""
        held = self._taken.get(holder, 0)
        if held >= self.free:
            return False
        self._taken[holder] = held + amount
        self.free -= amount
        return True

    def may_have(self, holder: Hashable, amount: int) -> bool:
        """Whether `amount` more units leave as many free as the holder has already. A holder of none may have any."""
        held = self._taken.get(holder, 0)
        return not held or held <= self.free - amount

    def try_take_all(self, holder: Hashable, amount: int) -> bool:
        """Takes `amount` units. Returns False if so many are not free, or the holder may not have them."""
        if amount > self.free or not self.may_have(holder, amount):
            return False
        self._taken[holder] = self._taken.get(holder, 0) + amount
        self.free -= amount
        return True

    def resize(self, limit: int) -> None:
        """Sets the limit."""
        self.free += limit - self.limit
        self.limit = limit

    def release(self, holder: Hashable, amount: int = 1) -> None:
        """Returns units to the quota."""
        held = self._taken[holder] - amount
        self.free += amount
        if held:
            self._taken[holder] = held
        else:
            del self._taken[holder]
