"""How each dialect writes one and the same answer: as a body, and as the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec

from tests.scripted_upstream import event

MODEL = "sample-model-1"
ANSWER_ID = "answer-1"
SIGNATURE = "c2lnbmF0dXJl"


class Call(NamedTuple):
    """A tool call; `pieces` joined are its arguments."""

    id: str
    name: str
    pieces: Sequence[str]

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class Usage(NamedTuple):
    """Tokens as the platform counts them: cached ones are part of the prompt, thoughts of the completion."""

    prompt: int
    completion: int
    cached: int | None = None
    written: int | None = None
    thought: int | None = None


USAGE = Usage(prompt=12, completion=7)


@dataclass(frozen=True)
class Sample:
    """An answer, in pieces as a stream would send them. Without `finish`, the usual word for such an answer."""

    text: Sequence[str] = ()
    reasoning: Sequence[str] = ()
    calls: Sequence[Call] = ()
    finish: str = ""
    usage: Usage | None = USAGE


HELLO = Sample(text=["Hel", "lo ", "wörld \U0001f600"])


class Speech(Protocol):
    """A dialect as a server speaks it."""

    finish_reasons: ClassVar[dict[str, str]]
    """The provider's words, and the platform's for each."""
    ping: str
    """What keeps a connection busy without being part of the answer."""

    def body(self, sample: Sample) -> dict[str, Any]:
        """The whole answer."""

    def opening(self) -> list[str]:
        """The events before the first piece."""

    def piece(self, text: str) -> str:
        """An event with a piece of the first text block."""

    def ending(self, sample: Sample) -> list[str]:
        """The events after the last piece, the terminal one last."""

    def events(self, sample: Sample) -> list[str]:
        """The whole answer as a stream."""

    def error(self, word: str, message: str) -> dict[str, Any]:
        """The body of an error, and the data of an error event."""


class OpenAISpeech:
    """Chat Completions. The field of reasoning differs between servers and their versions."""

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
    ping = ": keep-alive\n\n"

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


class AnthropicSpeech:
    """Messages."""

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


def exactly(text: str) -> msgspec.Raw:
    """JSON text that stands in a body as it is written."""
    return msgspec.Raw(text.encode())


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


def encode(body: Any) -> bytes:
    """The bytes of a body."""
    return msgspec.json.encode(body)
