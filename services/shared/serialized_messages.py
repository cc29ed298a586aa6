"""Serialized messages, joined from the serialized forms of their fields (protobuf.dev/programming-guides/encoding).

Stored bytes are sent as they are: to parse them, copy them into a response and serialize that again would take several
times their memory.
"""

from __future__ import annotations

from collections.abc import Iterable

LENGTH_DELIMITED = 2


class SerializedMessage:
    """A response that is already serialized."""

    __slots__ = ("_data",)

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Joins the pieces; the fields of a message may come in any order."""
        self._data = b"".join(pieces)

    def SerializeToString(self) -> bytes:
        return self._data

    def ByteSize(self) -> int:
        return len(self._data)


def field_header(field: int, size: int) -> bytes:
    """The tag and length that precede a message of `size` bytes as the value of the field with this number."""
    return _varint(field << 3 | LENGTH_DELIMITED) + _varint(size)


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
