"""Opaque state of any vendor goes through a text and back, and no text makes the reading fail."""

from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from proto.models_pb2 import ProviderState
from services.models.faces.state_envelope import (
    MAX_ENVELOPE_CHARACTERS,
    Bond,
    bond_of,
    name_in,
    open_envelope,
    seal,
)
from services.models.validation.content import MAX_STATE_BYTES
from tests.rows import for_each

STATE = ProviderState(provider="openai", model="gpt-6", data=b'{"type":"reasoning","encrypted_content":"\xc3\xa9"}')


@given(
    st.builds(ProviderState, provider=st.text(min_size=1), model=st.text(), data=st.binary(min_size=1)),
    st.sampled_from(Bond),
)
def test_what_goes_in_comes_out(state: ProviderState, bond: Bond) -> None:
    text = seal(state, bond, "t0")
    assert (open_envelope(text), bond_of(text)) == (state, bond)


def test_a_part_may_be_named() -> None:
    text = seal(STATE, Bond.NAMED, "u1999")
    assert (open_envelope(text), bond_of(text), name_in(text)) == (STATE, Bond.NAMED, "u1999")
    assert name_in(seal(STATE, Bond.BEFORE)) == ""


def test_an_envelope_is_letters_that_no_json_escapes() -> None:
    text = seal(ProviderState(provider="p", data=bytes(range(256))))
    assert json.dumps(text) == f'"{text}"'
    assert text.removeprefix("gs1.").replace("-", "").replace("_", "").isalnum()


def test_the_largest_state_fits_and_nothing_larger() -> None:
    largest = ProviderState(provider="p" * 300, model="m" * 300, data=b"x" * MAX_STATE_BYTES)
    assert open_envelope(seal(largest)) == largest
    assert open_envelope("gs1." + "A" * MAX_ENVELOPE_CHARACTERS) is None


def sealed(packed: bytes) -> str:
    return "gs1." + base64.urlsafe_b64encode(packed).decode()


@for_each(
    "text",
    [
        "",
        "gs1",
        "gs1.",
        "gs2.AAAA",
        "gs1c.AAAA",
        "gs1nu12345.AAAA",
        "gs1.1.AAAA",
        "gs1n1.AAAA",
        "gs1n.AAAA",
        "EqQBCkYIARgCKkA",
        "gs1.A",
        "gs1.!!!!",
        "gs1.AA=A",
        "gs1.\N{LATIN SMALL LETTER E WITH ACUTE}AAA",
        "gs1.\ud800AAA",
        " " + seal(STATE),
        seal(STATE) + "\n",
        seal(STATE)[:-3],
        sealed(b"\xff\xff\xff"),
        sealed(b"\x0a\x02\xff\xfe"),
        seal(ProviderState(data=b"{}")),
        seal(ProviderState(provider="openai")),
    ],
)
def test_any_other_text_is_no_envelope(text: str) -> None:
    assert open_envelope(text) is None


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    open_envelope("gs1." + text)


def test_fields_of_later_versions_are_left_behind() -> None:
    later = STATE.SerializeToString() + b"\x7a\x01x"
    assert open_envelope(sealed(later)) == STATE
