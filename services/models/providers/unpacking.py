"""Unpacks a body that was packed although nobody asked for it: some proxies do.

A thousandth of what it becomes is enough to send it, so there is a bound on how much may come of how little. And what
is packed may be nothing at all, for ever.
"""

from __future__ import annotations

import zlib

PIECE_BYTES = 16 * 1024

ALLOWANCE_BYTES = 1024 * 1024
"""What may be unpacked, or taken in, before the two bounds hold."""

MAX_GROWTH = 100
"""How many bytes may come of one. Events of one token each, packed together, come to about twenty."""

MAX_WASTE = 8
"""How many bytes it may take to send one: each event may be packed for itself."""


class Unpackable(Exception):
    """What is packed is broken, goes on behind its end, or is out of all proportion to what it holds."""


class Unpacker:
    """Unpacks one body that is packed with gzip or zlib, and tells the two apart itself."""

    def __init__(self) -> None:
        # zlib.net/manual.html#Advanced, inflateInit2.
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._packed = b""
        self._holds_more = False
        self._taken = 0
        self._given = 0

    @property
    def has_more(self) -> bool:
        """Whether `take` may have more to give without being fed."""
        return bool(self._packed) or self._holds_more

    def feed(self, packed: bytes) -> None:
        """Takes the next bytes, once `take` has nothing more to give."""
        self._packed = packed
        self._taken += len(packed)

    def take(self) -> bytes:
        """The next piece, of at most PIECE_BYTES; b"" when more must be fed. Raises Unpackable."""
        if not self.has_more:
            return b""
        if self._inflater.eof and self._packed:
            raise Unpackable
        try:
            data = self._inflater.decompress(self._packed, PIECE_BYTES)
        except zlib.error:
            raise Unpackable from None
        self._packed = self._inflater.unconsumed_tail or self._inflater.unused_data
        # A piece that is full may have left some behind, all of whose packed bytes are taken in.
        self._holds_more = len(data) == PIECE_BYTES
        self._given += len(data)
        if self._given > ALLOWANCE_BYTES + MAX_GROWTH * self._taken:
            raise Unpackable
        if self._taken > ALLOWANCE_BYTES + MAX_WASTE * self._given:
            raise Unpackable
        return data

    def end(self) -> None:
        """Says that nothing more comes. Raises Unpackable when something is missing."""
        if self._packed or not self._inflater.eof:
            raise Unpackable
