"""Changes in the fields of a message: what it says stays a message of its type, with values that nobody expects."""

from __future__ import annotations

import random

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz.odd_values import OddValues

COPIES = (1, 1, 1, 2, 3, 17, 65, 101, 1001)
MAX_COPIED_BYTES = 262_144


def mutate_fields(rng: random.Random, message: Message, values: OddValues, times: int) -> None:
    """Changes `times` fields of the message, anywhere in it."""
    for _ in range(times):
        _mutate(rng, message, values)


def _mutate(rng: random.Random, message: Message, values: OddValues, depth: int = 0) -> None:
    fields = message.DESCRIPTOR.fields
    if not fields:
        return
    # What is set is of more interest than what is not.
    present = [field for field, _ in message.ListFields()]
    field = rng.choice(present if present and rng.random() < 0.6 else fields)
    if rng.random() < 0.08:
        message.ClearField(field.name)
    elif field.message_type and field.message_type.GetOptions().map_entry:
        _mutate_map(rng, message, field, values)
    elif field.is_repeated:
        _mutate_list(rng, message, field, values, depth)
    elif field.message_type:
        inner = getattr(message, field.name)
        inner.SetInParent()
        if depth < 20:
            _mutate(rng, inner, values, depth + 1)
    else:
        setattr(message, field.name, values.scalar(rng, field))


def _mutate_map(rng: random.Random, message: Message, field: FieldDescriptor, values: OddValues) -> None:
    entries = getattr(message, field.name)
    text_of = values.json if field.name.endswith("_json") else lambda rng: values.text(rng, "value")
    for number in range(rng.choice((1, 1, 1, 2, 17, 65, 1001))):
        key = (
            rng.choice(("openai", "anthropic", "who", "language", "a"))
            if rng.random() < 0.6
            else values.text(rng, "key")
        )
        entries[key if number < 3 else f"{key[:64]}{number}"] = text_of(rng) if number < 3 else "{}"


def _mutate_list(rng: random.Random, message: Message, field: FieldDescriptor, values: OddValues, depth: int) -> None:
    entries = getattr(message, field.name)
    kind = rng.random()
    if entries and kind < 0.5:
        index = rng.randrange(len(entries))
        if not field.message_type:
            entries[index] = values.scalar(rng, field)
        elif depth < 20:
            _mutate(rng, entries[index], values, depth + 1)
    elif entries and kind < 0.6:
        del entries[rng.randrange(len(entries))]
    elif entries and field.message_type:
        copied = rng.choice(entries)
        copies = min(rng.choice(COPIES), MAX_COPIED_BYTES // (copied.ByteSize() + 2))
        entries.extend([copied] * copies)
    elif field.message_type:
        new = entries.add()
        if depth < 20:
            _mutate(rng, new, values, depth + 1)
    else:
        value = values.scalar(rng, field)
        size = len(value) if isinstance(value, str | bytes) else 8
        entries.extend([value] * min(rng.choice(COPIES), MAX_COPIED_BYTES // (size + 2) + 1))
