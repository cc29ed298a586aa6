"""Redaction: what is taken out of texts, what stays, and that no text takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.models.capture.redaction import Redactor

REDACTOR = Redactor()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key sk-proj-abcdefghijklmnop1234 end", "key [redacted secret] end"),
        ("gk_abcdefghijkl_0123456789abcdefghij", "[redacted secret]"),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted secret]"),
        ("Authorization: Bearer abcdef123456.xyz", "Authorization: [redacted secret]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "[redacted secret]"),
        ("postgresql://ada:lovelace@db/x", "postgresql://[redacted secret]@db/x"),
        ("password: hunter22, then", "[redacted secret], then"),
        ('{"api_key": "abcd1234"}', '{"[redacted secret]"}'),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nmore",
            "[redacted secret]\nmore",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "[redacted secret]"),
        ("write to ada.lovelace+x@mail.example.co.uk!", "write to [redacted email]!"),
        ("card 4111 1111 1111 1111.", "card [redacted card]."),
        ("5500-0055-5555-5559", "[redacted card]"),
        ("call +49 30 901820 or (030) 555-1234", "call [redacted phone] or [redacted phone]"),
        ("555-867-5309", "[redacted phone]"),
    ],
)
def test_what_looks_like_a_secret_or_a_person_is_taken_out(text: str, expected: str) -> None:
    redacted = REDACTOR.redact(text)
    assert redacted.text == expected
    assert sum(redacted.counts.values()) == expected.count("[redacted ")


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "2026-11-28 12:30:45",
        "version 1.2.3.4",
        "3.14159265358979323846",
        "the secret of a good password is its length",
        "risk-averse-but-not-so-averse",
        "f(a@b, c)",
        "https://example.com/a:b",
        "order 12345678",
    ],
)
def test_what_only_resembles_it_stays(text: str) -> None:
    assert REDACTOR.redact(text) == (text, {})


def test_kinds_are_chosen() -> None:
    text = "a@example.com +49 30 901820"
    assert Redactor(["email"]).redact(text).text == "[redacted email] +49 30 901820"
    assert Redactor([]).redact(text).text == text


@settings(max_examples=50)
@given(st.text(alphabet="a1@.+-sk_ :/=", max_size=60))
def test_what_was_taken_out_is_not_found_again(text: str) -> None:
    once = REDACTOR.redact(text)
    assert REDACTOR.redact(once.text).text == once.text


@pytest.mark.parametrize(
    "piece",
    ["a", "a@", "1", "1 ", "(", "+1", "eyJ", "sk-", ".", "-----BEGIN PRIVATE KEY-----", "password=", "://a:", " "],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (65_536 // len(piece))
    started = time.process_time()
    REDACTOR.redact(text)
    assert time.process_time() - started < 0.5
