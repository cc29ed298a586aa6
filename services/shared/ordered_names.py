"""Sets of names in order: pages and suggestions read only as many names as they need."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

NEIGHBOURS = 64
"""Names on each side of a position that are candidates for a suggestion."""


class OrderedNames:
    """A set of names in order."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = sorted(set(names))
        # A misspelled name sorts near the names with the same prefix or suffix; case is ignored.
        self._by_prefix = sorted(map(_by_prefix, self._names))
        self._by_suffix = sorted(map(_by_suffix, self._names))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, name: str) -> None:
        """Adds a name that is not in the set."""
        insort(self._names, name)
        insort(self._by_prefix, _by_prefix(name))
        insort(self._by_suffix, _by_suffix(name))

    def remove(self, name: str) -> None:
        """Removes a name of the set."""
        del self._names[bisect_left(self._names, name)]
        del self._by_prefix[bisect_left(self._by_prefix, _by_prefix(name))]
        del self._by_suffix[bisect_left(self._by_suffix, _by_suffix(name))]

    def after(self, name: str | None) -> Iterator[str]:
        """The names after this one in order; all of them for None."""
        start = 0 if name is None else bisect_right(self._names, name)
        return (self._names[index] for index in range(start, len(self._names)))

    def similar_to(self, name: str) -> Iterator[str]:
        """The names with a prefix or suffix like this one's, the likeliest first; some come twice."""
        orders = (self._by_prefix, self._by_suffix)
        indexes = (bisect_left(self._by_prefix, _by_prefix(name)), bisect_left(self._by_suffix, _by_suffix(name)))
        for distance in range(NEIGHBOURS):
            for order, index in zip(orders, indexes, strict=True):
                for near in (index + distance, index - 1 - distance):
                    if 0 <= near < len(order):
                        yield order[near][1]


def _by_prefix(name: str) -> tuple[str, str]:
    return name.lower(), name


def _by_suffix(name: str) -> tuple[str, str]:
    return name.lower()[::-1], name
