"""Streams of servers that imitate Responses and number neither items nor parts, as llama.cpp's does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.models.providers.event_stream import Event
from services.models.providers.faults import Fault
from services.models.providers.openai_responses.stream import ResponseDecoder

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
