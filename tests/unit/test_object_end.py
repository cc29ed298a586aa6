"""Where a JSON object ends whose text comes in pieces."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.models.providers.openai.common.object_end import MAX_LENGTH, ObjectEnd
from services.shared.json_text import is_object
from tests.rows import for_each

values = st.recursive(
    st.none() | st.integers() | st.text(alphabet='{}[]"\\a\n', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='{}"\\', max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def found(pieces: list[str]) -> bool:
    end = ObjectEnd()
    for piece in pieces:
        end.feed(piece)
    return end.is_here


@given(st.dictionaries(st.text(max_size=2), values, max_size=3), st.lists(st.integers(0, 60)))
def test_end_of_an_object_is_found_however_it_is_cut(value: dict[str, Any], cuts: list[int]) -> None:
    text = json.dumps(value, indent=1)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    assert found(pieces)
    assert found([*pieces, " \n"])
    assert not found([*pieces, "x"])
    assert not found(pieces[:-1])


@for_each("text", ["", "{", '{"a":"}', '{"a":"\\', '{"a":"\\"}', "{}{}", "{},", "}", "[1]}", "x"])
def test_text_that_is_no_object_has_no_end(text: str) -> None:
    assert not is_object(text)
    assert not found([text])


def test_text_that_is_too_long_is_not_looked_through() -> None:
    long = '{"a":"' + "x" * (MAX_LENGTH - 8) + '"}'
    assert found([long])
    assert not found(["{", long])
    assert not found([*['{"a":"', "x" * MAX_LENGTH, '"}'], "{}"])
