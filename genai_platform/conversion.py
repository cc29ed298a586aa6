"""Python values as the fields of a message: what each field takes, by the contract.

The checks are made here, before a message is built, so that every error names its field and says what was given.
"""

from __future__ import annotations

import functools
import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from genai_platform.shapes import SHAPES
from genai_platform.wrong_values import check_names, check_text, describe, with_article, wrong_type

JSON_ENDING = "_json"

_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
}


def convert_fields(path: str, message: Descriptor, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a message's fields, in the form that its type takes; fields without a value are left out.

    A field whose name ends in `_json` also takes a Python value, under its name with that ending or without it.
    Raises TypeError or ValueError naming the field.
    """
    names = field_names(message)
    check_names(path, given, message.name, names)
    converted: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        field = names[name]
        place = f"{path}.{name}" if path else name
        if field.name in converted:
            raise TypeError(f"{place}: is given twice, as {name} and as {_other_name(field, name)}")
        converted[field.name] = _convert(place, field, value)
    _check_oneofs(path, message, converted)
    return converted


@functools.cache
def field_names(message: Descriptor) -> Mapping[str, FieldDescriptor]:
    """The fields of a message by all names under which they can be given."""
    names = dict(message.fields_by_name)
    for name, field in message.fields_by_name.items():
        if name.endswith(JSON_ENDING):
            names.setdefault(name.removesuffix(JSON_ENDING), field)
    return names


def _other_name(field: FieldDescriptor, name: str) -> str:
    return field.name if name != field.name else field.name.removesuffix(JSON_ENDING)


def _convert(path: str, field: FieldDescriptor, value: Any) -> Any:
    if entry := map_entry(field):
        return _convert_map(path, field, entry, value)
    if field.is_repeated:
        return _convert_list(path, field, value)
    return _convert_one(path, field, value)


def map_entry(field: FieldDescriptor) -> Descriptor | None:
    entry = field.message_type
    return entry if entry is not None and entry.GetOptions().map_entry else None


def _convert_map(path: str, field: FieldDescriptor, entry: Descriptor, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise wrong_type(path, "a dict", value)
    values = entry.fields_by_name["value"]
    is_json = field.name.endswith(JSON_ENDING)
    converted = {}
    for key, held in value.items():
        if not isinstance(key, str):
            raise wrong_type(f"{path}: a key", "a text", key)
        place = f"{path}.{key}"
        converted[key] = to_json_text(place, field.name, held) if is_json else _convert_one(place, values, held)
    return converted


def _convert_list(path: str, field: FieldDescriptor, value: Any) -> list[Any]:
    # A str is a sequence too: each of its letters would become an entry.
    if isinstance(value, str):
        raise TypeError(f"{path}: must be a list of {_plural(field)}, not one text; put it into brackets")
    if isinstance(value, bytes | Mapping | Message) or not isinstance(value, Iterable):
        raise wrong_type(path, f"a list of {_plural(field)}", value)
    return [_convert_one(f"{path}[{place}]", field, entry) for place, entry in enumerate(value)]


def _plural(field: FieldDescriptor) -> str:
    return f"{field.message_type.name}s" if field.message_type else "texts"


def _convert_one(path: str, field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return convert_message(path, field.message_type, value)
    if field.enum_type is not None:
        return _convert_enum(path, field.enum_type, value)
    if field.name.endswith(JSON_ENDING):
        return to_json_text(path, field.name, value)
    return _SCALARS[field.type](path, field, value)


def convert_message(path: str, message: Descriptor, value: Any) -> Any:
    """A message, or the converted fields of one."""
    if message.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[message.full_name](path, value)
    if not isinstance(value, Message) and message.name in SHAPES:
        value = SHAPES[message.name](path, value)
    if isinstance(value, Message):
        if value.DESCRIPTOR.full_name != message.full_name:
            raise wrong_type(path, _a_message(message), value)
        return value
    if not isinstance(value, Mapping):
        raise wrong_type(path, _a_message(message), value)
    return convert_fields(path, message, value)


def _a_message(message: Descriptor) -> str:
    return f"{with_article(message.name)} or a dict of its fields"


def _check_oneofs(path: str, message: Descriptor, converted: Mapping[str, Any]) -> None:
    for oneof in message.oneofs:
        given = [field.name for field in oneof.fields if field.name in converted]
        if len(given) > 1:
            place = f"{path}: " if path else ""
            raise TypeError(f"{place}{' and '.join(given)} exclude each other")


# ------------------------------------------------------------------------------------------------- single values


def to_json_text(path: str, name: str, value: Any) -> str:
    """The JSON text of a field; a text is JSON already, but for the value of a memory under its short name."""
    if isinstance(value, str) and (name != "value_json" or path.endswith(name)):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{path}: cannot be written as JSON: {error}") from None


def convert_seconds(path: str, value: Any) -> timedelta:
    """A duration from a timedelta or from seconds."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(path, "a number of seconds or a timedelta", value)
    try:
        return timedelta(seconds=value)
    except (ValueError, OverflowError):
        raise ValueError(f"{path}: must be a number of seconds, not {value!r}") from None


def _convert_duration(path: str, value: Any) -> Duration:
    if isinstance(value, Duration):
        return value
    duration = Duration()
    duration.FromTimedelta(convert_seconds(path, value))
    return duration


def _convert_time(path: str, value: Any) -> Timestamp:
    if isinstance(value, Timestamp):
        return value
    if not isinstance(value, datetime):
        raise wrong_type(path, "a datetime", value)
    time = Timestamp()
    time.FromDatetime(value)
    return time


_WELL_KNOWN: dict[str, Callable[[str, Any], Message]] = {
    Duration.DESCRIPTOR.full_name: _convert_duration,
    Timestamp.DESCRIPTOR.full_name: _convert_time,
}


def _convert_enum(path: str, enum: EnumDescriptor, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value in enum.values_by_number:
        return value
    names = enum_names(enum)
    if isinstance(value, str) and value.lower() in names:
        return names[value.lower()]
    short = ", ".join(name for name in short_names(enum) if name != "unspecified")
    given = repr(value[:40]) if isinstance(value, str) else describe(value)
    raise ValueError(f"{path}: must be one of {short}, not {given}")


@functools.cache
def enum_names(enum: EnumDescriptor) -> Mapping[str, int]:
    """The numbers of an enum by its short and full names, in lower case."""
    full = {name.lower(): value.number for name, value in enum.values_by_name.items()}
    return {**full, **short_names(enum)}


@functools.cache
def short_names(enum: EnumDescriptor) -> Mapping[str, int]:
    """The numbers of an enum by its names without the part that all of them share, in lower case."""
    names = {name.lower(): value.number for name, value in enum.values_by_name.items()}
    shared = next(name for name, number in names.items() if number == 0).removesuffix("unspecified")
    return {name.removeprefix(shared): number for name, number in names.items()}


def value_name(enum: EnumDescriptor, number: int) -> str | int:
    """The short name of an enum's value; its number, if that is not known."""
    return next((name for name, value in short_names(enum).items() if value == number), number)


def _text(path: str, _: FieldDescriptor, value: Any) -> str:
    return check_text(path, value)


def _bytes(path: str, _: FieldDescriptor, value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise wrong_type(path, "bytes", value)


def _truth(path: str, _: FieldDescriptor, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise wrong_type(path, "True or False", value)


def _whole_number(path: str, field: FieldDescriptor, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise wrong_type(path, "a whole number", value)
    number = operator.index(value)
    lowest, highest = _RANGES[field.type]
    if not lowest <= number <= highest:
        raise ValueError(f"{path}: must be from {lowest} to {highest}, not {number}")
    return number


def _number(path: str, _: FieldDescriptor, value: Any) -> float:
    if isinstance(value, bool) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise wrong_type(path, "a number", value)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise wrong_type(path, "a number", value) from None
    if math.isnan(number):
        raise ValueError(f"{path}: must be a number, not nan")
    return number


_SCALARS: dict[int, Callable[[str, FieldDescriptor, Any], Any]] = {
    FieldDescriptor.TYPE_STRING: _text,
    FieldDescriptor.TYPE_BYTES: _bytes,
    FieldDescriptor.TYPE_BOOL: _truth,
    FieldDescriptor.TYPE_DOUBLE: _number,
    **dict.fromkeys(_RANGES, _whole_number),
}
