"""The wire format of protobuf: counts the fields of a message, and names the first field that is wrong.

An empty message takes 2 bytes inside another one, and a hundred when it is parsed: 30 MiB of them become 1.6 GiB, and
take 30 KB on the wire when they are compressed. So the fields of large messages are counted before they are parsed.
When parsing fails, the protobuf runtime gives no reason; a second walk finds the wrong field. Both walks read the wire
format (protobuf.dev/programming-guides/encoding) and stop after a number of fields, so that they take a few
milliseconds.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.shared.errors import FieldViolation, InvalidRequest

MAX_FIELDS = 50_000
"""Limit for a message and those inside it: enough for ten thousand chat messages with several fields each."""

FEW_FIELDS = 2_000
"""Fields that are counted within some 5 ms, on the event loop."""

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
MAX_DEPTH = 100


class _WireError(Exception):
    def __init__(self, field: str, description: str) -> None:
        self.violation = FieldViolation(field, description)


def has_few_fields(descriptor: Descriptor, data: bytes) -> bool:
    """Whether a serialized message has at most `FEW_FIELDS` fields."""
    try:
        _Count(data, FEW_FIELDS).walk(descriptor, 0, len(data), 0)
    except _TooMany:
        return False
    return True


def check_fields(descriptor: Descriptor, data: bytes) -> None:
    """Raises InvalidRequest for a message of more than `MAX_FIELDS` fields, with the field in which the limit is
    hit."""
    count = _Count(data, MAX_FIELDS)
    try:
        count.walk(descriptor, 0, len(data), 0)
    except _TooMany:
        problem = f"the request holds more than {MAX_FIELDS} fields in all; send fewer"
        raise InvalidRequest.field(count.outermost, problem) from None


class _TooMany(Exception):
    pass


class _Count:
    """A walk over a message that counts its known and unknown fields.

    Malformed bytes end the walk of the message that contains them; parsing refuses them later.
    """

    def __init__(self, data: bytes, limit: int) -> None:
        self._data = data
        self._left = limit
        self.outermost = "request"
        """The field of the outermost message that is being walked."""

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
                # The fields of a group, which no message of ours has, count as the message's own.
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
    """The names and types of a type's message fields, by number. The cache has one entry for each type of ours."""
    return {field.number: (field.name, field.message_type) for field in descriptor.fields if field.message_type}


def explain_decode_error(descriptor: Descriptor, data: bytes) -> FieldViolation:
    """The first field of `data` that does not parse as a `descriptor` message, with the reason.

    Beyond `FEW_FIELDS` fields the walk stops, and the violation names the request as a whole.
    """
    try:
        _Explanation().walk(descriptor, memoryview(data), "", 0)
    except _WireError as error:
        return error.violation
    return FieldViolation("request", f"the bytes are not a {descriptor.name} message")


class _Explanation:
    """A walk over a message that finds the first wrong field."""

    def __init__(self) -> None:
        self._left = FEW_FIELDS

    def walk(self, descriptor: Descriptor, data: memoryview, path: str, depth: int) -> None:
        """Raises _WireError."""
        here = path or "request"
        if depth > MAX_DEPTH:
            raise _WireError(here, f"is nested more than {MAX_DEPTH} levels deep")
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
                raise _WireError(name, "is not valid UTF-8") from None
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
    raise _WireError(name, f"the bytes are not a {descriptor.name} message")


def _value(
    data: memoryview, position: int, wire_type: int, name: str, descriptor: Descriptor
) -> tuple[memoryview | None, int]:
    """The bytes of a length-delimited value (None for other types), and the position after the value."""
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
        raise _WireError(name, "is cut short")
    raise _WireError(name, f"the bytes are not a {descriptor.name} message")
