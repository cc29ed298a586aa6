"""Messages as dicts that JSON can hold, with the fields' own names."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from genai_platform.conversion import map_entry, value_name


def to_dict(message: Message) -> dict[str, Any]:
    """The fields of a message as Python values: `to_dict(response)["usage"]["prompt_tokens"]`.

    Fields that are unset, where that differs from zero, are left out; all others are there. Numbers are numbers, enums
    their short names, durations seconds, times RFC 3339 texts, and bytes base64. `json.dumps` takes the result.
    """
    return {
        field.name: _field_value(field, getattr(message, field.name))
        for field in cast(Sequence[FieldDescriptor], message.DESCRIPTOR.fields)
        if not field.has_presence or message.HasField(field.name)
    }


def _field_value(field: FieldDescriptor, value: Any) -> Any:
    if entry := map_entry(field):
        return {key: _value(entry.fields_by_name["value"], member) for key, member in value.items()}
    if field.is_repeated:
        return [_value(field, member) for member in value]
    return _value(field, value)


def _value(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Duration):
        return value.ToNanoseconds() / 1e9
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return to_dict(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if field.enum_type is None else value_name(field.enum_type, value)
