"""Large JSON, read in steps: the same values, and nothing large at a time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared import large_json
from services.shared.json_values import Malformed, decode_whole
from services.shared.large_json import MAX_TOKEN_BYTES, PIECE_BYTES, decode_in_steps
from tests.rows import for_each, row

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=[6, 40])
def small_steps(request: pytest.FixtureRequest) -> Any:
    """Steps so small that every text is cut, and every list taken apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_json, "PIECE_BYTES", request.param)
        yield


def outcome(decode: Callable[[bytes], Any], data: bytes) -> str:
    """What comes out, down to the order of members and the types of numbers."""
    try:
        return repr(decode(data))
    except Malformed:
        return "malformed"


TEXTS = st.text(st.sampled_from('aé中😀"\\\n\x7f,:[]{} \ud83d\ude00'), max_size=30) | st.text(max_size=5)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just(10**400)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXTS, inner, max_size=6),
    max_leaves=20,
)


@given(value=VALUES, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 3]))
@settings(max_examples=50)
def test_values_are_those_of_one_decode(small_steps: None, value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    data = text.encode("utf-8", "surrogatepass")
    assert outcome(decode_in_steps, data) == outcome(decode_whole, data) != "malformed"


WRONG = [b'"', b"\\", b",", b"[", b"]", b"{", b"}", b":", b"\\u", b"\\ud83d", b"\xe4", b"\xff", b"\x00", b" ", b"1"]


@given(value=VALUES, seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_malformed_json_is_refused_as_in_one_decode(small_steps: None, value: Any, seed: int) -> None:
    data = bytearray(json.dumps([value, {"a": value}, "tail" * 5], ensure_ascii=False).encode("utf-8", "surrogatepass"))
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        data[at : at + chance.randint(0, 2)] = chance.choice(WRONG)
    assert outcome(decode_in_steps, bytes(data)) == outcome(decode_whole, bytes(data))


@pytest.mark.parametrize(
    "text",
    [
        *['{"a":1,"a":"%s","a":[%s]}', '{"%s":1,"b":{"%s":2}}', '["%s","%s"]', '[[["%s"]]]', ' [ "%s" , [ ] ] '],
        *['["%s" "%s"]', '["%s",]', '[,"%s"]', '["%s",,1]', '{"a" "%s"}', '{"a":1"%s"}', '{"%s"}', '{"a":"%s",}'],
        *['["%s"', '"%s"]', '["%s"}', '["%s"],1', '1,"%s"', '["a":"%s"]', '["%s":1]', '["%s"1]', '[1"%s"]', '"%s'],
        *["", " ", "[]", "{}", "\ufeff[]", "\ufeff", "[\ufeff]", "1 2", "nul", "[,]", "{,}", "[1,]", "\x0b[]"],
    ],
)
def test_large_texts_in_any_position(small_steps: None, text: str) -> None:
    for filling in ("x" * 90, "\\ud83d\\ude00" * 20, "\\\\ud83d" * 20, "é\\u00e9\\n" * 20, "1, 2"):
        data = text.replace("%s", filling).encode()
        assert outcome(decode_in_steps, data) == outcome(decode_whole, data)


# ----------------------------------------------------------------------------------------------------------- steps

LARGE: dict[str, bytes] = {
    "text": b'{"a":"' + b"x" * MIB + b'"}',
    "escapes": b'{"a":"' + b"\\u00e9\\n" * (MIB // 16) + b'"}',
    "characters": b'{"a":"' + "中😀".encode() * (MIB // 16) + b'"}',
    "a lone surrogate": b'{"a":"' + b"x" * MIB + b'\\ud83d"}',
    "texts": b"[" + b",".join([b'"%b"' % (b"x" * 1000)] * 500) + b"]",
    "members": b"{" + b",".join(b'"%d":{"a":[1.5,"b"]}' % number for number in range(10_000)) + b"}",
    "depth": b'{"a":' * 40 + b'["' + b"x" * MIB + b'"]' + b"}" * 40,
    "lists": b"[" + b"[]," * 60_000 + b"1]",
}


@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE.keys())
def test_every_step_is_small(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the whole is: so nothing else waits for longer than a step takes."""
    steps: list[int] = []

    def decode_step(piece: bytes) -> Any:
        steps.append(len(piece))
        return decode_whole(piece)

    monkeypatch.setattr(large_json, "decode_whole", decode_step)
    assert decode_in_steps(data) == decode_whole(data)
    assert max(steps) < 2 * PIECE_BYTES
    assert sum(steps) < 1.1 * len(data)


def test_values_have_a_bound_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "MAX_VALUES", 1000)
    marks = decode_in_steps(b"[" + b",".join([b"1"] * 1000) + b"]")
    assert len(marks) == 1000
    for piece in ("[]", "{}", '{"a":1}', "1", '"a"', '"a,b,c,d"'):
        with row(piece), pytest.raises(Malformed):
            decode_in_steps(f"[{','.join([piece] * 1001)}]".encode())


UNCUT = {
    "digits": (b"[1", b"0", b"]"),
    "digits of a fraction": (b"[0.", b"1", b"]"),
    "blanks": (b"[1,", b" ", b"1]"),
    "name": (b'{"', b"x", b'":1}'),
}


@for_each(("before", "filling", "behind"), UNCUT.values(), ids=UNCUT.keys())
def test_unsplit_tokens_have_a_bound_by_bytes(before: bytes, filling: bytes, behind: bytes) -> None:
    fitting = before + filling * (MAX_TOKEN_BYTES - PIECE_BYTES) + behind
    assert outcome(decode_in_steps, fitting) == outcome(decode_whole, fitting) != "malformed"
    with pytest.raises(Malformed):
        decode_in_steps(before + filling * (MAX_TOKEN_BYTES + PIECE_BYTES) + behind)


def test_depth_has_a_bound() -> None:
    with pytest.raises(Malformed):
        decode_in_steps(b"[" * 100_000 + b'"' + b"x" * MIB + b'"' + b"]" * 100_000)
