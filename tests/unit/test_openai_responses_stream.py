"""Streams of servers that imitate Responses and number neither items nor parts, as llama.cpp's does not."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from services.models.providers.errors.faults import Fault
from services.models.providers.openai.responses.stream import ResponseDecoder
from services.models.transport.sse import Event
from tests.rows import for_each

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Let me see."}],
}
CALLS = [
    {"type": "function_call", "status": "completed", "call_id": f"fc_{city}", "name": "weather", "arguments": city}
    for city in ('{"city":"Oslo"}', '{"city":"Rome"}')
]


def event(kind: str, **members: Any) -> Event:
    return Event("", json.dumps({"type": f"response.{kind}", **members}).encode())


def streamed_calls() -> list[Event]:
    events = [
        event("output_item.added", item=MESSAGE | {"status": "in_progress", "content": []}),
        event("output_text.delta", item_id="msg_1", delta="Let me "),
        event("output_text.delta", item_id="msg_1", delta="see."),
    ]
    for call in CALLS:
        arguments = call["arguments"]
        events += [
            event("output_item.added", item=call | {"status": "in_progress", "arguments": ""}),
            event("function_call_arguments.delta", item_id=call["call_id"], delta=arguments[:4]),
            event("function_call_arguments.delta", item_id=call["call_id"], delta=arguments[4:]),
        ]
    return [*events, *(event("output_item.done", item=item) for item in [MESSAGE, *CALLS])]


def test_items_without_numbers_are_told_apart_by_their_ids() -> None:
    decoder = ResponseDecoder()
    ending = {"id": "resp_1", "status": "completed", "model": "m", "output": [MESSAGE, *CALLS]}
    decoder.feed([*streamed_calls(), event("completed", response=ending)])
    decoder.answer.complete()
    response = decoder.answer.response()

    assert response.text == "Let me see."
    assert [(call.id, call.arguments_json) for call in response.tool_calls] == [
        (call["call_id"], call["arguments"]) for call in CALLS
    ]


def test_an_event_whose_item_has_no_place_is_a_fault() -> None:
    for number in (-1, "0", 1.5, True):
        with pytest.raises(Fault):
            ResponseDecoder().feed([event("output_text.delta", delta="Hello", output_index=number)])


# ------------------------------------------------------------------------------------ ids and numbers that tell nothing

HI, MORE = (MESSAGE | {"content": [{"type": "output_text", "text": said}]} for said in ("Hi there", "And more"))
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "why"}]}
LAYOUTS = [[HI, CALLS[0]], CALLS, [THOUGHT, *CALLS], [HI, CALLS[0], MORE], [THOUGHT, HI, CALLS[1]], [HI, MORE]]

IDS: dict[str, Any] = {
    "own ids": lambda place, _: f"item_{place}",
    "one id": lambda *_: "item",
    "no ids": lambda *_: None,
    "new ids": lambda _, count: f"item_{count}",
}
NUMBERS: dict[str, Any] = {"own numbers": lambda place: place, "one number": lambda _: 0}
TOLD = ["begun, in pieces and whole", "begun and whole", "in pieces and whole", "whole"]


def pieces_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    if item["type"] == "message":
        kind, said = "output_text", item["content"][0]["text"]
    elif item["type"] == "reasoning":
        kind, said = "reasoning_summary_text", item["summary"][0]["text"]
    else:
        kind, said = "function_call_arguments", item["arguments"]
    return [{"type": f"response.{kind}.delta", "delta": piece} for piece in (said[:2], said[2:])]


def told(item: dict[str, Any], how: str) -> list[dict[str, Any]]:
    events = []
    if "begun" in how:
        empty = {"message": {"content": []}, "reasoning": {"summary": []}, "function_call": {"arguments": ""}}
        events.append({"type": "response.output_item.added", "item": item | empty[item["type"]]})
    if "pieces" in how:
        events += pieces_of(item)
    return [*events, {"type": "response.output_item.done", "item": item}]


@for_each("ids", IDS)
@for_each("numbers", NUMBERS)
@for_each("how", TOLD)
def test_no_item_is_lost_or_doubled_whatever_ids_and_numbers_are(ids: str, numbers: str, how: str) -> None:
    for items, has_call_ids, has_output in itertools.product(LAYOUTS, (True, False), (True, False)):
        count = itertools.count()
        items = [{name: value for name, value in item.items() if name != "call_id" or has_call_ids} for item in items]
        decoder = ResponseDecoder()
        output = []
        for place, item in enumerate(items):
            for one in told(item, how):
                members = {"item_id": IDS[ids](place, next(count)), "output_index": NUMBERS[numbers](place)}
                if "item" in one:
                    one["item"] |= {"id": members.pop("item_id")}
                decoder.feed([Event("", json.dumps(one | members).encode())])
            output.append(item | {"id": IDS[ids](place, next(count))})
        decoder.feed([event("completed", response={"output": output if has_output else []})])
        decoder.answer.complete()
        response = decoder.answer.response()
        said = [item["content"][0]["text"] for item in items if item["type"] == "message"]
        called = [item["arguments"] for item in items if item["type"] == "function_call"]
        assert (response.text, [call.arguments_json for call in response.tool_calls]) == ("".join(said), called)
