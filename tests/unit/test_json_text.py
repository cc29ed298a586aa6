"""JSON of providers and callers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared import json_text, large_json
from services.shared.json_text import Malformed
from services.shared.offload import LARGE_BYTES
from tests.rows import for_each
from tests.timing import cpu_seconds, is_in_proportion

DEEP = "[" * 100_000

# What is nearly JSON, and what a reader in a hurry would take for it.
NOT_JSON = ["", " ", "{", '{"a":1', '{"a":1,}', "{'a':1}", '{"a":NaN}', '{"a":-Infinity}', '{"a":01}', '{"a":"\x01"}']
NOT_EMBEDDABLE = ['\ufeff{"a":1}', "{\x00}\x00", '{"a":"\\ud83d"}', '{"\\ud83d":1}', '{"a":{"b":"\\udc00x"}}']


@for_each("text", [*NOT_JSON, DEEP])
def test_text_that_is_not_json_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        json_text.decode(text.encode())


def test_invalid_utf_8_is_malformed() -> None:
    with pytest.raises(Malformed):
        json_text.decode(b'{"a":"\xff"}')


@for_each(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null, true, "\\u00e9"]}', {"a": [1, 2.5, None, True, "é"]}),
        ("12345678901234567890123", 12345678901234567890123),
        ("1e999", float("inf")),
        ("1" * 5000, float("inf")),
        ("[-" + "1" * 5000 + "]", [float("-inf")]),
        ('"\\ud83d\\ude00"', "\U0001f600"),
    ],
)
def test_json_is_read(text: str, value: Any) -> None:
    assert json_text.decode(text.encode()) == value


@for_each(
    ("text", "value"),
    [
        ('"a\\ud83d"', "a\ud83d"),
        ('"\\ude00b"', "\ude00b"),
        ('"a\\ud83db"', "a\ufffdb"),
        ('"a\\ude00b"', "a\ufffdb"),
        ('["\\ud83d\\ud83d"]', ["\ufffd\ud83d"]),
        ('{"\\ude00\\ude00": 1}', {"\ude00\ufffd": 1}),
    ],
)
def test_lone_surrogate_at_an_edge_is_kept(text: str, value: Any) -> None:
    assert json_text.decode(text.encode()) == value


def test_text_for_protobuf_has_no_lone_surrogates() -> None:
    assert json_text.text_of("a\ud83d\ude00b\ud83d") == "a\U0001f600b\ufffd"
    assert json_text.text_of("\ude00") == "\ufffd"
    foreign: list[Any] = [None, 1, ["a"], {}]
    assert [json_text.text_of(value) for value in foreign] == ["", "", "", ""]


@given(st.text(alphabet=st.characters(codec=None, categories=["Cs", "L"])))
def test_any_text_becomes_text_for_protobuf(text: str) -> None:
    json_text.text_of(text).encode()


@for_each("value", [-1, True, 1.5, float("inf"), "-1", "1.5", "1" * 20, None, 2**60])
def test_value_that_is_not_a_count(value: object) -> None:
    assert json_text.count_of(value) is None


def test_counts_of_tokens() -> None:
    assert [json_text.count_of(value) for value in (0, 7, 2**40 - 1)] == [0, 7, 2**40 - 1]


def test_decoded_value_can_be_encoded() -> None:
    value: dict[str, Any] = {"n\ud83d": [12345678901234567890123, -(2**64), True, None, 1.5, "half \ud83d"]}
    written = json_text.encode_any(value)
    assert json.loads(written) == {"n\ufffd": [12345678901234567890123, -(2**64), True, None, 1.5, "half \ufffd"]}


def test_members_keep_their_bytes() -> None:
    members = json_text.raw_members('{ "a": 1.50,\n "b":{ "c" : 12345678901234567890123 } }')
    assert {name: bytes(value) for name, value in members.items()} == {
        "a": b"1.50",
        "b": b'{ "c" : 12345678901234567890123 }',
    }


@for_each("text", [*NOT_JSON, *NOT_EMBEDDABLE, DEEP, '{"a":' + DEEP, "[1]", "null", '"{}"'])
def test_text_that_cannot_be_embedded_as_an_object(text: str) -> None:
    assert not json_text.is_object(text)
    with pytest.raises(Malformed):
        json_text.raw_members(text)
    assert json_text.object_problem(text, 200_000)


@for_each("text", ["{}", ' {"a": [1e999, 12345678901234567890123]} ', '{"a":1,"a":2}', '{"\\u0000":0}'])
def test_object_to_embed(text: str) -> None:
    assert json_text.is_object(text)
    assert json_text.object_problem(text, 100) is None


@for_each(
    ("text", "problem"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"a":"\\ud83d"}', "is not valid JSON"),
        ('{"a": 1}', "is longer than 7 characters"),
    ],
)
def test_object_problem(text: str, problem: str) -> None:
    assert json_text.object_problem(text, 7 if "longer" in problem else 100) == problem


@for_each(("depth", "is_fine"), [(64, True), (65, False), (900, False)])
@for_each(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_nesting_has_a_limit(depth: int, is_fine: bool, opening: str, closing: str) -> None:
    text = '{"a":' + opening * (depth - 1) + "0" + closing * (depth - 1) + "}"
    assert (json_text.object_problem(text, 100_000) is None) is is_fine


def test_large_text_is_checked_like_a_small_one() -> None:
    """Small texts are remembered, large ones are not."""
    text = '{"a": "' + "x" * 20_000 + '"}'
    assert json_text.object_problem(text, 100_000) is None
    assert json_text.object_problem(text[:-1], 100_000) == "is not valid JSON"


class _Holder(msgspec.Struct):
    held: msgspec.Raw


def test_exact_members_are_those_that_can_be_embedded_again() -> None:
    assert bytes(json_text.decode_exactly(b'{"held": [1.50, "\\u00fc"]}', _Holder).held) == b'[1.50, "\\u00fc"]'
    for data in (b'{"held": "\xed\xa0\x80"}', b'{"held": 1', b"{}", b'{"held": ' + b"[" * 100_000):
        with pytest.raises(json_text.Malformed):
            json_text.decode_exactly(data, _Holder)


LONG = ("x" * 50_000 + "中") * 4


def test_exact_members_of_large_objects() -> None:
    value = f'[1.50, "{LONG}", "\\u00fc"]'.encode()
    assert (
        bytes(
            json_text.decode_exactly(b'{"read over": "' + LONG.encode() + b'", "held": ' + value + b"}", _Holder).held
        )
        == value
    )


@for_each("wrong", [b"\xed\xa0\x80", b"\xff", LONG.encode()[:-1], b"\\ud800", b"\x00", b'"'], ids=repr)
@for_each("member", [b"held", b"read over"])
def test_large_objects_that_cannot_be_embedded(wrong: bytes, member: bytes) -> None:
    """What stands in members that nobody looks at counts too, but for half a pair, which any reader takes there."""
    data = b'{"%b": "%b%b", "held": 1}' % (member, LONG.encode(), wrong)
    small = b'{"%b": "%b", "held": 1}' % (member, wrong)
    assert _is_exact(data) == _is_exact(small)


def _is_exact(data: bytes) -> bool:
    try:
        json_text.decode_exactly(data, _Holder)
    except json_text.Malformed:
        return False
    return True


FULL = large_json.MAX_VALUES


@for_each("text", ["1,2,[3]", "{[,\\", '\\",', "x"], ids=["lists", "escapes", "quotes", "plain"])
def test_marks_within_strings_are_not_counted(text: str) -> None:
    value = {"a": text * FULL, "b": [text] * 100}
    assert json_text.decode(json.dumps(value).encode()) == value


@for_each("text", ['"' + '\\"' * FULL, '"' * FULL, "\\" * FULL, '"\\'])
def test_unterminated_strings_take_linear_time_to_count(text: str) -> None:
    data = (f"[{'1,' * FULL}" + text).encode()

    def refuse() -> None:
        with pytest.raises(Malformed):
            json_text.decode(data)

    assert cpu_seconds(refuse) < 2


@for_each(("text", "value"), [("\\ud800", "\ud800"), ("\\ud83d\\ude00", "\U0001f600")])
def test_large_text_with_any_end_is_read(text: str, value: str) -> None:
    data = b'["' + b"x" * 5_000_000 + text.encode() + b'"]'
    assert json_text.decode(data) == ["x" * 5_000_000 + value]


@for_each("number", ["1e308", "5e-324", "1.2345678901234567e-310", "-1e300"])
def test_extreme_numbers_take_hardly_longer_than_plain_ones(number: str) -> None:
    plain, extreme = (f"[{','.join([text] * 20_000)}]".encode() for text in ("1.5", number))
    assert json_text.decode(extreme) == [float(number)] * 20_000
    assert is_in_proportion(lambda: json_text.decode(plain), lambda: json_text.decode(extreme), 10)


def test_decoding_work_grows_with_the_values() -> None:
    plain, dense = b'"' + b"x" * 100_000 + b'"', b"[" + b"[]," * 33_000 + b"1]"
    assert json_text.decoding_work(plain) == len(plain)
    assert json_text.decoding_work(dense) > LARGE_BYTES
    assert json_text.decoding_work(b"[]") == 2
