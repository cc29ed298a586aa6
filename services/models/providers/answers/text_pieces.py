"""A text that comes in pieces."""

from __future__ import annotations

from services.shared.json_text import join_surrogates

MAX_PIECES = 1024
"""Pieces in a list before they are joined: there, a piece of one character takes fifty bytes."""


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
            self.append(fitted)

    def end(self) -> str:
        """The whole text: nothing more comes."""
        self.add(self.flush_carry())
        return self.text()

    def fit(self, piece: str) -> str:
        """The text that a piece adds. Protobuf takes no lone surrogates: they become U+FFFD, and a high one at the end
        waits for the next piece."""
        if piece.isascii() and not self.carry:
            return piece
        piece = self.carry + piece
        self.carry = ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            self.carry = piece[-1]
            piece = piece[:-1]
        return join_surrogates(piece)

    def append(self, piece: str) -> None:
        """Adds a piece that `fit` has returned."""
        self._pieces.append(piece)
        if len(self._pieces) > MAX_PIECES:
            self._runs.append("".join(self._pieces))
            self._pieces.clear()

    def flush_carry(self) -> str:
        """The text that is added at the end: U+FFFD for a high surrogate without its other half."""
        if not self.carry:
            return ""
        self.carry = ""
        return "\ufffd"

    def utf8_bytes(self) -> int:
        """UTF-8 bytes of the text."""
        return sum(len(piece) if piece.isascii() else len(piece.encode()) for piece in (*self._runs, *self._pieces))

    def text(self) -> str:
        return "".join([*self._runs, *self._pieces])
