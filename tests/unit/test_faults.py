"""What goes wrong at a provider, and what its caller is told."""

from __future__ import annotations

import datetime
import email.utils
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.models.providers.errors.error_body import (
    FIELDS_BY_PARAM,
    REASONS_BY_SENTENCE,
    REASONS_BY_WORD,
    fault_in,
    read_fault,
)
from services.models.providers.errors.faults import MEANINGS, RETRYABLE, Fault, error_for, reason_for_status
from services.shared import errors
from tests.rows import for_each

CANARY = "canary-0123456789"


def test_every_reason_has_a_meaning() -> None:
    by_status = {reason_for_status(status) for status in range(100, 1000)}
    by_sentence = {reason for _, reason in REASONS_BY_SENTENCE}
    assert by_status | by_sentence | set(REASONS_BY_WORD.values()) | RETRYABLE <= MEANINGS.keys()


@for_each("reason", MEANINGS)
def test_every_message_says_what_to_do_and_names_only_the_provider(reason: str) -> None:
    error = error_for(Fault(reason), "my-servers", status=400)
    places = [field for _, field, _, _ in string.Formatter().parse(MEANINGS[reason].message) if field]
    assert set(places) <= {"provider"}
    assert type(error) is MEANINGS[reason].error
    assert error.reason == reason
    assert error.metadata == {"provider": "my-servers", "http_status": "400"}


def test_provider_is_no_format() -> None:
    assert "{x}" in error_for(Fault("UPSTREAM_SERVER_ERROR"), "{x}").message


@for_each("reason", sorted(MEANINGS))
def test_only_what_waiting_may_help_says_how_long(reason: str) -> None:
    error = error_for(Fault(reason), "openai", headers={"retry-after": "3"})
    assert error.retry_after == (3.0 if reason in RETRYABLE else None)


def http_date(seconds: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return email.utils.format_datetime(moment, usegmt=True)


@for_each(
    ("headers", "seconds"),
    [
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": " 2 "}, 2.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sun, 22 Nov 2065 10:00:00 -0000"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Mon, 99 Jan 2024 00:00:00 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999999"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    error = error_for(Fault("UPSTREAM_RATE_LIMITED"), "openai", headers=headers)
    assert error.retry_after == (pytest.approx(seconds, abs=5) if seconds else seconds)


@for_each(("ahead", "seconds"), [(-60, 0), (600, 600)])
def test_a_date_is_a_time_to_wait(ahead: float, seconds: float) -> None:
    error = error_for(Fault("UPSTREAM_RATE_LIMITED"), "openai", headers={"retry-after": http_date(ahead)})
    assert error.retry_after == pytest.approx(seconds, abs=5)


@given(st.text(max_size=40))
def test_any_retry_after_is_survived(value: str) -> None:
    retry_after = error_for(Fault("UPSTREAM_RATE_LIMITED"), "openai", headers={"retry-after": value}).retry_after
    assert retry_after is None or 0 <= retry_after < 1e6


@for_each("value", ["req_1\n", "a b", "x" * 129, "ü", "<script>", ""])
def test_request_id_that_may_not_be_one_is_not_told(value: str) -> None:
    assert error_for(Fault("UPSTREAM_TIMEOUT"), "openai", headers={"x-request-id": value}).metadata == {
        "provider": "openai"
    }


def test_field_is_named() -> None:
    error = error_for(Fault("UPSTREAM_INVALID_REQUEST", "config.top_p"), "openai")
    assert error.violations == (errors.FieldViolation("config.top_p", "was refused by the provider"),)


# ---------------------------------------------------------------------------------------------------- error bodies


def body(**members: Any) -> bytes:
    return json.dumps({"error": {"message": CANARY, **members}}).encode()


@for_each("word", REASONS_BY_WORD)
def test_every_word_means_the_same_as_code_and_as_type(word: str) -> None:
    status = 418
    by_code, by_type = read_fault(status, body(code=word)), read_fault(status, body(type=word))
    assert by_code == by_type
    general = REASONS_BY_WORD[word] in ("UPSTREAM_INVALID_REQUEST", "UPSTREAM_SERVER_ERROR")
    assert by_code.reason == (reason_for_status(status) if general else REASONS_BY_WORD[word])


@for_each(
    ("status", "content", "reason"),
    [
        # The code says more than the type.
        (400, body(type="invalid_request_error", code="context_length_exceeded"), "CONTEXT_LENGTH_EXCEEDED"),
        (429, body(type="insufficient_quota", code="rate_limit_exceeded"), "UPSTREAM_RATE_LIMITED"),
        # A particular status says more than a general word.
        (401, body(type="invalid_request_error"), "UPSTREAM_AUTH"),
        (404, body(type="invalid_request_error", code="unknown_url"), "UPSTREAM_PATH_NOT_FOUND"),
        (529, body(type="api_error"), "UPSTREAM_OVERLOADED"),
        (504, body(type="server_error"), "UPSTREAM_TIMEOUT"),
        # Integer codes say nothing that the status does not.
        (500, body(type="InternalServerError", code=500), "UPSTREAM_SERVER_ERROR"),
        (400, body(code=True), "UPSTREAM_INVALID_REQUEST"),
        # Members without the wrapper: older vLLM.
        (400, b'{"object": "error", "message": "maximum context length is 8", "code": 400}', "CONTEXT_LENGTH_EXCEEDED"),
        (400, body(details={"error_code": "contract_spend_limit_reached"}), "UPSTREAM_QUOTA_EXHAUSTED"),
        (400, body(message="You have reached your specified API usage limits."), "UPSTREAM_QUOTA_EXHAUSTED"),
        (400, body(message="Your credit balance is too low"), "UPSTREAM_BILLING"),
        # A sentence counts only where nothing better is said.
        (500, body(message="context window"), "UPSTREAM_SERVER_ERROR"),
        (500, body(message="prompt is too long: 9 tokens > 8 maximum"), "CONTEXT_LENGTH_EXCEEDED"),
        (429, body(message="prompt is too long: 9 tokens > 8 maximum"), "UPSTREAM_RATE_LIMITED"),
        (403, body(message="prompt is too long"), "UPSTREAM_AUTH"),
        # No body that can be understood: the status alone.
        (404, b"<html>", "UPSTREAM_PATH_NOT_FOUND"),
        (413, b"", "REQUEST_TOO_LARGE"),
        (503, b"null", "UPSTREAM_SERVER_ERROR"),
        (503, b'["overloaded_error"]', "UPSTREAM_SERVER_ERROR"),
        (400, b'{"error": "context window"}', "UPSTREAM_INVALID_REQUEST"),
        (400, b'{"error": null}', "UPSTREAM_INVALID_REQUEST"),
        (400, body(code=["context_length_exceeded"], type={}), "UPSTREAM_INVALID_REQUEST"),
        (401, b"[" * 100_000, "UPSTREAM_AUTH"),
        (400, b'{"error": {"message": "\\ud83d", "type": "\\ud83d"}}', "UPSTREAM_INVALID_REQUEST"),
        (204, b"", "UPSTREAM_PROTOCOL_ERROR"),
    ],
)
def test_error_body(status: int, content: bytes, reason: str) -> None:
    assert read_fault(status, content).reason == reason


@for_each(
    ("error", "reason"),
    [
        ({"type": "overloaded_error"}, "UPSTREAM_OVERLOADED"),
        ({"type": "invalid_request_error", "message": "prompt is too long"}, "CONTEXT_LENGTH_EXCEEDED"),
        ({"type": "BadRequestError", "code": 400}, "UPSTREAM_INVALID_REQUEST"),
        ({"code": 429}, "UPSTREAM_RATE_LIMITED"),
        ({"code": 200}, "UPSTREAM_SERVER_ERROR"),
        ({"code": 10**30}, "UPSTREAM_SERVER_ERROR"),
        ({"code": "odd", "type": "odd"}, "UPSTREAM_SERVER_ERROR"),
        ({}, "UPSTREAM_SERVER_ERROR"),
        (CANARY, "UPSTREAM_SERVER_ERROR"),
        (None, "UPSTREAM_SERVER_ERROR"),
    ],
)
def test_error_within_a_success(error: object, reason: str) -> None:
    assert fault_in(error).reason == reason


@for_each(
    ("param", "field"),
    [
        ("messages[3].content", "messages"),
        ("", ""),
        ("[0]", ""),
        ("max_completion_tokens", "config.max_tokens"),
        ("tools.0.function", "tools"),
        ("stop", "config.stop_sequences"),
        ("prompt_cache_key", "prompt_cache_key"),
        (CANARY, ""),
        (7, ""),
        (None, ""),
    ],
)
def test_providers_name_of_a_field_becomes_ours(param: object, field: str) -> None:
    assert read_fault(400, body(param=param)).field == field


@for_each(
    ("param", "reason"),
    [
        ("input", "CONTEXT_LENGTH_EXCEEDED"),
        ("messages[1].content", "CONTEXT_LENGTH_EXCEEDED"),
        ("messages.[1].content", "CONTEXT_LENGTH_EXCEEDED"),
        ("messages[1].content[0].text", "CONTEXT_LENGTH_EXCEEDED"),
        ("messages[1].tool_calls[0].function.arguments", "CONTEXT_LENGTH_EXCEEDED"),
        ("input[2].output", "CONTEXT_LENGTH_EXCEEDED"),
        ("messages[1].tool_calls[0].id", "UPSTREAM_INVALID_REQUEST"),
        ("messages[1].name", "UPSTREAM_INVALID_REQUEST"),
        ("messages[1].content[0].image_url.url", "UPSTREAM_INVALID_REQUEST"),
        ("input[2].call_id", "UPSTREAM_INVALID_REQUEST"),
        ("prompt_cache_key", "UPSTREAM_INVALID_REQUEST"),
        ("tools[0].function.content", "UPSTREAM_INVALID_REQUEST"),
        ("", "UPSTREAM_INVALID_REQUEST"),
        (None, "UPSTREAM_INVALID_REQUEST"),
        (7, "UPSTREAM_INVALID_REQUEST"),
    ],
)
def test_text_that_is_too_long_is_told_of_the_context_only_within_a_prompt(param: object, reason: str) -> None:
    """OpenAI has the one code for texts of prompts, for ids and for keys."""
    refused = {"type": "invalid_request_error", "code": "string_above_max_length", "param": param}
    assert read_fault(400, body(**refused)).reason == reason
    assert fault_in(refused).reason == reason


def test_named_fields_exist() -> None:
    from proto import models_pb2

    request = models_pb2.ChatRequest.DESCRIPTOR.fields_by_name
    config = models_pb2.ChatConfig.DESCRIPTOR.fields_by_name
    for field in FIELDS_BY_PARAM.values():
        parent, _, child = field.partition(".")
        assert parent in request
        assert not child or child in config


@given(st.binary(max_size=60) | st.from_regex(r'\{"error":\{"(code|type|param|details)":.{0,20}\}\}').map(str.encode))
def test_any_error_body_is_survived(content: bytes) -> None:
    assert read_fault(400, content).reason in MEANINGS
