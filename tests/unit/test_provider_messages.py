"""What of a provider's words its caller may read: a bounded line of visible characters, without any key."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from services.models.providers.errors.error_body import fault_in, read_fault
from services.models.providers.errors.faults import Fault, error_for
from services.models.providers.errors.provider_messages import LOOKED_AT_BYTES, MAX_BYTES, sanitize_message
from services.shared.characters import has_invisible
from services.shared.error_details import MAX_DETAILS_BYTES, pack_details
from tests.rows import for_each

KEY = 'K3y/with+odd="chars"-0123456789'

FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda key: key,
    "in capitals": str.upper,
    "percent-encoded": lambda key: quote(key, safe=""),
    "percent-encoded with slashes": quote,
    "as a form": quote_plus,
    "in JSON": lambda key: json.dumps(key)[1:-1],
    "in HTML": html.escape,
    "hexadecimal": lambda key: key.encode().hex(),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of a user and it": lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    "base64 in a text": lambda key: base64.b64encode(f"Bearer {key} and more".encode()).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(f"u:{key}".encode()).decode(),
    "its beginning": lambda key: f"{key[:10]}****",
}


@for_each("form", FORMS)
def test_a_key_is_masked_in_every_form(form: str) -> None:
    written = FORMS[form](KEY)
    told = sanitize_message(f"Incorrect key {written}. Look again.", [KEY, "another"])
    assert "***" in told
    assert told.startswith("Incorrect key ")
    assert told.endswith(". Look again.")
    assert written[8:24] not in told


def test_a_short_key_is_masked_where_it_is_a_word() -> None:
    assert sanitize_message("the key x is no key, max is 1", ["x"]) == "the key *** is no key, max is 1"


VENDORS_KEYS = [
    "sk-proj-abcDEF123456_7890",
    "sk-ant-api03-abc123DEF456",
    "sk-or-v1-0123456789abcdef",
    "sk-ab***********yz",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "gsk_abc123DEF456ghi789",
    "xai-abc123DEF456ghi789",
    "hf_abcDEF123456ghiJKL",
    "r8_abcDEF123456ghiJKL",
    "nvapi-abcDEF123456ghiJKL",
    "pplx-abcDEF123456ghiJKL",
    "fw_abcDEF123456ghiJKL",
    "csk-abcDEF123456ghiJKL",
    "tgp_v1_abcDEF123456ghiJKL",
    "ghp_abcDEF123456ghiJKL",
    "github_pat_abcDEF123456ghiJKL",
    "dapi0123456789abcdef0123456789abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "ya29.a0AfH6SMBx-abc",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "0123456789abcdef0123456789abcdef.AbCdEf0123456789",
    "0123456789abcdefABCDEF0123456789abcdefAB",
]


@for_each("key", VENDORS_KEYS)
def test_what_looks_like_a_vendors_key_is_masked(key: str) -> None:
    assert sanitize_message(f"refused: {key}, sorry", []) == "refused: ***, sorry"


@for_each("text", ["Authorization: Bearer whatever", "https://x/y?key=whatever", "x-api-key: whatever"])
def test_what_stands_where_a_key_does_is_masked(text: str) -> None:
    assert sanitize_message(text, []) == text.replace("whatever", "***")


@for_each(
    "text",
    [
        "The model `gpt-oss-120b` does not exist",
        "max_tokens: 40000 > 8192, which is the maximum allowed number of output tokens",
        "Invalid schema for response_format 'answer': In context=('properties', 'n'), 'minimum' is not permitted.",
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        "Größe überschritten: 提示过长",
    ],
)
def test_all_else_is_told_as_it_is(text: str) -> None:
    assert sanitize_message(text, [KEY]) == text


def test_it_is_one_line_of_visible_characters() -> None:
    told = sanitize_message("a\nb\r\n c\x00\x1b[31m \u202eevil\u2066 \u2028d\u2029e\ufeff\x85f\ud800", [])
    assert told == "a b c[31m evil d e f"
    assert not has_invisible(told)


def test_no_character_hides_a_key() -> None:
    assert sanitize_message(f"{KEY[:9]}\u200b{KEY[9:]}", [KEY]) == "***"


def test_it_is_cut_at_a_character() -> None:
    told = sanitize_message("ü" * 5000, [])
    assert told == "ü" * (MAX_BYTES // 2)
    assert sanitize_message("a" + "ü" * 5000, []) == "a" + "ü" * (MAX_BYTES // 2 - 1)


def test_a_key_that_is_cut_is_not_told_by_halves() -> None:
    filler = f"{KEY} " * (LOOKED_AT_BYTES // (len(KEY) + 1))
    told = sanitize_message(filler + KEY, [KEY])
    assert set(told) <= {"*", " "}


@given(st.text(), st.lists(st.text(min_size=1, max_size=40), max_size=3))
def test_any_words_are_survived(message: str, keys: list[str]) -> None:
    told = sanitize_message(message, keys)
    assert len(told.encode()) <= MAX_BYTES
    assert not has_invisible(told)


# ---------------------------------------------------------------------------------------------- whose it is to know


def body(**members: object) -> bytes:
    return json.dumps({"error": {"message": "So it is.", **members}}).encode()


@for_each("status", [400, 402, 404, 405, 406, 408, 409, 412, 413, 415, 418, 422, 424, 451])
def test_a_refused_request_is_explained(status: int) -> None:
    error = error_for(read_fault(status, body()), "openai", status=status)
    assert error.metadata["provider_message"] == "So it is."
    assert not error.logged
    assert error.message.endswith("; it says: So it is.")


@for_each(
    ("status", "members"),
    [
        *((status, {}) for status in (401, 403, 429, 500, 501, 502, 503, 504, 529)),
        (400, {"type": "authentication_error"}),
        (400, {"code": "rate_limit_exceeded"}),
        (400, {"type": "overloaded_error"}),
        (400, {"code": 500}),
        (400, {"code": 401}),
        (500, {"message": "prompt is too long: 9 > 8"}),
    ],
)
def test_what_is_not_the_callers_is_not_told(status: int, members: dict[str, object]) -> None:
    error = error_for(read_fault(status, body(**members)), "openai", status=status)
    assert "provider_message" not in error.metadata
    assert "says" not in error.message


@for_each(
    ("members", "is_told"),
    [
        ({"type": "invalid_request_error"}, True),
        ({"code": 400}, True),
        ({"code": "content_filter"}, True),
        ({"code": 429}, False),
        ({"code": 500}, False),
        ({"type": "overloaded_error"}, False),
        ({"type": "authentication_error"}, False),
        ({"type": "insufficient_quota"}, False),
        ({}, False),
    ],
)
def test_an_error_within_a_success_is_told_by_its_own_status(members: dict[str, object], is_told: bool) -> None:
    assert (fault_in(json.loads(body(**members))).message == "So it is.") == is_told


def test_details_have_room_for_it_all() -> None:
    fault = Fault("UPSTREAM_INVALID_REQUEST", "messages", "ü" * 2000)
    error = error_for(fault, "ü" * 500, status=400)
    error.metadata |= {f"fact-{number}": "ü" * 500 for number in range(20)}
    assert len(pack_details(3, error)) <= MAX_DETAILS_BYTES
