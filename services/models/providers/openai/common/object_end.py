"""End of a JSON object whose text comes in pieces."""

from __future__ import annotations

import re

MAX_LENGTH = 64 * 1024
"""Characters of a text whose end is searched: searching it takes some 10 ms at the worst."""

_MARK = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


class ObjectEnd:
    """Looks at each character once: to decode the whole text again with every piece takes time that grows with its
    square."""

    def __init__(self) -> None:
        self._room = MAX_LENGTH
        self._depth = 0
        self._in_text = False
        self._escape = ""
        self._ended = False
        self._goes_on = False

    @property
    def is_here(self) -> bool:
        """Whether the text so far is an object, by its brackets, and nothing else. One that is too long never is."""
        return self._ended and not self._goes_on

    def feed(self, piece: str) -> None:
        """Takes the next piece of the text."""
        self._room -= len(piece)
        if self._room < 0:
            self._ended = self._goes_on = True
        rest = piece if self._ended else self._rest_behind_end(piece)
        if rest.strip():
            self._goes_on = True

    def _rest_behind_end(self, piece: str) -> str:
        """The part of a piece behind the end of the object; empty if it does not end there."""
        piece, self._escape = self._escape + piece, ""
        for found in _MARK.finditer(piece):
            mark = found[0]
            if mark == '"':
                self._in_text = not self._in_text
            elif mark == "\\":
                self._escape = mark
            elif self._in_text or mark.startswith("\\"):
                continue
            elif mark in "{[":
                self._depth += 1
            else:
                self._depth -= 1
                self._ended = self._depth <= 0
                self._goes_on = self._depth < 0
            if self._ended:
                return piece[found.end() :]
        return ""
