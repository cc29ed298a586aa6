"""Says which field of a message cannot be parsed, from its bytes and its descriptor.

The protobuf runtime only says that parsing failed. This walk over the wire format (protobuf.dev/programming-guides/
encoding) runs after such a failure, to name the first field that is wrong.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.shared.errors import FieldViolation

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
MAX_DEPTH = 100


class _Broken(Exception):
    def __init__(self, field: str, description: str) -> None:
        self.violation = FieldViolation(field, description)


def explain_decode_error(descriptor: Descriptor, data: bytes) -> FieldViolation:
    """Returns the first field of `data` that does not parse as a `descriptor` message, and why."""
    try:
        _walk(descriptor, memoryview(data), "", 0)
    except _Broken as broken:
        return broken.violation
    return FieldViolation("request", f"the bytes are not a {descriptor.name} message")


def _walk(descriptor: Descriptor, data: memoryview, path: str, depth: int) -> None:
    here = path or "request"
    if depth > MAX_DEPTH:
        raise _Broken(here, f"is nested more than {MAX_DEPTH} levels deep")
    counts: dict[int, int] = {}
    position = 0
    while position < len(data):
        key, position = _varint(data, position, here, descriptor)
        number, wire_type = key >> 3, key & 7
        field = descriptor.fields_by_number.get(number)
        name = _join(path, field, counts) if field else here
        value, position = _value(data, position, wire_type, name, descriptor)
        if field and value is not None:
            _check(field, value, name, depth)


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


def _check(field: FieldDescriptor, value: memoryview, name: str, depth: int) -> None:
    if field.type == FieldDescriptor.TYPE_STRING:
        try:
            str(value, "utf-8")
        except UnicodeDecodeError:
            raise _Broken(name, "is not valid UTF-8") from None
    elif field.message_type is not None:
        _walk(field.message_type, value, name, depth + 1)
