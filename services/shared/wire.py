"""Looks at a message's bytes where the protobuf runtime does not: how many fields they hold, and which are wrong.

An empty message takes 2 bytes in another one, and a hundred when it is parsed: 30 MiB of them become 1.6 GiB, and they
come in 30 KB when they are compressed. So large messages are counted first. When parsing fails, the runtime only says
so; the second walk names the first field that is wrong. Both are walks over the wire format (protobuf.dev/programming-
guides/encoding) that give up after so many fields, and so take a few milliseconds whatever they are given.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.shared.errors import FieldViolation, InvalidRequest

MAX_FIELDS = 50_000
"""In all of a message: ten thousand messages of a conversation, with several fields each."""

FEW_FIELDS = 2_000
"""What is walked over within some 5 ms, and may be in the event loop."""

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
MAX_DEPTH = 100


class _Broken(Exception):
    def __init__(self, field: str, description: str) -> None:
        self.violation = FieldViolation(field, description)


def has_few_fields(descriptor: Descriptor, data: bytes) -> bool:
    """Whether a message has at most `FEW_FIELDS` fields."""
    try:
        _Count(data, FEW_FIELDS).walk(descriptor, 0, len(data), 0)
    except _TooMany:
        return False
    return True


def check_fields(descriptor: Descriptor, data: bytes) -> None:
    """Raises InvalidRequest for a message of more than `MAX_FIELDS` fields, naming the one in which that many are."""
    count = _Count(data, MAX_FIELDS)
    try:
        count.walk(descriptor, 0, len(data), 0)
    except _TooMany:
        problem = f"the request holds more than {MAX_FIELDS} fields in all; send fewer"
        raise InvalidRequest.field(count.outermost, problem) from None


class _TooMany(Exception):
    pass


class _Count:
    """One walk over a message that counts its fields, of known and unknown numbers alike.

    What is not well-formed ends the walk of the message that it is in, and no more: parsing decides about it.
    """

    def __init__(self, data: bytes, limit: int) -> None:
        self._data = data
        self._left = limit
        self.outermost = "request"
        """The name of the field of the whole message that the walk is in."""

    def walk(self, descriptor: Descriptor, position: int, end: int, depth: int) -> None:
        """Raises _TooMany."""
        messages = _message_fields(descriptor)
        data = self._data
        try:
            while position < end:
                self._left -= 1
                if self._left < 0:
                    raise _TooMany
                key, position = self._varint(position)
                kind = key & 7
                if kind == LENGTH:
                    size, position = self._varint(position)
                    field = messages.get(key >> 3)
                    if field and depth < MAX_DEPTH:
                        name, kind_of_message = field
                        if depth == 0:
                            self.outermost = name
                        self.walk(kind_of_message, position, min(position + size, end), depth + 1)
                    position += size
                elif kind == VARINT:
                    while data[position] >= 0x80:
                        position += 1
                    position += 1
                elif kind in (FIXED64, FIXED32):
                    position += 8 if kind == FIXED64 else 4
                # The fields of a group, which no message here has, are counted as its own.
        except IndexError:
            return

    def _varint(self, position: int) -> tuple[int, int]:
        data = self._data
        byte = data[position]
        if byte < 0x80:
            return byte, position + 1
        value, shift = byte & 0x7F, 7
        while byte >= 0x80 and shift < 70:
            position += 1
            byte = data[position]
            value |= (byte & 0x7F) << shift
            shift += 7
        return value, position + 1


@functools.cache
def _message_fields(descriptor: Descriptor) -> Mapping[int, tuple[str, Descriptor]]:
    """The names and types of a type's fields that hold messages, by number: as many types as the contract has."""
    return {field.number: (field.name, field.message_type) for field in descriptor.fields if field.message_type}


def explain_decode_error(descriptor: Descriptor, data: bytes) -> FieldViolation:
    """Returns the first field of `data` that does not parse as a `descriptor` message, and why; of a message with more
    than `FEW_FIELDS` fields perhaps only that it does not."""
    try:
        _Explanation().walk(descriptor, memoryview(data), "", 0)
    except _Broken as broken:
        return broken.violation
    return FieldViolation("request", f"the bytes are not a {descriptor.name} message")


class _Explanation:
    """One walk over a message that names the first field that is wrong."""

    def __init__(self) -> None:
        self._left = FEW_FIELDS

    def walk(self, descriptor: Descriptor, data: memoryview, path: str, depth: int) -> None:
        """Raises _Broken."""
        here = path or "request"
        if depth > MAX_DEPTH:
            raise _Broken(here, f"is nested more than {MAX_DEPTH} levels deep")
        counts: dict[int, int] = {}
        position = 0
        while position < len(data) and self._left:
            self._left -= 1
            key, position = _varint(data, position, here, descriptor)
            number, wire_type = key >> 3, key & 7
            field = descriptor.fields_by_number.get(number)
            name = _join(path, field, counts) if field else here
            value, position = _value(data, position, wire_type, name, descriptor)
            if field and value is not None:
                self._check(field, value, name, depth)

    def _check(self, field: FieldDescriptor, value: memoryview, name: str, depth: int) -> None:
        if field.type == FieldDescriptor.TYPE_STRING:
            try:
                str(value, "utf-8")
            except UnicodeDecodeError:
                raise _Broken(name, "is not valid UTF-8") from None
        elif field.message_type is not None:
            self.walk(field.message_type, value, name, depth + 1)


def _join(path: str, field: FieldDescriptor, counts: dict[int, int]) -> str:
    name = f"{path}.{field.name}" if path else field.name
    if not field.is_repeated:
        return name
    index = counts.get(field.number, 0)
    counts[field.number] = index + 1
    return f"{name}[{index}]"


def _varint(data: memoryview, position: int, name: str, descriptor: Descriptor) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _Broken(name, f"the bytes are not a {descriptor.name} message")


def _value(
    data: memoryview, position: int, wire_type: int, name: str, descriptor: Descriptor
) -> tuple[memoryview | None, int]:
    """Returns the bytes of a length-delimited value (None for other kinds) and the position behind the value."""
    if wire_type == VARINT:
        return None, _varint(data, position, name, descriptor)[1]
    if wire_type in (FIXED64, FIXED32):
        end = position + (8 if wire_type == FIXED64 else 4)
        if end <= len(data):
            return None, end
    if wire_type == LENGTH:
        size, position = _varint(data, position, name, descriptor)
        if position + size <= len(data):
            return data[position : position + size], position + size
        raise _Broken(name, "is cut short")
    raise _Broken(name, f"the bytes are not a {descriptor.name} message")
