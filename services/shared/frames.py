"""Messages put together from the serialised forms of their parts (protobuf.dev/programming-guides/encoding).

What is stored as bytes is sent as the same bytes: to parse it, copy it into a response and serialise that again would
take several times its memory.
"""

from __future__ import annotations

from collections.abc import Iterable

LENGTH_DELIMITED = 2


class Assembled:
    """A response that is serialised already."""

    __slots__ = ("_data",)

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """The pieces one after the other; the fields of a message may come in any order."""
        self._data = b"".join(pieces)

    def SerializeToString(self) -> bytes:
        return self._data

    def ByteSize(self) -> int:
        return len(self._data)


def head_of(field: int, size: int) -> bytes:
    """What stands before the `size` bytes of a message that is the value of the field with this number."""
    return _varint(field << 3 | LENGTH_DELIMITED) + _varint(size)


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
