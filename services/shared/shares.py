"""A limited number of places, shared so that nobody's crowd shuts out the others."""

from __future__ import annotations

from collections.abc import Hashable


class Shares:
    """Dynamic thresholds (Choudhury and Hahne, 1998): whoever holds as many places as are free gets no more.

    So the first greedy one gets half of all, and each further one half of what is left; when two grow at the same time,
    they have a third each. Somebody who holds nothing is refused only when no place is left at all.
    """

    __slots__ = ("_held", "free", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.free = limit
        """Below zero by as much as the last one took that was larger than what was left."""
        self._held: dict[Hashable, int] = {}

    def has_room(self, holder: Hashable, *, beside: int = 0) -> bool:
        """Whether it would be given a place, now or with `beside` more free ones."""
        return self._held.get(holder, 0) < self.free + beside

    def take(self, holder: Hashable, amount: int = 1) -> bool:
        """Takes places, or returns False. Nobody is refused for wanting much: `amount` may be more than is free."""
        held = self._held.get(holder, 0)
        if held >= self.free:
            return False
        self._held[holder] = held + amount
        self.free -= amount
        return True

    def give_back(self, holder: Hashable, amount: int = 1) -> None:
        """Gives back what was taken."""
        held = self._held[holder] - amount
        self.free += amount
        if held:
            self._held[holder] = held
        else:
            del self._held[holder]
