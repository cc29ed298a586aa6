"""Anthropic's Messages as a server speaks it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from tests.scripted_upstream import event
from tests.wire.adapter import Adapter, endpoint_target, vendor_target
from tests.wire.dialects import ANSWER_ID, MODEL, USAGE, Sample, Speech, Usage, encode, exactly

SIGNATURE = "c2lnbmF0dXJl"


class AnthropicSpeech(Speech):
    """Messages."""

    title = "Messages"
    terminal_words = (b"message_stop", b"[DONE]")
    finish_reasons: ClassVar[dict[str, str]] = {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "refusal": "refusal",
        "pause_turn": "pause",
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool_calls",
        "SAFETY": "content_filter",
        "a_new_word": "other",
    }
    ping = event({"type": "ping"}, "ping")
    terminal_event = event({"type": "message_stop"}, "message_stop")
    counts_prompt_first = True
    sdk_type = "anthropic"

    def body(self, sample: Sample) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if sample.reasoning:
            thinking = "".join(sample.reasoning)
            content.append({"type": "thinking", "thinking": thinking, "signature": SIGNATURE})
        if sample.text:
            content.append({"type": "text", "text": "".join(sample.text)})
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": exactly(call.arguments or "{}")}
            for call in sample.calls
        ]
        body = self._message(sample) | {"content": content, "stop_reason": _anthropic_finish(sample)}
        return body | ({"usage": anthropic_usage(sample.usage)} if sample.usage else {})

    def opening(self) -> list[str]:
        block = {"type": "text", "text": ""}
        told = Sample(usage=Usage(prompt=USAGE.prompt, completion=1))
        return [self._start(told), self.named("content_block_start", index=0, content_block=block)]

    def piece(self, text: str) -> str:
        return self.block_delta(0, {"type": "text_delta", "text": text})

    def ending(self, sample: Sample) -> list[str]:
        return [self.named("content_block_stop", index=0), *self._stop(sample)]

    def events(self, sample: Sample) -> list[str]:
        events = [self._start(sample), self.ping]
        index = 0
        if sample.reasoning:
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in sample.reasoning]
            deltas.append({"type": "signature_delta", "signature": SIGNATURE})
            events += self.block(index, {"type": "thinking", "thinking": "", "signature": ""}, deltas)
            index += 1
        if sample.text:
            deltas = [{"type": "text_delta", "text": piece} for piece in sample.text]
            events += self.block(index, {"type": "text", "text": ""}, deltas)
            index += 1
        for call in sample.calls:
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *call.pieces)]
            events += self.block(index, {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, deltas)
            index += 1
        return events + self._stop(sample)

    def block(self, index: int, start: dict[str, Any], deltas: Sequence[dict[str, Any]]) -> list[str]:
        return [
            self.named("content_block_start", index=index, content_block=start),
            *(self.block_delta(index, delta) for delta in deltas),
            self.named("content_block_stop", index=index),
        ]

    def block_delta(self, index: int, delta: dict[str, Any]) -> str:
        return self.named("content_block_delta", index=index, delta=delta)

    def named(self, kind: str, **members: Any) -> str:
        return event(json.dumps({"type": kind, **members}, separators=(",", ":")), kind)

    def error(self, word: str, message: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": word, "message": message}, "request_id": "req_1"}

    def path(self, model: str, *, stream: bool) -> str:
        return "/messages"

    def returned(self, body: Any) -> Any:
        return body["messages"][1]["content"]

    def expected(self, sample: Sample) -> Any:
        return json.loads(encode(self.body(sample)))["content"]

    def _start(self, sample: Sample) -> str:
        usage = anthropic_usage(sample.usage) | {"output_tokens": 1} if sample.usage else {}
        message = self._message(sample) | {"content": [], "stop_reason": None, "usage": usage}
        return self.named("message_start", message=message)

    def _stop(self, sample: Sample) -> list[str]:
        # All of it once more, as it stands at the end.
        usage = anthropic_usage(sample.usage) if sample.usage else {}
        delta = {"stop_reason": _anthropic_finish(sample), "stop_sequence": None}
        return [self.named("message_delta", delta=delta, usage=usage), self.named("message_stop")]

    def _message(self, sample: Sample) -> dict[str, Any]:
        return {"id": ANSWER_ID, "type": "message", "role": "assistant", "model": MODEL, "stop_sequence": None}


def _anthropic_finish(sample: Sample) -> str:
    return sample.finish or ("tool_use" if sample.calls else "end_turn")


def anthropic_usage(usage: Usage) -> dict[str, Any]:
    """What the cache gave and took stands beside the prompt here, not in it."""
    told: dict[str, Any] = {"output_tokens": usage.completion}
    told["input_tokens"] = usage.prompt - (usage.cached or 0) - (usage.written or 0)
    if usage.cached is not None:
        told["cache_read_input_tokens"] = usage.cached
    if usage.written is not None:
        told["cache_creation_input_tokens"] = usage.written
    if usage.thought is not None:
        told["output_tokens_details"] = {"thinking_tokens": usage.thought}
    return told


ADAPTERS = [
    Adapter(
        "anthropic",
        "anthropic",
        AnthropicSpeech(),
        vendor_target("anthropic", "claude-sonnet-4-6"),
        ("anthropic",),
        stands_for_dialect=True,
    ),
    Adapter("anthropic-endpoint", "my-servers", AnthropicSpeech(), endpoint_target("anthropic")),
]
