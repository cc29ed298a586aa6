"""Turns of a model, told once and answered in the dialect and the form that a request asks for.

    upstream.play(*said(Turn(calls=[Call("weather", {"city": "Oslo"})]), Turn("It rains.")))

Each turn answers one request; what else is asked finds no script, and fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.scripted_upstream import Received, Script, event, event_stream, json_answer

PROMPT_TOKENS, ANSWER_TOKENS = 1234, 56
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk="
ENCRYPTED = "gAAAAABo-encrypted-thoughts-of-the-model"


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: dict[str, Any]
    namespace: str = ""
    """Where Responses keeps the tool."""


@dataclass(frozen=True)
class CustomCall:
    """A call of a tool that takes a text, which Responses alone knows."""

    name: str
    text: str


@dataclass(frozen=True)
class Turn:
    """What the model says in one answer."""

    text: str = ""
    calls: Sequence[Call | CustomCall] = ()
    thought: str = ""


@dataclass
class _Ids:
    """Ids that no two turns share."""

    number: int = field(default=0)

    def next(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}_{self.number:024d}"


def said(*turns: Turn) -> list[Callable[[Received], Script]]:
    """The turns, each as the script of one request."""
    ids = _Ids()
    return [_script(turn, ids) for turn in turns]


def _script(turn: Turn, ids: _Ids) -> Callable[[Received], Script]:
    def script(request: Received) -> Script:
        path = request.path.partition("?")[0]
        if path.endswith("/responses"):
            return _responses(turn, request.json(), ids)
        if path.endswith("/messages"):
            return _messages(turn, request.json(), ids)
        assert path.endswith("/chat/completions"), path
        return _chat_completions(turn, request.json(), ids)

    return script


# ----------------------------------------------------------------------------------------------- Chat Completions


def _chat_completions(turn: Turn, body: dict[str, Any], ids: _Ids) -> Script:
    calls = [
        {"id": ids.next("call"), "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
        for call in turn.calls
    ]
    finish_reason = "tool_calls" if calls else "stop"
    usage = {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": ANSWER_TOKENS,
        "total_tokens": PROMPT_TOKENS + ANSWER_TOKENS,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    head = {"id": ids.next("chatcmpl"), "created": 1, "model": f"{body['model']}-2026-08-06"}
    if not body.get("stream"):
        message = {"role": "assistant", "content": turn.text or None, "refusal": None, "annotations": []}
        message |= {"tool_calls": calls} if calls else {}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return json_answer({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": piece} for piece in _pieces(turn.text)]
    for index, call in enumerate(calls):
        function = call["function"]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        for piece in _pieces(function["arguments"]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish_reason})
    head["object"] = "chat.completion.chunk"
    asks = bool((body.get("stream_options") or {}).get("include_usage"))
    chunks = [{**head, "choices": [choice], **({"usage": None} if asks else {})} for choice in choices]
    if asks:
        chunks.append({**head, "choices": [], "usage": usage})
    return event_stream(*map(event, chunks), event("[DONE]"))


# ------------------------------------------------------------------------------------------------------ Responses


def _responses(turn: Turn, body: dict[str, Any], ids: _Ids) -> Script:
    response: dict[str, Any] = {
        "id": ids.next("resp"),
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": f"{body['model']}-2026-08-06",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
    }
    items = list(_items(turn, ids))
    usage = {
        "input_tokens": PROMPT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": ANSWER_TOKENS,
        "output_tokens_details": {"reasoning_tokens": 7 if turn.thought else 0},
        "total_tokens": PROMPT_TOKENS + ANSWER_TOKENS,
    }
    whole = {**response, "status": "completed", "output": items, "usage": usage}
    if not body.get("stream"):
        return json_answer(whole)
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.in_progress", "response": response},
    ]
    for index, item in enumerate(items):
        events += [{**content, "output_index": index} for content in _item_events(item)]
    events.append({"type": "response.completed", "response": whole})
    numbered = [{**content, "sequence_number": number} for number, content in enumerate(events)]
    return event_stream(*(event(content, content["type"]) for content in numbered))


def _items(turn: Turn, ids: _Ids) -> Iterator[dict[str, Any]]:
    if turn.thought:
        summary = [{"type": "summary_text", "text": turn.thought}]
        yield {"type": "reasoning", "id": ids.next("rs"), "summary": summary, "encrypted_content": ENCRYPTED}
    if turn.text:
        part = {"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": ids.next("msg"), "status": "completed", "role": "assistant"}
        yield {**message, "content": [part]}
    for call in turn.calls:
        head = {"status": "completed", "call_id": ids.next("call"), "name": call.name}
        if isinstance(call, CustomCall):
            yield {"type": "custom_tool_call", "id": ids.next("ctc"), **head, "input": call.text}
            continue
        item = {"type": "function_call", "id": ids.next("fc"), **head, "arguments": json.dumps(call.arguments)}
        yield {**item, "namespace": call.namespace} if call.namespace else item


def _item_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    of_item = {"item_id": item["id"]}
    if item["type"] == "reasoning":
        text = item["summary"][0]["text"]
        of_summary = {**of_item, "summary_index": 0}
        yield {"type": "response.output_item.added", "item": {**item, "summary": []}}
        part = {"type": "summary_text", "text": ""}
        yield {"type": "response.reasoning_summary_part.added", **of_summary, "part": part}
        for piece in _pieces(text):
            yield {"type": "response.reasoning_summary_text.delta", **of_summary, "delta": piece}
        yield {"type": "response.reasoning_summary_text.done", **of_summary, "text": text}
        yield {"type": "response.reasoning_summary_part.done", **of_summary, "part": item["summary"][0]}
    elif item["type"] == "message":
        part = item["content"][0]
        of_part = {**of_item, "content_index": 0}
        yield {"type": "response.output_item.added", "item": {**item, "status": "in_progress", "content": []}}
        yield {"type": "response.content_part.added", **of_part, "part": {**part, "text": ""}}
        for piece in _pieces(part["text"]):
            yield {"type": "response.output_text.delta", **of_part, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.done", **of_part, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **of_part, "part": part}
    else:
        member = "arguments" if item["type"] == "function_call" else "input"
        kind = "function_call_arguments" if item["type"] == "function_call" else "custom_tool_call_input"
        yield {"type": "response.output_item.added", "item": {**item, "status": "in_progress", member: ""}}
        for piece in _pieces(item[member]):
            yield {"type": f"response.{kind}.delta", **of_item, "delta": piece}
        yield {"type": f"response.{kind}.done", **of_item, member: item[member], "name": item["name"]}
    yield {"type": "response.output_item.done", "item": item}


# ------------------------------------------------------------------------------------------------------- Messages


def _messages(turn: Turn, body: dict[str, Any], ids: _Ids) -> Script:
    blocks: list[dict[str, Any]] = []
    if turn.thought:
        blocks.append({"type": "thinking", "thinking": turn.thought, "signature": SIGNATURE})
    if turn.text:
        blocks.append({"type": "text", "text": turn.text})
    for call in turn.calls:
        assert isinstance(call, Call)
        blocks.append({"type": "tool_use", "id": ids.next("toolu"), "name": call.name, "input": call.arguments})
    usage = {
        "input_tokens": PROMPT_TOKENS,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": ANSWER_TOKENS,
    }
    end = {"stop_reason": "tool_use" if turn.calls else "end_turn", "stop_sequence": None}
    message = {"id": ids.next("msg"), "type": "message", "role": "assistant", "model": f"{body['model']}-20260806"}
    if not body.get("stream"):
        return json_answer({**message, "content": blocks, **end, "usage": usage})
    start = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(blocks):
        events += [{**content, "index": index} for content in _block_events(block)]
    events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
    return event_stream(*(event(content, content["type"]) for content in events))


def _block_events(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    empty: dict[str, Any] = {"thinking": "", "signature": "", "text": "", "input": {}}
    start = {name: empty.get(name, value) for name, value in block.items()}
    yield {"type": "content_block_start", "content_block": start}
    deltas: list[dict[str, str]]
    match block["type"]:
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
        case _:
            pieces = _pieces(json.dumps(block["input"]))
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    for delta in deltas:
        yield {"type": "content_block_delta", "delta": delta}
    yield {"type": "content_block_stop"}


def _arguments(call: Call | CustomCall) -> str:
    return json.dumps(call.arguments) if isinstance(call, Call) else call.text


def _pieces(text: str) -> list[str]:
    """The text in up to three pieces."""
    size = max(1, -(-len(text) // 3))
    return [text[start : start + size] for start in range(0, len(text), size)]
