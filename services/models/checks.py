"""Checks of request fields that several requests share."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from itertools import islice

from services.shared.errors import FieldViolation, InvalidRequest

MAX_NAME_LENGTH = 128
MAX_SUGGESTIONS = 3
MAX_COMPARED = 1000

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def refuse(violations: Iterable[FieldViolation]) -> None:
    """Raises InvalidRequest naming every field that is wrong, if any is."""
    found = list(violations)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InvalidRequest(f"{found[0].field}: {found[0].description}{more}", violations=found)


def problem_with_line(text: str, max_length: int) -> str | None:
    """Says why `text` is not one line of at most `max_length` characters, or None when it is."""
    if len(text) > max_length:
        return f"is longer than {max_length} characters"
    return "contains control characters" if _CONTROL.search(text) else None


def problem_with_lines(text: str, max_length: int) -> str | None:
    """Like `problem_with_line`, for text of any number of lines."""
    if len(text) > max_length:
        return f"is longer than {max_length} characters"
    return "contains control characters" if _CONTROL_BUT_LINES.search(text) else None


def suggest(name: str, names: Iterable[str]) -> str:
    """`; did you mean a, b?` with the nearest of `names`, or nothing when none is near.

    Compares with a bounded number of names, those that begin alike first: it runs between two tokens of others.
    """
    # Whoever writes a name in other letters than it has means that one.
    known = {other.lower(): other for other in names}
    asked = shorten(name).lower()
    compared = list(known)
    if len(compared) > MAX_COMPARED:
        compared = list(islice((other for other in compared if other[:1] == asked[:1]), MAX_COMPARED))
    near = [known[other] for other in difflib.get_close_matches(asked, compared, n=MAX_SUGGESTIONS)]
    return f"; did you mean {', '.join(near)}?" if near else ""


def shorten(name: str) -> str:
    """A name as it may be repeated in a message: no longer than any real one, in one line."""
    return _CONTROL.sub("?", name[:MAX_NAME_LENGTH])
