"""The wire format: wrong fields are named, and fields are counted."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from proto import models_pb2
from services.shared.errors import InvalidRequest
from services.shared.wire import FEW_FIELDS, MAX_FIELDS, check_fields, explain_decode_error, has_few_fields
from tests.rows import for_each

REQUEST = models_pb2.ChatRequest.DESCRIPTOR

LENGTH, GROUP_START, FIXED64 = 2, 3, 1


def varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def key(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def field(number: int, data: bytes) -> bytes:
    return key(number, LENGTH) + varint(len(data)) + data


def explained(data: bytes) -> tuple[str, str]:
    with pytest.raises(DecodeError):
        models_pb2.ChatRequest.FromString(data)
    return tuple(explain_decode_error(REQUEST, data))


NOT_A_REQUEST = "the bytes are not a ChatRequest message"
CASES = {
    "string": (field(1, b"\xff"), ("model", "is not valid UTF-8")),
    "overlong character": (field(1, b"\xc0\x80"), ("model", "is not valid UTF-8")),
    "half of a surrogate pair": (field(1, b"\xed\xa0\x80"), ("model", "is not valid UTF-8")),
    "string in a list of messages": (
        field(2, b"") + field(2, field(1, b"user") + field(2, b"\x80")),
        ("messages[1].content", "is not valid UTF-8"),
    ),
    "string in a list of strings": (
        field(3, field(4, b"ok") + field(4, b"\xff")),
        ("config.stop_sequences[1]", "is not valid UTF-8"),
    ),
    "key of a map": (field(16, field(1, b"\xff")), ("tags[0].key", "is not valid UTF-8")),
    "field of a oneof": (
        field(2, field(5, field(4, field(1, b"\xff")))),
        ("messages[0].parts[0].tool_result.tool_call_id", "is not valid UTF-8"),
    ),
    "second of two mistakes": (field(1, b"ok") + field(6, b"\xff"), ("system_prompt_name", "is not valid UTF-8")),
    "field cut short": (key(1, LENGTH) + varint(9) + b"gpt", ("model", "is cut short")),
    "message cut short": (key(2, LENGTH) + varint(9) + b"\x0a", ("messages[0]", "is cut short")),
    "number cut short": (key(14, 0) + b"\x80", ("parameter_policy", NOT_A_REQUEST)),
    "fixed number cut short": (
        field(3, key(1, FIXED64) + b"\0\0\0"),
        ("config.temperature", "the bytes are not a ChatConfig message"),
    ),
    "unknown field cut short": (key(999, LENGTH) + varint(9), ("request", "is cut short")),
    "key cut short": (b"\x80", ("request", NOT_A_REQUEST)),
    "endless key": (b"\xff" * 12, ("request", NOT_A_REQUEST)),
    "wire type of nobody": (key(999, 7), ("request", NOT_A_REQUEST)),
    "group without an end": (key(999, GROUP_START), ("request", NOT_A_REQUEST)),
    "length beyond all bounds": (key(1, LENGTH) + b"\xff" * 9 + b"\x01", ("model", "is cut short")),
}


@for_each(("data", "expected"), CASES.values(), ids=CASES.keys())
def test_first_wrong_field_is_named(data: bytes, expected: tuple[str, str]) -> None:
    assert explained(data) == expected


def test_bytes_field_may_have_any_value() -> None:
    state = field(2, field(5, field(7, field(3, b"\xff")) + field(1, b"\xff")))
    assert explained(state) == ("messages[0].parts[0].text", "is not valid UTF-8")


def test_nesting_ends_at_the_depth_at_which_protobuf_ends_it() -> None:
    def nested(levels: int) -> bytes:
        data = b""
        for level in reversed(range(levels)):
            data = field(2 if level % 2 else 4, data)
        return field(2, field(5, data))

    deepest = next(levels for levels in range(50, 200) if not _parses(nested(levels)))
    name, description = explained(nested(deepest))
    assert name.startswith("messages[0].parts[0].tool_result.content[0].tool_result")
    assert description in ("is nested more than 100 levels deep", "the bytes are not a ChatRequest message")
    assert explained(nested(5000))[1] == "is nested more than 100 levels deep"


def _parses(data: bytes) -> bool:
    try:
        models_pb2.ChatRequest.FromString(data)
    except DecodeError:
        return False
    return True


@given(st.binary(max_size=64))
@settings(max_examples=150, derandomize=True, database=None)
def test_any_bytes_are_explained(data: bytes) -> None:
    violation = explain_decode_error(REQUEST, data)
    assert violation.field
    assert violation.description


COUNTED = {
    "messages": field(2, b"") * MAX_FIELDS,
    "messages in messages": field(2, field(5, b"") * MAX_FIELDS),
    "strings in messages": field(2, field(2, b"") * MAX_FIELDS),
    "numbers": (key(99, 0) + b"\x01") * MAX_FIELDS,
    "long numbers": (key(99, 0) + b"\xff" * 9 + b"\x01") * MAX_FIELDS,
    "fixed numbers": (key(99, FIXED64) + bytes(8)) * MAX_FIELDS,
    "groups": (key(99, GROUP_START) + key(99, 4)) * MAX_FIELDS,
    "messages behind a message in a group that is none": key(99, GROUP_START)
    + field(2, b"\xff")
    + key(99, 4)
    + field(2, b"") * MAX_FIELDS,
}


@for_each("kind", COUNTED)
def test_message_of_too_many_fields_is_refused_by_its_field(kind: str) -> None:
    """Whatever parses, although only what is parsed takes memory."""
    data = COUNTED[kind] + field(1, b"x")
    models_pb2.ChatRequest.FromString(data)
    with pytest.raises(InvalidRequest) as caught:
        check_fields(REQUEST, data)
    assert caught.value.violations[0].field in ("messages", "request")


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_count_of_anything_ends(data: bytes) -> None:
    check_fields(REQUEST, data)


def test_explanation_of_a_long_message_stops() -> None:
    data = field(2, b"") * (2 * FEW_FIELDS) + field(1, b"\xff")
    assert explained(data) == ("request", NOT_A_REQUEST)


@for_each("kind", COUNTED)
def test_messages_with_few_and_many_fields(kind: str) -> None:
    assert not has_few_fields(REQUEST, COUNTED[kind])
    assert has_few_fields(REQUEST, COUNTED[kind][: FEW_FIELDS // 2])
