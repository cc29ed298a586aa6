"""Checks of request fields that several requests share."""

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
"""Of one request: no answer has room for more."""

MAX_COMPARED = 8192
"""Characters of names that a wrong one is compared with: what takes about a millisecond."""
LIKENESS = 0.6
"""The share of its characters, in their order, that a name has in common with one that is suggested."""

_CONTROL_BUT_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def refuse(violations: Iterable[FieldViolation]) -> None:
    """Raises InvalidRequest naming every field that is wrong, if any is; of very many, the first `MAX_VIOLATIONS`."""
    found = list(islice(violations, MAX_VIOLATIONS))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InvalidRequest(f"{found[0].field}: {found[0].description}{more}", violations=found)


def problem_with_line(text: str, max_length: int, *, joiners: bool = False) -> str | None:
    """Says why `text` is not one line of at most `max_length` characters, or None when it is.

    Characters that nobody sees are refused too; with `joiners`, those that some scripts are written with are not.
    """
    if len(text) > max_length:
        return f"is longer than {max_length} characters"
    return "contains control or unseen characters" if has_invisible(text, joiners=joiners) else None


def problem_with_lines(text: str, max_length: int) -> str | None:
    """Says why `text` is not of at most `max_length` characters, in any number of lines, or None when it is."""
    if len(text) > max_length:
        return f"is longer than {max_length} characters"
    return "contains control characters" if _CONTROL_BUT_LINES.search(text) else None


def suggest(name: str, *known: OrderedNames) -> str:
    """`; did you mean a, b?` with the nearest of the `known` names, or nothing when none is near.

    Looks at a bounded number of names, and of characters: it runs between two tokens of others.
    """
    # Whoever writes a name in other letters than it has means that one.
    asked = shorten(name).lower()
    likeness = _Likeness(asked)
    room = MAX_COMPARED
    found: dict[str, float] = {}
    for other in _in_turns([names.similar_to(asked) for names in known]):
        if other in found or not likeness.is_possible(other):
            continue
        room -= len(other)
        if room < 0:
            break
        found[other] = likeness.to(other.lower())
    alike = (other for other, how_much in found.items() if how_much >= LIKENESS)
    near = heapq.nlargest(MAX_SUGGESTIONS, alike, key=found.__getitem__)
    return f"; did you mean {', '.join(near)}?" if near else ""


class _Likeness:
    """How like a name others are: twice their longest common subsequence, as a share of the length of both.

    Hyyrö's bit-parallel algorithm: one step for each character of the other name, whatever is in it.
    """

    def __init__(self, name: str) -> None:
        self._length = len(name)
        self._places: dict[str, int] = {}
        """Of each character, as a set of bits."""
        for place, character in enumerate(name):
            self._places[character] = self._places.get(character, 0) | 1 << place

    def is_possible(self, other: str) -> bool:
        """Whether a name is not too long or too short to be alike."""
        return 2 * min(self._length, len(other)) >= LIKENESS * (self._length + len(other)) > 0

    def to(self, other: str) -> float:
        whole = (1 << self._length) - 1
        missing = whole
        for character in other:
            matching = missing & self._places.get(character, 0)
            missing = (missing + matching) | (missing - matching)
        return 2 * (self._length - (missing & whole).bit_count()) / (self._length + len(other))


def _in_turns(sources: Iterable[Iterable[str]]) -> Iterator[str]:
    return (name for names in zip_longest(*sources) for name in names if name is not None)


def shorten(name: str) -> str:
    """A name as it may be repeated in a message: no longer than any real one, in one line that shows what it is."""
    return INVISIBLE.sub("?", name[:MAX_NAME_LENGTH])
