"""Checks of fields that several requests have."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest

from services.shared.characters import INVISIBLE, has_invisible
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.ordered_names import OrderedNames

MAX_NAME_LENGTH = 128
MAX_SUGGESTIONS = 3
MAX_VIOLATIONS = 20
"""Violations of one request: an error has no space for more."""

MAX_COMPARED = 8192
"""Characters of all names that a wrong one is compared with, which takes about a millisecond."""
MIN_SIMILARITY = 0.6
"""Similarity of a name to a wrong one from which on it is suggested."""

_CONTROL_BUT_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def raise_if_invalid(violations: Iterable[FieldViolation]) -> None:
    """Raises InvalidRequest if there are violations; it names all wrong fields, up to `MAX_VIOLATIONS`."""
    found = list(islice(violations, MAX_VIOLATIONS))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InvalidRequest(f"{found[0].field}: {found[0].description}{more}", violations=found)


def line_problem(text: str, max_length: int, *, joiners: bool = False) -> str | None:
    """The reason why `text` is not one line of at most `max_length` characters, or None if it is.

    Invisible characters are refused, too; with `joiners`, those that some scripts need are allowed.
    """
    if len(text) > max_length:
        return f"is longer than {max_length} characters"
    return "contains control or unseen characters" if has_invisible(text, joiners=joiners) else None


def text_problem(text: str, max_length: int) -> str | None:
    """The reason why `text`, which may have several lines, is not valid, or None if it is."""
    if len(text) > max_length:
        return f"is longer than {max_length} characters"
    return "contains control characters" if _CONTROL_BUT_LINES.search(text) else None


def suggest(name: str, *known: OrderedNames) -> str:
    """`; did you mean a, b?` with the most similar of the `known` names, or "" if none is similar.

    Compares a bounded number of names and characters, because it blocks the event loop.
    """
    # Case is ignored.
    wrong = shorten(name).lower()
    similarity = _Similarity(wrong)
    remaining = MAX_COMPARED
    found: dict[str, float] = {}
    for other in _interleave([names.similar_to(wrong) for names in known]):
        if other in found or not similarity.is_possible(other):
            continue
        remaining -= len(other)
        if remaining < 0:
            break
        found[other] = similarity.to(other.lower())
    similar = (other for other, degree in found.items() if degree >= MIN_SIMILARITY)
    nearest = heapq.nlargest(MAX_SUGGESTIONS, similar, key=found.__getitem__)
    return f"; did you mean {', '.join(nearest)}?" if nearest else ""


class _Similarity:
    """The similarity of names: twice their longest common subsequence, divided by the length of both.

    Hyyrö's bit-parallel algorithm: one step for each character of the other name.
    """

    def __init__(self, name: str) -> None:
        self._length = len(name)
        self._positions: dict[str, int] = {}
        """The positions of each character, as a bit set."""
        for position, character in enumerate(name):
            self._positions[character] = self._positions.get(character, 0) | 1 << position

    def is_possible(self, other: str) -> bool:
        """Whether a name is neither too long nor too short to be similar."""
        return 2 * min(self._length, len(other)) >= MIN_SIMILARITY * (self._length + len(other)) > 0

    def to(self, other: str) -> float:
        all_bits = (1 << self._length) - 1
        unmatched = all_bits
        for character in other:
            matching = unmatched & self._positions.get(character, 0)
            unmatched = (unmatched + matching) | (unmatched - matching)
        return 2 * (self._length - (unmatched & all_bits).bit_count()) / (self._length + len(other))


def _interleave(sources: Iterable[Iterable[str]]) -> Iterator[str]:
    return (name for names in zip_longest(*sources) for name in names if name is not None)


def shorten(name: str) -> str:
    """A name for an error message: cut to the longest valid length, with `?` for invisible characters."""
    return INVISIBLE.sub("?", name[:MAX_NAME_LENGTH])
