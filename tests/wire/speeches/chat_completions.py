"""OpenAI's Chat Completions as a server speaks it."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.scripted_upstream import event
from tests.wire.adapter import Adapter, endpoint_target, vendor_target
from tests.wire.dialects import ANSWER_ID, MODEL, Sample, Speech, Usage


class OpenAISpeech(Speech):
    """Chat Completions. The field of reasoning differs between servers and their versions."""

    title = "Chat Completions"
    terminal_words = (b"finish_reason", b"[DONE]")
    end_marks = (b'"finish_reason":"',)
    finish_reasons: ClassVar[dict[str, str]] = {
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool_calls",
        "function_call": "tool_calls",
        "content_filter": "content_filter",
        "end_turn": "stop",
        "eos": "stop",
        "MAX_TOKENS": "length",
        "model_context_window_exceeded": "length",
        "sensitive": "content_filter",
        "content_filter: RECITATION": "content_filter",
        "a_new_word": "other",
    }
    terminal_event = event("[DONE]")
    stream_members: ClassVar[dict[str, Any]] = {"stream": True, "stream_options": {"include_usage": True}}
    sdk_type = "openai"

    def __init__(self, reasoning_field: str = "reasoning_content") -> None:
        self.reasoning_field = reasoning_field

    def body(self, sample: Sample) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(sample.text) or None, "refusal": None}
        if sample.reasoning:
            message[self.reasoning_field] = "".join(sample.reasoning)
        if sample.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in sample.calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _openai_finish(sample)}
        body = {"id": ANSWER_ID, "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
        return body | ({"usage": openai_usage(sample.usage)} if sample.usage else {})

    def opening(self) -> list[str]:
        return [self.delta({"role": "assistant", "content": None})]

    def piece(self, text: str) -> str:
        return self.delta({"content": text})

    def delta(self, delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(self._chunk([choice]))

    def call_delta(self, **members: Any) -> str:
        return self.delta({"tool_calls": [members]})

    def ending(self, sample: Sample) -> list[str]:
        usage = [event(self._chunk([]) | {"usage": openai_usage(sample.usage)})] if sample.usage else []
        return [self.delta({}, _openai_finish(sample)), *usage, event("[DONE]")]

    def events(self, sample: Sample) -> list[str]:
        events = self.opening()
        events += [self.delta({self.reasoning_field: piece}) for piece in sample.reasoning]
        events += [self.piece(piece) for piece in sample.text]
        for index, call in enumerate(sample.calls):
            function = {"name": call.name, "arguments": ""}
            events.append(self.call_delta(index=index, id=call.id, type="function", function=function))
            events += [self.call_delta(index=index, function={"arguments": piece}) for piece in call.pieces]
        return events + self.ending(sample)

    def error(self, word: str, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": word, "param": None, "code": None}}

    def path(self, model: str, *, stream: bool) -> str:
        return "/chat/completions"

    def returned(self, body: Any) -> Any:
        message = dict(body["messages"][1])
        return message.pop("role"), message.pop("content"), message

    def expected(self, sample: Sample) -> Any:
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in sample.calls
        ]
        beside = {self.reasoning_field: "".join(sample.reasoning)} if sample.reasoning else {}
        return "assistant", "".join(sample.text) or None, beside | ({"tool_calls": calls} if calls else {})

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        chunk = {"id": ANSWER_ID, "object": "chat.completion.chunk", "created": 1, "model": MODEL}
        return chunk | {"choices": choices}


def _openai_finish(sample: Sample) -> str:
    return sample.finish or ("tool_calls" if sample.calls else "stop")


def openai_usage(usage: Usage) -> dict[str, Any]:
    told: dict[str, Any] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    }
    if usage.cached is not None:
        told["prompt_tokens_details"] = {"cached_tokens": usage.cached, "audio_tokens": 0}
        if usage.written is not None:
            told["prompt_tokens_details"]["cache_write_tokens"] = usage.written
    if usage.thought is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": usage.thought, "audio_tokens": 0}
    return told


ADAPTERS = [
    Adapter(
        "openai", "openai", OpenAISpeech(), vendor_target("openai", "gpt-4o"), ("openai",), stands_for_dialect=True
    ),
    Adapter(
        "openai-compatible",
        "my-servers",
        OpenAISpeech(),
        endpoint_target("openai-compatible"),
        ("compatible", "llama.cpp"),
    ),
    Adapter(
        "vllm", "my-servers", OpenAISpeech("reasoning"), endpoint_target("vllm"), ("vllm",), stands_for_dialect=True
    ),
]
