"""Pieces that are read in one step give what they give at length."""

from __future__ import annotations

import json
from typing import Any

from services.models.providers.openai.chat_completions.plain_pieces import MAX_MISSES, PlainPieces
from services.models.providers.openai.chat_completions.stream import ChatCompletionDecoder
from services.models.transport.sse import Event
from tests.rows import for_each

FIRST = {"model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
LAST = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def chunk(delta: Any = None, **members: Any) -> dict[str, Any]:
    beside = {name: members.pop(name) for name in ("usage", "error", "service_tier", "choices") if name in members}
    choice = {"index": 0, "delta": {"content": "é"} if delta is None else delta, "finish_reason": None} | members
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]} | beside


PLAIN = {
    "as OpenAI's": chunk(logprobs=None, service_tier="default", usage=None),
    "with a role": chunk({"role": "assistant", "content": "é", "refusal": None}),
    "with empty reasons": chunk({"content": "é", "reasoning_content": None, "tool_calls": None}, finish_reason=""),
    "at another rate": chunk(service_tier="flex"),
    "with filters": chunk(content_filter_results={"hate": {"filtered": False}}),
}

OTHERS = {
    "empty": chunk({"content": ""}),
    "of another choice": chunk(index=1),
    "last": chunk(finish_reason="stop"),
    "with reasoning": chunk({"content": "é", "reasoning_content": "r"}),
    "with a call": chunk({"content": "é", "tool_calls": [{"index": 0, "id": "1", "function": {"name": "f"}}]}),
    "with what is to be kept": chunk({"content": "é", "thought": "t"}),
    "with counts": chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
    "with an error": chunk(error={"message": "broken"}),
    "of two choices": chunk(choices=[{"delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]),
    "of no choice": chunk(choices=[]),
    "with how likely it was": chunk(logprobs={"content": []}),
    "of parts": chunk({"content": [{"type": "text", "text": "é"}]}),
}


@for_each("piece", PLAIN.values(), ids=PLAIN)
def test_plain_piece_gives_what_it_gives_at_length(piece: dict[str, Any]) -> None:
    assert PlainPieces().read(json.dumps(piece).encode())
    plainly, at_length = ChatCompletionDecoder(), ChatCompletionDecoder()
    at_length._plain_pieces._misses = MAX_MISSES
    answers = []
    for decoder in (plainly, at_length):
        decoder.feed([Event("", json.dumps(each).encode()) for each in (FIRST, piece, piece, LAST)])
        decoder.answer.complete()
        chunks = [each.SerializeToString() for each in decoder.answer.drain_chunks()]
        answers.append((chunks, decoder.answer.response().SerializeToString(), decoder.answer.at_standard_rates))
    assert answers[0] == answers[1]
    assert plainly.answer.response().text == "éé"


@for_each("piece", OTHERS.values(), ids=OTHERS)
def test_any_other_piece_is_read_at_length(piece: dict[str, Any]) -> None:
    assert PlainPieces().read(json.dumps(piece).encode()) is None


@for_each("data", [b"", b"{", b"[]", b"5", b'{"choices":5}', b'{"choices":[{"delta":{"content":"\\ud800"}}]}'])
def test_what_is_no_piece_is_read_at_length(data: bytes) -> None:
    assert PlainPieces().read(data) is None


def test_stream_of_other_pieces_is_not_tried_for_ever() -> None:
    pieces = PlainPieces()
    for _ in range(MAX_MISSES):
        assert pieces.read(b"{}") is None
    assert pieces.read(json.dumps(PLAIN["as OpenAI's"]).encode()) is None
