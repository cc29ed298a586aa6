"""Bodies that were packed although nobody asked for it."""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from collections.abc import Callable

import pytest

from services.models.transport.decompression import (
    MAX_OUTPUT_RATIO,
    PIECE_BYTES,
    UNCHECKED_BYTES,
    DecompressionError,
    Decompressor,
)
from tests.rows import for_each

EMPTY_BLOCKS = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\0\0\0\xff\xff" * (2 * UNCHECKED_BYTES // 5)

READ_BYTES = 64 * 1024
"""As much as comes from a socket at once."""


def unpack(packed: bytes, size: int = 65_536) -> tuple[int, bytes]:
    """How much was unpacked, and its end."""
    unpacker, given, last = Decompressor(), 0, b""
    for start in range(0, len(packed), size):
        unpacker.feed(packed[start : start + size])
        while data := unpacker.take():
            assert len(data) <= PIECE_BYTES
            given, last = given + len(data), data
    unpacker.end()
    return given, last


@for_each("pack", [gzip.compress, zlib.compress], ids=["gzip", "zlib"])
@for_each("size", [1, 10, 100_000])
def test_body_comes_out_as_it_went_in(pack: object, size: int) -> None:
    assert callable(pack)
    data = random.Random(1).randbytes(3 * PIECE_BYTES) + b"x" * (10 * PIECE_BYTES) + b"end"
    unpacker, found = Decompressor(), b""
    packed = pack(data)
    for start in range(0, len(packed), size):
        unpacker.feed(packed[start : start + size])
        while piece := unpacker.take():
            found += piece
    unpacker.end()
    assert found == data


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@for_each("size", [1, 7, 65_536])
@for_each("pack", [gzip.compress, zlib.compress, bare], ids=["gzip", "zlib", "bare"])
def test_what_is_called_deflate_may_be_any_of_three(pack: Callable[[bytes], bytes], size: int) -> None:
    unpacker, found = Decompressor(may_be_raw=True), b""
    packed = pack(b"a" * 1000)
    for start in range(0, len(packed), size):
        unpacker.feed(packed[start : start + size])
        found += b"".join(iter(unpacker.take, b""))
    unpacker.end()
    assert found == b"a" * 1000


@for_each("size", [1, 7, 65_536])
def test_members_of_gzip_are_one_body(size: int) -> None:
    parts = [b"data: a\n\n", b"", b"x" * (3 * PIECE_BYTES), b"data: b\n\n"]
    unpacker, found = Decompressor(), b""
    packed = b"".join(map(gzip.compress, parts))
    for start in range(0, len(packed), size):
        unpacker.feed(packed[start : start + size])
        found += b"".join(iter(unpacker.take, b""))
    unpacker.end()
    assert found == b"".join(parts)


def test_what_was_flushed_is_there_at_once() -> None:
    """A token must not wait for the next."""
    packer, unpacker = zlib.compressobj(wbits=31), Decompressor()
    for size in itertools.chain(range(1, 50), range(PIECE_BYTES - 20, PIECE_BYTES + 20), [5 * PIECE_BYTES]):
        unpacker.feed(packer.compress(b"x" * size) + packer.flush(zlib.Z_SYNC_FLUSH))
        assert sum(map(len, iter(unpacker.take, b""))) == size
        assert not unpacker.has_more


@pytest.mark.parametrize("size", [7, 65_536])
@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(gzip.compress(b"a" * 100)[:-1], id="cut"),
        pytest.param(gzip.compress(b"a") + b"rest", id="rest"),
        pytest.param(gzip.compress(b"a") + zlib.compress(b"a"), id="another format"),
        pytest.param(gzip.compress(b"a") + gzip.compress(b"a" * 100)[:-1], id="second member cut"),
        pytest.param(zlib.compress(b"a" * 100)[2:-4], id="neither gzip nor zlib"),
        pytest.param(b"", id="nothing"),
        pytest.param(gzip.compress(bytes(4 * UNCHECKED_BYTES)), id="much out of little"),
        pytest.param(EMPTY_BLOCKS, id="nothing out of much"),
    ],
)
def test_what_cannot_be_unpacked_in_proportion(packed: bytes, size: int) -> None:
    with pytest.raises(DecompressionError):
        unpack(packed, size)


def test_no_more_is_unpacked_than_the_bound() -> None:
    packed = gzip.compress(bytes(50 * UNCHECKED_BYTES))
    unpacker = Decompressor()
    unpacker.feed(packed)
    for _ in range((UNCHECKED_BYTES + MAX_OUTPUT_RATIO * len(packed)) // PIECE_BYTES):
        assert len(unpacker.take()) == PIECE_BYTES
    with pytest.raises(DecompressionError):
        unpacker.take()


def test_small_events_that_are_packed_each_for_itself_pass() -> None:
    packer, event = zlib.compressobj(wbits=31), b": ping\n\n"
    first, each = (packer.compress(event) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    count = 2 * UNCHECKED_BYTES // len(each)
    unpacker = Decompressor()
    packed, size = first + each * count, 0
    for start in range(0, len(packed), READ_BYTES):
        unpacker.feed(packed[start : start + READ_BYTES])
        size += sum(map(len, iter(unpacker.take, b"")))
    assert size == (count + 1) * len(event)
