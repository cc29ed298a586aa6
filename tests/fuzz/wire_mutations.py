"""Changes in the bytes of a message: what no client library would send.

A message is read as a list of fields, without its descriptor; a change is made in that list or in one of the messages
inside of it, and everything around it is written again with lengths that fit, unless a length is what is changed. The
descriptor says which fields hold messages, and which of them hold themselves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tests.fuzz.byte_changes import flipped

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)

COUNTS = (2, 3, 10, 100, 1000, 10_000, 100_000)
DEPTHS = (2, 10, 64, 99, 100, 101, 150, 1000, 10_000)
HUGE = (2**7, 2**14, 2**21, 2**28, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**64 - 1)


class Field(NamedTuple):
    """One field as it stands on the wire; of a length-delimited one, `value` is what stands behind its length."""

    number: int
    kind: int
    value: bytes


def varint(value: int, padding: int = 0) -> bytes:
    """A number, with `padding` bytes more than it needs."""
    value &= 2**64 - 1
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    if padding:
        data[-1] |= 0x80
        data += b"\x80" * (padding - 1) + b"\0"
    return bytes(data)


def read_fields(data: bytes) -> list[Field] | None:
    """The fields of a message, or None when the bytes are not one."""
    fields = []
    position = 0
    try:
        while position < len(data):
            key, position = _read_varint(data, position)
            begin = position
            kind = key & 7
            if kind == VARINT:
                _, position = _read_varint(data, position)
            elif kind == LENGTH:
                size, begin = _read_varint(data, position)
                position = begin + size
            elif kind in (FIXED64, FIXED32):
                position += 8 if kind == FIXED64 else 4
            else:
                return None
            if position > len(data):
                return None
            fields.append(Field(key >> 3, kind, data[begin:position]))
    except IndexError:
        return None
    return fields


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > 63:
            return value, position
        shift += 7


def write_field(field: Field) -> bytes:
    key = varint(field.number << 3 | field.kind)
    return key + varint(len(field.value)) + field.value if field.kind == LENGTH else key + field.value


def write_fields(fields: Sequence[Field]) -> bytes:
    return b"".join(map(write_field, fields))


def mutate_wire(rng: random.Random, data: bytes, descriptor: Descriptor, longest: int) -> tuple[bytes, str]:
    """The changed bytes, at most about `longest` of them, and what was done to them."""
    if rng.random() < 0.3:
        change: Callable[[random.Random, bytes], bytes] = rng.choice(BYTE_CHANGES)
        return change(rng, data)[:longest], change.__name__.strip("_")
    return _mutate_inside(rng, data, descriptor, longest, 0)


def _mutate_inside(
    rng: random.Random, data: bytes, descriptor: Descriptor, longest: int, depth: int
) -> tuple[bytes, str]:
    fields = read_fields(data)
    if fields is None:
        return flipped(rng, data), "flipped"
    by_number = descriptor.fields_by_number
    inner = [
        index
        for index, field in enumerate(fields)
        if field.kind == LENGTH and (known := by_number.get(field.number)) and known.message_type
    ]
    if inner and depth < 8 and rng.random() < 0.6:
        index = rng.choice(inner)
        field = fields[index]
        kind = by_number[field.number].message_type
        changed, done = _mutate_inside(rng, field.value, kind, longest, depth + 1)
        fields[index] = field._replace(value=changed)
        return write_fields(fields), done
    change = rng.choice(FIELD_CHANGES)
    return change(rng, fields, descriptor, longest), change.__name__.strip("_")


# ------------------------------------------------------------------------------------------------ bytes


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))] if data else b"\x0a"


def _insert(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 1, 4, 40))) + data[place:]


def _remove(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[place + rng.choice((1, 1, 4, 40)) :]


def _overwrite(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    filler = rng.choice((b"\0", b"\xff", b"\x80", b"\x0a", b"\x7f")) * rng.choice((1, 4, 12))
    return data[:place] + filler + data[place + len(filler) :]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    return data * rng.choice((2, 3, 10, 100)) if len(data) < 10_000 else data * 2


def _noise(rng: random.Random, data: bytes) -> bytes:
    return rng.randbytes(rng.choice((1, 2, 10, 100, 1000)))


BYTE_CHANGES = (flipped, flipped, _truncate, _insert, _remove, _overwrite, _repeat, _noise)


# ----------------------------------------------------------------------------------------------- fields


def _some(rng: random.Random, fields: Sequence[Field], descriptor: Descriptor) -> Field:
    """One of the fields, or an empty one that the descriptor knows."""
    if fields and rng.random() < 0.7:
        return rng.choice(fields)
    number = rng.choice(list(descriptor.fields_by_number) or [1])
    return Field(number, LENGTH, b"")


def _count(rng: random.Random, piece: bytes, longest: int) -> int:
    """How often a piece stands there: a few times, or as often as there is room."""
    room = longest // len(piece)
    return room if rng.random() < 0.1 else min(rng.choice(COUNTS), room)


def _duplicate(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    field = write_field(_some(rng, fields, descriptor))
    return write_fields(fields) + field * _count(rng, field, longest)


def _flood(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    """Empty entries by the thousand: two bytes each."""
    held = [field for field in descriptor.fields if field.message_type or field.type == FieldDescriptor.TYPE_STRING]
    number = rng.choice(held).number if held else 1
    empty = varint(number << 3 | LENGTH) + b"\0"
    return write_fields(fields) + empty * _count(rng, empty, longest)


def _shuffle(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    shuffled = list(fields)
    rng.shuffle(shuffled)
    return write_fields(shuffled)


def _renumber(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    field = _some(rng, fields, descriptor)
    number = rng.choice((0, 1, 2, 3, 15, 16, 18, 19000, 2**29 - 1, 2**29, 2**32, 2**60))
    return write_fields(fields) + write_field(field._replace(number=number))


def _retype(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    """A known number with another wire type; the value stays the bytes that it was."""
    field = _some(rng, fields, descriptor)
    key = varint(field.number << 3 | rng.randrange(8))
    return write_fields(fields) + key + (field.value or b"\0")


def _pack(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    """Numbers in one length-delimited field, where they stand alone, and alone where they are packed."""
    field = _some(rng, fields, descriptor)
    if field.kind == LENGTH:
        return write_fields(fields) + b"".join(varint(field.number << 3) + varint(byte) for byte in field.value[:100])
    return write_fields(fields) + write_field(Field(field.number, LENGTH, field.value * rng.choice((1, 3, 1000))))


def _lie(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    """A length that is not the value's."""
    field = _some(rng, fields, descriptor)
    true = len(field.value)
    length = rng.choice((true + 1, max(true - 1, 0), *HUGE))
    lying = varint(field.number << 3 | LENGTH) + varint(length) + field.value
    return lying + write_fields(fields) if rng.random() < 0.5 else write_fields(fields) + lying


def _pad(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    """Numbers that are longer than they need to be, or than any may be."""
    field = _some(rng, fields, descriptor)
    padding = rng.choice((1, 2, 4, 8, 9, 10, 11, 100, 10_000))
    key, length = varint(field.number << 3 | LENGTH), varint(len(field.value))
    padded = rng.choice(
        (
            varint(field.number << 3 | LENGTH, padding) + length + field.value,
            key + varint(len(field.value), padding) + field.value,
            varint(field.number << 3) + varint(1, padding),
        )
    )
    return write_fields(fields) + padded


def _group(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    number = rng.choice([*descriptor.fields_by_number, 1000])
    start, end = varint(number << 3 | GROUP_START), varint(number << 3 | GROUP_END)
    inside = write_fields(fields)
    depth = min(rng.choice(DEPTHS), longest // (2 * len(start)))
    other = varint(number + 1 << 3 | GROUP_END)
    return rng.choice(
        (
            start + inside + end,
            inside + start,
            inside + end,
            start + inside + other,
            inside + start * depth + end * depth,
            inside + start * depth,
            inside + (start + end) * depth,
        )
    )


def _unknown(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    number = rng.choice((999, 15, 18, 19_500, 2**29 - 1))
    unknown = rng.choice(
        (
            write_field(Field(number, LENGTH, b"x" * rng.choice((0, 1, 1000)))),
            write_field(Field(number, VARINT, varint(rng.getrandbits(64)))),
            write_field(Field(number, FIXED64, rng.randbytes(8))),
            write_field(Field(number, FIXED32, rng.randbytes(4))),
        )
    )
    return write_fields(fields) + unknown * _count(rng, unknown, longest)


def _garble(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    """Text that is not UTF-8."""
    texts = [field.number for field in descriptor.fields if field.type == FieldDescriptor.TYPE_STRING]
    number = rng.choice(texts or [1])
    text = rng.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a\x80b", b"\xfe\xff"))
    return write_fields(fields) + write_field(Field(number, LENGTH, text * rng.choice((1, 1, 100, 10_000))))


def _nest(rng: random.Random, fields: list[Field], descriptor: Descriptor, longest: int) -> bytes:
    """A message inside itself, or inside whatever comes back to it, over and over."""
    way = _way_back(descriptor)
    if not way:
        held = [field.number for field in descriptor.fields if field.message_type]
        way = [rng.choice(held or [1])]
    return write_fields(fields) + nested(way, rng.choice(DEPTHS), longest)


def nested(way: Sequence[int], depth: int, longest: int) -> bytes:
    """The length-delimited fields of `way`, each in the one before it, `depth` times."""
    # From the inside: each layer goes in front, and only lengths need to be known.
    parts: list[bytes] = []
    size = 0
    for level in range(depth * len(way)):
        head = varint(way[-1 - level % len(way)] << 3 | LENGTH) + varint(size)
        size += len(head)
        if size > longest:
            break
        parts.append(head)
    return b"".join(reversed(parts))


def _way_back(descriptor: Descriptor) -> list[int]:
    """The numbers of the fields that lead from a message to a message of its own type; empty when none do."""
    seen = {descriptor.full_name}
    ways: list[tuple[Descriptor, list[int]]] = [(descriptor, [])]
    for kind, way in ways:
        for field in kind.fields:
            if not field.message_type:
                continue
            if field.message_type.full_name == descriptor.full_name:
                return [*way, field.number]
            if field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                ways.append((field.message_type, [*way, field.number]))
    return []


FIELD_CHANGES = (
    _duplicate, _flood, _shuffle, _renumber, _retype, _pack, _lie, _pad, _group, _unknown, _garble, _nest,
)  # fmt: skip
