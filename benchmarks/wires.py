"""The wires of the mock provider: OpenAI's Chat Completions and Anthropic's Messages, as bytes built beforehand."""

from __future__ import annotations

import functools
import json
from typing import Protocol

from benchmarks.work import ANTHROPIC_MODEL, MODEL, TOKEN, Work

PROMPT_TOKENS = 24
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
    b"x-request-id: req_benchmark\r\n\r\n"
)
STREAM_END = b"0\r\n\r\n"


class Wire(Protocol):
    """One provider's answers."""

    stream_start: bytes
    """The head of a stream, and what comes before its first token."""
    stream_token: bytes

    def stream_end(self, tokens: int) -> bytes:
        """What comes after so many tokens."""
        ...

    def whole_answer(self, work: Work) -> bytes:
        """The answer in one piece."""
        ...


class _OpenAi:
    def __init__(self) -> None:
        start = {"role": "assistant", "content": "", "refusal": None}
        self.stream_start = STREAM_HEAD + self._event(_choices({"delta": start}))
        self.stream_token = self._event(_choices({"delta": {"content": TOKEN}}))

    @functools.cache  # noqa: B019 one object for each wire
    def stream_end(self, tokens: int) -> bytes:
        stop = self._event(_choices({"delta": {}}, "stop"))
        return stop + self._event([], self._usage(tokens)) + _chunk("data: [DONE]\n\n") + STREAM_END

    @functools.cache  # noqa: B019 one object for each wire
    def whole_answer(self, work: Work) -> bytes:
        message = {"role": "assistant", "content": work.text, "refusal": None, "annotations": []}
        return _document(
            {
                "id": "chatcmpl-benchmark",
                "object": "chat.completion",
                "created": 1_780_000_000,
                "model": MODEL,
                "choices": _choices({"message": message}, "stop"),
                "usage": self._usage(work.tokens),
                "service_tier": "default",
                "system_fingerprint": "fp_benchmark",
            }
        )

    def _event(self, choices: list[object], usage: object = None) -> bytes:
        event = {
            "id": "chatcmpl-benchmark",
            "object": "chat.completion.chunk",
            "created": 1_780_000_000,
            "model": MODEL,
            "service_tier": "default",
            "system_fingerprint": "fp_benchmark",
            "choices": choices,
            "usage": usage,
        }
        return _chunk(f"data: {_compact(event)}\n\n")

    def _usage(self, tokens: int) -> dict[str, int]:
        return {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": tokens,
            "total_tokens": PROMPT_TOKENS + tokens,
        }


class _Anthropic:
    def __init__(self) -> None:
        empty = {"type": "text", "text": ""}
        self.stream_start = (
            STREAM_HEAD
            + self._event("message_start", message={**self._message([], 1), "stop_reason": None})
            + self._event("content_block_start", index=0, content_block=empty)
            + self._event("ping")
        )
        self.stream_token = self._event("content_block_delta", index=0, delta={"type": "text_delta", "text": TOKEN})

    @functools.cache  # noqa: B019 one object for each wire
    def stream_end(self, tokens: int) -> bytes:
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        return (
            self._event("content_block_stop", index=0)
            + self._event("message_delta", delta=delta, usage={"output_tokens": tokens})
            + self._event("message_stop")
            + STREAM_END
        )

    @functools.cache  # noqa: B019 one object for each wire
    def whole_answer(self, work: Work) -> bytes:
        return _document(self._message([{"type": "text", "text": work.text}], work.tokens))

    def _message(self, content: list[object], tokens: int) -> dict[str, object]:
        return {
            "id": "msg_benchmark",
            "type": "message",
            "role": "assistant",
            "model": ANTHROPIC_MODEL,
            "content": content,
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": PROMPT_TOKENS,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": tokens,
                "service_tier": "standard",
            },
        }

    def _event(self, kind: str, **members: object) -> bytes:
        return _chunk(f"event: {kind}\ndata: {_compact({'type': kind, **members})}\n\n")


def _choices(content: dict[str, object], finish_reason: str | None = None) -> list[object]:
    return [{"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}]


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _document(value: object) -> bytes:
    body = json.dumps(value).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_benchmark\r\nContent-Length: %d\r\n\r\n"
    )
    return (head % len(body)).encode() + body


OPENAI: Wire = _OpenAi()
ANTHROPIC: Wire = _Anthropic()
