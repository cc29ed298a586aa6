"""What an answer may hold at most, and what it may cost, in every dialect: by count, by bytes, by time."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from proto.models_pb2 import ProviderState
from services.models.providers.answers.answer import MAX_CITED_BYTES, MAX_COMPARED, MAX_PARTS_BYTES, Answer
from services.models.providers.answers.text_pieces import Pieces
from services.models.providers.answers.values import MAX_WORD_LENGTH
from services.models.providers.anthropic.dialect import ANTHROPIC
from services.models.providers.base import Decoder, Dialect
from services.models.providers.errors.faults import Fault
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.transport.sse import Event
from services.models.validation.limits import MAX_PARTS
from tests.rows import for_each
from tests.timing import is_in_proportion

LONG = "x" * (MAX_WORD_LENGTH + 1)


def event(value: Any) -> Event:
    return Event("", json.dumps(value).encode())


def choice(**delta: Any) -> Event:
    return event({"choices": [{"index": 0, "delta": delta}]})


def call(arguments: str, **members: Any) -> Event:
    return choice(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}} | members])


def start(index: int = 0, **block: Any) -> Event:
    return event({"type": "content_block_start", "index": index, "content_block": block})


def delta(kind: str, index: int = 0, **members: Any) -> Event:
    return event({"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}})


def stop(index: int = 0) -> Event:
    return event({"type": "content_block_stop", "index": index})


def item(index: int, *, what: str = "done", **members: Any) -> Event:
    return event({"type": f"response.output_item.{what}", "output_index": index, "item": members})


def message(count: int, text: str, **members: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text, **members}] * count}


def piece(text: str) -> Event:
    return event({"type": "response.output_text.delta", "output_index": 0, "delta": text})


def thought(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def fed(dialect: Dialect, events: Iterable[Event]) -> Decoder:
    decoder = dialect.decoder()
    for one in events:
        decoder.feed([one])
        decoder.answer.drain_chunks()
    return decoder


# ------------------------------------------------------------------------------------------------------- by time

GROWING: dict[str, tuple[Dialect, int, Callable[[int], list[Event]]]] = {
    "pieces of a call that name it": (
        OPENAI_COMPATIBLE,
        2000,
        lambda n: [call('{"a":"' + "x" * 1000 * n), *[call("}")] * n],
    ),
    "ends of a block of text": (
        ANTHROPIC,
        400,
        lambda n: [
            start(type="thinking", signature="s"),
            delta("thinking_delta", thinking="x" * 1000 * n),
            *[stop()] * n,
        ],
    ),
    "parts with sources of their own": (
        OPENAI_RESPONSES,
        480,
        lambda n: [item(0, **message(n, "x", annotations=[{"url": "u"}]))],
    ),
    "ends of a text that say nothing": (
        OPENAI_RESPONSES,
        400,
        lambda n: [piece("x " * 500 * n), *[event({"type": "response.output_text.done", "output_index": 0})] * n],
    ),
    "blanks before the arguments of a call": (
        OPENAI_COMPATIBLE,
        400,
        lambda n: [call("n" + " " * 4000 * n), *[call(" ")] * n],
    ),
    "blanks behind an empty object": (
        OPENAI_COMPATIBLE,
        400,
        lambda n: [call("{}" + " " * 4000 * n), *[call(" ")] * n],
    ),
    "calls with members of their own": (
        OPENAI_COMPATIBLE,
        400,
        lambda n: [choice(tool_calls=[{"index": i, "id": str(i), "own": "x" * 500} for i in range(n)])],
    ),
    "thoughts in pieces": (
        OPENAI_COMPATIBLE,
        3000,
        lambda n: [choice(content=[thought("x" * 2000 * n)]), *[choice(content=[thought("x")])] * n],
    ),
    "messages in place of pieces": (
        OPENAI_COMPATIBLE,
        400,
        lambda n: [event({"choices": [{"message": {"content": "x" * size}}]}) for size in (20_000 * n, *[1] * n)],
    ),
    "events within events": (OPENAI_COMPATIBLE, 80_000, lambda n: [Event("", b"data:" * n)]),
    "calls that begin again": (
        ANTHROPIC,
        400,
        lambda n: [
            start(type="tool_use", id="a", name="f", input={"x": "x" * 10_000 * n}),
            *[start(type="tool_use", id="a", name="f", input={})] * n,
        ],
    ),
}


@for_each(("dialect", "count", "events"), GROWING.values(), ids=GROWING.keys())
def test_twice_the_pieces_take_twice_the_time(
    dialect: Dialect, count: int, events: Callable[[int], list[Event]]
) -> None:
    """With its square, eight times as many would take 64 times as long."""
    few, many = events(count // 8), events(count)
    assert is_in_proportion(
        lambda: fed(dialect, few).answer.complete(), lambda: fed(dialect, many).answer.complete(), 28, least=0.0005
    )


SHORTER: dict[str, tuple[Dialect, list[Event], Event]] = {
    "messages": (
        OPENAI_COMPATIBLE,
        [choice(content="x" * 100_000)],
        event({"choices": [{"message": {"content": "x"}}]}),
    ),
    "texts": (
        OPENAI_RESPONSES,
        [piece("x" * 100_000)],
        event({"type": "response.output_text.done", "output_index": 0, "text": "x"}),
    ),
    "arguments": (
        OPENAI_RESPONSES,
        [
            item(0, what="added", type="function_call", name="f", call_id="a"),
            event({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": " " * 100_000 + "{}"}),
        ],
        event({"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{}"}),
    ),
}


@for_each(("dialect", "before", "whole"), SHORTER.values(), ids=SHORTER.keys())
def test_what_is_long_is_not_compared_with_short_texts_again_and_again(
    dialect: Dialect, before: list[Event], whole: Event
) -> None:
    few, many = (MAX_COMPARED // 100_000 + more for more in (0, 1))
    fed(dialect, [*before, *[whole] * few])
    with pytest.raises(Fault, match="UPSTREAM_PROTOCOL_ERROR"):
        fed(dialect, [*before, *[whole] * many])


# ------------------------------------------------------------------------------------------------------ by count

MANY: dict[str, tuple[Dialect, Callable[[int], Event]]] = {
    "calls": (OPENAI_COMPATIBLE, lambda i: call("{}", index=i, id=str(i))),
    "calls that are never named": (OPENAI_COMPATIBLE, lambda i: choice(tool_calls=[{"index": i, "id": str(i)}])),
    "ids of one call": (OPENAI_COMPATIBLE, lambda i: choice(tool_calls=[{"index": 0, "id": str(i)}])),
    "blocks": (ANTHROPIC, lambda i: start(i, type="text", text="a")),
    "blocks of unknown kinds": (ANTHROPIC, lambda i: start(i, type="new")),
    "blocks with one index": (ANTHROPIC, lambda _: start(0, type="new")),
    "items": (OPENAI_RESPONSES, lambda i: item(i, **message(1, "a"))),
    "items that say nothing": (OPENAI_RESPONSES, lambda i: item(i, **message(0, ""))),
    "items without numbers": (
        OPENAI_RESPONSES,
        lambda i: event({"type": "response.output_text.delta", "item_id": str(i), "delta": ""}),
    ),
    "parts of items": (
        OPENAI_RESPONSES,
        lambda i: event({"type": "response.output_text.delta", "output_index": 0, "content_index": i, "delta": "a"}),
    ),
}


@for_each(("dialect", "events"), MANY.values(), ids=MANY.keys())
def test_what_a_stream_makes_known_has_a_bound_by_count(dialect: Dialect, events: Callable[[int], Event]) -> None:
    fed(dialect, map(events, range(MAX_PARTS)))
    with pytest.raises(Fault, match="OUTPUT_LIMIT"):
        fed(dialect, map(events, range(MAX_PARTS + 2)))


WHOLE: dict[str, tuple[Dialect, Any]] = {
    "calls": (
        OPENAI_COMPATIBLE,
        {"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": ""}}] * (MAX_PARTS + 1)}}]},
    ),
    "blocks": (ANTHROPIC, {"content": [{"type": "text", "text": "a"}] * (MAX_PARTS + 1)}),
    "items": (OPENAI_RESPONSES, {"status": "completed", "output": [message(0, "")] * (MAX_PARTS + 1)}),
    "parts": (OPENAI_RESPONSES, {"status": "completed", "output": [message(MAX_PARTS + 1, "a")]}),
}


@for_each(("dialect", "body"), WHOLE.values(), ids=WHOLE.keys())
def test_so_has_what_comes_whole(dialect: Dialect, body: Any) -> None:
    with pytest.raises(Fault, match="OUTPUT_LIMIT"):
        dialect.read(json.dumps(body).encode())


# ------------------------------------------------------------------------------------------------------ by bytes

WORDS: dict[str, tuple[Dialect, list[Event]]] = {
    "id of the answer": (OPENAI_COMPATIBLE, [event({"id": LONG, "choices": []})]),
    "model": (OPENAI_COMPATIBLE, [event({"model": LONG, "choices": []})]),
    "id of a call": (OPENAI_COMPATIBLE, [call("{}", id=LONG)]),
    "name of a tool": (OPENAI_COMPATIBLE, [call("{}", function={"name": LONG})]),
    "finish reason": (OPENAI_COMPATIBLE, [event({"choices": [{"finish_reason": LONG}]})]),
    "model of a message": (ANTHROPIC, [event({"type": "message_start", "message": {"model": LONG}})]),
    "id of a block": (ANTHROPIC, [start(type="tool_use", id=LONG, name="f")]),
    "name of a block": (ANTHROPIC, [start(type="tool_use", id="a", name=LONG)]),
    "stop reason": (ANTHROPIC, [event({"type": "message_delta", "delta": {"stop_reason": LONG}})]),
    "model of a response": (OPENAI_RESPONSES, [event({"type": "response.created", "response": {"model": LONG}})]),
    "id of an item": (OPENAI_RESPONSES, [event({"type": "response.refusal.delta", "item_id": LONG, "delta": ""})]),
    "id of an item's call": (OPENAI_RESPONSES, [item(0, what="added", type="function_call", name="f", call_id=LONG)]),
    "name of an item": (OPENAI_RESPONSES, [item(0, what="added", type="function_call", name=LONG)]),
    "status": (OPENAI_RESPONSES, [event({"type": "response.completed", "response": {"status": LONG}})]),
}


@for_each(("dialect", "events"), WORDS.values(), ids=WORDS.keys())
def test_word_longer_than_any_is_a_fault(dialect: Dialect, events: list[Event]) -> None:
    with pytest.raises(Fault, match="UPSTREAM_PROTOCOL_ERROR"):
        fed(dialect, events)
    shorter = [Event("", one.data.replace(LONG.encode(), LONG[1:].encode())) for one in events]
    fed(dialect, shorter)


@for_each(
    ("dialect", "before", "piece"),
    [
        (OPENAI_COMPATIBLE, [], choice(content="a", annotations=[{"text": "x" * 100_000}])),
        (ANTHROPIC, [start(type="text")], delta("citations_delta", citation={"cited_text": "x" * 100_000})),
    ],
    ids=["openai", "anthropic"],
)
def test_sources_have_a_bound_by_bytes(dialect: Dialect, before: list[Event], piece: Event) -> None:
    count = MAX_CITED_BYTES // len(piece.data)
    fed(dialect, [*before, *[piece] * count])
    with pytest.raises(Fault, match="OUTPUT_LIMIT"):
        fed(dialect, [*before, *[piece] * (count + 3)])


def test_item_that_belongs_to_many_parts_is_not_kept_beyond_all_bounds() -> None:
    """It is kept with each of them, so that they go back together."""
    events = [item(0, type="reasoning"), item(1, **message(1000, "x" * 100))]
    with pytest.raises(Fault, match="OUTPUT_LIMIT"):
        fed(OPENAI_RESPONSES, events)


def test_parts_that_are_given_out_whole_have_a_bound_in_all() -> None:
    answer = Answer()
    answer.attach_state(0, ProviderState(data=b"x" * (MAX_PARTS_BYTES - 100)))
    with pytest.raises(Fault, match="OUTPUT_LIMIT"):
        answer.attach_state(1, ProviderState(data=b"x" * 101))


def test_warning_is_told_once() -> None:
    decoder = fed(OPENAI_COMPATIBLE, [choice(audio={"data": "AAAA"})] * 3)
    assert [warning.code for warning in decoder.answer.warnings] == ["AUDIO_DROPPED"]
    stopped = event({"type": "message_delta", "delta": {"stop_reason": 5, "stop_details": {"category": "x"}}})
    assert len(fed(ANTHROPIC, [stopped] * 3).answer.warnings) == 1


def test_pieces_of_one_character_take_little_more_than_the_text() -> None:
    pieces, count = Pieces(), 30_000
    texts = [chr(0x100 + number) for number in range(count)]
    tracemalloc.start()
    try:
        for text in texts:
            pieces.add(text + "")
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 4 * sys.getsizeof(pieces.end())


HELD: dict[str, tuple[Dialect, list[Event], Event, Callable[[Decoder], int]]] = {
    "block": (ANTHROPIC, [], start(type="new", values=[[]] * 3_000), lambda decoder: decoder.answer.waiting_bytes),
    "pieces of a signature": (
        ANTHROPIC,
        [start(type="thinking")],
        delta("signature_delta", signature="x" * 10_000),
        lambda decoder: decoder.answer.waiting_bytes,
    ),
    "text": (OPENAI_COMPATIBLE, [], choice(content="x" * 10_000), lambda decoder: decoder.answer.characters),
}


@for_each(("dialect", "before", "piece", "told"), HELD.values(), ids=HELD.keys())
def test_decoder_holds_no_more_than_came_and_says_how_much(
    dialect: Dialect, before: list[Event], piece: Event, told: Callable[[Decoder], int]
) -> None:
    """A value as Python has it may take thirty times as many bytes as in JSON."""
    decoder = fed(dialect, [*before, piece])
    tracemalloc.start()
    try:
        for _ in range(20):
            decoder.feed([Event("", bytes(bytearray(piece.data)))])
            decoder.answer.drain_chunks()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    came = 20 * len(piece.data)
    assert 0.5 * came < told(decoder) < 1.2 * came
    assert held < 1.5 * came
