"""Invisible and deceptive characters: they move the cursor, reverse or break a line, or show nothing.

Control characters, bidirectional marks and overrides (https://www.unicode.org/reports/tr36), line separators,
characters of no width, tags, lone surrogates, and noncharacters.
"""

from __future__ import annotations

import re

CONTROL = "\x00-\x1f\x7f-\x9f"

JOINERS = "\u200c\u200d"
"""Joiners of no width, without which Persian, Hindi and emoji cannot be written."""

DECEPTIVE = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f\ud800-\udfff"
)

ALL = CONTROL + JOINERS + DECEPTIVE

INVISIBLE = re.compile(f"[{ALL}]")
_INVISIBLE_BUT_JOINERS = re.compile(f"[{CONTROL}{DECEPTIVE}]")


def has_invisible(text: str, *, joiners: bool = False) -> bool:
    """Whether `text` has an invisible or deceptive character; with `joiners`, those are allowed."""
    if text.isascii() and text.isprintable():
        return False
    return bool((_INVISIBLE_BUT_JOINERS if joiners else INVISIBLE).search(text))


def escape_invisible(text: str) -> str:
    """The text with each invisible or deceptive character as a JSON escape."""
    return INVISIBLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
