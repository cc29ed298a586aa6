"""Meaning of a provider's error, out of its words, its sentences and its status, in the platform's terms.

OpenAI: {"error": {"message", "type", "param", "code"}}, https://platform.openai.com/docs/guides/error-codes
Anthropic: {"type": "error", "error": {"type", "message", "details"}}, https://platform.claude.com/docs/en/api/errors
Gemini: google.rpc.Code as `status`, https://ai.google.dev/gemini-api/docs/troubleshooting
Bedrock: the exception's name, https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
GLM: numbers as text, https://docs.bigmodel.cn/cn/faq/api-code
MiniMax: numbers, https://platform.minimax.io/docs/api-reference/errorcode
Kimi: https://platform.moonshot.ai/docs/api/chat; Qwen: https://help.aliyun.com/zh/model-studio/error-code
What they are wrapped in: `error_wrapping`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.models.providers.errors.error_wrapping import UnwrappedError, find_error, read_error
from services.models.providers.errors.faults import MEANINGS, Fault, reason_for_status
from services.models.providers.errors.overflow_sentences import is_overflow

# A code, a type or a status in a word → reason, however it is spelled. The most telling word wins: codes come first.
REASONS_BY_WORD = {
    "context_length_exceeded": "CONTEXT_LENGTH_EXCEEDED",
    "exceed_context_size_error": "CONTEXT_LENGTH_EXCEEDED",
    "context_window_exceeded_error": "CONTEXT_LENGTH_EXCEEDED",
    "model_max_prompt_tokens_exceeded": "CONTEXT_LENGTH_EXCEEDED",
    "tokens_limit_reached": "CONTEXT_LENGTH_EXCEEDED",
    "1261": "CONTEXT_LENGTH_EXCEEDED",
    "content_policy_violation": "CONTENT_REJECTED",
    "content_filter": "CONTENT_REJECTED",
    "invalid_prompt": "CONTENT_REJECTED",
    "bio_policy": "CONTENT_REJECTED",
    "misalignment_policy_violation": "CONTENT_REJECTED",
    "image_content_policy_violation": "CONTENT_REJECTED",
    "content_policy_violation_error": "CONTENT_REJECTED",
    "responsible_ai_policy_violation": "CONTENT_REJECTED",
    "data_inspection_failed": "CONTENT_REJECTED",
    "1301": "CONTENT_REJECTED",
    "model_not_found": "UPSTREAM_MODEL_NOT_FOUND",
    "model_not_available": "UPSTREAM_MODEL_NOT_FOUND",
    "model_not_supported": "UPSTREAM_MODEL_NOT_FOUND",
    "model_decommissioned": "UPSTREAM_MODEL_NOT_FOUND",
    "unknown_model": "UPSTREAM_MODEL_NOT_FOUND",
    "deployment_not_found": "UPSTREAM_MODEL_NOT_FOUND",
    "1211": "UPSTREAM_MODEL_NOT_FOUND",
    "unknown_url": "UPSTREAM_PATH_NOT_FOUND",
    "invalid_api_key": "UPSTREAM_AUTH",
    "api_key_invalid": "UPSTREAM_AUTH",
    "unauthenticated": "UPSTREAM_AUTH",
    "unauthorized": "UPSTREAM_AUTH",
    "permission_denied": "UPSTREAM_AUTH",
    "permission_denied_error": "UPSTREAM_AUTH",
    "access_denied": "UPSTREAM_AUTH",
    "access_denied_exception": "UPSTREAM_AUTH",
    "unrecognized_client_exception": "UPSTREAM_AUTH",
    "expired_token_exception": "UPSTREAM_AUTH",
    "invalid_authentication_error": "UPSTREAM_AUTH",
    "incorrect_api_key_error": "UPSTREAM_AUTH",
    "authentication_error": "UPSTREAM_AUTH",
    "permission_error": "UPSTREAM_AUTH",
    "billing_error": "UPSTREAM_BILLING",
    "arrearage": "UPSTREAM_BILLING",
    "1113": "UPSTREAM_BILLING",
    "not_found_error": "UPSTREAM_MODEL_NOT_FOUND",
    "not_found": "UPSTREAM_MODEL_NOT_FOUND",
    "resource_not_found_error": "UPSTREAM_MODEL_NOT_FOUND",
    "resource_not_found_exception": "UPSTREAM_MODEL_NOT_FOUND",
    "request_too_large": "REQUEST_TOO_LARGE",
    "minimax_1001": "UPSTREAM_TIMEOUT",
    "minimax_1002": "UPSTREAM_RATE_LIMITED",
    "minimax_1004": "UPSTREAM_AUTH",
    "minimax_1008": "UPSTREAM_BILLING",
    "minimax_1026": "CONTENT_REJECTED",
    "minimax_1027": "CONTENT_REJECTED",
    "minimax_1039": "UPSTREAM_RATE_LIMITED",
    "minimax_2013": "UPSTREAM_INVALID_REQUEST",
    "minimax_2049": "UPSTREAM_AUTH",
    "minimax_2056": "UPSTREAM_QUOTA_EXHAUSTED",
    "timeout_error": "UPSTREAM_TIMEOUT",
    "deadline_exceeded": "UPSTREAM_TIMEOUT",
    "model_timeout_exception": "UPSTREAM_TIMEOUT",
    "insufficient_quota": "UPSTREAM_QUOTA_EXHAUSTED",
    "enforced_spend_limit_reached": "UPSTREAM_QUOTA_EXHAUSTED",
    "contract_spend_limit_reached": "UPSTREAM_QUOTA_EXHAUSTED",
    "billing_hard_limit_reached": "UPSTREAM_QUOTA_EXHAUSTED",
    "credit_balance_exhausted": "UPSTREAM_QUOTA_EXHAUSTED",
    "project_spend_limit_exceeded": "UPSTREAM_QUOTA_EXHAUSTED",
    "exceeded_current_quota_error": "UPSTREAM_QUOTA_EXHAUSTED",
    "service_quota_exceeded_exception": "UPSTREAM_QUOTA_EXHAUSTED",
    "resource_exhausted": "UPSTREAM_RATE_LIMITED",
    "throttling": "UPSTREAM_RATE_LIMITED",
    "throttling_exception": "UPSTREAM_RATE_LIMITED",
    "too_many_requests": "UPSTREAM_RATE_LIMITED",
    "rate_limit_reached_error": "UPSTREAM_RATE_LIMITED",
    "1302": "UPSTREAM_RATE_LIMITED",
    "1303": "UPSTREAM_RATE_LIMITED",
    "1305": "UPSTREAM_RATE_LIMITED",
    "rate_limit_exceeded": "UPSTREAM_RATE_LIMITED",
    "rate_limit_error": "UPSTREAM_RATE_LIMITED",
    "slow_down": "UPSTREAM_RATE_LIMITED",
    "server_is_overloaded": "UPSTREAM_OVERLOADED",
    "overloaded_error": "UPSTREAM_OVERLOADED",
    "engine_overloaded_error": "UPSTREAM_OVERLOADED",
    "model_not_ready_exception": "UPSTREAM_OVERLOADED",
    "unavailable": "UPSTREAM_OVERLOADED",
    "service_unavailable_exception": "UPSTREAM_OVERLOADED",
    "unavailable_error": "UPSTREAM_SERVER_ERROR",
    "internal": "UPSTREAM_SERVER_ERROR",
    "internal_server_error": "UPSTREAM_SERVER_ERROR",
    "internal_server_exception": "UPSTREAM_SERVER_ERROR",
    "server_error": "UPSTREAM_SERVER_ERROR",
    "internal_error": "UPSTREAM_SERVER_ERROR",
    "api_error": "UPSTREAM_SERVER_ERROR",
    "vector_store_timeout": "UPSTREAM_TIMEOUT",
    "failed_precondition": "UPSTREAM_PRECONDITION",
    "data_residency_mismatch": "UPSTREAM_PRECONDITION",
    "invalid_image": "UPSTREAM_INVALID_REQUEST",
    "invalid_image_format": "UPSTREAM_INVALID_REQUEST",
    "invalid_base64_image": "UPSTREAM_INVALID_REQUEST",
    "invalid_image_url": "UPSTREAM_INVALID_REQUEST",
    "invalid_image_mode": "UPSTREAM_INVALID_REQUEST",
    "image_too_large": "UPSTREAM_INVALID_REQUEST",
    "image_too_small": "UPSTREAM_INVALID_REQUEST",
    "image_parse_error": "UPSTREAM_INVALID_REQUEST",
    "image_file_too_large": "UPSTREAM_INVALID_REQUEST",
    "image_file_not_found": "UPSTREAM_INVALID_REQUEST",
    "unsupported_image_media_type": "UPSTREAM_INVALID_REQUEST",
    "empty_image_file": "UPSTREAM_INVALID_REQUEST",
    "failed_to_download_image": "UPSTREAM_INVALID_REQUEST",
    "invalid_request_error": "UPSTREAM_INVALID_REQUEST",
    "invalid_argument": "UPSTREAM_INVALID_REQUEST",
    "bad_request": "UPSTREAM_INVALID_REQUEST",
    "bad_request_error": "UPSTREAM_INVALID_REQUEST",
    "validation_exception": "UPSTREAM_INVALID_REQUEST",
}

# `ContextWindowExceededError`, `context-window-exceeded-error` and `CONTEXT_WINDOW_EXCEEDED_ERROR` are one word.
_NO_LETTERS = re.compile(r"[^a-z0-9]+")
_REASONS = {word.replace("_", ""): reason for word, reason in REASONS_BY_WORD.items()}

WITHHELD_STATUSES = frozenset({401, 403, 429})

REFUSALS = frozenset(
    {
        "UPSTREAM_INVALID_REQUEST",
        "CONTEXT_LENGTH_EXCEEDED",
        "CONTENT_REJECTED",
        "REQUEST_TOO_LARGE",
        "UPSTREAM_MODEL_NOT_FOUND",
        "UPSTREAM_PATH_NOT_FOUND",
        "UPSTREAM_PRECONDITION",
        "UPSTREAM_CONFLICT",
        "UPSTREAM_BILLING",
        "UPSTREAM_QUOTA_EXHAUSTED",
        "UPSTREAM_TIMEOUT",
    }
)
"""Reasons for which a caller's request was refused: those of a 4xx other than 401, 403 and 429."""
REFUSALS_BY_STATUS = frozenset({"UPSTREAM_BILLING", "UPSTREAM_QUOTA_EXHAUSTED", "UPSTREAM_TIMEOUT"})
"""Refusals that may also come with other statuses: they need a status to count as refusals."""

GENERAL_REASONS = frozenset({"UPSTREAM_INVALID_REQUEST", "UPSTREAM_SERVER_ERROR"})
"""Reasons that are general: a sentence may give a more specific one."""

UNREAD_STATUSES = frozenset({401, 402, 403, 408, 429})
"""Statuses that are unambiguous, even if a sentence mentions a length."""

TEXT_TOO_LONG = "string_above_max_length"
"""OpenAI's code for a text that is too long wherever it stands, in a prompt or in an id."""

PROMPT_MEMBERS = frozenset({"messages", "input"})
CONTENT_MEMBERS = frozenset({"messages", "input", "content", "text", "refusal", "arguments", "output"})
"""Paths of a prompt's text, such as `messages[1].content[0].text` and `input[2].output`."""

# Errors with a plain 400, whose reason is only in the sentence.
REASONS_BY_SENTENCE = (
    (
        re.compile(r"exceeded your (?:current )?rate limit|rate limit (?:reached|exceeded)", re.IGNORECASE),
        "UPSTREAM_RATE_LIMITED",
    ),
    (re.compile(r"specified API usage limits", re.IGNORECASE), "UPSTREAM_QUOTA_EXHAUSTED"),
    (re.compile(r"credit balance is too low|insufficient (?:account )?balance", re.IGNORECASE), "UPSTREAM_BILLING"),
    (re.compile(r"API key not valid|invalid API key|incorrect API key", re.IGNORECASE), "UPSTREAM_AUTH"),
)

NOT_FOUND = frozenset({"UPSTREAM_MODEL_NOT_FOUND", "UPSTREAM_PATH_NOT_FOUND"})
_NAMES_A_PATH = re.compile(
    r"\A\W*+(?:404\W++)?(?:(?:page|file|resource|path|route|url|uri|endpoint)\W++)?not\W++found\W*+\Z"
    r"|404\W{1,3}not found|page not found|method not allowed|unknown (?:request )?url|invalid url|no route|cannot post"
    r"|requested url|unexpected endpoint|unknown (?:endpoint|path|route)|no such (?:endpoint|path|route)",
    re.IGNORECASE,
)
"""Sentences of servers, routers and proxies that do not serve a path."""

_LM_STUDIO_SENTENCE = re.compile(r"unexpected endpoint or method", re.IGNORECASE)
"""The sentence of LM Studio, which answers with status 200 if it does not have the path."""

MAX_PARAM_LENGTH = 1024
MAX_SENTENCE_LENGTH = 4096
"""Limit for the characters of a sentence; a longer one contains a quotation."""
_NAMES = re.compile(r"[^.\[\]]+")

# Members of the body that correspond to a field of the request.
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
    return _fault(read_error(body), status)


def fault_in(error: Any) -> Fault:
    """The fault in an error that came with status 200, as the body or as an event."""
    return _fault(find_error(error), 0)


def _fault(error: UnwrappedError, answered: int) -> Fault:
    """The fault of an error that came with an HTTP status, or within a success, which is 0."""
    status = answered or error.status
    by_status = reason_for_status(status) if status else "UPSTREAM_SERVER_ERROR"
    reason = _reason_by_word(error.words) or by_status
    names = _names_in(error.param)
    if TEXT_TOO_LONG in error.words:
        reason = "CONTEXT_LENGTH_EXCEEDED" if _is_text_of_prompt(names) else "UPSTREAM_INVALID_REQUEST"
    # A specific status wins over a general word.
    elif reason in GENERAL_REASONS and status:
        reason = by_status
    reason = _reason_by_sentence(error, reason, status)
    assert reason in MEANINGS
    field = FIELDS_BY_PARAM.get(names[0], "") if names else ""
    return Fault(reason, field, error.message if _is_callers(reason, answered, error.status) else "")


def _is_callers(reason: str, answered: int, named: int) -> bool:
    """True if the caller may read the provider's message: it gives the reason of a refused request, and is not about
    the operator's key, other users, or a failure within the provider."""
    statuses = [status for status in (answered, named) if status]
    if reason not in REFUSALS or any(status in WITHHELD_STATUSES or status >= 500 for status in statuses):
        return False
    return bool(statuses) or reason not in REFUSALS_BY_STATUS


def _reason_by_word(words: Sequence[str]) -> str:
    plain = (_NO_LETTERS.sub("", word[:MAX_PARAM_LENGTH].lower()) for word in words)
    reasons = [_REASONS[word] for word in plain if word in _REASONS]
    return next((reason for reason in reasons if reason not in GENERAL_REASONS), reasons[0] if reasons else "")


def _reason_by_sentence(error: UnwrappedError, reason: str, status: int) -> str:
    """The reason in a sentence, if words and status give none that is more specific."""
    message = error.message[:MAX_SENTENCE_LENGTH]
    if reason in NOT_FOUND:
        return "UPSTREAM_PATH_NOT_FOUND" if _is_about_path(error, message, status) else "UPSTREAM_MODEL_NOT_FOUND"
    if reason not in GENERAL_REASONS and reason != "REQUEST_TOO_LARGE":
        return reason
    if _LM_STUDIO_SENTENCE.search(message):
        return "UPSTREAM_PATH_NOT_FOUND"
    words = [word[:MAX_PARAM_LENGTH] for word in error.words]
    is_too_long = TEXT_TOO_LONG not in words and any(map(is_overflow, (message, *words)))
    if is_too_long and status not in UNREAD_STATUSES:
        return "CONTEXT_LENGTH_EXCEEDED"
    if reason != "UPSTREAM_INVALID_REQUEST":
        return reason
    return next((meaning for sentence, meaning in REASONS_BY_SENTENCE if sentence.search(message)), reason)


def _names_in(param: Any) -> list[str]:
    """The names in the path of a body's member, without the places in lists: `tools[0].name` is tools and name."""
    words = _NAMES.findall(param[:MAX_PARAM_LENGTH]) if isinstance(param, str) else []
    return [word for word in words if not word.isdigit()]


def _is_about_path(error: UnwrappedError, message: str, status: int) -> bool:
    """True if the path is missing, and not the model: a router says so in words, or sends an empty body."""
    if status == 405 or "UPSTREAM_PATH_NOT_FOUND" in (_reason_by_word([word]) for word in error.words):
        return True
    return bool(_NAMES_A_PATH.search(message)) or (status == 404 and not message and not error.words)


def _is_text_of_prompt(names: Sequence[str]) -> bool:
    return bool(names) and names[0] in PROMPT_MEMBERS and names[-1] in CONTENT_MEMBERS
