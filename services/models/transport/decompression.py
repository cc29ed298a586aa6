"""Decompression of bodies in gzip or deflate, which some proxies send although `identity` was asked for.

Compressed data can grow a thousandfold, or go on for ever without any output, so both ratios are bounded.
"""

from __future__ import annotations

import zlib

PIECE_BYTES = 16 * 1024

UNCHECKED_BYTES = 1024 * 1024
"""Bytes of output, and of input, up to which the two ratios are not checked."""

MAX_OUTPUT_RATIO = 100
"""Bytes of output for each byte of input. Events of one token each, compressed together, reach about twenty."""

MAX_INPUT_RATIO = 8
"""Bytes of input for each byte of output: each event may be compressed by itself."""


GZIP = b"\x1f"
"""The first byte of a gzip member, which no zlib stream begins with."""
HEAD_BYTES = 2
"""Size of a zlib stream's header."""

# zlib.net/manual.html#Advanced, inflateInit2.
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
GZIP_ALONE = zlib.MAX_WBITS | 16
RAW_DEFLATE = -zlib.MAX_WBITS


class DecompressionError(Exception):
    """Compressed data that is invalid, continues after its end, or exceeds a ratio of input to output."""


class Decompressor:
    """Decompresses one body in gzip or zlib, which it recognises by the first byte.

    A body may have several gzip members (RFC 1952, 2.2): proxies compress each event by itself. With `may_be_raw` it
    may also be raw deflate without the zlib head, which some servers call `deflate`.
    """

    def __init__(self, *, may_be_raw: bool = False) -> None:
        self._may_be_raw = may_be_raw
        self._inflater = zlib.decompressobj(GZIP_OR_ZLIB)
        self._input = b""
        self._holds_more = False
        self._taken = 0
        self._given = 0

    @property
    def has_more(self) -> bool:
        """Whether `take` may have output without further input."""
        return bool(self._input) or self._holds_more

    def feed(self, data: bytes) -> None:
        """Adds input, once `take` has returned b""."""
        self._input += data
        self._taken += len(data)

    def take(self) -> bytes:
        """The next output, of at most PIECE_BYTES; b"" when it needs input. Raises DecompressionError."""
        data = b""
        while not data and self.has_more:
            if self._may_be_raw and len(self._input) < HEAD_BYTES:
                return b""
            self._begin()
            data = self._inflate()
        return data

    def end(self) -> None:
        """Ends the input. Raises DecompressionError when some is missing."""
        if self._input or not self._inflater.eof:
            raise DecompressionError

    def _begin(self) -> None:
        """Begins the body, or its next member."""
        if self._may_be_raw:
            self._may_be_raw = False
            if not self._input.startswith(GZIP) and not _is_head_of_zlib(self._input):
                self._inflater = zlib.decompressobj(RAW_DEFLATE)
        if self._inflater.eof and self._input:
            self._inflater = zlib.decompressobj(GZIP_ALONE)

    def _inflate(self) -> bytes:
        try:
            data = self._inflater.decompress(self._input, PIECE_BYTES)
        except zlib.error:
            raise DecompressionError from None
        self._input = self._inflater.unconsumed_tail or self._inflater.unused_data
        # After a full piece zlib may hold more output, although it has taken all input.
        self._holds_more = len(data) == PIECE_BYTES
        self._given += len(data)
        if self._given > UNCHECKED_BYTES + MAX_OUTPUT_RATIO * self._taken:
            raise DecompressionError
        if self._taken > UNCHECKED_BYTES + MAX_INPUT_RATIO * self._given:
            raise DecompressionError
        return data


def _is_head_of_zlib(start: bytes) -> bool:
    """Whether a body begins with the header of zlib (RFC 1950, 2.2)."""
    return start[0] & 0x0F == zlib.DEFLATED and (start[0] << 8 | start[1]) % 31 == 0
