"""What the body of a provider's error says. OpenAI and Anthropic wrap an object in `error`, and their words agree.

OpenAI: {"error": {"message", "type", "param", "code"}}, https://platform.openai.com/docs/guides/error-codes
Anthropic: {"type": "error", "error": {"type", "message", "details"}}, https://platform.claude.com/docs/en/api/errors
vLLM and llama.cpp send integer codes; some servers send the members without the wrapper, or a plain string.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.models.providers import json_text
from services.models.providers.faults import MEANINGS, Fault, reason_for_status

# `code`, `details.error_code` or `type` → reason. The most telling word wins: codes are looked up first.
REASONS_BY_WORD = {
    "context_length_exceeded": "CONTEXT_LENGTH_EXCEEDED",
    "exceed_context_size_error": "CONTEXT_LENGTH_EXCEEDED",
    "content_policy_violation": "CONTENT_REJECTED",
    "content_filter": "CONTENT_REJECTED",
    "invalid_prompt": "CONTENT_REJECTED",
    "model_not_found": "UPSTREAM_MODEL_NOT_FOUND",
    "invalid_api_key": "UPSTREAM_AUTH",
    "authentication_error": "UPSTREAM_AUTH",
    "permission_error": "UPSTREAM_AUTH",
    "billing_error": "UPSTREAM_BILLING",
    "not_found_error": "UPSTREAM_MODEL_NOT_FOUND",
    "request_too_large": "REQUEST_TOO_LARGE",
    "timeout_error": "UPSTREAM_TIMEOUT",
    "insufficient_quota": "UPSTREAM_QUOTA_EXHAUSTED",
    "enforced_spend_limit_reached": "UPSTREAM_QUOTA_EXHAUSTED",
    "contract_spend_limit_reached": "UPSTREAM_QUOTA_EXHAUSTED",
    "billing_hard_limit_reached": "UPSTREAM_QUOTA_EXHAUSTED",
    "credit_balance_exhausted": "UPSTREAM_QUOTA_EXHAUSTED",
    "project_spend_limit_exceeded": "UPSTREAM_QUOTA_EXHAUSTED",
    "rate_limit_exceeded": "UPSTREAM_RATE_LIMITED",
    "rate_limit_error": "UPSTREAM_RATE_LIMITED",
    "slow_down": "UPSTREAM_RATE_LIMITED",
    "server_is_overloaded": "UPSTREAM_OVERLOADED",
    "overloaded_error": "UPSTREAM_OVERLOADED",
    "unavailable_error": "UPSTREAM_SERVER_ERROR",
    "server_error": "UPSTREAM_SERVER_ERROR",
    "internal_error": "UPSTREAM_SERVER_ERROR",
    "api_error": "UPSTREAM_SERVER_ERROR",
    "invalid_request_error": "UPSTREAM_INVALID_REQUEST",
}

TEXT_TOO_LONG = "string_above_max_length"
"""OpenAI's code for a text that is too long wherever it stands, in a prompt or in an id."""

PROMPT_MEMBERS = frozenset({"messages", "input"})
CONTENT_MEMBERS = frozenset({"messages", "input", "content", "text", "refusal", "arguments", "output"})
"""Where the text of a prompt stands, such as `messages[1].content[0].text` and `input[2].output`."""

# What Anthropic and vLLM report as a plain 400: only the sentence tells. It is read, never passed on.
REASONS_BY_SENTENCE = (
    (
        re.compile(r"prompt is too long|maximum context length|context size|context window", re.IGNORECASE),
        "CONTEXT_LENGTH_EXCEEDED",
    ),
    (re.compile(r"specified API usage limits", re.IGNORECASE), "UPSTREAM_QUOTA_EXHAUSTED"),
    (re.compile(r"credit balance is too low", re.IGNORECASE), "UPSTREAM_BILLING"),
)

MAX_PARAM_LENGTH = 1024
MAX_SENTENCE_LENGTH = 4096
"""What is longer quotes something."""
_NAMES = re.compile(r"[^.\[\]]+")

# The body's members whose names a caller knows too.
FIELDS_BY_PARAM = {
    "messages": "messages",
    "model": "model",
    "temperature": "config.temperature",
    "top_p": "config.top_p",
    "max_tokens": "config.max_tokens",
    "max_completion_tokens": "config.max_tokens",
    "stop": "config.stop_sequences",
    "seed": "config.seed",
    "frequency_penalty": "config.frequency_penalty",
    "presence_penalty": "config.presence_penalty",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "response_format": "response_format",
    "input": "messages",
    "max_output_tokens": "config.max_tokens",
    "text": "response_format",
    "reasoning": "reasoning",
    "reasoning_effort": "reasoning",
    "safety_identifier": "end_user_id",
    "prompt_cache_key": "prompt_cache_key",
}


def read_fault(status: int, body: bytes) -> Fault:
    """The fault in an error response."""
    by_status = reason_for_status(status)
    try:
        content = json_text.decode(body)
    except json_text.Malformed:
        return Fault(by_status)
    error = content.get("error", content) if isinstance(content, dict) else None
    if not isinstance(error, dict):
        return Fault(by_status)
    return _fault(error, by_status, status)


def fault_in(error: Any) -> Fault:
    """The fault in an error that came with status 200, as the body or as an event."""
    if not isinstance(error, dict):
        return Fault("UPSTREAM_SERVER_ERROR")
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 0
    return _fault(error, reason_for_status(status) if status else "UPSTREAM_SERVER_ERROR", status)


def _fault(error: dict[str, Any], by_status: str, status: int) -> Fault:
    details = error.get("details")
    words = (error.get("code"), details.get("error_code") if isinstance(details, dict) else None, error.get("type"))
    reason = next(
        (REASONS_BY_WORD[word] for word in words if isinstance(word, str) and word in REASONS_BY_WORD), by_status
    )
    names = _names_in(error.get("param"))
    if error.get("code") == TEXT_TOO_LONG:
        reason = "CONTEXT_LENGTH_EXCEEDED" if _is_text_of_prompt(names) else "UPSTREAM_INVALID_REQUEST"
    # A general word says less than a particular status.
    if reason in ("UPSTREAM_INVALID_REQUEST", "UPSTREAM_SERVER_ERROR") and status:
        reason = by_status
    if reason == "UPSTREAM_INVALID_REQUEST":
        message = json_text.text_of(error.get("message"))[:MAX_SENTENCE_LENGTH]
        reason = next((meaning for sentence, meaning in REASONS_BY_SENTENCE if sentence.search(message)), reason)
    assert reason in MEANINGS
    return Fault(reason, FIELDS_BY_PARAM.get(names[0], "") if names else "")


def _names_in(param: Any) -> list[str]:
    """The names in the path of a body's member, without the places in lists: `tools[0].name` is tools and name."""
    words = _NAMES.findall(param[:MAX_PARAM_LENGTH]) if isinstance(param, str) else []
    return [word for word in words if not word.isdigit()]


def _is_text_of_prompt(names: Sequence[str]) -> bool:
    return bool(names) and names[0] in PROMPT_MEMBERS and names[-1] in CONTENT_MEMBERS
