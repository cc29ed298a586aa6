"""Names that are kept in order, so that a call looks at no more of them than it shows, however many there are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

NEIGHBOURS = 64
"""How many names on each side of a place are looked at for a near one."""


class Names:
    """A set of names, in their order."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = sorted(set(names))
        # A wrong name stands beside those that begin, or end, as it does; how it is capitalised says nothing.
        self._by_beginning = sorted(map(_by_beginning, self._names))
        self._by_end = sorted(map(_by_end, self._names))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, name: str) -> None:
        """Adds a name that is not there."""
        insort(self._names, name)
        insort(self._by_beginning, _by_beginning(name))
        insort(self._by_end, _by_end(name))

    def remove(self, name: str) -> None:
        """Removes a name that is there."""
        del self._names[bisect_left(self._names, name)]
        del self._by_beginning[bisect_left(self._by_beginning, _by_beginning(name))]
        del self._by_end[bisect_left(self._by_end, _by_end(name))]

    def behind(self, name: str | None) -> Iterator[str]:
        """The names that come behind this one, itself not among them; all of them behind None."""
        start = 0 if name is None else bisect_right(self._names, name)
        return (self._names[place] for place in range(start, len(self._names)))

    def around(self, name: str) -> Iterator[str]:
        """The names that begin or end like this one, the likeliest first; some come twice."""
        orders = (self._by_beginning, self._by_end)
        places = (bisect_left(self._by_beginning, _by_beginning(name)), bisect_left(self._by_end, _by_end(name)))
        for distance in range(NEIGHBOURS):
            for order, place in zip(orders, places, strict=True):
                for near in (place + distance, place - 1 - distance):
                    if 0 <= near < len(order):
                        yield order[near][1]


def _by_beginning(name: str) -> tuple[str, str]:
    return name.lower(), name


def _by_end(name: str) -> tuple[str, str]:
    return name.lower()[::-1], name
