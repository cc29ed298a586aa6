"""The body of a message → an Answer. https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

from typing import Any

import msgspec

from proto import models_pb2
from services.models.providers import json_text
from services.models.providers.answer import Answer
from services.models.providers.error_body import fault_in
from services.models.providers.faults import Fault

PROVIDER = "anthropic"

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "pause_turn": "pause",
}

USAGE_MEMBERS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class _RawBlock(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _RawMessage(msgspec.Struct):
    content: list[_RawBlock]


def read_answer(body: bytes) -> Answer:
    """Raises Fault when the body is not a message."""
    try:
        message = json_text.decode(body)
    except json_text.Malformed:
        raise Fault("UPSTREAM_PROTOCOL_ERROR") from None
    if isinstance(message, dict) and message.get("type") == "error":
        raise fault_in(message.get("error"))
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        raise Fault("UPSTREAM_PROTOCOL_ERROR")
    answer = Answer()
    read_header(answer, message)
    for key, block in enumerate(message["content"]):
        if not isinstance(block, dict):
            raise Fault("UPSTREAM_PROTOCOL_ERROR")
        if block.get("type") == "tool_use":
            answer.open_tool_call(key, str(block.get("id") or ""), str(block.get("name") or ""))
            answer.add_arguments(key, _raw_input(body, key, block))
        else:
            add_block(answer, key, block)
    read_finish(answer, message.get("stop_reason"))
    usage = UsageCount()
    usage.update(message.get("usage"))
    answer.usage = usage.total()
    return answer


def _raw_input(body: bytes, key: int, block: dict[str, Any]) -> str:
    """The exact text of a tool call's arguments."""
    try:
        return bytes(msgspec.json.decode(body, type=_RawMessage).content[key].input).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return json_text.encode(block.get("input")).decode()


def read_header(answer: Answer, message: dict[str, Any]) -> None:
    """Takes the provider's id and the model that served."""
    answer.provider_response_id = str(message.get("id") or "")
    answer.model = str(message.get("model") or "")


def add_block(answer: Answer, key: int, block: dict[str, Any]) -> None:
    """Adds a whole content block that is no tool call."""
    kind = block.get("type")
    if kind == "text":
        answer.add(key, "text", str(block.get("text") or ""))
        return
    if kind == "thinking" and block.get("thinking"):
        answer.add(key, "reasoning", str(block["thinking"]))
    if kind != "thinking" or block.get("signature"):
        attach_block(answer, key, block)


def attach_block(answer: Answer, key: int, block: dict[str, Any]) -> None:
    """Keeps a block that must come back unchanged: signed thinking, and every kind that has no form of ours."""
    state = models_pb2.ProviderState(provider=PROVIDER, model=answer.model, data=json_text.encode(block))
    hidden = block.get("type") == "redacted_thinking" or block.get("thinking") == ""
    answer.attach_state(key, state, redacted=hidden)


def read_finish(answer: Answer, reason: Any) -> None:
    raw = reason if isinstance(reason, str) else ""
    answer.finish(FINISH_REASONS.get(raw, "other"), raw)


class UsageCount:
    """Usage as Messages counts it: over a stream it is told again and again, cumulatively, never to be added up."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._thinking: int | None = None

    def update(self, usage: Any) -> None:
        """Takes over whatever `usage` tells anew."""
        if not isinstance(usage, dict):
            return
        for name in USAGE_MEMBERS:
            value = usage.get(name)
            if isinstance(value, int) and value >= 0:
                self._counts[name] = value
        details = usage.get("output_tokens_details")
        if isinstance(details, dict) and isinstance(details.get("thinking_tokens"), int):
            self._thinking = details["thinking_tokens"]

    def total(self) -> models_pb2.TokenUsage | None:
        """The usage in the platform's terms, where the prompt includes what the cache gave and took."""
        if "input_tokens" not in self._counts and "output_tokens" not in self._counts:
            return None
        read = self._counts.get("cache_read_input_tokens")
        written = self._counts.get("cache_creation_input_tokens")
        prompt = self._counts.get("input_tokens", 0) + (read or 0) + (written or 0)
        completion = self._counts.get("output_tokens", 0)
        return models_pb2.TokenUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            cached_prompt_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=self._thinking,
        )
