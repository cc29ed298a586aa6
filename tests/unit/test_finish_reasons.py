"""Why answers end, in the words of all servers."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.models.providers.answers.finish_reasons import FAILURES, FINISH_REASONS, finish_reason_of, finish_word
from services.models.providers.errors.faults import MEANINGS, Fault
from tests.rows import for_each

CONTRACT = {"stop", "length", "tool_calls", "content_filter", "refusal", "pause", "other"}

WORDS = {
    "stop": (
        "stop completed complete end_turn stop_sequence stop_str eos eos_token end_of_text endoftext end "
        "finish finished stop_criteria_met stop_token stop_word stopped end_of_turn eot eom im_end done "
        "success"
    ),
    "length": (
        "length max_tokens max_output_tokens max_new_tokens max_length model_length token_limit time_limit "
        "context_limit error_limit model_context_window_exceeded context_window_exceeded "
        "context_length_exceeded context_length context_overflow max_completion_tokens max_tokens_reached "
        "max_tokens_exceeded token_limit_reached out_of_tokens truncated"
    ),
    "tool_calls": "tool_calls tool_call tool_use function_call function_calls",
    "content_filter": (
        "content_filter content_filtered safety image_safety recitation image_recitation blocklist "
        "prohibited_content image_prohibited_content spii language sensitive error_toxic guardrail_intervened "
        "model_armor moderation flagged blocked content_policy_violation"
    ),
    "refusal": "refusal",
    "pause": "pause_turn compaction",
}
"""The words of all servers, by the reason that each stands for."""


def test_the_tables_speak_the_platforms_words() -> None:
    assert set(FINISH_REASONS.values()) <= CONTRACT
    assert {reason for _, reason in FAILURES} <= MEANINGS.keys()


@for_each(("word", "reason"), [(word, reason) for reason, words in WORDS.items() for word in words.split()])
def test_a_word_means_the_same_however_it_is_spelled(word: str, reason: str) -> None:
    title = "".join(part.title() for part in word.split("_"))
    for spelled in (word, word.upper(), word.replace("_", "-"), title, f"FINISH_REASON_{word.upper()}"):
        assert finish_reason_of(spelled) == reason
    assert finish_reason_of(f"content_filter: {word}") == reason


@for_each(
    ("word", "reason"),
    [
        ("error", "UPSTREAM_SERVER_ERROR"),
        ("ERROR", "UPSTREAM_SERVER_ERROR"),
        ("network_error", "UPSTREAM_SERVER_ERROR"),
        ("insufficient_system_resource", "UPSTREAM_OVERLOADED"),
        ("TIMEOUT", "UPSTREAM_TIMEOUT"),
        ("abort", "UPSTREAM_SERVER_ERROR"),
        ("cancelled", "UPSTREAM_SERVER_ERROR"),
        ("MALFORMED_FUNCTION_CALL", "UPSTREAM_SERVER_ERROR"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", "UPSTREAM_SERVER_ERROR"),
        ("malformed_model_output", "UPSTREAM_SERVER_ERROR"),
        ("UNEXPECTED_TOOL_CALL", "UPSTREAM_SERVER_ERROR"),
        ("preempted", "UPSTREAM_SERVER_ERROR"),
        ("request_timed_out", "UPSTREAM_TIMEOUT"),
        ("resource_exhausted", "UPSTREAM_OVERLOADED"),
        ("overloaded", "UPSTREAM_OVERLOADED"),
        ("rate_limited", "UPSTREAM_RATE_LIMITED"),
        ("failed", "UPSTREAM_SERVER_ERROR"),
        ("exception", "UPSTREAM_SERVER_ERROR"),
        ("interrupted", "UPSTREAM_SERVER_ERROR"),
        ("disconnected", "UPSTREAM_SERVER_ERROR"),
        ("unavailable", "UPSTREAM_SERVER_ERROR"),
        ("too_many_tool_calls", "UPSTREAM_SERVER_ERROR"),
        ("server_shutdown", "UPSTREAM_SERVER_ERROR"),
    ],
)
def test_a_word_of_failure_is_a_fault(word: str, reason: str) -> None:
    with pytest.raises(Fault) as caught:
        finish_reason_of(word)
    assert caught.value.reason == reason


@for_each("value", [None, "", "null", "None", "not_finished", "FINISH_REASON_UNSPECIFIED", 7, [], {}])
def test_what_is_no_word_is_no_end(value: object) -> None:
    assert finish_word(value) == ""


def test_word_in_an_object() -> None:
    assert finish_word({"type": "length", "length": 8}) == "length"


@given(st.text(max_size=40))
def test_any_word_is_survived(word: str) -> None:
    with contextlib.suppress(Fault):
        assert finish_reason_of(word) in CONTRACT
