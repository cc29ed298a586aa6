"""A text that comes in pieces."""

from __future__ import annotations

from services.shared.json_text import join_surrogates

MAX_PIECES = 1024
"""Before they are joined: in a list, a piece of one character takes fifty bytes."""


class Pieces:
    """The pieces of one text so far. Surrogate pairs that were split between two of them are whole again."""

    __slots__ = ("_pieces", "_runs", "carry")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._runs: list[str] = []
        """Earlier pieces, a thousand joined at a time."""
        self.carry = ""
        """The first half of a surrogate pair whose second half has not arrived."""

    def __bool__(self) -> bool:
        return bool(self._pieces or self._runs)

    def add(self, piece: str) -> None:
        """Takes the next piece."""
        if fitted := self.fit(piece):
            self.keep(fitted)

    def end(self) -> str:
        """The whole text: nothing more comes."""
        self.add(self.settle())
        return self.text()

    def fit(self, piece: str) -> str:
        """What a piece adds to the text, for protobuf, which takes no lone halves: those become U+FFFD, and one at the
        end waits for the next piece."""
        if piece.isascii() and not self.carry:
            return piece
        piece = self.carry + piece
        self.carry = ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            self.carry = piece[-1]
            piece = piece[:-1]
        return join_surrogates(piece)

    def keep(self, piece: str) -> None:
        """Adds what `fit` gave."""
        self._pieces.append(piece)
        if len(self._pieces) > MAX_PIECES:
            self._runs.append("".join(self._pieces))
            self._pieces.clear()

    def settle(self) -> str:
        """What is added when nothing more comes: half a character that the other half did not follow is none."""
        if not self.carry:
            return ""
        self.carry = ""
        return "\ufffd"

    def utf8_bytes(self) -> int:
        """How many bytes the text takes in a message."""
        return sum(len(piece) if piece.isascii() else len(piece.encode()) for piece in (*self._runs, *self._pieces))

    def text(self) -> str:
        return "".join([*self._runs, *self._pieces])
