"""Ways in which a broken or hostile server may change the bytes of an answer."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

MAX_BYTES = 64 * 1024
"""Of a changed answer."""

NAMES = (
    "type", "id", "model", "index", "role", "name", "text", "content", "delta", "error", "code", "param", "message",
    "usage", "choices", "finish_reason", "stop_reason", "stop_details", "tool_calls", "function_call", "function",
    "arguments", "custom", "input", "audio", "annotations", "refusal", "reasoning", "reasoning_content", "thinking",
    "content_block", "partial_json", "signature", "citation", "citations", "container", "cache_creation",
    "service_tier", "output", "item", "item_id", "output_index", "content_index", "summary_index", "summary",
    "status", "incomplete_details", "response", "call_id", "input_transformations", "prompt_tokens", "\ud800", "",
)  # fmt: skip
WORDS = (
    "error", "message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta",
    "content_block_stop", "text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "text_delta",
    "input_json_delta", "signature_delta", "citations_delta", "thinking_delta", "message", "reasoning",
    "function_call", "custom_tool_call", "output_text", "refusal", "response.completed", "response.incomplete",
    "response.failed", "response.output_item.added", "response.output_item.done", "response.output_text.delta",
    "stop", "length", "tool_calls", "end_turn", "refusal", "genai_platform_answer_x", "failed", "in_progress",
)  # fmt: skip
TEXTS = ("", " ", "a", "\0", "\ud800", "\udc00", "a\ud83d", "\ude00b", "\U0001f600", "{", "}", "{}", '{"a":1}', "\r\n")
NUMBERS = (0, 1, -1, 2**20 - 1, 2**20, 2**31, 2**40, 2**53, 2**63, 2**64, 10**400, 1.5, -0.0, 1e308, float("inf"))
COUNTS = (2, 10, 100, 1000, 5000)
RAW = (
    b"\n\n", b"\r", b"\r\n\r\n", b":\n\n", b"data:", b"data: [DONE]\n\n", b"event: x\n", b"\xff", b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"\0", b"\\ud800", b"\\udc00", b"1e999", b"-", b"[", b"{", b'"', b"\\", b"null", b"NaN",
)  # fmt: skip


def odd_value(rng: random.Random, *, small: bool = False) -> Any:
    """A value of JSON that stands where another one is expected."""
    kind = rng.randrange(5 if small else 10)
    if kind == 0:
        return rng.choice((None, True, False, [], {}, [[]], [{}], [None], {"": ""}))
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind in (2, 3):
        return rng.choice(TEXTS)
    if kind == 4:
        return rng.choice(WORDS)
    if kind == 5:
        return rng.choice(TEXTS[1:]) * rng.choice(COUNTS)
    if kind == 6:
        return [odd_value(rng, small=True)] * rng.choice(COUNTS)
    if kind == 7:
        return {f"{rng.choice(NAMES)}{index}": {} for index in range(rng.choice(COUNTS))}
    if kind == 8:
        value = rng.choice(TEXTS)
        for _ in range(rng.choice(COUNTS[:3])):
            value = {rng.choice(NAMES): value} if rng.random() < 0.5 else [value]
        return value
    return {rng.choice(NAMES): odd_value(rng, small=True) for _ in range(rng.randrange(4))}


def changed_value(rng: random.Random, value: Any) -> Any:
    """The value with something foreign at one place in it, or more or less of what it holds."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return odd_value(rng)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key: Any = rng.choice(keys)
    copy: Any = value.copy()
    kind = rng.random()
    if kind < 0.7:
        copy[key] = changed_value(rng, value[key])
    elif kind < 0.8:
        del copy[key]
    elif isinstance(value, dict):
        copy[rng.choice(NAMES)] = odd_value(rng)
    else:
        copy += [value[key]] * rng.choice(COUNTS[:3])
    return copy


def written(rng: random.Random, value: Any) -> bytes:
    """JSON of the value: in ASCII, or with lone surrogates as bytes that are no UTF-8."""
    data = json.dumps(value, ensure_ascii=rng.random() < 0.8).encode("utf-8", "surrogatepass")
    return data.replace(b"Infinity", b"1e999")


def changed_json(rng: random.Random, data: bytes) -> bytes:
    """A body, or the data of an event, with other values; with other bytes where that cannot be read."""
    try:
        value = json.loads(data)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            value = changed_value(rng, value)
        return written(rng, value)
    except (ValueError, RecursionError):
        return changed_bytes(rng, data)


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bits turned, pieces cut out, repeated, or put in."""
    changed = bytearray(data or b" ")
    for _ in range(rng.choice((1, 1, 2, 8))):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice((1, 1, 10, 100, 10_000)))
        kind = rng.randrange(5)
        if kind == 0 and start < len(changed):
            changed[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[start:end]
        elif kind == 2:
            changed[start:start] = changed[start:end] * rng.choice((1, 2, 50))
        elif kind == 3:
            changed[start:start] = rng.choice(RAW) * rng.choice((1, 1, 2, 1000))
        else:
            changed[start:start] = rng.randbytes(rng.randrange(8))
        del changed[MAX_BYTES:]
    return bytes(changed)


def changed_stream(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A stream with other events, or the same in another order or number; `others` are streams to take some from."""
    events = data.split(b"\n\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(events))
        kind = rng.randrange(8)
        if kind < 3:
            head, mark, content = events[place].partition(b"data: ")
            events[place] = head + mark + changed_json(rng, content)
        elif kind == 3 and len(events) > 1:
            del events[place]
        elif kind == 4:
            events[place:place] = [events[place]] * rng.choice(COUNTS)
        elif kind == 5:
            other = rng.randrange(len(events))
            events[place], events[other] = events[other], events[place]
        elif kind == 6:
            events.insert(place, rng.choice(rng.choice(others).split(b"\n\n")))
        else:
            events[place:] = rng.sample(events[place:], len(events) - place)
    return b"\n\n".join(events)[:MAX_BYTES]
