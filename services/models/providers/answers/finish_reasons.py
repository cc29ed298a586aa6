"""Finish reasons: the words of all servers in one table, because servers also use the words of others.

OpenAI: https://platform.openai.com/docs/api-reference/chat/object and …/responses/object
Anthropic: https://platform.claude.com/docs/en/api/handling-stop-reasons
Gemini: FinishReason, https://ai.google.dev/api/generate-content
Bedrock: StopReason of Converse; Titan's completionReason
Cohere: https://docs.cohere.com/reference/chat; Mistral: https://docs.mistral.ai/api
DeepSeek: https://api-docs.deepseek.com/api/create-chat-completion; GLM: https://docs.bigmodel.cn/api-reference
watsonx: TextGenResult's stop_reason; AI21, Together, xAI, Ollama, text-generation-inference, vLLM and SGLang by their
sources and by reports (genkit-ai/genkit #6259)
"""

from __future__ import annotations

import re
from typing import Any

from services.models.providers.answers.values import read_word
from services.models.providers.errors.faults import Fault

OTHER = "other"
"""The reason that every unknown word stands for."""

FINISH_REASONS: dict[str, str] = {
    "stop": "stop",
    "completed": "stop",
    "complete": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "stop_str": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_of_text": "stop",
    "endoftext": "stop",
    "end": "stop",
    "finish": "stop",
    "finished": "stop",
    "stop_criteria_met": "stop",
    "stop_token": "stop",
    "stop_word": "stop",
    "stopped": "stop",
    "end_of_turn": "stop",
    "eot": "stop",
    "eom": "stop",
    "im_end": "stop",
    "done": "stop",
    "success": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_new_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "token_limit": "length",
    "time_limit": "length",
    "context_limit": "length",
    "error_limit": "length",
    "model_context_window_exceeded": "length",
    "context_window_exceeded": "length",
    "context_length_exceeded": "length",
    "context_length": "length",
    "context_overflow": "length",
    "max_completion_tokens": "length",
    "max_tokens_reached": "length",
    "max_tokens_exceeded": "length",
    "token_limit_reached": "length",
    "out_of_tokens": "length",
    "truncated": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "function_calls": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "image_safety": "content_filter",
    "recitation": "content_filter",
    "image_recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "image_prohibited_content": "content_filter",
    "spii": "content_filter",
    "language": "content_filter",
    "sensitive": "content_filter",
    "error_toxic": "content_filter",
    "guardrail_intervened": "content_filter",
    "model_armor": "content_filter",
    "moderation": "content_filter",
    "flagged": "content_filter",
    "blocked": "content_filter",
    "content_policy_violation": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
    "compaction": "pause",
}
"""The platform's word for each of theirs."""

UNFINISHED = frozenset({"", "null", "none", "notfinished", "finishreasonunspecified"})
"""Words that some servers send instead of null before the end of an answer: Qwen, watsonx, Gemini."""

FAILURES = (
    ("timeout", "UPSTREAM_TIMEOUT"),
    ("timedout", "UPSTREAM_TIMEOUT"),
    ("insufficient", "UPSTREAM_OVERLOADED"),
    ("exhausted", "UPSTREAM_OVERLOADED"),
    ("overload", "UPSTREAM_OVERLOADED"),
    ("ratelimit", "UPSTREAM_RATE_LIMITED"),
    ("error", "UPSTREAM_SERVER_ERROR"),
    ("fail", "UPSTREAM_SERVER_ERROR"),
    ("exception", "UPSTREAM_SERVER_ERROR"),
    ("abort", "UPSTREAM_SERVER_ERROR"),
    ("cancel", "UPSTREAM_SERVER_ERROR"),
    ("interrupted", "UPSTREAM_SERVER_ERROR"),
    ("disconnect", "UPSTREAM_SERVER_ERROR"),
    ("unavailable", "UPSTREAM_SERVER_ERROR"),
    ("preempt", "UPSTREAM_SERVER_ERROR"),
    ("shutdown", "UPSTREAM_SERVER_ERROR"),
    ("malformed", "UPSTREAM_SERVER_ERROR"),
    ("unexpectedtoolcall", "UPSTREAM_SERVER_ERROR"),
    ("toomanytoolcalls", "UPSTREAM_SERVER_ERROR"),
)
"""Parts of words for an answer that was interrupted, or malformed by the model, each with its reason: DeepSeek's
insufficient_system_resource, GLM's network_error, Cohere's ERROR and TIMEOUT, vLLM's abort, Gemini's
MALFORMED_FUNCTION_CALL, Bedrock's malformed_model_output."""

_NO_LETTERS = re.compile(r"[^a-z0-9]+")
_PLAIN = {_NO_LETTERS.sub("", word): reason for word, reason in FINISH_REASONS.items()}


def finish_word(value: Any) -> str:
    """The word in a finish reason, which SGLang's own interface wraps in an object; "" before the end of the answer.

    Raises Fault for a word that is too long for one.
    """
    word = read_word(value.get("type") if isinstance(value, dict) else value)
    return "" if _plain(word) in UNFINISHED else word


def finish_reason_of(word: str) -> str:
    """The platform's word for a server's, in any case and spelling; `other` for an unknown one. Raises Fault for a word
    that means that the answer is incomplete."""
    known = FINISH_REASONS.get(word)
    if known:
        return known
    # Gemini's behind its OpenAI-compatible path: `content_filter: RECITATION`.
    parts = [_plain(part).removeprefix("finishreason") for part in (word, *reversed(word.split(":")))]
    reason = next((_PLAIN[part] for part in parts if part in _PLAIN), "")
    if reason:
        return reason
    for piece, failure in FAILURES:
        if piece in parts[0]:
            raise Fault(failure)
    return OTHER


def _plain(word: str) -> str:
    return _NO_LETTERS.sub("", word.lower())
