"""Characters that show something else than what is there: they move the cursor, turn or break a line, or are unseen.

Control characters, marks and overrides of the direction of writing (https://www.unicode.org/reports/tr36), separators
of lines, what has no width, tags, halves of surrogate pairs, and what is no character at all.
"""

from __future__ import annotations

import re

CONTROL = "\x00-\x1f\x7f-\x9f"

JOINERS = "\u200c\u200d"
"""They have no width, but Persian, Hindi and emoji are not written without them."""

DECEPTIVE = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f\ud800-\udfff"
)

ALL = CONTROL + JOINERS + DECEPTIVE

UNSEEN = re.compile(f"[{ALL}]")
_UNSEEN_BUT_JOINERS = re.compile(f"[{CONTROL}{DECEPTIVE}]")


def has_unseen(text: str, *, joiners: bool = False) -> bool:
    """Whether one of them is in `text`; with `joiners`, those are let through."""
    if text.isascii() and text.isprintable():
        return False
    return bool((_UNSEEN_BUT_JOINERS if joiners else UNSEEN).search(text))


def escape_unseen(text: str) -> str:
    """The text with each of them as JSON writes it in ASCII."""
    return UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
