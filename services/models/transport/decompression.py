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


GZIP = b"\x1f"
"""What a member of gzip begins with, as far as it takes to tell."""
HEAD_BYTES = 2
"""Of zlib."""

# zlib.net/manual.html#Advanced, inflateInit2.
EITHER = zlib.MAX_WBITS | 32
BARE = -zlib.MAX_WBITS


class DecompressionError(Exception):
    """What is packed is broken, goes on behind its end, or is out of all proportion to what it holds."""


class Decompressor:
    """Unpacks one body that is packed with gzip or zlib, and tells the two apart itself.

    Several members of gzip, one behind the other, are one body (RFC 1952, 2.2): proxies pack each event for itself.
    `may_be_bare` says that it may be deflated without the head of zlib, as some servers understand `deflate`.
    """

    def __init__(self, *, may_be_bare: bool = False) -> None:
        self._may_be_bare = may_be_bare
        self._inflater = zlib.decompressobj(EITHER)
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
        self._packed += packed
        self._taken += len(packed)

    def take(self) -> bytes:
        """The next piece, of at most PIECE_BYTES; b"" when more must be fed. Raises DecompressionError."""
        data = b""
        while not data and self.has_more:
            if self._may_be_bare and len(self._packed) < HEAD_BYTES:
                return b""
            self._begin()
            data = self._inflate()
        return data

    def end(self) -> None:
        """Says that nothing more comes. Raises DecompressionError when something is missing."""
        if self._packed or not self._inflater.eof:
            raise DecompressionError

    def _begin(self) -> None:
        """Begins what is packed, or its next member."""
        if self._may_be_bare:
            self._may_be_bare = False
            if not self._packed.startswith(GZIP) and not _is_head_of_zlib(self._packed):
                self._inflater = zlib.decompressobj(BARE)
        if self._inflater.eof and self._packed:
            if not self._packed.startswith(GZIP):
                raise DecompressionError
            self._inflater = zlib.decompressobj(EITHER)

    def _inflate(self) -> bytes:
        try:
            data = self._inflater.decompress(self._packed, PIECE_BYTES)
        except zlib.error:
            raise DecompressionError from None
        self._packed = self._inflater.unconsumed_tail or self._inflater.unused_data
        # A piece that is full may have left some behind, all of whose packed bytes are taken in.
        self._holds_more = len(data) == PIECE_BYTES
        self._given += len(data)
        if self._given > ALLOWANCE_BYTES + MAX_GROWTH * self._taken:
            raise DecompressionError
        if self._taken > ALLOWANCE_BYTES + MAX_WASTE * self._given:
            raise DecompressionError
        return data


def _is_head_of_zlib(start: bytes) -> bool:
    """RFC 1950, 2.2."""
    return start[0] & 0x0F == zlib.DEFLATED and (start[0] << 8 | start[1]) % 31 == 0
